"""The one geometric primitive, going from a Volume to a Grid in world space, and what it rests on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .separable import count_pieces, parallel_axes, sample_linear, sample_nearest
from .volume import Box, Grid, Volume

Interpolation = Literal["linear", "nearest"]
# Points of two grids closer than this (in voxels) are one: it is the rounding of their matrices, not a shift.
_SAME_PLACE_VOXELS = 1e-6
_LEAST_SHARE_OF_PIECE = 0.01
_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


def resample(volume: Volume, grid: Grid, *, interpolation: Interpolation = "linear", outside: float = 0.0) -> Volume:
    """Return ``volume`` as it is seen on ``grid``, point by point in RAS mm.

    Any two grids will do: rotated, flipped, sheared, of other spacing. Voxels of ``grid`` whose centre lies outside the
    source become ``outside``. A mask (bool) stays a mask under "nearest"; under "linear" it becomes a float32 image of
    values from 0 to 1. The inverse is the same call with the grid of the source.
    """
    if interpolation not in _INTERPOLATORS:
        raise ValueError(f'interpolation must be "linear" or "nearest", got "{interpolation}".')
    as_mask = volume.is_mask and interpolation == "nearest"
    if volume.grid.same_as(grid):
        return volume if as_mask else Volume(volume.array_kji.astype(np.float32), grid)
    offset_kji = _lattice_offset(grid, volume.grid)
    if offset_kji is not None:
        return Volume(_copied(volume, grid, offset_kji, bool(outside) if as_mask else np.float32(outside)), grid)
    box = box_reached(volume.grid, grid)
    if box is None:
        return Volume(np.full(grid.shape_kji, bool(outside) if as_mask else outside), grid)
    source = volume.cropped(box)
    axes = parallel_axes(np.linalg.inv(source.grid.ijk_to_ras) @ grid.ijk_to_ras, grid.shape_kji)
    if axes is not None and interpolation == "nearest":
        return Volume(sample_nearest(source.array_kji, axes, grid.shape_kji, outside=outside), grid)
    if axes is not None:
        return Volume(sample_linear(source.array_kji, axes, grid.shape_kji, outside=outside), grid)
    return Volume(_sampled_by_itk(source, grid, interpolation, outside), grid)


def _copied(volume: Volume, grid: Grid, offset_kji: tuple[int, int, int], outside: bool | np.float32) -> NDArray[Any]:
    """The voxels of a grid that has the voxels of the volume, a whole number of them away."""
    array = np.full(grid.shape_kji, outside)
    there, here = [], []
    for offset, size, source_size in zip(offset_kji, grid.shape_kji, volume.grid.shape_kji, strict=True):
        first, last = max(0, offset), min(source_size, offset + size)
        there.append(slice(first, max(first, last)))
        here.append(slice(first - offset, max(first, last) - offset))
    array[tuple(here)] = volume.array_kji[tuple(there)]
    return array


def _sampled_by_itk(source: Volume, grid: Grid, interpolation: Interpolation, outside: float) -> NDArray[Any]:
    as_mask = source.is_mask and interpolation == "nearest"
    # Both images are put into index space and the transform carries the geometry: so shear needs no special case.
    index_to_index = np.linalg.inv(source.grid.ijk_to_ras) @ grid.ijk_to_ras
    transform = sitk.AffineTransform(index_to_index[:3, :3].ravel().tolist(), index_to_index[:3, 3].tolist(), [0.0] * 3)
    pixels = source.array_kji.astype(np.uint8 if as_mask else np.float32, copy=False)
    image = sitk.Resample(
        sitk.GetImageFromArray(pixels),
        [int(n) for n in grid.shape_kji[::-1]],
        transform,
        _INTERPOLATORS[interpolation],
        [0.0] * 3,
        [1.0] * 3,
        np.eye(3).ravel().tolist(),
        float(outside),
    )
    array = sitk.GetArrayFromImage(image)
    return array.astype(bool) if as_mask else array


def box_reached(source: Grid, target: Grid) -> Box | None:
    """The voxels of ``source`` that points of ``target`` can see, or None when the two grids are apart."""
    ijk = source.to_ijk(target.corners_ras())
    lower = np.floor(ijk.min(axis=0)).astype(int)[::-1] - 1
    upper = np.ceil(ijk.max(axis=0)).astype(int)[::-1] + 2
    lower, upper = np.maximum(lower, 0), np.minimum(upper, source.shape_kji)
    if (lower >= upper).any():
        return None
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def box_within(part: Grid, whole: Grid) -> Box | None:
    """The box of ``whole`` whose voxels are those of ``part``, or None when they do not share their voxels.

    They do when ``part`` has the same voxel axes, lies a whole number of voxels away and does not reach beyond.
    """
    offset_kji = _lattice_offset(part, whole)
    if offset_kji is None:
        return None
    upper_kji = tuple(low + size for low, size in zip(offset_kji, part.shape_kji, strict=True))
    inside = all(low >= 0 and up <= size for low, up, size in zip(offset_kji, upper_kji, whole.shape_kji, strict=True))
    return Box(offset_kji, upper_kji) if inside else None  # type: ignore[arg-type]


def are_voxels_of(part: Grid, whole: Grid) -> bool:
    """True when the voxels of ``part`` are voxels of ``whole``: all of a box, or every n-th along each axis."""
    index_to_index = np.linalg.inv(whole.ijk_to_ras) @ part.ijk_to_ras
    steps_ijk = np.maximum(np.rint(np.diag(index_to_index)[:3]), 1)
    whole_steps = np.eye(4)
    whole_steps[:3, :3] *= steps_ijk
    whole_steps[:3, 3] = np.rint(index_to_index[:3, 3])
    last_ijk = np.array(part.shape_kji[::-1]) - 1
    drift = np.abs(index_to_index - whole_steps)[:3] @ np.append(last_ijk, 1)
    first, last = whole_steps[:3, 3], whole_steps[:3, 3] + steps_ijk * last_ijk
    inside = (first >= 0).all() and (last < whole.shape_kji[::-1]).all()
    return bool(drift.max() < _SAME_PLACE_VOXELS and inside)


def _lattice_offset(part: Grid, whole: Grid) -> tuple[int, int, int] | None:
    """Index in ``whole`` of the first voxel of ``part``, or None when their voxels do not lie on one lattice."""
    index_to_index = np.linalg.inv(whole.ijk_to_ras) @ part.ijk_to_ras
    offset = np.rint(index_to_index[:3, 3])
    drift = np.abs(index_to_index[:3, :3] - np.eye(3)) @ part.shape_kji[::-1]
    apart = np.abs(index_to_index[:3, 3] - offset) + drift
    return tuple(offset[::-1].astype(int).tolist()) if apart.max() < _SAME_PLACE_VOXELS else None


def mask_box(mask: NDArray[np.bool_]) -> Box | None:
    """Smallest box around the true voxels of a (K, J, I) array, or None when there are none."""
    slices = np.flatnonzero([one.any() for one in mask])
    if slices.size == 0:
        return None
    first, last = int(slices[0]), int(slices[-1]) + 1
    columns = np.logical_or.reduce(mask[first:last], axis=0)  # (J, I)
    rows, places = np.flatnonzero(columns.any(axis=1)), np.flatnonzero(columns.any(axis=0))
    return Box((first, int(rows[0]), int(places[0])), (last, int(rows[-1]) + 1, int(places[-1]) + 1))


def main_box(mask: NDArray[np.bool_]) -> Box | None:
    """Smallest box around the true voxels of a (K, J, I) array but for strays; None when there are none.

    Strays are pieces of less than 1 % of the mask beyond a plane between voxels of one axis that holds none of it.
    """
    box = mask_box(mask)
    if box is None:
        return None
    least = _LEAST_SHARE_OF_PIECE * np.count_nonzero(mask[box.slices])
    for axis in range(3):
        filled = _filled(mask[box.slices])[axis]
        if not filled.all():
            steps = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]]).astype(np.int8)))
            pieces = [_sliced(box, axis, first, end) for first, end in steps.reshape(-1, 2).tolist()]
            kept = [piece for piece in pieces if np.count_nonzero(mask[piece.slices]) >= least]
            lower, upper = kept[0].lower_kji, kept[-1].upper_kji
            inner = mask_box(mask[Box(lower, upper).slices])
            assert inner is not None  # a piece that is kept holds voxels
            box = Box(_sum(lower, inner.lower_kji), _sum(lower, inner.upper_kji))
    return box


def _filled(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which planes hold voxels, along K, J and I."""
    columns = np.logical_or.reduce(mask, axis=0)  # (J, I)
    return np.array([one.any() for one in mask]), columns.any(axis=1), columns.any(axis=0)


