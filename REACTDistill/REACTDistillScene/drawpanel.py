"""Draw: the segment editor of the application, embedded in a panel and opened on the liver and the tumor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from .drawing import Drawing, prepareDrawing

_EFFECTS = (
    "Paint",
    "Draw",
    "Erase",
    "Scissors",
    "Threshold",
    "Level tracing",
    "Grow from seeds",
    "Fill between slices",
    "Islands",
    "Smoothing",
)
# A sphere of 12 mm to begin with: the default brush is flat and grows with the zoom. What the user sets is kept.
_BRUSH = {"BrushSphere": "1", "BrushDiameterIsRelative": "0", "BrushAbsoluteDiameter": "12"}


class DrawPanel:
    """Shows the segment editor in ``place`` (a widget with a vertical layout, hidden at first) while the user draws.

    ``onDrawing(isDrawing)`` is called whenever drawing begins or ends, also when it ends because the scene is closed or
    a node that is drawn on is deleted.
    """

    def __init__(self, place: Any, onDrawing: Callable[[bool], None]) -> None:
        self._place, self._onDrawing = place, onDrawing
        self._editor: Any = None
        self._ctVolume: Any = None
        self._drawing: Drawing | None = None
        self._observerTags: list[int] = []

    @property
    def isDrawing(self) -> bool:
        """True from ``start`` until drawing ends."""
        return self._drawing is not None

    @property
    def drawing(self) -> Drawing | None:
        """The segmentation that is drawn on and its two segments, None while nobody draws."""
        return self._drawing

    def start(self, ctVolume: Any, segmentation: Any, liverSegmentId: str = "", tumorSegmentIds: str = "") -> Any:
        """The segmentation node that is drawn on, with Paint active on its first empty segment.

        What is missing is made, see ``prepareDrawing``, which also says when ValueError is raised.
        """
        drawing = prepareDrawing(ctVolume, segmentation, liverSegmentId, tumorSegmentIds)
        if self.isDrawing:
            self.stop()
        if self._editor is None:
            self._editor = self._newEditor()
        self._ctVolume, self._drawing = ctVolume, drawing
        self._observeScene()
        self._open(ctVolume, drawing)
        self._place.setVisible(True)
        if slicer.util.mainWindow() is not None:
            self._editor.installKeyboardShortcuts()
        self._onDrawing(True)
        return drawing.segmentation

    def follow(self, ctVolume: Any, segmentation: Any) -> None:
        """End drawing when the user has chosen another CT or segmentation than those drawn on."""
        drawn = self._drawing
        if drawn is not None and (ctVolume is not self._ctVolume or segmentation is not drawn.segmentation):
            self.stop()

    def stop(self) -> None:
        """End drawing and hide the editor; what was drawn stays."""
        if self._drawing is None:
            return
        self._ctVolume = self._drawing = None
        for tag in self._observerTags:
            slicer.mrmlScene.RemoveObserver(tag)
        self._observerTags = []
        # An effect that is active when its nodes go takes the application down, and while a scene is being closed the
        # editor does not heed that its effect is off: it must be told to let go of the views too.
        self._editor.setActiveEffect(None)
        self._editor.removeViewObservations()
        self._editor.uninstallKeyboardShortcuts()
        # The selectors inside the editor would jump to other nodes when these are deleted.
        self._editor.setSegmentationNode(None)
        self._editor.setSourceVolumeNode(None)
        self._place.setVisible(False)
        self._onDrawing(False)

    def close(self) -> None:
        """Leave nothing behind: no editor, no node, no observer. The panel cannot be used again."""
        self.stop()
        if self._editor is None:
            return
        node = self._editor.mrmlSegmentEditorNode()
        self._editor.setMRMLSegmentEditorNode(None)
        self._editor.setMRMLScene(None)
        self._editor.deleteLater()
        self._editor = None
        if node is not None and slicer.mrmlScene.IsNodePresent(node):
            slicer.mrmlScene.RemoveNode(node)

    def _newEditor(self) -> Any:
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.maximumNumberOfUndoStates = 10
        editor.undoEnabled = True
        editor.segmentationNodeSelectorVisible = False  # the panel has selectors of its own
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.setEffectNameOrder(list(_EFFECTS))
        editor.unorderedEffectsVisible = False
        editor.effectColumnCount = 2
        self._place.layout().addWidget(editor)
        return editor

    def _open(self, ctVolume: Any, drawing: Drawing) -> None:
        node = self._editorNode()
        self._editor.setMRMLSegmentEditorNode(node)
        self._editor.setMRMLScene(slicer.mrmlScene)
        # The tumor lies in the liver: painting one must not erase the other.
        node.SetOverwriteMode(node.OverwriteNone)
        self._editor.setSegmentationNode(drawing.segmentation)
        self._editor.setSourceVolumeNode(ctVolume)
        self._editor.setCurrentSegmentID(drawing.nextSegmentId())
        if slicer.app.layoutManager() is not None:  # without views an active effect takes the application down
            self._editor.setActiveEffectByName("Paint")

    def _editorNode(self) -> Any:
        """Keeps the settings of the editor; a new one after the scene was closed."""
        node = self._editor.mrmlSegmentEditorNode()
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSaveWithScene(False)
            for name, value in _BRUSH.items():
                node.SetAttribute(name, value)
            node = slicer.mrmlScene.AddNode(node)
        return node

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        self._observerTags = [
            scene.AddObserver(scene.StartCloseEvent, self._onStartClose),
            scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved),
        ]

    def _onStartClose(self, caller: Any, event: Any) -> None:
        self.stop()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        if self._drawing is not None and (node is self._ctVolume or node is self._drawing.segmentation):
            self.stop()
