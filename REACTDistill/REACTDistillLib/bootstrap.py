"""Bootstrap intervals of scores, drawn by patient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .metrics import Labels, Probabilities, classification_scores

Statistic = Callable[[Probabilities, Labels], dict[str, float]]
# A score with the ends of its interval: value, low, high.
Scored = tuple[float, float, float]


def bootstrap_intervals(
    probabilities: Probabilities,
    labels: Labels,
    *,
    patients: Sequence[Hashable] | None = None,
    statistic: Statistic = classification_scores,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval (low, high) of each score that ``statistic`` names.

    ``probabilities`` (N, K), ``labels`` (N,), ``patients`` the patient of each case (None: each case is a patient of
    its own). Patients are drawn with replacement, all cases of one together, and within each set of classes that a
    patient has: so each class is there in each draw, and the interval is one for the mix of classes of this cohort.
    It says nothing of other seeds of training, and of a class with very few patients it is too narrow. The same
    ``seed`` gives the same interval. ValueError for a level or a number of samples that makes no interval.
    """
    if not 0 < level < 1:
        raise ValueError(f"The level of an interval is {level}, expected a number between 0 and 1, as 0.95.")
    if samples < 2:
        raise ValueError(f"An interval from {samples} bootstrap samples is none; ask for at least 2, better 1000.")
    draws = resamples(labels, patients or range(len(labels)), samples=samples, seed=seed)
    rows = [statistic(probabilities[cases], labels[cases]) for cases in draws]
    tails = ((1 - level) / 2, (1 + level) / 2)
    return {name: _quantiles([row[name] for row in rows], tails) for name in rows[0]}


def resamples(labels: Labels, patients: Sequence[Hashable], *, samples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield ``samples`` arrays of case numbers, patients drawn with replacement within their set of classes."""
    if len(patients) != len(labels):
        raise ValueError(f"There are {len(patients)} patients for {len(labels)} labels; each case needs both.")
    strata = _strata(labels, patients)
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        drawn = [group[n] for group in strata for n in rng.integers(len(group), size=len(group))]
        yield np.concatenate(drawn)


def _strata(labels: Labels, patients: Sequence[Hashable]) -> list[list[NDArray[np.int64]]]:
    """The case numbers of each patient, patients with the same set of classes together."""
    cases: dict[Hashable, list[int]] = {}
    for number, patient in enumerate(patients):
        cases.setdefault(patient, []).append(number)
    strata: dict[frozenset[int], list[NDArray[np.int64]]] = {}
    for numbers in cases.values():
        strata.setdefault(frozenset(labels[numbers].tolist()), []).append(np.array(numbers))
    return list(strata.values())


def _quantiles(values: Sequence[float], tails: tuple[float, float]) -> tuple[float, float]:
    low, high = np.quantile(values, tails)
    return float(low), float(high)
