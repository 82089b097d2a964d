"""Mask Volume to segment."""

from __future__ import annotations

import colorsys
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Volume
from vtk.util.numpy_support import vtk_to_numpy

from .segmentchoice import kindOfName
from .transforms import transformToWorld

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_LIVER_CODE = "SCT^10200004^Liver"
_ANATOMY_CODE = "SCT^123037004^Anatomical Structure"
_CHANGED_CODE = "SCT^49755003^Morphologically Altered Structure"
_NO_REGION = "~^^~^^|"
_TERMINOLOGIES = {
    "liver": f"{_CONTEXT}~{_ANATOMY_CODE}~{_LIVER_CODE}~^^~Anatomic codes - DICOM master list{_NO_REGION}",
    "tumor": f"{_CONTEXT}~{_CHANGED_CODE}~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~{_LIVER_CODE}~^^|",
}
_COLORS = {"liver": (221 / 255, 130 / 255, 101 / 255), "tumor": (144 / 255, 238 / 255, 144 / 255)}
_FIRST_HUE, _HUE_STEP = 0.55, 0.618  # the golden section never comes near a hue that it had lately


def segmentationFromMasks(masks: Mapping[str, Volume], referenceNode: Any, *, name: str = "Segmentation") -> Any:
    """New segmentation node with one segment per mask, ID = name = key, where the masks lie in the world.

    Names that tell a liver or a tumor get the terminology and color of one. The node lies under the parent transform
    of ``referenceNode`` and has its geometry as reference, so that it can be edited and exported. Raises ValueError for
    a non-linear parent transform.
    """
    return result_of(segmentationInSteps(masks.items(), referenceNode, name=name))


def segmentationInSteps(
    masks: Iterable[tuple[str, Volume]], referenceNode: Any, *, name: str
) -> Generator[None, None, Any]:
    """Like ``segmentationFromMasks``, pausing after each segment; names may repeat, their IDs will not.

    The node comes into the scene when it is complete, so the views are drawn once and not for each segment.
    """
    node = slicer.vtkMRMLSegmentationNode()
    worldToLocal = np.linalg.inv(transformToWorld(referenceNode))
    for segmentName, mask in masks:
        segmentId = node.GetSegmentation().GenerateUniqueSegmentID(segmentName)
        image, color = _orientedImage(mask, worldToLocal), _colorOfNext(node, segmentName)
        node.AddSegmentFromBinaryLabelmapRepresentation(image, segmentName, color, segmentId)
        markKind(node.GetSegmentation().GetSegment(segmentId))
        yield
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    slicer.mrmlScene.AddNode(node)
    node.SetAndObserveTransformNodeID(referenceNode.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(referenceNode)
    node.CreateDefaultDisplayNodes()
    return node


def addEmptySegment(segmentationNode: Any, name: str) -> str:
    """ID of a new segment without voxels, with the terminology and color that its name asks for."""
    segmentation = segmentationNode.GetSegmentation()
    segmentId = segmentation.GenerateUniqueSegmentID(name)
    segmentation.AddEmptySegment(segmentId, name, _colorOfNext(segmentationNode, name))
    markKind(segmentation.GetSegment(segmentId))
    return segmentId


def markKind(segment: Any) -> None:
    """Give a segment whose name says that it is a liver or a tumor the terminology and color of one."""
    kind = kindOfName(segment.GetName())
    if kind:
        segment.SetTag(segment.GetTerminologyEntryTagName(), _TERMINOLOGIES[kind])
        segment.SetColor(_COLORS[kind])  # some versions give a new segment the color of the terminology's default entry


def _colorOfNext(segmentationNode: Any, name: str) -> tuple[float, float, float]:
    """Color of the kind that the name tells, else one unlike those of the segments before."""
    count = segmentationNode.GetSegmentation().GetNumberOfSegments()
    return _COLORS.get(kindOfName(name)) or colorsys.hsv_to_rgb((_FIRST_HUE + count * _HUE_STEP) % 1.0, 0.45, 0.8)


def _orientedImage(mask: Volume, worldToLocal: NDArray[np.floating]) -> Any:
    image = slicer.vtkOrientedImageData()
    isEmpty = not mask.array_kji.any()
    # The application can resample a mask without an extent, but not one of zeros, beside which no segment is exported.
    image.SetDimensions(*((0, 0, 0) if isEmpty else mask.grid.shape_kji[::-1]))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    if not isEmpty:
        vtk_to_numpy(image.GetPointData().GetScalars()).reshape(mask.grid.shape_kji)[:] = mask.array_kji
    matrix = slicer.util.vtkMatrixFromArray(worldToLocal @ mask.grid.ijk_to_ras)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image
