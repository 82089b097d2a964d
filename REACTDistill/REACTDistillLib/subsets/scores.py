"""Scores over all subsets of sequences: by subset, by how many sequences are there, and in one number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..bootstrap import Scored, resamples

Subset = tuple[str, ...]
Array = NDArray[np.float64]

SEQUENCE_ORDER = ("t1", "t1ce", "t2", "flair")
AURC_DEFINITION = (
    "AURC is the area under the mean Dice over the number n of sequences, n = 1 to N, by the trapezoid rule, divided "
    "by N - 1; so each number of sequences counts alike, while the mean over subsets counts each subset alike."
)


def in_order(names: Iterable[str]) -> Subset:
    """The names in the order of the card (T1, T1ce, T2, FLAIR), each once; others follow by the alphabet."""
    place = {name: index for index, name in enumerate(SEQUENCE_ORDER)}
    return tuple(sorted(set(names), key=lambda name: (place.get(name, len(place)), name)))


def subset_name(names: Iterable[str]) -> str:
    """The name of a subset in tables and cards, as "t1ce+flair", whatever the order of the names given."""
    return "+".join(in_order(names))


def all_subsets(names: Iterable[str]) -> list[Subset]:
    """Every subset of the names that is not empty, small ones first: 15 of four names, 7 of three."""
    ordered = in_order(names)
    return [subset for size in range(1, len(ordered) + 1) for subset in combinations(ordered, size)]


@dataclass(frozen=True)
class SubsetScore:
    """Dice and HD95 (mm) of one region of one case, segmented from one subset of its sequences."""

    case: str
    patient: str
    subset: Subset
    region: str
    dice: float
    hd95_mm: float = math.nan


@dataclass(frozen=True, eq=False)
class SubsetTable:
    """Scores of N cases for S subsets and R regions.

    ``dice`` and ``hd95_mm`` (N, S, R) are NaN where a case lacks a sequence of the subset or the truth of the region.
    ``subsets`` stand in the order of ``all_subsets``.
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    subsets: tuple[Subset, ...]
    regions: tuple[str, ...]
    dice: Array
    hd95_mm: Array

    @property
    def sequences(self) -> Subset:
        """The names of all sequences that some subset holds."""
        return in_order(name for subset in self.subsets for name in subset)


def subset_table(scores: Iterable[SubsetScore], regions: Sequence[str]) -> SubsetTable:
    """The table of single scores; cases in the order of their first score. Raises ValueError when there is none."""
    rows = list(scores)
    if not rows:
        raise ValueError("There is no score to make a table of; the cases need a truth to compare with.")
    patient_of = {row.case: row.patient for row in rows}
    subsets = tuple(all_subsets(name for row in rows for name in row.subset))
    shape = (len(patient_of), len(subsets), len(regions))
    dice, hd95 = np.full(shape, math.nan), np.full(shape, math.nan)
    case_at = {case: index for index, case in enumerate(patient_of)}
    subset_at = {subset: index for index, subset in enumerate(subsets)}
    for row in rows:
        place = case_at[row.case], subset_at[in_order(row.subset)], regions.index(row.region)
        dice[place], hd95[place] = row.dice, row.hd95_mm
    return SubsetTable(tuple(patient_of), tuple(patient_of.values()), subsets, tuple(regions), dice, hd95)


def mean_of_cases(values: Array) -> Array:
    """The mean (S, R) over the cases of (N, S, R) that have the subset and the truth; NaN where none has."""
    return _mean(values, axis=0)


def mean_by_level(subset_means: Array, subsets: Sequence[Subset]) -> Array:
    """The mean (L, R) over the subsets of each size 1 to L, given the means (S, R) of the subsets."""
    sizes = np.array([len(subset) for subset in subsets])
    return np.stack([_mean(subset_means[sizes == size], axis=0) for size in range(1, int(sizes.max()) + 1)])


def aurc(levels: Array) -> Array:
    """The area (R,) under the means (L, R) by number of sequences, divided by L - 1: on the scale of Dice.

    ``AURC_DEFINITION`` says it in words. Of one sequence alone it is that mean; NaN where a level has none.
    """
    if len(levels) == 1:
        return levels[0]
    area: Array = (levels[1:] + levels[:-1]).sum(axis=0) / 2 / (len(levels) - 1)
    return area


def summary_scores(dice: Array, subsets: Sequence[Subset], regions: Sequence[str]) -> dict[str, float]:
    """All that a student is worth over subsets, from Dice (N, S, R).

    "dice" over subsets and regions, "aurc" over regions, "dice_1" ... for that many sequences, "dice_WT" and "aurc_WT"
    for each region. Means go over cases first, then subsets, then regions. NaN where nothing was measured.
    """
    means = mean_of_cases(dice)
    levels = mean_by_level(means, subsets)
    areas = aurc(levels)
    scores = {"dice": _mean(means, axis=0), "aurc": areas}
    scores |= {f"dice_{n}": level for n, level in enumerate(levels, start=1)}
    result = {name: float(_mean(values, axis=0)) for name, values in scores.items()}
    for region, of_subsets, area in zip(regions, scores["dice"], areas, strict=True):
        result |= {f"dice_{region}": float(of_subsets), f"aurc_{region}": float(area)}
    return result


def subset_scores(table: SubsetTable) -> dict[str, float]:
    """``summary_scores`` of a table."""
    return summary_scores(table.dice, table.subsets, table.regions)


def summary_intervals(
    table: SubsetTable, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Scored]:
    """Each of ``subset_scores`` with its percentile interval: value, low, high; patients drawn with replacement.

    Of few patients it is too narrow, and it says nothing of other seeds of training. ValueError for a level or a number
    of samples that makes no interval.
    """
    if not 0 < level < 1 or samples < 2:
        raise ValueError(f"A level of {level} with {samples} samples makes no interval; use 0.95 and 1000.")
    labels = np.zeros(len(table.cases), dtype=np.int64)  # one stratum: there are no classes to keep in balance
    draws = resamples(labels, table.patients, samples=samples, seed=seed)
    rows = [summary_scores(table.dice[cases], table.subsets, table.regions) for cases in draws]
    tails = ((1 - level) / 2, (1 + level) / 2)
    intervals = {}
    for name, value in subset_scores(table).items():
        low, high = np.quantile([row[name] for row in rows], tails)
        intervals[name] = (value, float(low), float(high))
    return intervals


def card_metrics(table: SubsetTable) -> dict[str, dict[str, float]]:
    """The metrics of a card: for each subset by name "dice_WT" ... and "cases"; what was not measured is left out."""
    metrics = {}
    means, measured = mean_of_cases(table.dice), np.isfinite(table.dice).any(axis=2).sum(axis=0)
    for subset, row, cases in zip(table.subsets, means, measured, strict=True):
        if cases:
            found = {f"dice_{name}": round(float(x), 4) for name, x in zip(table.regions, row, strict=True) if x == x}
            metrics[subset_name(subset)] = {**found, "cases": int(cases)}
    return metrics


def _mean(values: Array, axis: int) -> Array:
    """The mean of what is no NaN; NaN where nothing is, without a warning: an absent subset is no surprise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean: Array = np.nanmean(values, axis=axis)
    return mean
