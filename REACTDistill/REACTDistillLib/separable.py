"""Between grids with parallel axes one axis at a time: the usual CT, whatever the order and direction of its voxels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Axes that drift less than this (in voxels) from end to end are parallel, and points that lie closer to a voxel are on
# it: that is the rounding of matrices.
_ROUNDING_VOXELS = 1e-6


class ParallelAxes(NamedTuple):
    """How voxel indices of one grid follow from those of another whose axes are parallel, in K, J, I order.

    Index along axis a = ``scale[a]`` * (index of the other grid along its axis ``order[a]``) + ``offset[a]``.
    """

    order: tuple[int, int, int]
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]

    def points(self, axis: int, size: int) -> NDArray[np.float64]:
        """Fractional indices along ``axis`` of the first ``size`` voxels of the other grid, (size,)."""
        return np.arange(size, dtype=np.float64) * self.scale[axis] + self.offset[axis]


def parallel_axes(index_to_index: NDArray[np.float64], shape_kji: tuple[int, int, int]) -> ParallelAxes | None:
    """The axes of a 4x4 matrix from indices (i, j, k, 1) of a grid, None when they are not parallel."""
    matrix, offset = index_to_index[2::-1, 2::-1], index_to_index[2::-1, 3]
    order = np.abs(matrix).argmax(axis=1)
    aside = np.abs(matrix)
    aside[range(3), order] = 0.0
    if set(order.tolist()) != {0, 1, 2} or (aside @ shape_kji).max() >= _ROUNDING_VOXELS:
        return None
    return ParallelAxes(tuple(order.tolist()), tuple(matrix[range(3), order].tolist()), tuple(offset.tolist()))


def sample_linear(
    array_kji: NDArray[Any],
    axes: ParallelAxes,
    shape_kji: tuple[int, int, int],
    *,
    outside: float,
) -> NDArray[np.float32]:
    """Values of an array at the voxels of another grid of ``shape_kji``, linear in between, float32 (K, J, I).

    ``axes`` lead from the other grid to the array. Up to half a voxel beyond the outermost centers the outermost values
    hold, further away ``outside``. A voxel without weight is not looked at, so its NaN does no harm.
    """
    points, inside = _points_inside(array_kji.shape, axes, shape_kji)
    result = np.empty([shape_kji[axis] for axis in axes.order], dtype=np.float32)
    if result[inside].size < result.size:
        result.fill(outside)
    slices, rows, columns = (_Between(along, size) for along, size in zip(points, array_kji.shape, strict=True))
    with np.errstate(invalid="ignore"):  # infinite values become NaN, which whoever reads them refuses
        for out, low, up, weight in zip(result[inside], slices.lower, slices.upper, slices.weight, strict=True):
            plane = array_kji[low].astype(np.float32)  # one slice at a time stays in the cache
            if weight > 0:
                plane += (array_kji[up] - plane) * weight
            # What is made smaller comes first; rows are quicker to fetch than columns.
            out[...] = (
                columns.of_columns(rows.of_rows(plane)) if rows.shrinks else rows.of_rows(columns.of_columns(plane))
            )
    return np.ascontiguousarray(result.transpose(np.argsort(axes.order)))


class _Between:
    """Fractional indices along one axis of ``size`` voxels: the voxels below and above, and the weight of the latter.

    Values are lower + weight * (upper - lower), which keeps exactly what is constant.
    """

    def __init__(self, points: NDArray[np.float64], size: int) -> None:
        whole = np.rint(points)
        points = np.where(np.abs(points - whole) < _ROUNDING_VOXELS, whole, points)  # no neighbor for a rounding error
        floor = np.floor(points)
        self.weight = (points - floor).astype(np.float32)
        self.lower = np.clip(floor.astype(int), 0, size - 1)
        self.upper = np.where(self.weight > 0, np.clip(floor.astype(int) + 1, 0, size - 1), self.lower)
        self.shrinks = points.size < size

    def of_rows(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values between the rows of a plane (J, I), (points, I)."""
        below, above = plane[self.lower], plane[self.upper]
        above -= below
        above *= self.weight[:, None]
        above += below
        return above

    def of_columns(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values between the columns of a plane (J, I), (J, points)."""
        below, above = plane.take(self.lower, axis=1), plane.take(self.upper, axis=1)
        above -= below
        above *= self.weight
        above += below
        return above


def sample_nearest(
    array_kji: NDArray[Any], axes: ParallelAxes, shape_kji: tuple[int, int, int], *, outside: float
) -> NDArray[Any]:
    """As ``sample_linear``, but the value of the nearest voxel, in the type of the array: a mask stays a mask."""
    points, inside = _points_inside(array_kji.shape, axes, shape_kji)
    result = np.full([shape_kji[axis] for axis in axes.order], outside, dtype=array_kji.dtype)
    result[inside] = array_kji[np.ix_(*(np.floor(x + 0.5).astype(int) for x in points))]
    return np.ascontiguousarray(result.transpose(np.argsort(axes.order)))


def _points_inside(
    source_shape_kji: tuple[int, ...], axes: ParallelAxes, shape_kji: tuple[int, int, int]
) -> tuple[list[NDArray[np.float64]], tuple[slice, slice, slice]]:
    """For each source axis the points that lie inside, and where they are among all points of the other grid."""
    points, places = [], []
    for axis, size in enumerate(source_shape_kji):
        along = axes.points(axis, shape_kji[axes.order[axis]])
        inside = np.flatnonzero((along >= -0.5) & (along < size - 0.5))
        first, count = (int(inside[0]), inside.size) if inside.size else (0, 0)
        points.append(along[first : first + count])
        places.append(slice(first, first + count))
    return points, tuple(places)  # type: ignore[return-value]


def count_pieces(
    mask_kji: NDArray[np.bool_], axes: ParallelAxes, shape_kji: tuple[int, int, int]
) -> tuple[NDArray[np.float64], int]:
    """Pieces of the true voxels of a mask in each voxel of another grid (K, J, I), and the pieces of one voxel.

    ``axes`` lead from the mask to the other grid. For the rule see ``geometry.area_average``.
    """
    tables = [_piece_table(axes, axis, shape_kji[axis], mask_kji.shape[axes.order[axis]]) for axis in range(3)]
    by_source_axis = [tables[axis] for axis in np.argsort(axes.order)]
    block = _add_slices(mask_kji, by_source_axis[0][0])  # (k, J, I)
    block = block @ by_source_axis[2][0].T  # (k, J, i)
    block = by_source_axis[1][0] @ block  # (k, j, i)
    return block.transpose(axes.order).astype(np.float64), int(np.prod([pieces for _, pieces in tables]))


def _piece_table(axes: ParallelAxes, axis: int, cells: int, voxels: int) -> tuple[NDArray[np.float32], int]:
    """How many of the pieces of each voxel fall into each cell along one axis (cells, voxels), and pieces per voxel."""
    scale = axes.scale[axis]
    pieces = max(1, int(np.ceil(6 * abs(scale) - 1e-9)))
    table = np.zeros((cells, voxels), dtype=np.float32)
    # The small shift gives centers that lie exactly between two voxels one side, whatever the order of the axes.
    centers = axes.points(axis, voxels) + 0.5 + 1e-6
    for step in (np.arange(pieces) + 0.5) / pieces - 0.5:
        cell = np.floor(centers + step * scale).astype(int)
        inside = np.flatnonzero((cell >= 0) & (cell < cells))
        np.add.at(table, (cell[inside], inside), 1.0)
    return table, pieces


def _add_slices(mask_kji: NDArray[np.bool_], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slices of a mask added up with the whole numbers of ``table`` (cells, K) as weights, float32 (cells, J, I)."""
    most = table.sum(axis=1).max()
    # Small numbers are added many times faster than floats.
    kind = np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16 if most <= np.iinfo(np.uint16).max else np.float32
    added = np.zeros((table.shape[0], *mask_kji.shape[1:]), dtype=kind)
    for cell, k in zip(*np.nonzero(table), strict=True):
        weight = kind(table[cell, k])
        added[cell] += mask_kji[k].view(np.uint8) if weight == 1 else mask_kji[k] * weight
    return added.astype(np.float32)
