"""Decision curves: what acting on a probability is worth, against acting on all and on none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = np.round(np.arange(0.01, 1.0, 0.01), 2)


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit per case at each threshold probability, all of shape (T,); that of treating none is 0 everywhere."""

    thresholds: NDArray[np.float64]
    student: NDArray[np.float64]
    treat_all: NDArray[np.float64]
    treat_none: NDArray[np.float64]


def net_benefit(
    probabilities: NDArray[np.float64], positive: NDArray[np.bool_], thresholds: ArrayLike
) -> NDArray[np.float64]:
    """Return TP / N - FP / N * t / (1 - t) at each threshold t, (T,) (Vickers & Elkin 2006).

    ``probabilities`` (N,) of being positive, ``positive`` (N,). A case is treated when its probability is at least t;
    t / (1 - t) is how many needless treatments one needed treatment is worth. ValueError for thresholds that are not
    above 0 and below 1, and for no case.
    """
    limits = np.asarray(thresholds, dtype=np.float64)
    if not ((limits > 0) & (limits < 1)).all():
        raise ValueError(f"Thresholds go from {limits.min()} to {limits.max()}, expected numbers between 0 and 1.")
    if probabilities.ndim != 1 or positive.shape != probabilities.shape or not positive.size:
        raise ValueError(f"{probabilities.shape} probabilities do not fit {positive.shape} cases; give (N,) for both.")
    treated = probabilities >= limits[:, None]  # (T, N)
    needed, needless = (treated & positive).mean(axis=1), (treated & ~positive).mean(axis=1)
    return needed - needless * limits / (1 - limits)


def decision_curve(
    probabilities: NDArray[np.float64], positive: NDArray[np.bool_], thresholds: ArrayLike = THRESHOLDS
) -> DecisionCurve:
    """Return the net benefit of a student for one class against the rest, beside treating all and treating none."""
    limits = np.asarray(thresholds, dtype=np.float64)
    everybody = net_benefit(np.ones(len(positive)), positive, limits)
    return DecisionCurve(limits, net_benefit(probabilities, positive, limits), everybody, np.zeros(limits.shape))
