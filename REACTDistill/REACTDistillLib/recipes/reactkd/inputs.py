"""What the grade student sees of a case: its grid, the normalized CT, the soft masks it pools over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import mask_extent_ras, resample
from ...regions import LiverRegions
from ...volume import Grid, Volume

if TYPE_CHECKING:
    from torch import Tensor

    from .. import Preparation

# Liver parenchyma lies between about 0 (severe fat) and 250 HU (contrast); outside that the numbers are no HU.
_LIVER_HU = (-50.0, 300.0)
# MR and PET have no such values, but for a few from interpolation.
_FAT_HU, _LEAST_FAT_AND_AIR = -30.0, 0.005


def student_grid(liver: Volume, preparation: Preparation, stride_kji: Sequence[int]) -> Grid:
    """The student's grid: axes along R, A, S, placed so that its feature grid is centered on the box of the liver.

    So neither the scanner's field of view nor the direction of its axes nor the position of the patient matters.
    """
    lower, upper = mask_extent_ras(liver)
    # Feature voxels sit on voxels 0, s, 2s ..., so their middle is not the middle of the grid.
    shift = (np.array(stride_kji) - 1) / 2 * preparation.grid_spacing_kji_mm
    return Grid.centered(
        ((lower + upper) / 2 + shift[::-1]).tolist(),
        shape_kji=preparation.grid_shape_kji,
        spacing_kji_mm=preparation.grid_spacing_kji_mm,
    )


def student_image(ct: Volume, liver: Volume, grid: Grid, intensity: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return CT as the student sees it, float32 (D, H, W) on ``grid``.

    R1: window to [low, high] HU, then z-score (eps 1e-8). Design choices: mean and sd are those of the liver voxels, so
    that they depend neither on the field of view nor on contrast phase, and everything outside the liver is 0. Raises
    ValueError when the liver holds NaN or its median is no liver in Hounsfield units.
    """
    if intensity["kind"] != "window_zscore":
        raise ValueError(f'The intensity rule "{intensity["kind"]}" is not known; this version has "window_zscore".')
    share = resample(liver, grid).array_kji
    values = resample(ct, grid, outside=float(intensity["low"])).array_kji
    inside = share >= 0.5
    if not inside.any():
        raise ValueError("The liver mask is smaller than one voxel of the student's grid; check the mask.")
    _check_hounsfield(ct.array_kji, values[share > 0], values[inside])
    values[share == 0] = intensity["low"]  # whatever lies there, NaN included
    np.clip(values, intensity["low"], intensity["high"], out=values)
    values -= np.float32(intensity["low"])
    values /= np.float32(intensity["high"] - intensity["low"])
    mean, sd = values[inside].mean(dtype=np.float64), values[inside].std(dtype=np.float64)
    values -= np.float32(mean)
    values /= np.float32(sd + 1e-8)
    values *= share
    return values


def _check_hounsfield(ct: NDArray[Any], read_values: NDArray[Any], liver_values: NDArray[Any]) -> None:
    missing = int((~np.isfinite(read_values)).sum())
    if missing:
        raise ValueError(f"The CT has {missing} voxels without a number (NaN) in the liver; repair or crop the image.")
    median = float(np.median(liver_values))
    if not _LIVER_HU[0] <= median <= _LIVER_HU[1]:
        raise ValueError(
            f"The median inside the liver is {median:.0f}, where a CT in Hounsfield units has "
            f"{_LIVER_HU[0]:.0f} to {_LIVER_HU[1]:.0f}; check that this is a CT, that its rescale slope and intercept "
            "were applied, and that the mask lies on the liver."
        )
    if np.ptp(liver_values) == 0:
        raise ValueError(f"Every voxel inside the liver is {median:.0f} HU; this is not a CT image.")
    dark = float((ct < _FAT_HU).mean())
    if dark < _LEAST_FAT_AND_AIR:
        raise ValueError(
            f"Only {dark:.2%} of the image is darker than {_FAT_HU:.0f}, where a CT shows fat, lung and air; check "
            "that this is a CT in Hounsfield units and not MR or PET."
        )


def pool_masks(regions: LiverRegions, grid: Grid) -> NDArray[np.float32]:
    """Soft masks of liver, all tumors and all shells on the feature grid by area averaging, (3, d, h, w)."""
    tumor, shell = regions.union_of("tumor"), regions.union_of("shell")
    return regions.soft_masks(np.stack([np.ones_like(tumor), tumor, shell]), grid)


def flip_together(image: Tensor, pools: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Mirror an image (C, D, H, W) and masks (R, d, h, w) on its strided grid so that both still fit each other.

    Feature voxel o sits on input voxel s * o, so after the flip the image moves on by s - 1 voxels; what is pushed out
    comes in on the other side, where the margin around the liver is 0.
    """
    stride = round(image.shape[axis] / pools.shape[axis])
    return image.flip(axis).roll(-(stride - 1), axis), pools.flip(axis)
