"""A volume in overlapping tiles: where they lie, how much each voxel of a tile counts, how they become one again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .volume import Box

Falloff = Literal["gaussian", "linear"]
# Of the size of the tile, as in common sliding-window inference: 4 sd from end to end.
_SD_OF_SIZE = 0.25
_LEAST_WEIGHT = 1e-3  # no voxel may have none: it may lie in one tile only


def tile_boxes(shape_kji: Sequence[int], tile_kji: Sequence[int], *, overlap: float = 0.5) -> list[Box]:
    """Return boxes of ``tile_kji`` that cover an array of ``shape_kji``, in K, J, I order.

    Neighbors share at least the part ``overlap`` of their size; they are spread evenly, the first and the last touch
    the ends. A tile larger than the array is cut to it. Raises ValueError for an overlap not in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be at least 0 and below 1, got {overlap}.")
    starts, sizes = [], []
    for length, tile in zip(shape_kji, tile_kji, strict=True):
        size = min(length, tile)
        step = max(1, int(size * (1 - overlap)))
        count = 1 + -(-(length - size) // step)
        starts.append([round(index * (length - size) / max(1, count - 1)) for index in range(count)])
        sizes.append(size)
    return [
        Box(corner, tuple(low + size for low, size in zip(corner, sizes, strict=True)))  # type: ignore[arg-type]
        for corner in product(*starts)
    ]


def tile_weights(shape_kji: Sequence[int], falloff: Falloff = "gaussian") -> NDArray[np.float32]:
    """Return how much each voxel of a tile counts, (K, J, I), 1 in its middle and less towards its ends, never 0.

    Raises ValueError for another falloff than "gaussian" or "linear".
    """
    if falloff not in ("gaussian", "linear"):
        raise ValueError(f'falloff must be "gaussian" or "linear", got "{falloff}".')
    weights = np.ones((1, 1, 1))
    for axis, size in enumerate(shape_kji):
        away = np.abs(np.arange(size) - (size - 1) / 2) / size  # 0 in the middle, below one half at the ends
        along = np.exp(-0.5 * (away / _SD_OF_SIZE) ** 2) if falloff == "gaussian" else 1 - 2 * away
        weights = weights * along.reshape([-1 if one == axis else 1 for one in range(3)])
    return np.maximum(weights / weights.max(), _LEAST_WEIGHT).astype(np.float32)


def blended_tiles(
    boxes: Sequence[Box],
    read: Callable[[Box], NDArray[np.float32]],
    shape_kji: tuple[int, int, int],
    channels: int,
    *,
    falloff: Falloff = "gaussian",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Return the weighted mean (R, K, J, I) of what ``read(box)`` (R, k, j, i) says of overlapping tiles.

    R is ``channels``. The order of ``boxes`` changes nothing, to the rounding of a sum. ``progress(done, total)`` is
    called before each tile and at the end; it may raise ``Cancelled``. Raises ValueError when a voxel is in no tile.
    """
    total = np.zeros((channels, *shape_kji), np.float32)
    weight = np.zeros(shape_kji, np.float32)
    for done, box in enumerate(boxes):
        progress(done, len(boxes))
        weights = tile_weights(box.shape_kji, falloff)
        total[(slice(None), *box.slices)] += weights * read(box)
        weight[box.slices] += weights
    if not weight.all():
        raise ValueError(f"{int((weight == 0).sum())} voxels are in no tile; the boxes must cover the whole array.")
    total /= weight
    progress(len(boxes), len(boxes))
    return total
