"""Stand-ins for the MRML widgets that panels use; their rules are those seen in the application."""

from __future__ import annotations

import weakref

import ctk
import qt
import shiboken6
import slicer
from ctk import stored
from PySide6.QtCore import Property, Signal
from pythonqt import qtClass


class SceneObservations:
    """Observers of VTK objects that do nothing any more once their Qt widget is gone."""

    def __init__(self, widget):
        self._widget, self._observations = weakref.ref(widget), []

    def observe(self, observed, events, method):
        """Call ``method(widget, caller, event)`` at each of the events."""

        def called(caller, event):
            widget = self._widget()
            if widget is not None and shiboken6.isValid(widget):
                method(widget, caller, event)

        for event in events:
            self._observations.append((observed, observed.AddObserver(event, called)))

    def stop(self):
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._observations = []


@qtClass
class qMRMLWidget(qt.QWidget):
    mrmlSceneChanged = Signal(object)
    signatures = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}  # noqa: RUF012

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInScene = None

    def mrmlScene(self):
        return self._standInScene

    def setMRMLScene(self, scene):
        self._standInScene = scene
        self.mrmlSceneChanged.emit(scene)


def _flag(name):
    def write(self, value):
        self._standInFlags[name] = value
        if name not in ("noneEnabled", "addEnabled"):
            self._refill()

    return Property(bool, lambda self: self._standInFlags.get(name, False), write)


class ProxyModel:
    """What a node combo box leaves out."""

    def __init__(self, comboBox):
        self._comboBox, self._hiddenNodeIDs = weakref.ref(comboBox), ()

    @property
    def hiddenNodeIDs(self):
        return self._hiddenNodeIDs

    @hiddenNodeIDs.setter
    def hiddenNodeIDs(self, identifiers):
        self._hiddenNodeIDs = tuple(identifiers)
        self._comboBox()._refill()


