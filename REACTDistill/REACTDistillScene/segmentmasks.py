"""Segment to mask Volume."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from REACTDistillLib.geometry import mask_box, resample
from REACTDistillLib.steps import result_of
from REACTDistillLib.surface import OpenSurfaceError
from REACTDistillLib.volume import Box, Grid, Volume
from vtk.util.numpy_support import vtk_to_numpy

from .surfacemasks import surfaceMaskInSteps
from .transforms import transformToWorld
from .translation import tr as _

_LABELMAP = "Binary labelmap"
_SURFACE = "Closed surface"
_VOXELS_PER_STEP = 4_000_000  # a few milliseconds


def maskFromSegment(segmentationNode: Any, segmentId: str) -> Volume:
    """One segment as a mask on its own voxel lattice, cropped to the voxels that are in it, in world RAS mm.

    Nothing is resampled, and overlapping segments do not cut each other. A segment that is only a closed surface is
    turned into voxels; the node stays as it is. Raises ValueError for an unknown or empty segment and for a
    non-linear parent transform.
    """
    return result_of(maskFromSegmentInSteps(segmentationNode, segmentId))


def maskFromSegmentInSteps(segmentationNode: Any, segmentId: str) -> Generator[None, None, Volume]:
    """Like ``maskFromSegment``, pausing every few milliseconds; ValueError also when it is edited meanwhile."""
    name = segmentName(segmentationNode, segmentId)
    segmentation, toWorld = segmentationNode.GetSegmentation(), transformToWorld(segmentationNode)
    segment = segmentation.GetSegment(segmentId)
    surface = segment.GetRepresentation(_SURFACE)
    try:
        if segment.GetRepresentation(_LABELMAP) is None and surface is not None:
            mask = yield from surfaceMaskInSteps(segmentation, surface, toWorld)
        else:
            mask = yield from _voxelsInSteps(*_layer(segmentation, segmentId), toWorld)
    except OpenSurfaceError as error:
        text = _('The surface of segment "{segment}" has a hole; convert it to a binary labelmap first.')
        raise ValueError(text.format(segment=name)) from error
    except _EditedError as error:
        text = _('Segment "{segment}" was edited while it was read; try again.')
        raise ValueError(text.format(segment=name)) from error
    if mask is None:
        raise ValueError(_('Segment "{segment}" is empty; draw it or choose another segment.').format(segment=name))
    return mask


def segmentState(segmentationNode: Any, segmentId: str) -> Hashable | None:
    """What the mask of a segment depends on, quick to tell: equal states have equal masks.

    None where that is not known. Raises ValueError for an unknown segment and for a non-linear parent transform.
    """
    segmentName(segmentationNode, segmentId)
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId)
    stored = [one for one in map(segment.GetRepresentation, (_LABELMAP, _SURFACE)) if one is not None]
    if not stored:
        return None
    # No two states of any two VTK objects ever have the same time.
    place = transformToWorld(segmentationNode).tobytes()
    return stored[0].GetMTime(), segment.GetLabelValue(), place, segmentation.SerializeAllConversionParameters()


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


class _EditedError(Exception):
    """The voxels were changed between two steps."""


def _layer(segmentation: Any, segmentId: str) -> tuple[Any, int]:
    """The image that holds a segment and its label value there; segments may share an image, nothing is copied."""
    segment = segmentation.GetSegment(segmentId)
    image = segment.GetRepresentation(_LABELMAP)
    return (image, segment.GetLabelValue()) if image is not None else _convertedLayer(segmentation, segmentId)


def _convertedLayer(source: Any, segmentId: str) -> tuple[Any, int]:
    """The same of a segment that is stored as neither voxels nor surface, such as contours."""
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(source.GetSourceRepresentationName())
    copy.CopyConversionParameters(source)  # among them the lattice of the volume it was drawn on
    copy.CopySegmentFromSegmentation(source, segmentId)
    if not copy.CreateRepresentation(_LABELMAP):
        text = _('Segment "{segment}" could not be turned into voxels; convert it to a binary labelmap first.')
        raise ValueError(text.format(segment=source.GetSegment(segmentId).GetName()))
    segment = copy.GetSegment(segmentId)
    return segment.GetRepresentation(_LABELMAP), segment.GetLabelValue()


def _voxelsInSteps(image: Any, value: int, toWorld: NDArray[np.floating]) -> Generator[None, None, Volume | None]:
    """The voxels of one label of an image, cropped to them; None without any."""
    scalars = image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return None
    before = image.GetMTime()
    labelsKji = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    box = yield from _boxInSteps(labelsKji, value)
    mask = None if box is None else (yield from _insideInSteps(labelsKji[box.slices], value))
    if image.GetMTime() != before:
        raise _EditedError
    if box is None or mask is None:
        return None
    return Volume(mask, Grid(image.GetDimensions()[::-1], toWorld @ _imageToRas(image)).cropped(box))


def _boxInSteps(labelsKji: NDArray[np.integer], value: int) -> Generator[None, None, Box | None]:
    """Smallest box around the voxels of one label, None without any."""
    planes = np.zeros((len(labelsKji), 1, 1), dtype=bool)
    columns = np.zeros(labelsKji.shape[1:], dtype=bool)  # (J, I)
    for k, slice_ in enumerate(labelsKji):
        found = slice_ == value  # of one slice all is done in the cache
        planes[k] = found.any()
        if planes[k]:
            columns |= found
        if _isEndOfStep(k, slice_):
            yield
    across, within = mask_box(planes), mask_box(columns[None])
    if across is None or within is None:
        return None
    lower, upper = (within.lower_kji, within.upper_kji)
    return Box((across.lower_kji[0], *lower[1:]), (across.upper_kji[0], *upper[1:]))


def _insideInSteps(labelsKji: NDArray[np.integer], value: int) -> Generator[None, None, NDArray[np.bool_]]:
    arrayKji = np.empty(labelsKji.shape, dtype=bool)
    for k, slice_ in enumerate(labelsKji):
        np.equal(slice_, value, out=arrayKji[k])
        if _isEndOfStep(k, slice_):
            yield
    return arrayKji


def _isEndOfStep(k: int, slice_: NDArray[np.integer]) -> bool:
    return (k + 1) % max(1, _VOXELS_PER_STEP // max(1, slice_.size)) == 0


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
