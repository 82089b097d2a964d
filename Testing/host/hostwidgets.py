"""Stand-ins for the MRML widgets that panels use; their rules are those seen in the application."""

from __future__ import annotations

import weakref

import qt
import shiboken6
import slicer
from PySide6.QtCore import Property, Signal


class qMRMLWidget(qt.QWidget):
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(qt.QWidget):
    """Selects the first node only when it gets its scene, jumps to another node when the selected one is deleted."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._types, self._shownID, self._observations = None, (), "", []
        self._flags = {"noneEnabled": False, "addEnabled": True, "removeEnabled": True, "showChildNodeTypes": True}
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._comboBox = qt.QComboBox()
        self._comboBox.connect("currentIndexChanged(int)", self._onChoice)
        layout.addWidget(self._comboBox)
        self.setEnabled(False)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._scene, self._observations = scene, []
        self.setEnabled(scene is not None)
        if scene is None:
            return
        reference = weakref.ref(self)

        def changed(*_):
            combo = reference()
            if combo is not None and shiboken6.isValid(combo):  # a VTK observer outlives the widget
                combo._refill()

        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
            self._observations.append((scene, scene.AddObserver(event, changed)))
        self._refill()
        if not self._flags["noneEnabled"] and self.nodeCount():
            self.setCurrentNode(self._nodes()[0])

    def nodeCount(self):
        return len(self._nodes())

    def currentNode(self):
        return self._scene.GetNodeByID(self._shownID) if self._scene is not None and self._shownID else None

    def setCurrentNode(self, node):
        self._select("" if node is None else node.GetID())

    def _nodes(self):
        found = [node for kind in self._types for node in slicer.util.getNodesByClass(kind, scene=self._scene)]
        children = self._flags["showChildNodeTypes"]
        return [n for n in found if not n.GetHideFromEditors() and (children or n.GetClassName() in self._types)]

    def _refill(self):
        nodes = self._nodes()
        identifiers = [node.GetID() for node in nodes]
        wanted = self._shownID
        if wanted and wanted not in identifiers:
            wanted = identifiers[0] if identifiers else ""
        self._comboBox.blockSignals(True)
        self._comboBox.clear()
        if self._flags["noneEnabled"]:
            self._comboBox.addItem("None", "")
        for node in nodes:
            self._comboBox.addItem(node.GetName(), node.GetID())
        self._comboBox.currentIndex = self._comboBox.findData(self._shownID)
        self._comboBox.blockSignals(False)
        self._select(wanted)

    def _select(self, identifier):
        identifier = identifier or ""
        if identifier and identifier not in [node.GetID() for node in self._nodes()]:
            return
        changed, self._shownID = identifier != self._shownID, identifier
        self._comboBox.blockSignals(True)
        self._comboBox.currentIndex = self._comboBox.findData(identifier)
        self._comboBox.blockSignals(False)
        if changed:
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(identifier)

    def _onChoice(self, index):
        self._select(self._comboBox.itemData(index))

    def _setTypes(self, types):
        self._types = tuple(types)

    def _flag(name):
        def write(self, value):
            self._flags[name] = value

        return Property(bool, lambda self: self._flags[name], write)

    noneEnabled, addEnabled = _flag("noneEnabled"), _flag("addEnabled")
    removeEnabled, showChildNodeTypes = _flag("removeEnabled"), _flag("showChildNodeTypes")
    nodeTypes = Property("QStringList", lambda self: list(self._types), _setTypes)
    currentNodeID = Property(str, lambda self: self._shownID, lambda self, identifier: self._select(identifier))


def install():
    """Make the widgets known to .ui files and to the ``slicer`` namespace."""
    for widgetClass in (qMRMLWidget, qMRMLNodeComboBox):
        qt.CUSTOM[widgetClass.__name__] = widgetClass
        setattr(slicer, widgetClass.__name__, widgetClass)