def _sliced(box: Box, axis: int, first: int, end: int) -> Box:
    """The planes from ``first`` to before ``end`` of a box along an axis."""
    lower, upper = list(box.lower_kji), list(box.upper_kji)
    lower[axis], upper[axis] = lower[axis] + first, box.lower_kji[axis] + end
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _sum(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2])


def mask_extent_ras(mask: Volume, *, strays: bool = True) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest R, A, S (mm) of the centres of the true voxels, whatever the direction of the voxel axes.

    Without ``strays`` those outside the ``main_box`` do not count. Raises ValueError when the mask is empty.
    """
    box = (mask_box if strays else main_box)(mask.array_kji.astype(bool, copy=False))
    if box is None:
        raise ValueError("the mask is empty.")
    if np.count_nonzero(mask.grid.ijk_to_ras[:3, :3]) == 3:  # no axis is oblique: the corners of the box are extreme
        ijk = np.array([box.lower_kji[::-1], np.array(box.upper_kji[::-1]) - 1])
    else:
        ijk = np.array(box.lower_kji[::-1]) + _row_ends_ijk(mask.array_kji[box.slices].astype(bool, copy=False))
    ras = mask.grid.to_ras(ijk)
    return ras.min(axis=0), ras.max(axis=0)


def _row_ends_ijk(array: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices (N, 3) in I, J, K order of the first and the last true voxel of each row: only these can be extreme."""
    k, j = np.nonzero(array.any(axis=2))
    rows = array[k, j]
    first = rows.argmax(axis=1)
    last = array.shape[2] - 1 - rows[:, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([i, j, k], axis=1) for i in (first, last)])


