"""Stand-in for the segment editor widget, and the strokes that a user paints with it."""

from __future__ import annotations

import hosterrors
import numpy as np
import qt
import slicer
import vtk
from ctk import stored
from hostwidgets import SceneObservations
from PySide6.QtCore import Signal
from pythonqt import qtClass
from vtk.util.numpy_support import vtk_to_numpy

EFFECTS = [
    "Paint",
    "Erase",
    "Scissors",
    "Draw",
    "Fill between slices",
    "Grow from seeds",
    "Hollow",
    "Islands",
    "Level tracing",
    "Logical operators",
    "Margin",
    "Mask volume",
    "Smoothing",
    "Threshold",
]


class Effect:
    """One tool of the editor; the parameters are kept, only Paint and Erase do something here."""

    def __init__(self, name):
        self.name, self._parameters = name, {}

    def setParameter(self, name, value):
        self._parameters[name] = str(value)

    def parameter(self, name):
        return self._parameters.get(name, "")

    def self(self):
        return None  # the effects written in C++ have no Python half


@qtClass
class qMRMLSegmentEditorWidget(qt.QWidget):
    """Edits only with a scene and a segment editor node of its own; its effect must be off when the scene is closed."""

    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    currentSegmentIDChanged = Signal(str)
    signatures = {  # noqa: RUF012
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInScene, self._standInEditorNode, self._standInEffect = None, None, None
        self._standInHistory = slicer.vtkSegmentationHistory()
        self._standInObservations = SceneObservations(self)
        self._standInShortcuts, self._standInUndo, self._standInStates = False, False, 5
        self._standInColumns, self._standInReadOnly, self._standInAutoShow = 2, False, True
        self._standInEffects = {name: Effect(name) for name in EFFECTS}
        qt.QVBoxLayout(self).addWidget(qt.QLabel("Segment editor"))

    def mrmlScene(self):
        return self._standInScene

    def setMRMLScene(self, scene):
        self._standInObservations.stop()
        self._standInScene = scene
        if scene is None:
            self.setActiveEffect(None)
            return
        removed = lambda editor, caller, event: editor._onNodeRemoved()  # noqa: E731
        self._standInObservations.observe(scene, (scene.NodeRemovedEvent, scene.EndCloseEvent), removed)

    def _onNodeRemoved(self):
        node = self._standInEditorNode
        if node is None or self._standInScene.IsNodePresent(node):
            return
        if self._standInEffect is not None:
            hosterrors.crashes.append(
                f'the segment editor node went away with the effect "{self._standInEffect.name}" active: the '
                "application ends with a segmentation fault here"
            )
        self._standInEditorNode, self._standInEffect = None, None

    def mrmlSegmentEditorNode(self):
        return self._standInEditorNode

    def setMRMLSegmentEditorNode(self, node):
        self._standInEditorNode = node

    def segmentationNode(self):
        return None if self._standInEditorNode is None else self._standInEditorNode.GetSegmentationNode()

    def setSegmentationNode(self, node):
        if not self._isReady() or node is self.segmentationNode():
            return
        self._standInEditorNode.SetAndObserveSegmentationNode(node)
        self._standInHistory.SetSegmentation(None if node is None else node.GetSegmentation())
        if node is None:
            self.setActiveEffect(None)
        identifiers = [] if node is None else list(node.GetSegmentation().GetSegmentIDs())
        self.setCurrentSegmentID(identifiers[0] if identifiers else "")
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self):
        return None if self._standInEditorNode is None else self._standInEditorNode.GetSourceVolumeNode()

    def setSourceVolumeNode(self, node):
        if self._isReady() and node is not self.sourceVolumeNode():
            self._standInEditorNode.SetAndObserveSourceVolumeNode(node)
            self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self):
        return "" if self._standInEditorNode is None else self._standInEditorNode.GetSelectedSegmentID() or ""

    def setCurrentSegmentID(self, identifier):
        if self._isReady() and identifier != self.currentSegmentID():
            self._standInEditorNode.SetSelectedSegmentID(identifier or "")
            self.currentSegmentIDChanged.emit(identifier or "")

    def _isReady(self):
        return self._standInScene is not None and self._standInEditorNode is not None

    def availableEffectNames(self):
        return tuple(EFFECTS)

    def effectByName(self, name):
        return self._standInEffects.get(name)

    def activeEffect(self):
        return self._standInEffect

    def setActiveEffectByName(self, name):
        self.setActiveEffect(self._standInEffects.get(name))

    def setActiveEffect(self, effect):
        usable = effect is not None and self._isReady() and self.segmentationNode() is not None
        self._standInEffect = effect if usable else None
        if self._isReady():
            self._standInEditorNode.SetActiveEffectName(effect.name if usable else "")

    def saveStateForUndo(self):
        if self.segmentationNode() is not None:
            self._standInHistory.SaveState()

    def undo(self):
        self._standInHistory.RestorePreviousState()

    def redo(self):
        self._standInHistory.RestoreNextState()

    def installKeyboardShortcuts(self, parent=None):
        self._standInShortcuts = True

    def uninstallKeyboardShortcuts(self):
        self._standInShortcuts = False

    def setupViewObservations(self):
        pass

    def removeViewObservations(self):
        pass

    def setEffectNameOrder(self, names):
        self._standInOrder = tuple(names)

    def rotateSliceViewsToSegmentation(self):
        pass

    undoEnabled, maximumNumberOfUndoStates = stored(bool, "_standInUndo"), stored(int, "_standInStates")
    effectColumnCount, readOnly = stored(int, "_standInColumns"), stored(bool, "_standInReadOnly")
    autoShowSourceVolumeNode = stored(bool, "_standInAutoShow")
    segmentationNodeSelectorVisible = stored(bool, "_standInNodesVisible")
    sourceVolumeNodeSelectorVisible = stored(bool, "_standInSourceVisible")
    switchToSegmentationsButtonVisible = stored(bool, "_standInSwitchVisible")
    unorderedEffectsVisible = stored(bool, "_standInUnorderedVisible")
    _standInNodesVisible = _standInSourceVisible = _standInSwitchVisible = _standInUnorderedVisible = True


