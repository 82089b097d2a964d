"""Whether probabilities mean what they say: reliability, calibration error and the temperature that mends it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import Labels, Probabilities

Logits = NDArray[np.float64]

LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 0.05, 20.0
_HALVINGS = 60  # the search ends at the last bits of a float64


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases whose highest probability lies from ``lower`` to ``upper``; both means are NaN when there is none."""

    lower: float
    upper: float
    cases: int
    confidence: float
    accuracy: float


def softmax(logits: Logits, temperature: float = 1.0) -> Probabilities:
    """Probabilities (N, K) of logits (N, K) divided by a temperature above 0."""
    if not temperature > 0:
        raise ValueError(f"The temperature is {temperature}, expected a number above 0.")
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Probabilities = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Return the temperature T at which softmax(logits / T) has the least cross-entropy (Guo et al. 2017).

    ``logits`` (N, K), ``labels`` (N,) class numbers, of cases that were not trained on. Design choice, after Platt
    (1999): the target of the true class is (N + 1) / (N + K) and that of each other class 1 / (N + K), what the rule
    of succession says after N of N right. So a few cases that are all right do not ask for certainty, and T is finite;
    with many cases it is the plain fit. The result lies from 0.05 to 20 and is 1 when no logits differ. Raises
    ValueError for shapes that do not fit, labels outside the classes and logits that are not finite.
    """
    _check(logits, labels)
    cases, classes = logits.shape
    targets = (np.eye(classes)[labels] * cases + 1) / (cases + classes)
    centered = np.asarray(logits, dtype=np.float64) - logits.mean(axis=1, keepdims=True)
    if not centered.any():
        return 1.0
    low, high = np.log(1 / LARGEST_TEMPERATURE), np.log(1 / LEAST_TEMPERATURE)
    for _ in range(_HALVINGS):  # the cross-entropy is convex in 1 / T, so its slope changes sign once
        middle = (low + high) / 2
        too_sharp = ((softmax(centered, np.exp(-middle)) - targets) * centered).sum() > 0
        low, high = (low, middle) if too_sharp else (middle, high)
    return float(np.exp(-(low + high) / 2))


def reliability(probabilities: Probabilities, labels: Labels, bins: int = 10) -> list[ReliabilityBin]:
    """Return confidence (mean highest probability) and accuracy of the cases in ``bins`` equal steps from 0 to 1.

    ``probabilities`` (N, K), ``labels`` (N,). A probability on a border counts for the upper step, 1 for the last.
    """
    if bins < 1:
        raise ValueError(f"A reliability diagram of {bins} bins shows nothing; ask for at least 1, as 10.")
    _check(probabilities, labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    step = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    return [_bin(edges[n], edges[n + 1], confidence[step == n], right[step == n]) for n in range(bins)]


def _bin(lower: float, upper: float, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> ReliabilityBin:
    means = (float(confidence.mean()), float(right.mean())) if right.size else (float("nan"), float("nan"))
    return ReliabilityBin(float(lower), float(upper), int(right.size), *means)


def expected_calibration_error(probabilities: Probabilities, labels: Labels, bins: int = 10) -> float:
    """Return sum over bins of (cases in bin / cases) * |accuracy - confidence|, from 0 to 1 (ECE, Guo et al. 2017)."""
    filled = [one for one in reliability(probabilities, labels, bins) if one.cases]
    return sum(one.cases * abs(one.accuracy - one.confidence) for one in filled) / len(labels)


def brier_score(probabilities: Probabilities, labels: Labels) -> float:
    """Return the mean over cases of the squared distance between probabilities and truth, from 0 to 2 (Brier 1950)."""
    _check(probabilities, labels)
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean())


def _check(values: NDArray[np.float64], labels: Labels) -> None:
    if values.ndim != 2 or not len(values) or labels.shape != values.shape[:1]:
        raise ValueError(f"{values.shape} values do not fit {labels.shape} labels; give (N, K) and (N,), N at least 1.")
    if not np.isfinite(values).all():
        raise ValueError("There is a value without a number (NaN) or infinite; check the output of the student.")
    if labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(f"The labels go from {labels.min()} to {labels.max()}; there are {values.shape[1]} classes.")
