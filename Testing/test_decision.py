"""Net benefit against values worked out by hand."""

import numpy as np
import pytest
from REACTDistillLib.decision import THRESHOLDS, decision_curve, net_benefit

PROBABILITIES = np.array([0.9, 0.6, 0.4, 0.2])
POSITIVE = np.array([True, False, True, False])


def test_net_benefit_by_the_formula():
    # t = 0.5: one needed, one needless, worth 1 each; t = 0.25: two needed, one needless worth 1/3; t = 0.8: one needed
    found = net_benefit(PROBABILITIES, POSITIVE, [0.5, 0.25, 0.8])
    assert found.tolist() == pytest.approx([1 / 4 - 1 / 4, 2 / 4 - 1 / 4 / 3, 1 / 4])


def test_a_probability_at_the_threshold_is_treated():
    assert net_benefit(np.array([0.5, 0.1]), np.array([True, False]), [0.5]).tolist() == [0.5]


def test_treating_all_and_none_by_hand():
    curve = decision_curve(PROBABILITIES, POSITIVE, [0.25, 0.5])
    assert curve.treat_all.tolist() == pytest.approx([1 / 2 - 1 / 2 / 3, 0])
    assert curve.treat_none.tolist() == [0, 0]


def test_a_perfect_student_is_worth_the_prevalence_at_each_threshold():
    curve = decision_curve(POSITIVE.astype(float), POSITIVE)
    assert curve.student.tolist() == [0.5] * len(THRESHOLDS)
    assert (THRESHOLDS[0], THRESHOLDS[-1], len(THRESHOLDS)) == (0.01, 0.99, 99)


@pytest.mark.parametrize("thresholds", [[0.0], [1.0], [0.5, 1.2], [np.nan]])
def test_thresholds_outside_zero_to_one_are_refused(thresholds):
    with pytest.raises(ValueError, match="between 0 and 1"):
        net_benefit(PROBABILITIES, POSITIVE, thresholds)


def test_shapes_that_do_not_fit_and_no_case_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        net_benefit(PROBABILITIES, POSITIVE[:2], [0.5])
    with pytest.raises(ValueError, match="do not fit"):
        net_benefit(PROBABILITIES[:0], POSITIVE[:0], [0.5])
