"""Voxels inside a closed surface of triangles."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from .volume import Box

# Small enough to take a few milliseconds each, so that a panel can do them between two turns of its event loop.
_VOXELS_PER_STEP = 2_000_000


class OpenSurfaceError(ValueError):
    """The surface has a hole, so it has no inside."""

    def __init__(self) -> None:
        super().__init__("The surface has a hole; close it, or mark the region by voxels.")


def surface_box(points_ijk: NDArray[np.floating]) -> Box:
    """The voxels whose centers can lie inside a surface with these points (P, 3), and one at least along each axis."""
    lower_kji = np.ceil(points_ijk.min(axis=0)).astype(int)[::-1]
    upper_kji = np.maximum(np.floor(points_ijk.max(axis=0)).astype(int)[::-1] + 1, lower_kji + 1)
    return Box(tuple(lower_kji.tolist()), tuple(upper_kji.tolist()))


def surface_mask_in_steps(
    points_ijk: NDArray[np.floating], triangles: NDArray[np.integer], box: Box
) -> Generator[None, None, NDArray[np.bool_]]:
    """The voxels of ``box`` whose centers lie inside a surface, bool (K, J, I), pausing every few milliseconds.

    ``points_ijk`` (P, 3) are fractional voxel indices in I, J, K order, ``triangles`` (T, 3) numbers of points, in any
    order and direction. A voxel is inside when a line from it toward -I crosses the surface an odd number of times, so
    a surface within another is a hole. Raises OpenSurfaceError when a line through the whole surface crosses it an odd
    number of times.
    """
    points_kji = points_ijk[:, ::-1] - np.array(box.lower_kji)
    yield
    corners_k = [np.ceil(points_kji[:, 0])[triangles[:, corner]] for corner in range(3)]  # three times (T,)
    yield
    first, end = np.minimum.reduce(corners_k), np.maximum.reduce(corners_k)
    array = np.zeros(box.shape_kji, dtype=bool)
    thickness = max(1, _VOXELS_PER_STEP // array[0].size)
    yield
    for k in range(0, len(array), thickness):
        part = array[k : k + thickness]
        near = np.flatnonzero((first < k + len(part)) & (end > k))
        _fill(part, points_kji[triangles[near]] - (k, 0, 0))
        yield
    return array


def _fill(array: NDArray[np.bool_], corners_kji: NDArray[np.float64]) -> None:
    """Mark the voxels of an array of False that lie inside the surface of ``corners_kji`` (T, 3, 3)."""
    slices, starts, ends = _cut_by_slices(corners_kji, len(array))
    rows, lines, places_i = _cut_by_rows(starts, ends, array.shape[1])
    shape = (len(array), array.shape[1], array.shape[2] + 1)  # one more column for crossings beyond the last
    crossings = np.zeros(shape, dtype=np.uint8)
    columns = np.clip(np.ceil(places_i), 0, array.shape[2]).astype(np.intp)
    np.add.at(crossings.reshape(-1), np.ravel_multi_index((slices[lines], rows, columns), shape), 1)
    crossings &= 1
    inside = np.bitwise_xor.accumulate(crossings, axis=2)
    if inside[:, :, -1].any():
        raise OpenSurfaceError
    array[...] = inside[:, :, :-1]


def _cut_by_slices(
    corners_kji: NDArray[np.float64], slice_count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Lines that slices 0, 1, 2 ... cut out of triangles: slice (L,), and both ends (L, 2) in J, I order."""
    k = corners_kji[:, :, 0]
    triangles, slices = _whole_numbers_between(k.min(axis=1), k.max(axis=1), slice_count)
    corners = corners_kji[triangles]  # (L, 3, 3)
    below = corners[:, :, 0] <= slices[:, None]
    # One corner is alone on its side of the slice; the line runs between the edges that lead to the other two.
    alone = np.where(below.sum(axis=1) == 1, below.argmax(axis=1), below.argmin(axis=1))
    lines = np.arange(len(triangles))
    tip, others = corners[lines, alone], (corners[lines, (alone + 1) % 3], corners[lines, (alone + 2) % 3])
    is_below = below[lines, alone][:, None]
    ends = [_at_slice(np.where(is_below, tip, one), np.where(is_below, one, tip), slices) for one in others]
    return slices, ends[0], ends[1]


def _at_slice(below: NDArray[np.float64], above: NDArray[np.float64], slices: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where edges cross slices (L, 2), always reckoned upward, so that both triangles at an edge get the same place."""
    share = (slices - below[:, 0]) / (above[:, 0] - below[:, 0])
    return below[:, 1:] + share[:, None] * (above[:, 1:] - below[:, 1:])


def _cut_by_rows(
    starts_ji: NDArray[np.float64], ends_ji: NDArray[np.float64], row_count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Crossings of lines (L, 2) with rows 0, 1, 2 ...: row, number of the line, place along I, (C,) each."""
    rises = (starts_ji[:, 0] <= ends_ji[:, 0])[:, None]
    lower, upper = np.where(rises, starts_ji, ends_ji), np.where(rises, ends_ji, starts_ji)
    lines, rows = _whole_numbers_between(lower[:, 0], upper[:, 0], row_count)
    (j, i), (next_j, next_i) = lower[lines].T, upper[lines].T
    return rows, lines, i + (rows - j) / (next_j - j) * (next_i - i)


def _whole_numbers_between(
    low: NDArray[np.float64], high: NDArray[np.float64], count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every whole number n with low <= n < high and 0 <= n < count: number of the pair, and n, (N,) each.

    Half open, so that a surface that passes exactly through a voxel center is crossed once and not twice.
    """
    first = np.clip(np.ceil(low), 0, count).astype(np.intp)
    counts = np.maximum(np.clip(np.ceil(high), 0, count).astype(np.intp) - first, 0)
    pairs = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return pairs, np.arange(len(pairs)) - before[pairs] + first[pairs]
