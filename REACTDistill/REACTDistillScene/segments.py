"""Segment to mask Volume and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from REACTDistillLib.geometry import mask_box, resample
from REACTDistillLib.volume import Box, Grid, Volume
from vtk.util.numpy_support import vtk_to_numpy

from .transforms import transformToWorld

_LABELMAP = "Binary labelmap"
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
_OTHER_COLOR = (0.5, 0.68, 0.5)


def maskFromSegment(segmentationNode: Any, segmentId: str) -> Volume:
    """One segment as a mask on its own voxel lattice, cropped to the voxels that are in it, in world RAS mm.

    Nothing is resampled, and overlapping segments do not cut each other. A segment that is only a closed surface is
    turned into voxels on a copy; the node stays as it is. Raises ValueError for an unknown or empty segment and for a
    non-linear parent transform.
    """
    name = segmentName(segmentationNode, segmentId)
    image = _labelmap(segmentationNode, segmentId)
    arrayKji = _voxels(image)
    box = None if arrayKji is None else mask_box(arrayKji)
    if arrayKji is None or box is None:
        raise ValueError(f'segment "{name}" is empty; draw it or choose another segment.')
    mask = Volume(arrayKji, Grid(arrayKji.shape, transformToWorld(segmentationNode) @ _imageToRas(image)))
    # The crop is copied: a view would hold all voxels of the segmentation in memory.
    return Volume(arrayKji[box.slices].copy(), mask.grid.cropped(box))


def segmentName(segmentationNode: Any, segmentId: str) -> str:
    """Name of a segment. Raises ValueError when the segmentation has no such segment."""
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId) if segmentation is not None and segmentId else None
    if segment is None:
        ids = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        known = ", ".join(f'"{i}"' for i in ids) or "none at all"
        raise ValueError(f'the segmentation has no segment "{segmentId}"; it has {known}.')
    return segment.GetName()


def _labelmap(segmentationNode: Any, segmentId: str) -> Any:
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment.GetRepresentation(_LABELMAP) is None:
        return _labelmapOfSurface(segmentationNode, segmentId)
    image = slicer.vtkOrientedImageData()
    segmentationNode.GetBinaryLabelmapRepresentation(segmentId, image)
    return image


def _labelmapOfSurface(segmentationNode: Any, segmentId: str) -> Any:
    source = segmentationNode.GetSegmentation()
    name = source.GetSegment(segmentId).GetName()
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(source.GetSourceRepresentationName())
    copy.CopyConversionParameters(source)  # among them the lattice of the volume it was drawn on
    copy.CopySegmentFromSegmentation(source, segmentId)
    if not copy.CreateRepresentation(_LABELMAP):
        raise ValueError(f'segment "{name}" could not be turned into voxels; convert it to a binary labelmap first.')
    return copy.GetSegment(segmentId).GetRepresentation(_LABELMAP)


def _voxels(image: Any) -> NDArray[np.bool_] | None:
    scalars = image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return None
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]) != 0


def _imageToRas(image: Any) -> NDArray[np.float64]:
    """Matrix from the first stored voxel on: the extent of a labelmap seldom begins at 0, 0, 0."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ijkToRas = slicer.util.arrayFromVTKMatrix(matrix)
    ijkToRas[:3, 3] += ijkToRas[:3, :3] @ image.GetExtent()[::2]
    return ijkToRas


def unionOfMasks(masks: Sequence[Volume]) -> Volume:
    """All voxels that are in any of the masks, on one lattice that covers them.

    The lattice is the finest of those given. Masks that share it, as the segments of one segmentation do, are joined
    exactly whatever their extents; others go to the nearest voxel.
    """
    if len(masks) == 1:
        return masks[0]
    grid = _coveringGrid(min(masks, key=lambda mask: mask.grid.voxel_ml).grid, masks)
    arrayKji = np.zeros(grid.shape_kji, dtype=bool)
    for mask in masks:
        arrayKji |= resample(mask, grid, interpolation="nearest").array_kji
    return Volume(arrayKji, grid)


def _coveringGrid(lattice: Grid, masks: Sequence[Volume]) -> Grid:
    ijk = lattice.to_ijk(np.concatenate([mask.grid.corners_ras() for mask in masks]))
    # Corners of an aligned mask lie half a voxel off its centres, so rounding noise cannot add or lose a slice.
    lower, upper = np.ceil(ijk.min(axis=0))[::-1], np.floor(ijk.max(axis=0))[::-1] + 1
    return lattice.cropped(Box(tuple(lower.astype(int).tolist()), tuple(upper.astype(int).tolist())))


def segmentationFromMasks(masks: Mapping[str, Volume], referenceNode: Any, *, name: str = "Segmentation") -> Any:
    """New segmentation node with one segment per mask, ID = name = key, where the masks lie in the world.

    Names that begin with "liver" or "tumor" get their terminology and color. The node lies under the parent transform
    of ``referenceNode`` and has its geometry as reference, so that it can be edited and exported.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    # The transform comes first: a segment written before it would be shifted by it.
    node.SetAndObserveTransformNodeID(referenceNode.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(referenceNode)
    node.CreateDefaultDisplayNodes()
    worldToLocal = np.linalg.inv(transformToWorld(node))
    for segmentId, mask in masks.items():
        _addSegment(node, segmentId, mask, worldToLocal)
    return node


def _addSegment(node: Any, segmentId: str, mask: Volume, worldToLocal: NDArray[np.floating]) -> None:
    kind = next((kind for kind in _TERMINOLOGIES if segmentId.lower().startswith(kind)), None)
    color = _OTHER_COLOR if kind is None else _COLORS[kind]
    node.AddSegmentFromBinaryLabelmapRepresentation(_orientedImage(mask, worldToLocal), segmentId, color, segmentId)
    segment = node.GetSegmentation().GetSegment(segmentId)
    if kind is not None:
        segment.SetTag(segment.GetTerminologyEntryTagName(), _TERMINOLOGIES[kind])
        segment.SetColor(color)  # some versions give the new segment the color of the terminology's default entry


def _orientedImage(mask: Volume, worldToLocal: NDArray[np.floating]) -> Any:
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*mask.grid.shape_kji[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(mask.grid.shape_kji)[:] = mask.array_kji
    matrix = slicer.util.vtkMatrixFromArray(worldToLocal @ mask.grid.ijk_to_ras)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image
