"""What the grade student sees of a case: its grid, the normalized CT, the soft masks it pools over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import area_average, box_reached, mask_extent_ras, resample
from ...regions import LiverRegions
from ...volume import Grid, Volume

if TYPE_CHECKING:
    from torch import Tensor

    from .. import Preparation

# Liver parenchyma lies between about 0 (severe fat) and 250 HU (contrast); outside that the numbers are no HU.
_LIVER_HU = (-50.0, 300.0)
# MR and PET have no such values, but for a few from interpolation.
# A little less than one half, so that rounding does not decide on voxels of which the liver fills exactly one half.
_HALF = 0.5 - 1e-5
_TOO_SMALL = "The liver mask is smaller than one voxel of the student's grid; check the mask."
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
    box = box_reached(grid, liver.grid)  # outside the liver's box nothing has to be looked at
    if box is None:
        raise ValueError(_TOO_SMALL)
    near = grid.cropped(box)
    share = resample(liver, near).array_kji
    values = resample(ct, near, outside=float(intensity["low"])).array_kji
    whole = np.zeros(grid.shape_kji, dtype=np.float32)
    whole[box.slices] = _normalized(values, share, ct, intensity)
    return whole


def _normalized(
    values: NDArray[Any], share: NDArray[Any], ct: Volume, intensity: Mapping[str, Any]
) -> NDArray[np.float32]:
    """R1 on the values of the CT, with the share of the liver in each voxel; the array is used up."""
    inside = share > _HALF
    if not inside.any():
        raise ValueError(_TOO_SMALL)
    outside = share == 0
    np.copyto(values, intensity["low"], where=outside)  # whatever lies there, NaN included
    liver_values = values[inside]
    _check_hounsfield(ct.array_kji, values, liver_values)
    np.clip(liver_values, intensity["low"], intensity["high"], out=liver_values)
    width = intensity["high"] - intensity["low"]  # eps belongs to values from 0 to 1, these are in HU
    mean, sd = liver_values.mean(dtype=np.float64), liver_values.std(dtype=np.float64)
    np.clip(values, intensity["low"], intensity["high"], out=values)
    values -= np.float32(mean)
    values /= np.float32(sd + 1e-8 * width)
    values *= share
    return values


def _check_hounsfield(ct: NDArray[Any], read_values: NDArray[Any], liver_values: NDArray[Any]) -> None:
    missing = int((~np.isfinite(read_values)).sum())
    if missing:
        raise ValueError(f"The CT has {missing} voxels without a number (NaN) in the liver; repair or crop the image.")
    _check_median(liver_values)
    if np.ptp(liver_values) == 0:
        raise ValueError(f"Every voxel inside the liver is {liver_values[0]:.0f} HU; this is not a CT image.")
    least_dark, dark = _LEAST_FAT_AND_AIR * ct.size, 0
    for plane in ct:  # enough is seen in the first few
        dark += int(np.count_nonzero(plane < _FAT_HU))
        if dark >= least_dark:
            return
    raise ValueError(
        f"Only {dark / ct.size:.2%} of the image is darker than {_FAT_HU:.0f}, where a CT shows fat, lung and air; "
        "check that this is a CT in Hounsfield units and not MR or PET."
    )


def _check_median(liver_values: NDArray[Any]) -> None:
    low, high = _LIVER_HU
    beyond = max(np.count_nonzero(liver_values < low), np.count_nonzero(liver_values > high))
    if 2 * beyond < liver_values.size:  # counting is quicker than sorting
        return
    median = float(np.median(liver_values))
    if not low <= median <= high:
        raise ValueError(
            f"The median inside the liver is {median:.0f}, where a CT in Hounsfield units has "
            f"{low:.0f} to {high:.0f}; check that this is a CT, that its rescale slope and intercept "
            "were applied, and that the mask lies on the liver."
        )


def pool_masks(regions: LiverRegions, grid: Grid) -> NDArray[np.float32]:
    """Soft masks of liver, all tumors and all shells on the feature grid by area averaging, (3, d, h, w)."""
    masks = [regions.liver, regions.union_of("tumor"), regions.union_of("shell")]
    nothing = np.zeros(grid.shape_kji, dtype=np.float32)
    return np.stack([nothing if mask is None else area_average(mask, grid) for mask in masks])


def flip_together(image: Tensor, pools: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Mirror an image (C, D, H, W) and masks (R, d, h, w) on its strided grid so that both still fit each other.

    Feature voxel o sits on input voxel s * o, so after the flip the image moves on by s - 1 voxels; what is pushed out
    comes in on the other side, where the margin around the liver is 0.
    """
    stride = round(image.shape[axis] / pools.shape[axis])
    return image.flip(axis).roll(-(stride - 1), axis), pools.flip(axis)
