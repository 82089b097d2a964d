"""Reliability, calibration error and temperature against values worked out by hand."""

import math

import numpy as np
import pytest
from REACTDistillLib.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability,
    softmax,
)


def two_classes(highest, right):
    """Probabilities whose highest value is given, for class 0, and labels that say whether that is right."""
    top = np.array(highest)
    return np.stack([top, 1 - top], axis=1), np.array([0 if one else 1 for one in right])


def test_softmax_with_a_temperature_by_hand():
    assert softmax(np.array([[2 * math.log(3), 0.0]]), 2.0)[0].tolist() == pytest.approx([0.75, 0.25])
    assert softmax(np.array([[1e4, 0.0]]))[0].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="temperature is 0"):
        softmax(np.zeros((1, 2)), 0)


def test_calibration_error_of_three_bins_by_hand():
    probabilities, labels = two_classes([0.6, 0.6, 0.7, 0.9], [True, False, True, True])
    # bin 1/3 to 2/3: two cases, confidence 0.6, accuracy 0.5; bin above: two cases, confidence 0.8, accuracy 1
    bins = reliability(probabilities, labels, 3)
    assert [one.cases for one in bins] == [0, 2, 2]
    assert math.isnan(bins[0].accuracy)
    assert (bins[1].confidence, bins[1].accuracy) == (pytest.approx(0.6), 0.5)
    assert (bins[2].confidence, bins[2].accuracy) == (pytest.approx(0.8), 1.0)
    assert expected_calibration_error(probabilities, labels, 3) == pytest.approx(0.5 * 0.1 + 0.5 * 0.2)


def test_a_probability_on_a_border_is_in_the_upper_bin_and_one_in_the_last():
    probabilities, labels = two_classes([0.5, 1.0], [True, True])
    assert [one.cases for one in reliability(probabilities, labels, 2)] == [0, 2]
    assert [one.cases for one in reliability(probabilities, labels, 4)] == [0, 0, 1, 1]


def test_brier_score_by_hand():
    probabilities, labels = two_classes([0.6, 0.9], [True, False])
    assert brier_score(probabilities, labels) == pytest.approx((2 * 0.4**2 + 2 * 0.9**2) / 2)


@pytest.mark.parametrize(
    ("right", "wrong", "confidence"),
    # mean target of the class that the logits are for: right ones (N + 1) / (N + 2), wrong ones 1 / (N + 2)
    [(3, 1, (3 * 5 + 1) / 6 / 4), (4, 0, 5 / 6), (75, 25, (75 * 101 + 25) / 102 / 100)],
)
def test_the_temperature_makes_the_confidence_that_the_cases_bear_out(right, wrong, confidence):
    logits = np.tile([2.0, 0.0], (right + wrong, 1))
    labels = np.array([0] * right + [1] * wrong)
    temperature = 2.0 / math.log(confidence / (1 - confidence))
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=1e-9)


def test_of_many_cases_the_temperature_is_that_which_made_them():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 3)) * 3
    labels = np.array([rng.choice(3, p=row) for row in softmax(logits, 2.5)])
    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.03)
    assert expected_calibration_error(softmax(logits, 2.5), labels) < 0.02
    assert expected_calibration_error(softmax(logits), labels) > 0.1


def test_the_temperature_does_not_depend_on_what_is_added_to_all_logits():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(30, 3)), rng.integers(3, size=30)
    assert fit_temperature(logits + 100, labels) == pytest.approx(fit_temperature(logits, labels))


def test_a_temperature_is_bounded_when_the_logits_know_nothing_or_all():
    wrong = np.tile([2.0, 0.0], (50, 1))
    assert fit_temperature(wrong, np.ones(50, dtype=int)) == pytest.approx(20.0)
    assert fit_temperature(wrong * 1e-3, np.zeros(50, dtype=int)) == pytest.approx(0.05)
    assert fit_temperature(np.ones((5, 2)), np.array([0, 1, 0, 1, 0])) == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "N at least 1"),
        (np.zeros((2, 2)), np.zeros(3, int), "do not fit"),
        (np.full((2, 2), np.inf), np.zeros(2, int), "infinite"),
        (np.zeros((2, 2)), np.array([0, 2]), "labels go from 0 to 2"),
        (np.zeros((2, 2)), np.array([-1, 1]), "labels go from -1 to 1"),
    ],
)
def test_what_cannot_be_calibrated_is_one_sentence(logits, labels, words):
    with pytest.raises(ValueError, match=words):
        fit_temperature(logits, labels)
    with pytest.raises(ValueError, match=words):
        reliability(logits, labels)


def test_a_diagram_without_bins_is_refused():
    with pytest.raises(ValueError, match="0 bins"):
        reliability(np.array([[0.5, 0.5]]), np.array([0]), 0)
