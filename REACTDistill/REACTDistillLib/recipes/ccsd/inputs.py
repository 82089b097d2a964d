"""What the network sees of a case: the grid around the brain and the normalized sequences on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import box_reached, mask_extent_ras, resample
from ...volume import Grid, Volume
from .brainmask import find_brain
from .checks import check_sequences

__all__ = ["brain_grid", "brain_grid_of_tiles", "brain_images", "brain_mask", "check_sequences", "sequence_values"]

# A little less than one half, so that rounding does not decide on voxels of which the brain fills exactly one half.
_HALF = 0.5 - 1e-5
_RULE = "brain_zscore"


def brain_mask(sequences: Mapping[str, Volume], brain: Volume | None = None) -> Volume:
    """Return the mask of the brain (bool): see ``brainmask.find_brain``, which says also whether it is an estimate."""
    return find_brain(sequences, brain).mask


def brain_grid(
    brain: Volume,
    spacing_kji_mm: Sequence[float],
    multiple_of_kji: Sequence[int],
    shape_kji: Sequence[int] | None = None,
) -> Grid:
    """Return a grid with axes along R, A, S whose middle is that of the box around the brain but for stray voxels.

    Its shape is ``shape_kji``, or the smallest that holds the box. Sizes are rounded up to ``multiple_of_kji``, so that
    a network of that stride can take them. Raises ValueError when the mask is empty.
    """
    lower, upper = mask_extent_ras(brain, strays=False)
    if shape_kji is None:
        # The extent is that of voxel centers; one voxel more holds the voxels at both ends.
        steps = (upper - lower)[::-1] / np.asarray(spacing_kji_mm)
        shape_kji = [int(np.ceil(step - 1e-6)) + 1 for step in steps]
    shape_kji = [-(-size // multiple) * multiple for size, multiple in zip(shape_kji, multiple_of_kji, strict=True)]
    return Grid.centered(((lower + upper) / 2).tolist(), shape_kji=shape_kji, spacing_kji_mm=spacing_kji_mm)


def brain_grid_of_tiles(
    brain: Volume, spacing_kji_mm: Sequence[float], multiple_of_kji: Sequence[int], tile_kji: Sequence[int]
) -> Grid:
    """Return the grid around the brain that is no smaller than one tile along any axis, as in training."""
    grid = brain_grid(brain, spacing_kji_mm, multiple_of_kji)
    larger = tuple(max(pair) for pair in zip(grid.shape_kji, tile_kji, strict=True))
    return brain_grid(brain, spacing_kji_mm, multiple_of_kji, shape_kji=larger)


def brain_images(
    sequences: Mapping[str, Volume],
    names: Sequence[str],
    brain: Volume,
    grid: Grid,
    rules: Mapping[str, Mapping[str, Any]],
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return images (M, D, H, W), which of ``names`` the exam has (M,), and the brain (D, H, W) on ``grid``.

    Every sequence comes through RAS mm from a grid of its own. Its rule is {"kind": "brain_zscore", "clip_percentile":
    99.9}: the highest values are cut at that percentile and the lowest at its counterpart, then z-score, all over the
    voxels that lie in the brain and in the image; 0 elsewhere, and for a sequence that is absent. Raises ValueError for
    a rule that is not known, a brain that misses the grid, and a sequence that is constant inside the brain.
    """
    inside = resample(brain, grid).array_kji > _HALF
    if not inside.any():
        raise ValueError("The brain does not reach into the grid of the student; check the mask of the brain.")
    present = np.array([name in sequences for name in names])
    images = np.zeros((len(names), *grid.shape_kji), np.float32)
    for image, name in zip(images, names, strict=True):
        if name in sequences:
            sequence_values(name, sequences[name], inside, grid, rules[name], into=image)
    return images, present, inside


def sequence_values(
    name: str,
    volume: Volume,
    inside: NDArray[np.bool_],
    grid: Grid,
    rule: Mapping[str, Any],
    *,
    into: NDArray[np.float32],
) -> None:
    """Put one normalized sequence ``into`` zeros (D, H, W) on ``grid``; ``inside`` is the brain there."""
    if rule["kind"] != _RULE:
        raise ValueError(f'The intensity rule "{rule["kind"]}" is not known; brains have "{_RULE}".')
    box = box_reached(grid, volume.grid)
    if box is None:
        raise ValueError(f'"{name}" does not reach the brain; check that all images and masks are of one exam.')
    near = resample(volume, grid.cropped(box), outside=np.nan).array_kji
    there = inside[box.slices] & ~np.isnan(near)
    values = near[there]
    if values.size < 2:
        raise ValueError(f'"{name}" does not reach the brain; check that all images and masks are of one exam.')
    top = float(rule.get("clip_percentile", 100.0))
    low, high = np.percentile(values, (100.0 - top, top))
    np.clip(values, low, high, out=values)
    mean, sd = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    if sd == 0:
        raise ValueError(f'Every voxel of "{name}" inside the brain is {values[0]:g}; this is no image of it.')
    into[box.slices][there] = (values - np.float32(mean)) / np.float32(sd)
