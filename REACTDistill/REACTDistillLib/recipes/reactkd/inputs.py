"""What the networks see of a case: the grid and the normalized sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...card import shown
from ...geometry import box_reached, mask_extent_ras, resample
from ...memory import Memory
from ...volume import Box, Grid, Volume

if TYPE_CHECKING:
    from .. import Preparation

# Liver parenchyma lies between about 0 (severe fat) and 250 HU (contrast); outside that the numbers are no HU.
_LIVER_HU = (-50.0, 300.0)
# A little less than one half, so that rounding does not decide on voxels of which the liver fills exactly one half.
_HALF = 0.5 - 1e-5
_TOO_SMALL = "The mask of the organ is smaller than one voxel of the student's grid; check the mask."
_FAT_HU, _LEAST_FAT_AND_AIR = -30.0, 0.005
_LARGEST_Z = 5.0
_OF_LIVER, _OF_VOLUME = "liver", "volume"
# Voxels at the edge of the image lie beyond it by rounding.
_LEAST_COVERED, _ALL_COVERED = 0.25, 0.99


def student_grid(liver: Volume, preparation: Preparation, stride_kji: Sequence[int]) -> Grid:
    """The student's grid: axes along R, A, S, placed so that its feature grid is centered on the box of the liver.

    So neither the scanner's field of view nor the direction of its axes nor the position of the patient matters, nor
    do a few voxels that were drawn far from the liver.
    """
    lower, upper = mask_extent_ras(liver, strays=False)
    # Feature voxels sit on voxels 0, s, 2s ..., so their middle is not the middle of the grid.
    shift = (np.array(stride_kji) - 1) / 2 * preparation.grid_spacing_kji_mm
    return Grid.centered(
        ((lower + upper) / 2 + shift[::-1]).tolist(),
        shape_kji=preparation.grid_shape_kji,
        spacing_kji_mm=preparation.grid_spacing_kji_mm,
    )


@dataclass(frozen=True, eq=False)
class _Organ:
    """Where an organ lies on a grid: the box around it, and its share in each voxel of that box from 0 to 1."""

    box: Box
    grid: Grid  # of the box
    share: NDArray[Any]


def exam_images(
    sequences: Mapping[str, Volume],
    names: Sequence[str],
    organ: Volume,
    grid: Grid,
    rules: Mapping[str, Any],
    memory: Memory | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Sequences of an exam on ``grid``, (S, D, H, W), absent ones 0, and which of ``names`` the exam has, (S,).

    With a ``memory`` a sequence is not sampled again as long as the organ keeps its box. Where a sequence shows the
    organ only in part, it is 0 elsewhere and the mean is that of the part. Raises ValueError when that is too little.
    """
    memory = memory or Memory()
    present = np.array([name in sequences for name in names])
    images = np.zeros((len(names), *grid.shape_kji), np.float32)
    found = _found(organ, grid, memory)
    for index, name in enumerate(names):
        if present[index]:
            seen = _seen(name, sequences[name], found)
            values = _values(name, sequences[name], found, rules[name], memory)
            images[index][found.box.slices] = _normalized(values, seen, sequences[name], rules[name])
    return images, present


