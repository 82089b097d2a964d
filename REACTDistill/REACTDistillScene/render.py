"""Pictures of a result: three slices with the attention over the CT, and a 3D view of liver, tumors and graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from . import annotations as notes
from . import graphmodel
from .colors import heatColors, importanceColors
from .offscreen import SliceView, ThreeDView, temporaryNodes
from .segmentmasks import segmentName
from .transforms import mapPoints, transformToWorld
from .volumes import setDisplay

SIZE_PIXELS = (900, 900)
ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
LIVER_RANGE_HU = (-160.0, 240.0)
_OVERLAY_OPACITY = 0.5
_DARK = (0.10, 0.11, 0.14)
_LIVER_OPACITY = 0.28
_LESION_OPACITY = 0.30
_MOST_LABELS = 12
_LABEL_GAP = 28
_NEAR_SLICE_MM = 4.0


def renderSlices(
    imageNode: Any,
    attentionNode: Any,
    graphNode: Any,
    segmentationNode: Any,
    folder: str | Path,
    centerRas: Sequence[float],
    *,
    displayRange: tuple[float, float] = LIVER_RANGE_HU,
    isSynthetic: bool = False,
) -> list[Path]:
    """Write axial.png, coronal.png and sagittal.png into ``folder`` and return their paths.

    The slices go through ``centerRas`` (world mm) and show the image at ``displayRange``, the attention over it, the
    outlines of all segments and, where the slice cuts them, the regions of the graph. ``attentionNode``, ``graphNode``
    and ``segmentationNode`` may be None. The scene is the same afterwards. Made for use outside the application.
    """
    folder = _checkedFolder(folder)
    paths = []
    with temporaryNodes(), _fixedWindow(imageNode, displayRange), _stage(segmentationNode, graphNode):
        nodes = (attentionNode, graphNode, segmentationNode)
        with closing(SliceView(SIZE_PIXELS, imageNode, attentionNode, opacity=_OVERLAY_OPACITY)) as view:
            for orientation in ORIENTATIONS:
                view.look(orientation, centerRas)
                view.annotate(_sliceAnnotations(view, orientation, centerRas, nodes, isSynthetic=isSynthetic))
                paths.append(view.save(folder / f"{orientation.lower()}.png"))
    return paths


def renderThreeD(
    graphNode: Any, segmentationNode: Any, liverSegmentId: str, folder: str | Path, *, isSynthetic: bool = False
) -> Path:
    """Write three-d.png into ``folder``: the liver as glass, the other segments in it, and the region graph.

    ``graphNode`` may be None. The scene is the same afterwards. Made for use outside the application. Raises ValueError
    when the segmentation has no segment ``liverSegmentId``.
    """
    folder = _checkedFolder(folder)
    segmentName(segmentationNode, liverSegmentId)
    bounds = [0.0] * 6
    segmentationNode.GetRASBounds(bounds)
    with (
        temporaryNodes(),
        _stage(segmentationNode, graphNode, glassSegmentId=liverSegmentId),
        closing(ThreeDView(SIZE_PIXELS)) as view,
    ):
        view.look(bounds, backgroundColor=_DARK)
        view.annotate(_threeDAnnotations(view, graphNode, segmentationNode, isSynthetic=isSynthetic))
        path = view.save(folder / "three-d.png")
    return path


def _checkedFolder(folder: str | Path) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _fixedWindow(imageNode: Any, displayRange: tuple[float, float]) -> Iterator[None]:
    """The image with a display node of ours, so that the user's own window is neither used nor changed."""
    previous = imageNode.GetDisplayNodeID()
    setDisplay(imageNode, displayRange=displayRange, colorNodeId="vtkMRMLColorTableNodeGrey")
    try:
        yield
    finally:
        imageNode.SetAndObserveDisplayNodeID(previous)


@contextmanager
def _stage(segmentationNode: Any, graphNode: Any, *, glassSegmentId: str | None = None) -> Iterator[None]:
    """Only the graph and a copy of the segmentation are visible; afterwards all is as it was."""
    shown = {None if graphNode is None else graphNode.GetDisplayNode()}
    hidden = [
        display
        for className in ("vtkMRMLSegmentationDisplayNode", "vtkMRMLModelDisplayNode")
        for display in slicer.util.getNodesByClass(className)
        if display.GetVisibility() and display not in shown
    ]
    for display in hidden:
        display.SetVisibility(False)
    try:
        if segmentationNode is not None:
            _addCopy(segmentationNode, glassSegmentId)
        yield
    finally:
        for display in hidden:
            display.SetVisibility(True)


