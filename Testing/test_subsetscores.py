"""Means over subsets, by number of sequences and AURC, of tables worked out by hand."""

import math

import numpy as np
import pytest
from REACTDistillLib.subsets.scores import (
    SubsetScore,
    all_subsets,
    aurc,
    card_metrics,
    mean_by_level,
    mean_of_cases,
    subset_name,
    subset_scores,
    subset_table,
    summary_intervals,
)

# Mean Dice of WT by subset of three sequences, two cases: one 0.1 above, one 0.1 below.
WT = {"t1": 0.3, "t1ce": 0.4, "flair": 0.8, "t1+t1ce": 0.5, "t1+flair": 0.8, "t1ce+flair": 0.8, "t1+t1ce+flair": 0.9}


def rows(cases=("a", "b"), values=WT, region="WT"):
    changes = (0.1, -0.1)
    return [
        SubsetScore(case, f"patient {case}", tuple(name.split("+")), region, value + change, 10 * value)
        for case, change in zip(cases, changes, strict=True)
        for name, value in values.items()
    ]


def test_subsets_are_named_in_the_order_of_the_card_whatever_the_order_given():
    assert subset_name({"flair", "t1ce"}) == subset_name(["t1ce", "flair"]) == "t1ce+flair"
    assert subset_name(["t2", "zz", "adc", "t1"]) == "t1+t2+adc+zz"


def test_four_sequences_have_fifteen_subsets_in_levels_of_4_6_4_1():
    subsets = all_subsets(["flair", "t2", "t1ce", "t1"])
    assert len(subsets) == 15
    assert [sum(len(one) == size for one in subsets) for size in (1, 2, 3, 4)] == [4, 6, 4, 1]
    assert subsets[0] == ("t1",)
    assert subsets[-1] == ("t1", "t1ce", "t2", "flair")


def test_aurc_of_given_levels_is_the_trapezoid_on_the_scale_of_dice():
    # (0.4 + 0.6) / 2 + (0.6 + 0.7) / 2 + (0.7 + 0.8) / 2 = 1.9, divided by 3.
    assert aurc(np.array([[0.4], [0.6], [0.7], [0.8]]))[0] == pytest.approx(1.9 / 3)
    assert aurc(np.array([[0.6], [0.6]]))[0] == pytest.approx(0.6)
    assert aurc(np.array([[0.7]]))[0] == pytest.approx(0.7)


def test_levels_count_alike_in_aurc_and_subsets_alike_in_the_mean():
    scores = subset_scores(subset_table(rows(), ["WT"]))
    assert scores["dice_1"] == pytest.approx((0.3 + 0.4 + 0.8) / 3)  # 0.5
    assert scores["dice_2"] == pytest.approx((0.5 + 0.8 + 0.8) / 3)  # 0.7
    assert scores["dice_3"] == pytest.approx(0.9)
    assert scores["dice"] == pytest.approx(4.5 / 7)
    assert scores["aurc"] == pytest.approx((0.5 / 2 + 0.7 + 0.9 / 2) / 2)  # 0.7
    assert scores["dice_WT"] == scores["dice"]
    assert scores["aurc_WT"] == scores["aurc"]


def test_a_case_without_a_sequence_or_a_truth_counts_only_where_it_has_them():
    only_flair = [SubsetScore("c", "c", ("flair",), "WT", 0.2), SubsetScore("c", "c", ("flair",), "TC", 0.6)]
    table = subset_table([*rows(), *only_flair], ["WT", "TC"])
    means = mean_of_cases(table.dice)
    place = table.subsets.index(("flair",))
    assert means[place].tolist() == pytest.approx([(0.9 + 0.7 + 0.2) / 3, 0.6])
    assert math.isnan(means[0, 1])
    levels = mean_by_level(means, table.subsets)
    assert levels[0, 1] == pytest.approx(0.6)
    assert math.isnan(levels[1, 1])
    assert math.isnan(aurc(levels)[1])


def test_the_card_gets_means_and_numbers_of_cases_and_nothing_that_was_not_measured():
    only_flair = [SubsetScore("c", "c", ("flair",), "TC", 0.6), SubsetScore("c", "c", ("flair",), "WT", 0.2)]
    metrics = card_metrics(subset_table([*rows(), *only_flair], ["WT", "TC"]))
    assert metrics["flair"] == {"dice_WT": 0.6, "dice_TC": 0.6, "cases": 3}
    assert metrics["t1ce+flair"] == {"dice_WT": 0.8, "cases": 2}
    assert list(metrics)[-1] == "t1+t1ce+flair"
    apart = [SubsetScore("a", "a", ("t1",), "WT", 0.5), SubsetScore("b", "b", ("t2",), "WT", 0.5)]
    assert list(card_metrics(subset_table(apart, ["WT"]))) == ["t1", "t2"]


def test_the_interval_of_two_patients_reaches_from_one_to_the_other():
    intervals = summary_intervals(subset_table(rows(), ["WT"]), samples=200, seed=1)
    value, low, high = intervals["dice_3"]
    assert (value, low, high) == pytest.approx((0.9, 0.8, 1.0))
    assert intervals == summary_intervals(subset_table(rows(), ["WT"]), samples=200, seed=1)


def test_cases_of_one_patient_are_drawn_together():
    same = [SubsetScore(one.case, "p", one.subset, one.region, one.dice) for one in rows()]
    assert summary_intervals(subset_table(same, ["WT"]), samples=50)["dice_3"] == pytest.approx((0.9, 0.9, 0.9))


def test_what_makes_no_table_or_interval_is_refused():
    with pytest.raises(ValueError, match="no score"):
        subset_table([], ["WT"])
    with pytest.raises(ValueError, match="makes no interval"):
        summary_intervals(subset_table(rows(), ["WT"]), level=1.0)
