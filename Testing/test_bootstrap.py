"""Bootstrap intervals by patient."""

import numpy as np
import pytest
from REACTDistillLib.bootstrap import bootstrap_intervals, resamples
from REACTDistillLib.metrics import classification_scores

# Two patients of class 0, one right and one wrong; one of class 1, right.
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
LABELS = np.array([0, 0, 1])


def test_the_interval_of_three_cases_by_hand():
    # A draw has the right one of class 0 twice (1/4), both (1/2) or the wrong one twice (1/4): accuracy 1, 2/3, 1/3.
    low, high = bootstrap_intervals(PROBABILITIES, LABELS, samples=400, seed=1)["accuracy"]
    assert (low, high) == (pytest.approx(1 / 3), 1)
    low, high = bootstrap_intervals(PROBABILITIES, LABELS, samples=400, level=0.4, seed=1)["accuracy"]
    assert (low, high) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    probabilities = rng.dirichlet(np.ones(3), size=30)
    first = bootstrap_intervals(probabilities, labels, samples=50, seed=4)
    assert first == bootstrap_intervals(probabilities, labels, samples=50, seed=4)
    assert first != bootstrap_intervals(probabilities, labels, samples=50, seed=5)
    value = classification_scores(probabilities, labels)
    assert all(low <= value[name] <= high for name, (low, high) in first.items())


def test_all_cases_of_a_patient_are_drawn_together_and_every_class_stays():
    labels = np.array([0, 0, 0, 1, 1, 2, 0])
    patients = ["a", "a", "b", "c", "d", "d", "e"]  # d has the classes 1 and 2
    draws = list(resamples(labels, patients, samples=200, seed=0))
    for cases in draws:
        count = np.bincount(cases, minlength=7)
        assert count[0] == count[1]
        assert count[4] == count[5] == 1
        assert set(labels[cases].tolist()) == {0, 1, 2}
    assert {int(np.bincount(cases, minlength=7)[0]) for cases in draws} == {0, 1, 2, 3}


def test_many_cases_of_few_patients_make_a_wide_interval():
    rng = np.random.default_rng(3)
    shift = np.repeat(rng.normal(size=10), 20)  # what cases of one patient share
    labels = np.repeat(np.arange(10) % 2, 20)
    score = 1 / (1 + np.exp(-(labels - 0.5) - 2 * shift))
    probabilities = np.stack([1 - score, score], axis=1)
    by_case = bootstrap_intervals(probabilities, labels, samples=200)["macro_auc"]
    by_patient = bootstrap_intervals(probabilities, labels, patients=np.repeat(range(10), 20).tolist(), samples=200)
    assert np.ptp(by_patient["macro_auc"]) > 2 * np.ptp(by_case)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 95}, "level of an interval is 95"),
        ({"samples": 1}, "1 bootstrap samples"),
        ({"patients": ["a"]}, "1 patients for 3 labels"),
    ],
)
def test_an_interval_that_is_none_is_one_sentence(options, words):
    with pytest.raises(ValueError, match=words):
        bootstrap_intervals(PROBABILITIES, LABELS, **options)