def sequence_image(volume: Volume, organ: Volume, grid: Grid, intensity: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return one sequence as a network sees it, float32 (D, H, W) on ``grid``; outside the organ it is 0.

    The rule ``intensity["kind"]`` is one of:

    - ``window_zscore`` (CT): R1, window to [low, high] HU ("low", "high"), then z-score (eps 1e-8);
    - ``percentile_zscore`` (PET): R2, clip to the 1st-99th percentile of the volume (of its finite
      voxels), scale to 0-1, then z-score;
    - ``organ_ratio`` (PET): uptake over the mean of the organ, minus 1; keeps the ratio of tumor to organ, which R2
      loses;
    - ``zscore`` (MR): z-score, cut at 5.

    Design choice: mean and sd are those of the organ's voxels, so that they depend neither on the field of view nor on
    contrast phase. With "statistics": "volume" in place of "liver" the rules of R1 and R2 take those of the whole
    volume, as published. Raises ValueError when the organ holds NaN or its values are not what the rule is for.
    """
    return exam_images({"": volume}, [""], organ, grid, {"": intensity})[0][0]


def covered_shares(sequences: Mapping[str, Volume], organ: Volume, grid: Grid, memory: Memory) -> dict[str, float]:
    """Which share of the organ each sequence shows, 0 to 1, seen on the voxels of ``grid``."""
    found = _found(organ, grid, memory)
    return {name: _covered(volume, found)[1] for name, volume in sequences.items()}


def _seen(name: str, volume: Volume, organ: _Organ) -> _Organ:
    """The part of an organ that a sequence shows."""
    inside, share = _covered(volume, organ)
    if share < _LEAST_COVERED:
        raise ValueError(
            f'Only {share:.0%} of the organ lies inside "{name}"; at least {_LEAST_COVERED:.0%} is needed. Check that '
            "all images and masks are of one exam and in one space, or leave the sequence out."
        )
    if share >= _ALL_COVERED:
        return organ
    return _Organ(organ.box, organ.grid, organ.share * inside)


def _covered(volume: Volume, organ: _Organ) -> tuple[NDArray[np.bool_], float]:
    """Which voxels of the box of an organ a sequence shows, and the share of the organ in these."""
    shape = organ.grid.shape_kji
    corners = np.array(list(product(*((0, size - 1) for size in shape[::-1]))))
    if volume.grid.holds(organ.grid.to_ras(corners)).all():  # all between them does too
        return np.ones(shape, bool), 1.0
    inside = np.zeros(shape, bool)
    places = np.argwhere(organ.share > 0)
    inside[tuple(places.T)] = volume.grid.holds(organ.grid.to_ras(places[:, ::-1]))
    return inside, float(organ.share[inside].sum() / max(organ.share.sum(), 1e-12))


def _found(organ: Volume, grid: Grid, memory: Memory) -> _Organ:
    box = box_reached(grid, organ.grid)  # outside the organ's box nothing has to be looked at
    if box is None:
        raise ValueError(_TOO_SMALL)
    near = memory.settle("organ grid", grid.cropped(box), Grid.same_as)
    return _Organ(box, near, resample(organ, near).array_kji)


def _values(name: str, volume: Volume, organ: _Organ, intensity: Mapping[str, Any], memory: Memory) -> NDArray[Any]:
    """A sequence in the box of the organ; the array is kept and must not be changed."""
    outside = float(intensity.get("low", 0.0))

    def sampled() -> NDArray[Any]:
        values = resample(volume, organ.grid, outside=outside).array_kji
        values.setflags(write=False)
        return values

    return memory.recall(f"{name} near {outside:g}", (volume, organ.grid), sampled)


def _normalized(
    values: NDArray[Any], organ: _Organ, volume: Volume, intensity: Mapping[str, Any]
) -> NDArray[np.float32]:
    if intensity["kind"] not in _RULES:
        raise ValueError(f'The intensity rule "{intensity["kind"]}" is not known; this version has {_KINDS}.')
    return _RULES[intensity["kind"]](values, organ.share, volume, intensity)


def _window_zscore(
    values: NDArray[Any], share: NDArray[Any], ct: Volume, intensity: Mapping[str, Any]
) -> NDArray[np.float32]:
    """R1 on the values of a CT, with the share of the organ in each voxel."""
    inside = share > _HALF
    if not inside.any():
        raise ValueError(_TOO_SMALL)
    values = np.where(share == 0, np.float32(intensity["low"]), values)  # whatever lies there, NaN included
    liver_values = values[inside]
    _check_hounsfield(ct.array_kji, values, liver_values)
    np.clip(liver_values, intensity["low"], intensity["high"], out=liver_values)
    width = intensity["high"] - intensity["low"]  # eps belongs to values from 0 to 1, these are in HU
    if intensity.get("statistics") == _OF_VOLUME:
        mean, sd = _mean_and_sd(ct, intensity["low"], intensity["high"])
    else:
        mean, sd = liver_values.mean(dtype=np.float64), liver_values.std(dtype=np.float64)
    np.clip(values, intensity["low"], intensity["high"], out=values)
    values -= np.float32(mean)
    values /= np.float32(sd + 1e-8 * width)
    values *= share
    return values


def _percentile_zscore(
    values: NDArray[Any], share: NDArray[Any], volume: Volume, intensity: Mapping[str, Any]
) -> NDArray[np.float32]:
    """R2 on the values of a PET; scaling to 0-1 before the z-score only sets the size of eps."""
    low, high = np.percentile(volume.array_kji[np.isfinite(volume.array_kji)], (1, 99))
    values = np.where(share == 0, low, values)  # whatever lies there, NaN included
    inside = np.clip(_organ_values(values, share), low, high)
    scale = max(float(high - low), 1e-8)
    if intensity.get("statistics") == _OF_VOLUME:
        mean, sd = _mean_and_sd(volume, low, high)
    else:
        mean, sd = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
    return ((np.clip(values, low, high) - mean) / (sd + 1e-8 * scale) * share).astype(np.float32)


def _mean_and_sd(volume: Volume, low: float, high: float) -> tuple[np.float64, np.float64]:
    """Of the finite voxels of a volume, cut at ``low`` and ``high``."""
    values = np.clip(volume.array_kji[np.isfinite(volume.array_kji)], low, high)
    return values.mean(dtype=np.float64), values.std(dtype=np.float64)


def _organ_ratio(
    values: NDArray[Any], share: NDArray[Any], volume: Volume, intensity: Mapping[str, Any]
) -> NDArray[np.float32]:
    mean = float(_organ_values(values, share).mean(dtype=np.float64))
    if mean <= 0:
        raise ValueError(f"The mean uptake of the organ is {mean:.3g}; a PET in SUV or Bq/ml has a mean above 0.")
    return np.where(share > 0, (values / mean - 1.0) * share, 0.0).astype(np.float32)


def _zscore(
    values: NDArray[Any], share: NDArray[Any], volume: Volume, intensity: Mapping[str, Any]
) -> NDArray[np.float32]:
    inside = _organ_values(values, share)
    mean, sd = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
    if sd == 0:
        raise ValueError(f"Every voxel inside the organ is {inside[0]:.3g}; this is no image of it.")
    return np.where(share > 0, np.clip((values - mean) / sd, -_LARGEST_Z, _LARGEST_Z) * share, 0.0).astype(np.float32)


def _organ_values(values: NDArray[Any], share: NDArray[Any]) -> NDArray[Any]:
    inside = values[share > _HALF]
    if not inside.size:
        raise ValueError(_TOO_SMALL)
    missing = int((~np.isfinite(values[share > 0])).sum())
    if missing:
        raise ValueError(
            f"An image has {missing} voxels without a number (NaN) in the organ; repair or crop the image."
        )
    return inside


_RULES = {
    "window_zscore": _window_zscore,
    "percentile_zscore": _percentile_zscore,
    "organ_ratio": _organ_ratio,
    "zscore": _zscore,
}
_KEYS = {"window_zscore": ("low", "high", "statistics"), "percentile_zscore": ("statistics",)}
_KINDS = ", ".join(f'"{kind}"' for kind in _RULES)


def check_rules(intensity: Mapping[str, Any]) -> None:
    """Raise ValueError for the rule of a sequence that is none of those of ``sequence_image``."""
    for name, rule in intensity.items():
        kind = rule.get("kind") if isinstance(rule, Mapping) else None
        if kind not in _RULES:
            raise ValueError(f'the intensity rule of "{name}" must have one of the kinds {_KINDS}, got {shown(rule)}.')
        unknown = sorted(set(rule) - {"kind", *_KEYS.get(kind, ())})
        if unknown:
            raise ValueError(f'the intensity rule "{kind}" of "{name}" has no setting "{unknown[0]}"; leave it out.')
        if rule.get("statistics", _OF_LIVER) not in (_OF_LIVER, _OF_VOLUME):
            raise ValueError(
                f'"statistics" of the intensity rule of "{name}" must be "{_OF_LIVER}" or "{_OF_VOLUME}", '
                f"got {shown(rule['statistics'])}."
            )
        if kind == "window_zscore" and not rule.get("low", math.nan) < rule.get("high", math.nan):
            raise ValueError(f'the intensity rule of "{name}" needs "low" below "high" in HU, got {shown(rule)}.')


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


def cell_grid(grid: Grid, stride_kji: Sequence[int]) -> Grid:
    """The grid whose voxels are the blocks of ``stride_kji`` voxels of ``grid``: that of a feature map of patches."""
    strided = grid.strided(stride_kji)
    matrix = strided.ijk_to_ras.copy()
    matrix[:3, 3] = grid.to_ras((np.array(stride_kji[::-1]) - 1) / 2)
    return Grid(strided.shape_kji, matrix)
