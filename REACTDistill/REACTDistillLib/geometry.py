"""The one geometric primitive, going from a Volume to a Grid in world space, and what it rests on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .volume import Box, Grid, Volume

Interpolation = Literal["linear", "nearest"]
_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


def resample(volume: Volume, grid: Grid, *, interpolation: Interpolation = "linear", outside: float = 0.0) -> Volume:
    """Return ``volume`` as it is seen on ``grid``, point by point in RAS mm.

    Any two grids will do: rotated, flipped, sheared, of other spacing. Voxels of ``grid`` whose centre lies outside the
    source become ``outside``. A mask (bool) stays a mask under "nearest"; under "linear" it becomes a float32 image of
    values from 0 to 1. The inverse is the same call with the grid of the source.
    """
    if interpolation not in _INTERPOLATORS:
        raise ValueError(f'interpolation must be "linear" or "nearest", got "{interpolation}".')
    if volume.grid.same_as(grid):
        return (
            volume
            if volume.is_mask and interpolation == "nearest"
            else Volume(volume.array_kji.astype(np.float32), grid)
        )
    as_mask = volume.is_mask and interpolation == "nearest"
    box = _box_reached(volume.grid, grid)
    if box is None:
        return Volume(np.full(grid.shape_kji, bool(outside) if as_mask else outside), grid)
    source = volume.cropped(box)
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
    return Volume(array.astype(bool) if as_mask else array, grid)


def _box_reached(source: Grid, target: Grid) -> Box | None:
    """The voxels of ``source`` that points of ``target`` can see, or None when the two boxes are apart."""
    ijk = source.to_ijk(target.corners_ras())
    lower = np.floor(ijk.min(axis=0)).astype(int)[::-1] - 1
    upper = np.ceil(ijk.max(axis=0)).astype(int)[::-1] + 2
    lower, upper = np.maximum(lower, 0), np.minimum(upper, source.shape_kji)
    if (lower >= upper).any():
        return None
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def mask_box(mask: NDArray[np.bool_]) -> Box | None:
    """Smallest box around the true voxels of a (K, J, I) array, or None when there are none."""
    lower, upper = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if hit.size == 0:
            return None
        lower.append(int(hit[0]))
        upper.append(int(hit[-1]) + 1)
    return Box(tuple(lower), tuple(upper))  # type: ignore[arg-type]


def mask_extent_ras(mask: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest R, A, S (mm) of the centres of the true voxels, whatever the direction of the voxel axes.

    Raises ValueError when the mask is empty.
    """
    array = mask.array_kji.astype(bool, copy=False)
    k, j = np.nonzero(array.any(axis=2))
    if k.size == 0:
        raise ValueError("the mask is empty.")
    rows = array[k, j]  # only the first and the last true voxel of a row can be extreme
    first = rows.argmax(axis=1)
    last = array.shape[2] - 1 - rows[:, ::-1].argmax(axis=1)
    ras = mask.grid.to_ras(np.concatenate([np.stack([i, j, k], axis=1) for i in (first, last)]))
    return ras.min(axis=0), ras.max(axis=0)


def area_average(mask: Volume, grid: Grid) -> NDArray[np.float32]:
    """Share of each voxel of ``grid`` that the mask covers, float32 (K, J, I); see ``area_averages``."""
    k, j, i = np.nonzero(mask.array_kji)
    return area_averages(mask.grid, np.stack([i, j, k], axis=1), np.ones((1, k.size), dtype=bool), grid)[0]


def area_averages(
    source: Grid, voxels_ijk: NDArray[np.int64], members: NDArray[np.bool_], grid: Grid
) -> NDArray[np.float32]:
    """Share of each voxel of ``grid`` that each of N masks covers, float32 (N, K, J, I), values from 0 to 1.

    The masks are given as the voxels (V, 3) of ``source`` that are in any of them, and ``members`` (N, V). Each voxel
    is cut into pieces no longer than a sixth of a voxel of ``grid``, and the volume of each piece is put into the voxel
    in which its center lies. So a mask keeps its volume however small it is and however coarse ``grid`` is; the part
    outside ``grid`` is lost.
    """
    index_to_index = np.linalg.inv(grid.ijk_to_ras) @ source.ijk_to_ras
    turn = index_to_index[:3, :3].T
    pieces_ijk = np.maximum(1, np.ceil(6 * np.abs(turn).max(axis=1) - 1e-9)).astype(int)
    # The small shift gives centers that lie exactly between two voxels one side, whatever the order of the axes.
    start = voxels_ijk @ turn + (index_to_index[:3, 3] + 0.5 + 1e-6)  # (V, 3)
    steps = [(np.arange(n) + 0.5) / n - 0.5 for n in pieces_ijk]
    sizes = np.array(grid.shape_kji[::-1])
    covered = np.zeros((len(members), int(sizes.prod())))
    for step in np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3):
        cell = np.floor(start + step @ turn).astype(np.int64)  # (V, 3) as i, j, k
        inside = ((cell >= 0) & (cell < sizes)).all(axis=1)
        flat = (cell[:, 2] * sizes[1] + cell[:, 1]) * sizes[0] + cell[:, 0]
        for row, member in zip(covered, members, strict=True):
            row += np.bincount(flat[inside & member], minlength=row.size)
    piece_share = source.voxel_ml / grid.voxel_ml / float(np.prod(pieces_ijk))
    return np.minimum(covered * piece_share, 1.0).astype(np.float32).reshape(len(members), *grid.shape_kji)