@qtClass
class qMRMLNodeComboBox(qt.QWidget):
    """Selects the first node only when it gets its scene, jumps to another node when the selected one is deleted."""

    currentNodeChanged = Signal(object)
    currentNodeChangedToAny = Signal(bool)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    signatures = {  # noqa: RUF012
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeChangedToAny",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInScene, self._standInTypes, self._standInHiddenTypes = None, (), ()
        self._standInShownID, self._standInListed, self._standInAttributes = "", [], []
        self._standInFlags = dict.fromkeys(("addEnabled", "removeEnabled", "showChildNodeTypes"), True)
        self._standInBaseName, self._standInNone, self._standInFilter = "", "None", False
        self._standInProxyModel = ProxyModel(self)
        self._standInObservations = SceneObservations(self)
        self._standInComboBox = qt.QComboBox()
        self._standInComboBox.connect("activated(int)", self._onChoice)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._standInComboBox)
        self.setEnabled(False)

    def mrmlScene(self):
        return self._standInScene

    def setMRMLScene(self, scene):
        self._standInObservations.stop()
        self._standInScene = scene
        self.setEnabled(scene is not None)
        if scene is None:
            self._select("")
            return
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        self._standInObservations.observe(scene, events, lambda combo, caller, event: combo._refill())
        self._refill()
        if not self._standInFlags.get("noneEnabled", False) and not self._standInShownID and self.nodeCount():
            self.setCurrentNode(self._nodes()[0])

    def nodeCount(self):
        return len(self._nodes())

    def currentNode(self):
        if self._standInScene is None or not self._standInShownID:
            return None
        return self._standInScene.GetNodeByID(self._standInShownID)

    def setCurrentNode(self, node):
        self._select("" if node is None else node.GetID())

    def setCurrentNodeID(self, identifier):
        self._select(identifier)

    def addNode(self):
        """What the user's "Create new ..." does."""
        kind = self._standInTypes[0]
        name = self._standInBaseName or self._standInScene.GetTagByClassName(kind) or "Node"
        node = self._standInScene.AddNewNodeByClass(kind, self._standInScene.GenerateUniqueName(name))
        if self._standInFlags.get("selectNodeUponCreation", True):
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def sortFilterProxyModel(self):
        return self._standInProxyModel

    def addAttribute(self, className, key, value=None):
        self._standInAttributes.append((className, key, value))
        self._refill()

    def _nodes(self):
        if self._standInScene is None:
            return []
        found = [n for kind in self._standInTypes for n in slicer.util.getNodesByClass(kind, self._standInScene)]
        return [node for node in found if self._isOffered(node)]

    def _isOffered(self, node):
        className = node.GetClassName()
        child = className not in self._standInTypes
        if child and (not self._standInFlags["showChildNodeTypes"] or className in self._standInHiddenTypes):
            return False
        if node.GetID() in self._standInProxyModel.hiddenNodeIDs:
            return False
        if node.GetHideFromEditors() and not self._standInFlags.get("showHidden", False):
            return False
        wanted = [(key, value) for kind, key, value in self._standInAttributes if node.IsA(kind)]
        return all(
            node.GetAttribute(key) is not None and value in (None, node.GetAttribute(key)) for key, value in wanted
        )

    def _refill(self):
        before, nodes = self._standInListed, self._nodes()
        self._standInListed = [node.GetID() for node in nodes]
        self._draw(nodes)
        shown = self._standInShownID
        if shown and shown not in self._standInListed:
            position = before.index(shown) if shown in before else 0
            remaining = self._standInListed
            self._select(remaining[min(position, len(remaining) - 1)] if remaining else "")

    def _draw(self, nodes):
        self._standInComboBox.clear()
        if self._standInFlags.get("noneEnabled", False):
            self._standInComboBox.addItem(self._standInNone, "")
        for node in nodes:
            self._standInComboBox.addItem(node.GetName(), node.GetID())
        self._standInComboBox.currentIndex = self._standInComboBox.findData(self._standInShownID)

    def _select(self, identifier):
        identifier = identifier or ""
        if identifier and identifier not in [node.GetID() for node in self._nodes()]:
            return
        changed, self._standInShownID = identifier != self._standInShownID, identifier
        self._standInComboBox.currentIndex = self._standInComboBox.findData(identifier)
        if changed:
            node = self.currentNode()
            self.currentNodeChanged.emit(node)
            self.currentNodeChangedToAny.emit(node is not None)
            self.currentNodeIDChanged.emit(identifier)

    def _onChoice(self, index):
        self._select(self._standInComboBox.itemData(index))

    noneEnabled, addEnabled, removeEnabled = _flag("noneEnabled"), _flag("addEnabled"), _flag("removeEnabled")
    renameEnabled, editEnabled, showHidden = _flag("renameEnabled"), _flag("editEnabled"), _flag("showHidden")
    showChildNodeTypes, selectNodeUponCreation = _flag("showChildNodeTypes"), _flag("selectNodeUponCreation")
    nodeTypes = stored("QStringList", "_standInTypes", lambda self: self._refill())
    hideChildNodeTypes = stored("QStringList", "_standInHiddenTypes", lambda self: self._refill())
    noneDisplay, baseName = stored(str, "_standInNone"), stored(str, "_standInBaseName")
    currentNodeID = Property(str, lambda self: self._standInShownID, setCurrentNodeID)
    currentNodeId = Property(str, lambda self: self._standInShownID, setCurrentNodeID)


@qtClass
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    checkedNodesChanged = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInChecked = set()

    def checkedNodes(self):
        return tuple(node for node in self._nodes() if node.GetID() in self._standInChecked)

    def uncheckedNodes(self):
        return tuple(node for node in self._nodes() if node.GetID() not in self._standInChecked)

    def allChecked(self):
        return not self.uncheckedNodes()

    def noneChecked(self):
        return not self.checkedNodes()

    def setCheckState(self, node, state):
        change = self._standInChecked.add if int(state) else self._standInChecked.discard
        change(node.GetID())
        self.checkedNodesChanged.emit()


@qtClass
class qMRMLSliderWidget(ctk.ctkSliderWidget):
    def setMRMLScene(self, scene):
        pass


def install(*widgetClasses):
    """Make widget classes known to .ui files and to the ``slicer`` namespace."""
    for widgetClass in widgetClasses:
        qt.CUSTOM[widgetClass.__name__] = widgetClass
        setattr(slicer, widgetClass.__name__, widgetClass)
