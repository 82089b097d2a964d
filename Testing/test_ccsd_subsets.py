"""Subsets of sequences: all, at random, one of each size."""

from collections import Counter

import pytest
import torch
from REACTDistillLib.recipes.ccsd.subsets import all_subsets, levels_of, random_levels, random_subset, subsets_of

THREE = torch.tensor([True, False, True, True])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_four_sequences_have_fifteen_subsets_by_size():
    subsets = all_subsets(4)
    assert subsets.sum(dim=1).tolist() == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert len({tuple(one) for one in subsets.tolist()}) == 15
    assert subsets[4].tolist() == [True, True, False, False]


def test_a_case_of_three_sequences_has_seven_subsets_of_what_is_present():
    subsets = subsets_of(THREE)
    assert len(subsets) == 7
    assert not subsets[:, 1].any()


@pytest.mark.parametrize("sampling", ["sizes", "subsets"])
def test_a_random_subset_is_never_empty_and_never_holds_what_is_absent(sampling):
    stream = generator()
    drawn = [random_subset(THREE, stream, sampling) for _ in range(60)]
    assert all(one.any() and not one[1] for one in drawn)
    assert len({tuple(one.tolist()) for one in drawn}) == 7


def test_the_samplings_differ_in_how_often_the_full_set_is_drawn():
    def full(sampling):
        stream = generator()
        return sum(bool(random_subset(torch.ones(4, dtype=bool), stream, sampling).all()) for _ in range(3000)) / 3000

    assert full("sizes") == pytest.approx(1 / 4, abs=0.03)
    assert full("subsets") == pytest.approx(1 / 15, abs=0.03)


def test_one_subset_of_each_level_is_drawn_and_none_that_has_no_teacher():
    rows = random_levels(THREE, generator())
    assert rows.sum(dim=1).tolist() == [1, 2, 0]
    assert not rows[:, 1].any()


def test_all_members_are_drawn_alike():
    stream, counts = generator(), Counter()
    for _ in range(2000):
        counts.update(random_levels(torch.ones(4, dtype=bool), stream)[0].nonzero().flatten().tolist())
    assert all(count / 2000 == pytest.approx(0.25, abs=0.04) for count in counts.values())
    assert len(counts) == 4


def test_one_sequence_has_no_level():
    assert random_levels(torch.ones(1, dtype=bool), generator()).shape == (0, 1)


def test_the_levels_of_a_batch_leave_out_what_a_case_does_not_have():
    present = torch.stack([torch.ones(4, dtype=bool), THREE])
    levels = list(levels_of(present))
    assert [len(level) for level in levels] == [4, 6, 4]
    counted = [[int(subset.any(dim=1)[case]) for subset in level] for case in range(2) for level in levels]
    assert [sum(one) for one in counted] == [4, 6, 4, 3, 3, 0]
