"""The grid of an analytic patient, and its voxel centers in patient millimeters, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from ..volume import Grid
from .shapes import Array, Triple

Block = tuple[slice, slice, slice]
_BLOCK_KJI = (16, 16, 16)


def cube_grid(center_ras: Triple, side_mm: float, shape_kji: Sequence[int]) -> Grid:
    """Grid with axes R, A, S whose ``shape_kji`` voxels fill a cube of ``side_mm`` around ``center_ras`` (mm)."""
    return Grid.centered(center_ras, shape_kji=shape_kji, spacing_kji_mm=[side_mm / n for n in shape_kji])


def blocks(grid: Grid) -> Iterator[Block]:
    """The grid cut into blocks (K, J, I): small enough for the cache, and most shapes are apart from most of them."""
    starts = [range(0, n, size) for n, size in zip(grid.shape_kji, _BLOCK_KJI, strict=True)]
    for k, j, i in product(*starts):
        yield slice(k, k + _BLOCK_KJI[0]), slice(j, j + _BLOCK_KJI[1]), slice(i, i + _BLOCK_KJI[2])


def block_points(grid: Grid, block: Block, center_ras: Triple) -> Array:
    """Voxel centers of a block in mm from ``center_ras``, rows R, A, S, shape (3, V)."""
    ranges = (np.arange(*part.indices(n)) for part, n in zip(block, grid.shape_kji, strict=True))
    k, j, i = np.ix_(*ranges)
    origin = grid.ijk_to_ras[:3, 3] - np.array(center_ras)
    axes = [a * i + b * j + c * k + t for (a, b, c), t in zip(grid.ijk_to_ras[:3, :3], origin, strict=True)]
    return np.stack([axis.ravel() for axis in axes]).astype(np.float32)
