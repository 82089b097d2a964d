"""Scores of class probabilities, overall and of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]

_ROUNDING = 1e-4  # rows may miss a sum of 1 by what float32 loses


def classification_scores(probabilities: Probabilities, labels: Labels) -> dict[str, float]:
    """Return macro one-vs-rest AUC, accuracy, macro F1, Cohen's kappa and quadratic kappa.

    ``probabilities`` (N, K) with rows that sum to 1, ``labels`` (N,) class numbers. Quadratic kappa weighs an error by
    the square of the distance between the classes, so it means something only where classes stand in order, as grades
    do; of two classes both kappas are one. Every class needs at least one case with and one without it, else the AUC
    is not defined and ValueError says which class is missing, as it does for what is no table of probabilities.
    """
    check_probabilities(probabilities, labels)
    return _overall(probabilities, labels)


def class_scores(probabilities: Probabilities, labels: Labels) -> list[dict[str, float]]:
    """Return one-vs-rest AUC, sensitivity and specificity of each class, in the order of the classes.

    A case counts as of the class with its highest probability. Shapes and errors as in ``classification_scores``.
    """
    check_probabilities(probabilities, labels)
    return _of_each_class(probabilities, labels)


def _overall(probabilities: Probabilities, labels: Labels) -> dict[str, float]:
    table = confusion_table(probabilities, labels)
    classes = range(table.shape[0])
    return {
        "macro_auc": float(np.mean([one_vs_rest_auc(probabilities[:, k], labels == k) for k in classes])),
        "accuracy": float(np.trace(table) / table.sum()),
        "macro_f1": macro_f1(table),
        "kappa": cohen_kappa(table),
        "quadratic_kappa": quadratic_kappa(table),
    }


def _of_each_class(probabilities: Probabilities, labels: Labels) -> list[dict[str, float]]:
    table = confusion_table(probabilities, labels)
    true, predicted, right = table.sum(axis=1), table.sum(axis=0), np.diagonal(table)
    others = table.sum() - true
    return [
        {
            "auc": one_vs_rest_auc(probabilities[:, k], labels == k),
            "sensitivity": float(right[k] / true[k]),
            "specificity": float((others[k] - (predicted[k] - right[k])) / others[k]),
        }
        for k in range(table.shape[0])
    ]


def check_probabilities(probabilities: Probabilities, labels: Labels) -> None:
    """Raise ValueError, one sentence, when scores of these (N, K) and (N,) arrays are not defined."""
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"{probabilities.shape} probabilities do not fit {labels.shape} labels; give (N, K) and (N,).")
    if not np.isfinite(probabilities).all() or (np.abs(probabilities.sum(axis=1) - 1) > _ROUNDING).any():
        raise ValueError("There is a row of probabilities that does not sum to 1; check the output of the student.")
    classes = set(range(probabilities.shape[1]))
    unknown, missing = sorted(set(labels.tolist()) - classes), sorted(classes - set(labels.tolist()))
    if unknown:
        raise ValueError(f"The labels hold the class numbers {unknown}; with {len(classes)} classes they end before.")
    if missing:
        raise ValueError(f"the AUC is not defined: no case of class {missing} among {len(labels)} cases.")


def confusion_table(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Number of cases by true class (rows) and class of the highest probability (columns), (K, K)."""
    classes = probabilities.shape[1]
    cells = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def one_vs_rest_auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The share of pairs of a positive and a negative case in which the positive has the higher score; ties are half.

    ``scores`` and ``positive`` (N,); NaN when one of both kinds is absent.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal scores share the mean of their ranks
    count = int(positive.sum())
    pairs = count * (len(scores) - count)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / pairs) if pairs else float("nan")


def roc_points(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate, true positive rate and threshold of each point of the ROC curve, from (0, 0) to (1, 1).

    ``scores`` and ``positive`` (N,), both kinds present. A case is called positive from its threshold up; the first
    threshold is infinite.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(positive[order])[last_of_ties]
    false = 1 + last_of_ties - true
    rates = [np.append(0.0, part / part[-1]) for part in (false, true)]
    return rates[0], rates[1], np.append(np.inf, scores[order][last_of_ties])


def macro_f1(table: NDArray[np.int64]) -> float:
    """Mean over classes of F1 = 2 right / (true + predicted), from a confusion table (K, K)."""
    return float(np.mean(2 * np.diagonal(table) / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)))


def cohen_kappa(table: NDArray[np.int64]) -> float:
    """Agreement beyond chance, kappa = 1 - observed / expected disagreement (Cohen 1960), of a confusion table."""
    return _kappa(table, 1.0 - np.eye(table.shape[0]))


def quadratic_kappa(table: NDArray[np.int64]) -> float:
    """Kappa in which an error weighs the square of its distance in classes (Cohen 1968), of a confusion table."""
    place = np.arange(table.shape[0], dtype=np.float64)
    return _kappa(table, (place[:, None] - place) ** 2)


def _kappa(table: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(1 - (weights * table).sum() / (weights * expected).sum())
