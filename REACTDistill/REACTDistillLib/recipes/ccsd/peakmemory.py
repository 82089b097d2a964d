"""How much memory a segmentation takes at its peak: the whole brain at once, and in tiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...geometry import box_reached
from ...volume import Grid, Volume
from .inputs import brain_grid_of_tiles

if TYPE_CHECKING:
    from .. import Preparation

# The size of the common public exams of brain tumors; the card of each student says what one of these takes.
STATED_SHAPE_KJI = (155, 240, 240)
STATED_SPACING_KJI_MM = (1.0, 1.0, 1.0)
SHARE_OF_FREE = 0.8  # memory that is free now is not all for us
_FLOAT_BYTES = 4
# What follows was measured by Testing/benchmarks/segment_memory.py: maps beside those of the sequences while the finest
# level is fused, those beside an unfolded input, and what the gaps between maps of many sizes come to.
_MAPS_BESIDE_FUSION, _MAPS_BESIDE_UNFOLDED = 8, 4
_GAPS = 1.1
_WORKSPACE_BYTES = 80e6  # with what the allocator keeps between maps, which differs from run to run
# On a CPU torch unfolds the input of a convolution that has no more values along channels, slices and rows than this.
_LARGEST_UNFOLDED = 20480


class Peak(NamedTuple):
    """Bytes at the peak, beside the images and the program: the whole brain at once, or in tiles."""

    whole: int
    tiled: int


def peak_of(
    network: Mapping[str, Any], tile_kji: Sequence[int], sequences: Mapping[str, Volume], brain_grid: Grid
) -> Peak:
    """About how much memory it takes to segment ``sequences`` on a CPU, in bytes.

    ``network`` is the configuration in the card, ``tile_kji`` the grid in it; ``brain_grid`` is all that the network
    sees of the exam. It grows in step with the voxels of images and grid. Counted are what looking for the brain leaves
    behind and the larger one of two: the network with its images, or the answer with its maps and masks.
    """
    regions, voxels = int(network["regions"]), math.prod(brain_grid.shape_kji)
    answer_voxels = max(_voxels_reached(volume.grid, brain_grid) for volume in sequences.values())
    found = (len(sequences) + 1) * max(volume.array_kji.size for volume in sequences.values())
    seen = (_FLOAT_BYTES * int(network["sequences"]) + 1) * voxels
    joined = _FLOAT_BYTES * (regions + 1) * voxels
    beside_tile = _FLOAT_BYTES * (int(network["sequences"]) + 2 * regions + 1) * math.prod(tile_kji)
    masks = 2 * regions * answer_voxels  # they take the place of what was found
    answer = _FLOAT_BYTES * regions * (voxels + answer_voxels) + max(0, masks - found)
    whole = seen + network_bytes(network, brain_grid.shape_kji, sequences=len(sequences))
    tiled = seen + joined + beside_tile + network_bytes(network, tile_kji, sequences=len(sequences))
    return Peak(*(int(_WORKSPACE_BYTES + found + max(running, answer)) for running in (whole, tiled)))


def network_bytes(network: Mapping[str, Any], shape_kji: Sequence[int], *, sequences: int) -> float:
    """About how much a network takes at its peak for ``shape_kji`` voxels of that many sequences, in bytes.

    Counted are the shared and the composed maps of every level and sequence, and what is more: the fusion of the finest
    level, or its composition where torch unfolds that. Weights, images and answer are not in it.
    """
    channels: Sequence[int] = network.get("channels", (16, 32, 64, 128))
    stem, step = network.get("stem_stride", (2, 2, 2)), math.prod(network.get("level_stride", (2, 2, 2)))
    finest_kji = [size / stride for size, stride in zip(shape_kji, stem, strict=True)]
    level_values = [width * math.prod(finest_kji) / step**level for level, width in enumerate(channels)]
    fusion = (2 * sequences + int(network["sequences"]) + _MAPS_BESIDE_FUSION) * level_values[0]
    unfolded = _unfolded_values(2 * channels[0], finest_kji, network.get("kernel", (3, 3, 3)))
    composition = _MAPS_BESIDE_UNFOLDED * level_values[0] + unfolded
    return _GAPS * _FLOAT_BYTES * (2 * sequences * sum(level_values) + max(fusion, composition))


def stated_memory(preparation: Preparation, stride_kji: Sequence[int]) -> dict[str, Any]:
    """What a card says of memory: the peak for 155 x 240 x 240 voxels (K, J, I) of 1 mm with all sequences.

    It is that of a brain that fills the image, which none does: no exam of this size takes more. ``stride_kji`` is that
    of the network.
    """
    image = Grid.centered((0.0, 0.0, 0.0), shape_kji=STATED_SHAPE_KJI, spacing_kji_mm=STATED_SPACING_KJI_MM)
    everywhere, tile_kji = Volume(np.ones(STATED_SHAPE_KJI, bool), image), preparation.grid_shape_kji
    grid = brain_grid_of_tiles(everywhere, preparation.grid_spacing_kji_mm, stride_kji, tile_kji)
    exam = dict.fromkeys(preparation.sequence_names, everywhere)
    peak = peak_of(preparation.network, tile_kji, exam, grid)
    return {
        "image_shape_kji": list(STATED_SHAPE_KJI),
        "image_spacing_kji_mm": list(STATED_SPACING_KJI_MM),
        "sequences": len(exam),
        "whole_bytes": peak.whole,
        "tiled_bytes": peak.tiled,
    }


def _voxels_reached(image: Grid, brain_grid: Grid) -> int:
    box = box_reached(image, brain_grid)
    return 0 if box is None else math.prod(box.shape_kji)


def _unfolded_values(channels: int, shape_kji: Sequence[float], kernel_kji: Sequence[int]) -> float:
    """The values that a convolution unfolds its input to, 0 when it does not."""
    k, j, i = shape_kji
    return math.prod(kernel_kji) * channels * k * j * i if channels * k * j <= _LARGEST_UNFOLDED else 0.0
