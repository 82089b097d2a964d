"""Scores against values worked out by hand, and against scikit-learn."""

import numpy as np
import pytest
from REACTDistillLib.metrics import (
    class_scores,
    classification_scores,
    cohen_kappa,
    confusion_table,
    one_vs_rest_auc,
    quadratic_kappa,
    roc_points,
)

# Highest probability: classes 0, 0, 1, 1, 0, 2; the fifth case is wrong.
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]
)
LABELS = np.array([0, 0, 1, 1, 2, 2])


def test_auc_of_four_cases_counts_pairs_and_half_of_the_ties():
    # pairs: 0.9 > 0.6, 0.9 > 0.1, 0.6 = 0.6, 0.6 > 0.1
    assert one_vs_rest_auc(np.array([0.9, 0.6, 0.6, 0.1]), np.array([True, False, True, False])) == 3.5 / 4


def test_kappa_of_a_two_by_two_table():
    # observed agreement 0.7, by chance (25 * 30 + 25 * 20) / 50^2 = 0.5
    table = np.array([[20, 5], [10, 15]])
    assert cohen_kappa(table) == pytest.approx(0.4)
    assert quadratic_kappa(table) == pytest.approx(0.4)


def test_quadratic_kappa_weighs_an_error_by_the_square_of_its_distance():
    # observed 1 * 4; expected over rows (1, 2/3, 1/3): 2 + 4/3 + 14/3 = 8
    assert quadratic_kappa(np.array([[2, 0, 0], [0, 2, 0], [1, 0, 1]])) == pytest.approx(0.5)


def test_the_confusion_table_has_the_true_class_in_rows():
    assert confusion_table(PROBABILITIES, LABELS).tolist() == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]


def test_scores_of_six_cases_by_hand():
    scores = classification_scores(PROBABILITIES, LABELS)
    # AUC: classes 0 and 1 put all 8 pairs right; in class 2 the 0.3 of the fifth case lies below the 0.4 of the fourth
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["macro_f1"] == pytest.approx((4 / 5 + 1 + 2 / 3) / 3)
    assert scores["kappa"] == pytest.approx((5 / 6 - 1 / 3) / (1 - 1 / 3))
    assert scores["quadratic_kappa"] == pytest.approx(0.5)
    assert scores["macro_auc"] == pytest.approx((1 + 1 + 7 / 8) / 3)


def test_sensitivity_and_specificity_of_each_class_by_hand():
    rows = class_scores(PROBABILITIES, LABELS)
    assert [row["sensitivity"] for row in rows] == [1, 1, 0.5]
    assert [row["specificity"] for row in rows] == [0.75, 1, 1]


def test_roc_points_pass_ties_in_one_step():
    false, true, thresholds = roc_points(np.array([0.9, 0.6, 0.6, 0.1]), np.array([True, False, True, False]))
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]
    assert thresholds.tolist() == [np.inf, 0.9, 0.6, 0.1]


@pytest.mark.parametrize("seed", range(5))
def test_all_scores_are_those_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(4, size=40), range(4))
    probabilities = np.round(rng.dirichlet(np.ones(4), size=44), 1) + 0.05  # ties
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    scores, predicted = classification_scores(probabilities, labels), probabilities.argmax(axis=1)
    one_hot = np.eye(4)[labels]
    auc = np.mean([metrics.roc_auc_score(one_hot[:, k], probabilities[:, k]) for k in range(4)])
    assert scores["macro_auc"] == pytest.approx(auc)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert scores["kappa"] == pytest.approx(metrics.cohen_kappa_score(labels, predicted))
    quadratic = metrics.cohen_kappa_score(labels, predicted, weights="quadratic")
    assert scores["quadratic_kappa"] == pytest.approx(quadratic)


@pytest.mark.parametrize(
    ("probabilities", "labels", "words"),
    [
        ([[0.5, 0.5], [0.4, 0.6]], [1, 1], r"no case of class \[0\] among 2 cases"),
        ([[0.5, 0.5], [0.4, 0.6]], [0, 2], r"class numbers \[2\]"),
        ([[0.5, 0.6], [0.4, 0.6]], [0, 1], "does not sum to 1"),
        ([[np.nan, 0.5], [0.4, 0.6]], [0, 1], "does not sum to 1"),
        ([[0.5, 0.5]], [0, 1], "do not fit"),
    ],
)
def test_scores_that_are_not_defined_are_one_sentence(probabilities, labels, words):
    with pytest.raises(ValueError, match=words):
        classification_scores(np.array(probabilities), np.array(labels))
