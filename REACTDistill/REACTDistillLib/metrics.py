"""Scores of class probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def classification_scores(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return macro one-vs-rest AUC, accuracy and macro F1.

    ``probabilities`` (N, K) with rows that sum to 1, ``labels`` (N,) class numbers. Every class needs at least one case
    with and one without it, else the AUC is not defined and ValueError says which class is missing.
    """
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    classes = probabilities.shape[1]
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise ValueError(f"the AUC is not defined: no case of class {missing} among {len(labels)} cases.")
    predicted = probabilities.argmax(axis=1)
    one_hot = np.eye(classes)[labels]
    return {
        "macro_auc": float(np.mean([roc_auc_score(one_hot[:, k], probabilities[:, k]) for k in range(classes)])),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
    }