def paintBall(editor, centerRas, radiusMm):
    """Paint or erase a ball around a point in world RAS mm, as one stroke of the active effect."""
    node, effect = editor.segmentationNode(), editor.activeEffect()
    if node is None or effect is None or effect.name not in ("Paint", "Erase"):
        raise ValueError("nothing can be painted: the editor has no segmentation or neither Paint nor Erase is active")
    editor.saveStateForUndo()
    ball = _ballImage(editor.sourceVolumeNode(), centerRas, radiusMm)
    outside = _inverted(ball)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    erased = [editor.currentSegmentID()] if effect.name == "Erase" else _overwritten(editor, ball)
    for identifier in erased:
        _write(node, identifier, outside, logic.MODE_MERGE_MIN)
    if effect.name == "Paint":
        _write(node, editor.currentSegmentID(), ball, logic.MODE_MERGE_MAX)


def _write(node, segmentId, image, mode):
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        image, node, segmentId, mode, list(image.GetExtent())
    )


def _inverted(image):
    copy = slicer.vtkOrientedImageData()
    copy.DeepCopy(image)
    voxels = vtk_to_numpy(copy.GetPointData().GetScalars())
    voxels[:] = 1 - voxels
    return copy


def _ballImage(volumeNode, centerRas, radiusMm):
    image = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(volumeNode)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    ijkToRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    centerLocal = np.array(centerRas, dtype=float)
    if volumeNode.GetParentTransformNode() is not None:
        worldToLocal = vtk.vtkMatrix4x4()
        volumeNode.GetParentTransformNode().GetMatrixTransformFromWorld(worldToLocal)
        centerLocal = np.array(worldToLocal.MultiplyPoint([*centerRas, 1.0])[:3])
    kji = np.indices(voxels.shape)
    matrix = slicer.util.arrayFromVTKMatrix(ijkToRas)
    ras = np.einsum("ij,jkml->ikml", matrix[:3, :3], kji[::-1]) + matrix[:3, 3, None, None, None]
    voxels[:] = ((ras - centerLocal[:, None, None, None]) ** 2).sum(axis=0) <= radiusMm**2
    return image


def _overwritten(editor, ball):
    """Segments that lose the voxels of a stroke, by the overwrite mode of the editor node."""
    node, segmentation = editor.mrmlSegmentEditorNode(), editor.segmentationNode()
    others = [i for i in segmentation.GetSegmentation().GetSegmentIDs() if i != editor.currentSegmentID()]
    if node.GetOverwriteMode() == node.OverwriteNone:
        return []
    if node.GetOverwriteMode() == node.OverwriteVisibleSegments:
        display = segmentation.GetDisplayNode()
        others = [identifier for identifier in others if display is None or display.GetSegmentVisibility(identifier)]
    painted = vtk_to_numpy(ball.GetPointData().GetScalars()).reshape(ball.GetDimensions()[::-1]) != 0
    volume = editor.sourceVolumeNode()
    return [i for i in others if slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, i, volume)[painted].any()]
