"""Dice and HD95 of one mask against the truth, with the rule for empty masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
MissedRule = Literal["image_diagonal", "brats"]

BRATS_MISSED_MM = 373.13  # diagonal of 240 x 240 x 155 voxels of 1 mm, the penalty of the BraTS challenges
MISSED_RULES: dict[MissedRule, str] = {
    "image_diagonal": "the diagonal of the image of the truth",
    "brats": f"{BRATS_MISSED_MM} mm as in the BraTS challenges",
}


def dice(predicted: Mask, truth: Mask) -> float:
    """Return 2 |P and T| / (|P| + |T|) of two masks (K, J, I); 1 when both are empty, 0 when one is.

    Raises ValueError when the masks differ in shape or are not bool.
    """
    _check_masks(predicted, truth)
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else 1.0


def hd95_mm(
    predicted: Mask, truth: Mask, spacing_kji_mm: Sequence[float], *, missed: MissedRule = "image_diagonal"
) -> float:
    """Return the 95 % Hausdorff distance in mm of two masks (K, J, I).

    The larger one of two 95th percentiles (linear between ranks): of the distances from the surface voxels of one mask
    to the nearest surface voxel of the other, and the other way. Surface voxels have a face neighbor outside the mask,
    or beyond the image. 0 when both masks are empty; when one is, what ``missed`` says. Errors as ``dice``, and
    ValueError for spacings that are not three numbers above 0.
    """
    _check_masks(predicted, truth)
    if len(spacing_kji_mm) != 3 or not all(math.isfinite(mm) and mm > 0 for mm in spacing_kji_mm):
        raise ValueError(f"The spacing of the voxels is {tuple(spacing_kji_mm)}, expected three numbers above 0 in mm.")
    if not predicted.any() or not truth.any():
        return missed_mm(truth.shape, spacing_kji_mm, missed) if predicted.any() or truth.any() else 0.0
    box = _box_of(predicted | truth)
    surfaces = _surface(predicted[box]), _surface(truth[box])
    return max(_distance_95_mm(one, other, spacing_kji_mm) for one, other in (surfaces, surfaces[::-1]))


def missed_mm(shape_kji: Sequence[int], spacing_kji_mm: Sequence[float], rule: MissedRule) -> float:
    """Return the HD95 in mm that stands for a region found where there is none, or not found; ValueError by name."""
    if rule not in MISSED_RULES:
        raise ValueError(f'There is no rule "{rule}" for missed regions; there are {", ".join(MISSED_RULES)}.')
    if rule == "brats":
        return BRATS_MISSED_MM
    return math.hypot(*(count * mm for count, mm in zip(shape_kji, spacing_kji_mm, strict=True)))


def empty_rule(missed: MissedRule) -> str:
    """The sentence on empty masks that must stand beside a table of Dice and HD95."""
    return (
        "A region that is empty in truth and prediction counts as Dice 1 and HD95 0 mm; one that is empty in only one "
        f"of them counts as Dice 0, and its HD95 is {MISSED_RULES[missed]}."
    )


def _check_masks(predicted: Mask, truth: Mask) -> None:
    if predicted.shape != truth.shape or predicted.dtype != np.bool_ or truth.dtype != np.bool_:
        raise ValueError(
            f"A mask {predicted.shape} of {predicted.dtype} cannot be scored against a truth {truth.shape} of "
            f"{truth.dtype}; give two bool masks on one grid."
        )


def _box_of(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds all of a mask that is not empty."""
    places = [np.flatnonzero(mask.any(axis=tuple(set(range(3)) - {axis}))) for axis in range(3)]
    return tuple(slice(int(place[0]), int(place[-1]) + 1) for place in places)


def _surface(mask: Mask) -> Mask:
    from scipy.ndimage import binary_erosion

    inner: Mask = binary_erosion(mask, border_value=0)
    return mask & ~inner


def _distance_95_mm(start: Mask, end: Mask, spacing_kji_mm: Sequence[float]) -> float:
    from scipy.ndimage import distance_transform_edt

    distance_mm = distance_transform_edt(~end, sampling=tuple(spacing_kji_mm))
    return float(np.percentile(distance_mm[start], 95))
