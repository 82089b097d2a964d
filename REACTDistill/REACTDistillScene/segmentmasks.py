"""Segment to mask Volume."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from REACTDistillLib.geometry import mask_box, resample
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Box, Grid, Volume
from vtk.util.numpy_support import vtk_to_numpy

from .transforms import transformToWorld
from .translation import tr as _

_LABELMAP = "Binary labelmap"
_VOXELS_PER_STEP = 4_000_000  # a few milliseconds


def maskFromSegment(segmentationNode: Any, segmentId: str) -> Volume:
    """One segment as a mask on its own voxel lattice, cropped to the voxels that are in it, in world RAS mm.

    Nothing is resampled, and overlapping segments do not cut each other. A segment that is only a closed surface is
    turned into voxels on a copy; the node stays as it is. Raises ValueError for an unknown or empty segment and for a
    non-linear parent transform.
    """
    return result_of(maskFromSegmentInSteps(segmentationNode, segmentId))


def maskFromSegmentInSteps(segmentationNode: Any, segmentId: str) -> Generator[None, None, Volume]:
    """Like ``maskFromSegment``, pausing every few milliseconds; ValueError also when it is edited meanwhile."""
    name = segmentName(segmentationNode, segmentId)
    image, value = _layer(segmentationNode, segmentId)
    scalars = image.GetPointData().GetScalars()
    before = image.GetMTime()
    parts: list[tuple[Box, NDArray[np.bool_]]] = []
    if scalars is not None and scalars.GetNumberOfTuples():
        parts = yield from _partsInSteps(vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]), value)
    if image.GetMTime() != before:
        raise ValueError(_('Segment "{segment}" was edited while it was read; try again.').format(segment=name))
    if not parts:
        raise ValueError(_('Segment "{segment}" is empty; draw it or choose another segment.').format(segment=name))
    box = Box(
        tuple(np.min([one.lower_kji for one, _voxels in parts], axis=0).tolist()),
        tuple(np.max([one.upper_kji for one, _voxels in parts], axis=0).tolist()),
    )
    arrayKji = np.zeros(box.shape_kji, dtype=bool)
    for one, voxels in parts:
        arrayKji[_within(one, box)] = voxels
    grid = Grid(image.GetDimensions()[::-1], transformToWorld(segmentationNode) @ _imageToRas(image))
    return Volume(arrayKji, grid.cropped(box))


def segmentName(segmentationNode: Any, segmentId: str) -> str:
    """Name of a segment. Raises ValueError when the segmentation has no such segment."""
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId) if segmentation is not None and segmentId else None
    if segment is None:
        ids = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        known = ", ".join(f'"{i}"' for i in ids) or _("none at all")
        text = _('The segmentation has no segment "{segment}"; it has {known}.')
        raise ValueError(text.format(segment=segmentId, known=known))
    return segment.GetName()


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


def _layer(segmentationNode: Any, segmentId: str) -> tuple[Any, int]:
    """The image that holds a segment and its label value there; segments may share an image, nothing is copied."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    image = segment.GetRepresentation(_LABELMAP)
    return (image, segment.GetLabelValue()) if image is not None else _layerOfSurface(segmentationNode, segmentId)


def _layerOfSurface(segmentationNode: Any, segmentId: str) -> tuple[Any, int]:
    source = segmentationNode.GetSegmentation()
    name = source.GetSegment(segmentId).GetName()
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(source.GetSourceRepresentationName())
    copy.CopyConversionParameters(source)  # among them the lattice of the volume it was drawn on
    copy.CopySegmentFromSegmentation(source, segmentId)
    if not copy.CreateRepresentation(_LABELMAP):
        text = _('Segment "{segment}" could not be turned into voxels; convert it to a binary labelmap first.')
        raise ValueError(text.format(segment=name))
    segment = copy.GetSegment(segmentId)
    return segment.GetRepresentation(_LABELMAP), segment.GetLabelValue()


def _partsInSteps(
    labelsKji: NDArray[np.integer], value: int
) -> Generator[None, None, list[tuple[Box, NDArray[np.bool_]]]]:
    """The voxels of one label, cut along K: boxes in the whole array, with what is in them."""
    thickness = max(1, _VOXELS_PER_STEP // max(1, labelsKji[0].size))
    parts = []
    for first in range(0, len(labelsKji), thickness):
        found = labelsKji[first : first + thickness] == value
        box = mask_box(found)
        if box is not None:
            voxels = found[box.slices].copy()
            lower, upper = ((corner[0] + first, *corner[1:]) for corner in (box.lower_kji, box.upper_kji))
            parts.append((Box(lower, upper), voxels))
        yield
    return parts


def _within(box: Box, outer: Box) -> tuple[slice, ...]:
    corners = zip(box.lower_kji, box.upper_kji, outer.lower_kji, strict=True)
    return tuple(slice(low - start, high - start) for low, high, start in corners)


def _imageToRas(image: Any) -> NDArray[np.float64]:
    """Matrix from the first stored voxel on: the extent of a labelmap seldom begins at 0, 0, 0."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ijkToRas = slicer.util.arrayFromVTKMatrix(matrix)
    ijkToRas[:3, 3] += ijkToRas[:3, :3] @ image.GetExtent()[::2]
    return ijkToRas


def _coveringGrid(lattice: Grid, masks: Sequence[Volume]) -> Grid:
    ijk = lattice.to_ijk(np.concatenate([mask.grid.corners_ras() for mask in masks]))
    # Corners of an aligned mask lie half a voxel off its centres, so rounding noise cannot add or lose a slice.
    lower, upper = np.ceil(ijk.min(axis=0))[::-1], np.floor(ijk.max(axis=0))[::-1] + 1
    return lattice.cropped(Box(tuple(lower.astype(int).tolist()), tuple(upper.astype(int).tolist())))