def area_average(mask: Volume, grid: Grid) -> NDArray[np.float32]:
    """Share of each voxel of ``grid`` that the mask covers, float32 (K, J, I), values from 0 to 1.

    Each voxel of the mask is cut into pieces no longer than a sixth of a voxel of ``grid``, and the volume of each
    piece is put into the voxel in which its center lies. So a mask keeps its volume however small it is and however
    coarse ``grid`` is; the part outside ``grid`` is lost.
    """
    array = mask.array_kji.astype(bool, copy=False)
    index_to_index = np.linalg.inv(grid.ijk_to_ras) @ mask.grid.ijk_to_ras
    axes = parallel_axes(index_to_index, mask.grid.shape_kji)
    if axes is None:
        covered, pieces = _count_oblique_pieces(array, index_to_index, grid.shape_kji)
    else:
        covered, pieces = count_pieces(array, axes, grid.shape_kji)
    piece_share = mask.grid.voxel_ml / grid.voxel_ml / pieces
    return np.minimum(covered * piece_share, 1.0).astype(np.float32)


def _count_oblique_pieces(
    mask: NDArray[np.bool_], index_to_index: NDArray[np.float64], shape_kji: tuple[int, int, int]
) -> tuple[NDArray[np.float64], int]:
    """As ``separable.count_pieces``, for axes that are not parallel."""
    turn_kji = index_to_index[2::-1, 2::-1]
    pieces_kji = np.maximum(1, np.ceil(6 * np.abs(turn_kji).max(axis=0) - 1e-9)).astype(int)
    steps = np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in pieces_kji), indexing="ij")
    steps_kji = turn_kji @ np.reshape(steps, (3, -1))  # (3, pieces)
    plane_kji = turn_kji[:, 1:] @ np.indices(mask.shape[1:]).reshape(2, -1)  # (3, J * I)
    # The small shift gives centers that lie exactly between two voxels one side, whatever the order of the axes.
    start_kji = index_to_index[2::-1, 3] + 0.5 + 1e-6
    covered = np.zeros(int(np.prod(shape_kji)))
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        centers_kji = plane_kji[:, np.flatnonzero(mask[k])] + (start_kji + turn_kji[:, 0] * k)[:, None]  # (3, V)
        for step_kji in steps_kji.T:
            covered += _counted(centers_kji + step_kji[:, None], shape_kji)
    return covered.reshape(shape_kji), steps_kji.shape[1]


def _counted(places_kji: NDArray[np.float64], shape_kji: tuple[int, int, int]) -> NDArray[np.int64]:
    """How many of the places (3, V) lie in each voxel, those outside left out, (K * J * I,)."""
    k, j, i = np.floor(places_kji).astype(np.int64)
    inside = (k >= 0) & (k < shape_kji[0]) & (j >= 0) & (j < shape_kji[1]) & (i >= 0) & (i < shape_kji[2])
    voxels = (k * shape_kji[1] + j) * shape_kji[2] + i
    return np.bincount(voxels[inside], minlength=int(np.prod(shape_kji)))