def _addCopy(segmentationNode: Any, glassSegmentId: str | None) -> None:
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Copy for a picture")
    copy.SetAndObserveTransformNodeID(segmentationNode.GetTransformNodeID())
    copy.GetSegmentation().DeepCopy(segmentationNode.GetSegmentation())
    copy.CreateDefaultDisplayNodes()
    display = copy.GetDisplayNode()
    display.SetAllSegmentsVisibility(True)
    display.SetVisibility2DFill(False)
    display.SetAllSegmentsVisibility2DFill(False)
    display.SetSliceIntersectionThickness(2)
    if glassSegmentId is not None:
        copy.CreateClosedSurfaceRepresentation()
        display.SetAmbient(0.25)
        display.SetBackfaceCulling(True)
        for segmentId in copy.GetSegmentation().GetSegmentIDs():
            display.SetSegmentOpacity3D(segmentId, _LIVER_OPACITY if segmentId == glassSegmentId else _LESION_OPACITY)


def _sliceAnnotations(
    view: SliceView, orientation: str, centerRas: Sequence[float], nodes: tuple[Any, Any, Any], *, isSynthetic: bool
) -> list[Any]:
    attention, graphNode, segmentation = nodes
    axis = ("Sagittal", "Coronal", "Axial").index(orientation)
    size = view.sizePixels
    sliceToRas = slicer.util.arrayFromVTKMatrix(view.node.GetSliceToRAS())
    actors = notes.heading(size, orientation, f"{'RAS'[axis]} {float(centerRas[axis]):.1f} mm")
    actors += notes.orientationLetters(size, sliceToRas)
    actors += notes.legend(_segmentEntries(segmentation))
    if attention is not None:
        actors += notes.colorBar(size, heatColors(), title="Heat map", low="low", high="high")
    if graphNode is not None:
        points = [(name, *view.toPixels(center)) for name, center in _regions(graphNode)]
        actors += _regionLabels([(name, x, y) for name, x, y, distance in points if distance < _NEAR_SLICE_MM])
    return actors + notes.footer(size, isSynthetic=isSynthetic)


def _threeDAnnotations(view: ThreeDView, graphNode: Any, segmentation: Any, *, isSynthetic: bool) -> list[Any]:
    size = view.sizePixels
    actors = notes.heading(size, "Region graph", "seen from the front; the patient's right is on the left")
    actors += notes.legend(_segmentEntries(segmentation))
    if graphNode is not None:
        actors += notes.colorBar(size, importanceColors(), title="Importance", low="against", high="for the class")
        actors += _regionLabels([(name, *view.toPixels(center)) for name, center in _regions(graphNode)])
    return actors + notes.footer(size, isSynthetic=isSynthetic)


def _segmentEntries(segmentationNode: Any) -> list[tuple[str, notes.Color]]:
    if segmentationNode is None:
        return []
    segmentation = segmentationNode.GetSegmentation()
    segments = [segmentation.GetSegment(segmentId) for segmentId in segmentation.GetSegmentIDs()]
    return [(segment.GetName(), segment.GetColor()) for segment in segments]


def _regions(graphNode: Any) -> list[tuple[str, Sequence[float]]]:
    """Names and centers (world RAS mm) of the most important regions, the most important first."""
    data = graphNode.GetPolyData().GetFieldData()
    names = data.GetAbstractArray(graphmodel.REGION_NAMES)
    centers = mapPoints(transformToWorld(graphNode), vtk_to_numpy(data.GetArray(graphmodel.REGION_CENTERS)))
    importance = np.abs(vtk_to_numpy(data.GetArray(graphmodel.REGION_IMPORTANCE)))
    chosen = np.argsort(-importance, kind="stable")[:_MOST_LABELS]
    return [(names.GetValue(int(index)).replace("_", " "), centers[index].tolist()) for index in chosen]


def _regionLabels(points: Sequence[tuple[str, float, float]]) -> list[Any]:
    """Names beside their points (pixels), moved apart where they would overlap."""
    heights = notes.spread([y for _, _, y in points], 18.0)
    return [
        notes.text(name, (x + _LABEL_GAP, y), size=15, up="center")
        for (name, x, _), y in zip(points, heights, strict=True)
    ]
