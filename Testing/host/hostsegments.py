"""Stand-ins for the widgets that choose segments."""

from __future__ import annotations

import qt
import slicer
from ctk import stored
from hostwidgets import SceneObservations, qMRMLNodeComboBox
from PySide6.QtCore import Property, Signal
from pythonqt import qtClass


def _segmentEvents():
    segmentation = slicer.vtkSegmentation
    return (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified)


def _segmentIds(node):
    return list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []


@qtClass
class qMRMLSegmentSelectorWidget(qt.QWidget):
    """A segmentation and one or several of its segments; here ``currentNodeID()`` is a method."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")
    signatures = {"currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged"}  # noqa: RUF012

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInNone, self._standInMulti, self._standInVisible = False, False, True
        self._standInUpon, self._standInSegmentID, self._standInSelected = True, "", ()
        self._standInObservations = SceneObservations(self)
        self._standInNodes, self._standInSegments = qMRMLNodeComboBox(), qt.QComboBox()
        self._standInNodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._standInNodes.connect("currentNodeChanged(vtkMRMLNode*)", self._onNode)
        self._standInSegments.connect("activated(int)", self._onChoice)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._standInNodes)
        layout.addWidget(self._standInSegments)

    def setMRMLScene(self, scene):
        self._standInNodes.setMRMLScene(scene)

    def currentNode(self):
        return self._standInNodes.currentNode()

    def currentNodeID(self):
        return self._standInNodes.currentNodeID

    def setCurrentNode(self, node):
        self._standInNodes.setCurrentNode(node)

    def setCurrentNodeID(self, identifier):
        self._standInNodes.setCurrentNodeID(identifier)

    def currentSegmentID(self):
        return self._standInSegmentID

    def setCurrentSegmentID(self, identifier):
        identifier = identifier or ""
        if identifier not in ["", *_segmentIds(self.currentNode())] or identifier == self._standInSegmentID:
            return
        self._standInSegmentID = identifier
        self._standInSegments.currentIndex = self._standInSegments.findData(identifier)
        self.currentSegmentChanged.emit(identifier)

    def selectedSegmentIDs(self):
        return tuple(self._standInSelected)

    def setSelectedSegmentIDs(self, identifiers):
        self._standInSelected = tuple(i for i in identifiers if i in _segmentIds(self.currentNode()))
        self.segmentSelectionChanged.emit(list(self._standInSelected))

    def _onNode(self, node):
        self._standInObservations.stop()
        if node is not None:
            self._standInObservations.observe(node, _segmentEvents(), lambda widget, caller, event: widget._refill())
        self._standInSegmentID, self._standInSelected = "", ()
        self._refill()
        self.currentNodeChanged.emit(node)

    def _refill(self):
        node = self.currentNode()
        identifiers = _segmentIds(node)
        self._standInSegments.clear()
        if self._standInNone:
            self._standInSegments.addItem("None", "")
        for identifier in identifiers:
            self._standInSegments.addItem(node.GetSegmentation().GetSegment(identifier).GetName(), identifier)
        if self._standInSegmentID not in identifiers:
            first = identifiers[0] if identifiers and not self._standInNone else ""
            self._standInSegmentID = first
            self.currentSegmentChanged.emit(first)
        self._standInSegments.currentIndex = self._standInSegments.findData(self._standInSegmentID)

    def _onChoice(self, index):
        self.setCurrentSegmentID(self._standInSegments.itemData(index))

    noneEnabled = stored(bool, "_standInNone", lambda self: self._refill())
    multiSelection, selectNodeUponCreation = stored(bool, "_standInMulti"), stored(bool, "_standInUpon")
    segmentationNodeSelectorVisible = stored(
        bool, "_standInVisible", lambda self: self._standInNodes.setVisible(self._standInVisible)
    )


@qtClass
class qMRMLSegmentsTableView(qt.QWidget):
    """The list of segments; only what a panel reads and sets of it."""

    selectionChanged = Signal(object, object)
    signatures = {"selectionChanged(QItemSelection,QItemSelection)": "selectionChanged"}  # noqa: RUF012

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInNode, self._standInSelected, self._standInHeader = None, (), True
        self._standInReadOnly, self._standInMode, self._standInFilter = False, 3, ""
        self._standInColumns = {}

    def setMRMLScene(self, scene):
        pass

    def segmentationNode(self):
        return self._standInNode

    def setSegmentationNode(self, node):
        self._standInNode, self._standInSelected = node, ()

    def selectedSegmentIDs(self):
        return tuple(i for i in self._standInSelected if i in _segmentIds(self._standInNode))

    def setSelectedSegmentIDs(self, identifiers):
        self._standInSelected = tuple(identifiers)
        self.selectionChanged.emit(None, None)

    def displayedSegmentIDs(self):
        return tuple(_segmentIds(self._standInNode))

    segmentCount = Property(int, lambda self: len(_segmentIds(self._standInNode)))
    readOnly, headerVisible = stored(bool, "_standInReadOnly"), stored(bool, "_standInHeader")
    selectionMode, textFilter = stored(int, "_standInMode"), stored(str, "_standInFilter")
