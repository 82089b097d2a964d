"""What is refused before anything is computed, and what is said of a case that is odd; one sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...geometry import main_box, mask_box, mask_extent_ras
from ...volume import Volume
from .brainmask import FoundBrain, background_value, head_of
from .outlines import Outline, agreement, outline_of

NO_SEQUENCE = "No sequence was given; give at least one of T1, T1ce, T2 and FLAIR."
# Air in a CT; an MR has no such values but for a few from interpolation.
_AIR_HU, _LEAST_AIR = -500.0, 0.02
# Label maps of tumors have five values at most.
_LEAST_VALUES, _SAMPLED_VOXELS = 8, 100_000
# A slice through a brain is larger, a head with its ears and nose smaller.
_LEAST_VIEW_MM, _LARGEST_HEAD_MM = 90.0, 300.0
_BRAIN_ML = (500.0, 2600.0)
# A brain that is shorter than the first along one side is a slab, whose volume tells nothing; all are longer than the
# second along another.
_WHOLE_BRAIN_MM, _LEAST_BRAIN_MM = 90.0, 100.0
_LEAST_COVERED, _WELL_COVERED = 0.25, 0.9
_FAR_MM = 25.0
# Stripped sequences of one exam agree by 99 %, those of two patients in one atlas by 93 % at most. A head has no edge
# as sharp: 94 to 98 % in one exam, 90 % where it lay 18 mm and a few degrees away (design choice: half-way).
_LEAST_AGREEMENT, _LEAST_AGREEMENT_OF_HEADS = 0.95, 0.92


def check_sequences(sequences: Mapping[str, Volume]) -> None:
    """Raise ValueError, one sentence, for sequences that cannot be what they are said to be.

    None at all; NaN or infinity; one value throughout; a label map; the voxels of another name; a CT; a field of view
    smaller than a brain; an object larger than a head.
    """
    if not sequences:
        raise ValueError(NO_SEQUENCE)
    for name, volume in sequences.items():
        _check_values(name, volume)
        _check_size(name, volume)
    for one, other in combinations(sorted(sequences), 2):
        if np.array_equal(sequences[one].array_kji, sequences[other].array_kji):
            raise ValueError(f'"{one}" and "{other}" are the same image; leave out the one that it is not.')


def _check_values(name: str, volume: Volume) -> None:
    array = volume.array_kji
    low, high = float(array.min()), float(array.max())  # NaN when there is one
    if not (np.isfinite(low) and np.isfinite(high)):
        missing = int(np.count_nonzero(~np.isfinite(array)))
        raise ValueError(f'"{name}" has {missing} voxels without a number (NaN or infinity); repair or crop the image.')
    if low == high:
        raise ValueError(f'Every voxel of "{name}" is {low:g}; this is no image, choose another.')
    if _has_few_values(array):
        raise ValueError(
            f'"{name}" holds fewer than {_LEAST_VALUES} different values, as masks and label maps do; choose the image.'
        )
    if low < _AIR_HU and np.count_nonzero(array < _AIR_HU) > _LEAST_AIR * array.size:
        raise ValueError(
            f'"{name}" has values down to {low:.0f}, as air in a CT; check that this is an MR image of the head.'
        )


def _has_few_values(array_kji: NDArray[np.generic]) -> bool:
    step = max(1, round((array_kji.size / _SAMPLED_VOXELS) ** (1 / 3)))  # sorting all voxels would take half a second
    sample = array_kji[::step, ::step, ::step]
    return np.unique(sample).size < _LEAST_VALUES and np.unique(array_kji).size < _LEAST_VALUES


def _check_size(name: str, volume: Volume) -> None:
    sizes_mm = sorted(volume.grid.spacing_ijk_mm * volume.grid.shape_kji[::-1])
    if sizes_mm[1] < _LEAST_VIEW_MM:
        shown = " x ".join(f"{size:.0f}" for size in sizes_mm)
        raise ValueError(f'"{name}" shows {shown} mm, which is less than a brain; choose an image of the whole brain.')
    if sizes_mm[2] > _LARGEST_HEAD_MM and background_value(volume) is None:
        _check_head(name, head_of(volume))


def _check_head(name: str, head: Volume) -> None:
    if not head.array_kji.any():
        raise ValueError(f'"{name}" shows no object brighter than air; check that this is an MR image of the head.')
    lower, upper = mask_extent_ras(head)
    across_mm = float((upper - lower)[:2].max())  # a neck may be long
    if across_mm > _LARGEST_HEAD_MM:
        raise ValueError(
            f'What "{name}" shows is {across_mm:.0f} mm wide, more than a head; choose an MR image of the head.'
        )


def check_brain(brain: FoundBrain) -> None:
    """Raise ValueError when a found brain has not the size of one; a given mask is taken as it is, if not empty."""
    if not brain.mask.array_kji.any():
        raise ValueError('The region "brain" is empty; leave it out or give a mask of the brain.')
    lower, upper = mask_extent_ras(brain.mask)
    volume_ml = float(np.count_nonzero(brain.mask.array_kji)) * brain.mask.grid.voxel_ml
    least_ml = _BRAIN_ML[0] if float((upper - lower).min()) >= _WHOLE_BRAIN_MM else 0.0
    is_short = float((upper - lower).max()) < _LEAST_BRAIN_MM
    if brain.source != "given" and (is_short or not least_ml <= volume_ml <= _BRAIN_ML[1]):
        raise ValueError(
            f"What looks like the brain measures {volume_ml:.0f} ml; check that this is an MR image of the head, or "
            'give a mask as region "brain".'
        )


def covered_shares(sequences: Mapping[str, Volume], brain: Volume) -> dict[str, float]:
    """Which share of the brain lies inside the image of each sequence, 0 to 1; looked at on a few thousand voxels."""
    places = np.flatnonzero(brain.array_kji)  # an index along each axis for all of them would take three times as much
    few = np.unravel_index(places[:: max(1, len(places) // 5000)], brain.array_kji.shape)
    points_ras = brain.grid.to_ras(np.stack(few[::-1], axis=1))
    return {name: float(volume.grid.holds(points_ras).mean()) for name, volume in sequences.items()}


def check_overlap(shares: Mapping[str, float]) -> None:
    """Raise ValueError when a sequence shows too little of the brain to belong to the others."""
    for name, share in shares.items():
        if share < _LEAST_COVERED:
            raise ValueError(
                f'Only {share:.0%} of the brain lies inside "{name}"; check that all images and masks are of one exam '
                "and in one space."
            )


def case_warnings(
    sequences: Mapping[str, Volume], wanted: Sequence[str], brain: FoundBrain, shares: Mapping[str, float]
) -> list[str]:
    """Sentences on what makes a result less certain.

    That is one sequence only, a brain that was estimated or has stray voxels, images that do not fit.
    """
    warnings = []
    if len(sequences) == 1 < len(wanted):
        warnings.append(f'Only one sequence was given ("{next(iter(sequences))}"): the result is less certain.')
    voxels = brain.mask.array_kji.astype(bool, copy=False)
    if brain.source == "given" and mask_box(voxels) != main_box(voxels):
        warnings.append("The mask of the brain has stray voxels far from it, which do not count; check the mask.")
    if brain.is_estimated:
        warnings.append(
            "The images have a skull, so the brain was only estimated; skull-strip them or give a mask of the brain "
            "for a surer result."
        )
    for name, share in shares.items():
        if share < _WELL_COVERED:
            warnings.append(f'Only {share:.0%} of the brain lies inside "{name}".')
    outlines = {name: outline_of(volume) for name, volume in sequences.items()}
    return warnings + (_apart(outlines) or _unlike(outlines))


def _apart(outlines: Mapping[str, Outline]) -> list[str]:
    """A sentence for the two sequences whose heads lie furthest apart, when that is too far."""
    centers = {name: outline.center_ras for name, outline in outlines.items()}
    pairs = list(combinations(sorted(centers), 2))
    if not pairs:
        return []
    distances_mm = {(a, b): float(np.linalg.norm(centers[a] - centers[b])) for a, b in pairs}
    (one, other), far_mm = max(distances_mm.items(), key=lambda pair: pair[1])
    if far_mm <= _FAR_MM:
        return []
    return [f'The heads in "{one}" and "{other}" lie {far_mm:.0f} mm apart; check that the images are registered.']


def _unlike(outlines: Mapping[str, Outline]) -> list[str]:
    """A sentence for the two sequences whose outlines agree least, when that is too little for one exam."""
    shares = {(a, b): agreement(outlines[a], outlines[b]) for a, b in combinations(sorted(outlines), 2)}
    missing = {(a, b): _least_agreement(outlines[a], outlines[b]) - share for (a, b), share in shares.items()}
    worst = max(missing, key=missing.__getitem__, default=None)
    if worst is None or missing[worst] <= 0:
        return []
    one, other = worst
    return [
        f'The outlines in "{one}" and "{other}" agree by only {shares[worst]:.0%}; check that both images are of one '
        "exam and registered."
    ]


def _least_agreement(one: Outline, other: Outline) -> float:
    return _LEAST_AGREEMENT if one.is_brain or other.is_brain else _LEAST_AGREEMENT_OF_HEADS
