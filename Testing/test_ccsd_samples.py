"""How a case of CCSD becomes a sample, and how a sample is changed at random."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from REACTDistillLib.brain import brain_case
from REACTDistillLib.case import Case
from REACTDistillLib.recipes import recipe_named

RECIPE = recipe_named("ccsd")
CLASSES = ("WT", "TC", "ET")
SMALL = {
    "grid_shape_kji": (16, 16, 16),
    "grid_spacing_kji_mm": (10.0, 11.0, 10.0),
    "network": {"channels": [4, 8], "stem_stride": [1, 1, 1]},
}
WHOLE = RECIPE.preparation(CLASSES, **SMALL)
TILES = RECIPE.preparation(CLASSES, **{**SMALL, "grid_shape_kji": (8, 8, 8)})


@pytest.fixture(scope="module")
def case():
    return brain_case(3, shape_kji=(24, 24, 24))


@pytest.fixture(scope="module")
def sample(case):
    return RECIPE.prepare(case, WHOLE)


def without(case, *names, regions=None):
    sequences = {name: volume for name, volume in case.sequences.items() if name not in names}
    return Case(sequences, case.regions if regions is None else regions, identifier="case 3")


def drawn(sample, preparation, seed=0):
    return RECIPE.augment(sample, torch.Generator().manual_seed(seed), preparation)


def is_same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_sample_has_what_the_losses_need(sample):
    shapes = {name: (tuple(one.shape), one.dtype) for name, one in sample.items()}
    assert shapes == {
        "image": ((4, 16, 16, 16), torch.float32),
        "present": ((4,), torch.bool),
        "brain": ((16, 16, 16), torch.bool),
        "target": ((3, 16, 16, 16), torch.float32),
        "known": ((3,), torch.bool),
        "label": ((), torch.int64),
        "scored": ((15, 4), torch.bool),
    }
    whole, core, enhancing = sample["target"].bool()
    assert int(enhancing.sum()) > 0
    assert not bool((enhancing & ~core).any() or (core & ~whole).any())
    assert bool((sample["image"][:, ~sample["brain"]] == 0).all())


def test_the_order_in_which_sequences_are_given_changes_nothing(case, sample):
    order = ["flair", "t2", "t1ce", "t1"]
    other = RECIPE.prepare(Case({name: case.sequences[name] for name in order}, case.regions), WHOLE)
    assert is_same(sample, other)
    torch.manual_seed(0)
    network = RECIPE.networks(WHOLE)["student"].eval()
    said = [network(one["image"][None], one["present"][None]) for one in (sample, other)]
    assert torch.equal(*said)


def test_a_missing_sequence_and_a_missing_truth_are_said(case):
    sample = RECIPE.prepare(without(case, "t2", regions={"wt": case.regions["wt"]}), WHOLE)
    assert sample["present"].tolist() == [True, True, False, True]
    assert sample["known"].tolist() == [True, False, False]
    assert float(sample["target"][1:].sum()) == 0.0
    assert sample["scored"].shape == (7, 4)


def test_a_model_for_one_subset_sees_that_subset_only(case):
    training = {"method": "one_model_per_subset", "only": ["t1ce", "flair"]}
    preparation = RECIPE.preparation(CLASSES, **SMALL, training=training)
    sample = RECIPE.prepare(case, preparation)
    assert sample["present"].tolist() == [False, True, False, True]
    assert sample["scored"].tolist() == [sample["present"].tolist()]
    assert all(torch.equal(drawn(sample, preparation, seed)["sampled"], sample["present"]) for seed in range(5))
    with pytest.raises(ValueError, match="case 3 has none of the sequences t1ce, flair"):
        RECIPE.prepare(without(case, "t1ce", "flair"), preparation)


def test_a_grid_that_does_not_fit_the_network_is_refused(case):
    with pytest.raises(ValueError, match="must be a multiple of the strides"):
        RECIPE.prepare(case, RECIPE.preparation(CLASSES, **{**SMALL, "grid_shape_kji": (15, 16, 16)}))


def test_a_class_without_a_target_is_refused(case):
    with pytest.raises(ValueError, match="names no region for the class edema"):
        RECIPE.prepare(case, replace(WHOLE, classes=("edema",)))


def test_the_same_draws_make_the_same_change_and_leave_the_sample_alone(sample):
    before = {name: one.clone() for name, one in sample.items()}
    assert is_same(drawn(sample, WHOLE, 5), drawn(sample, WHOLE, 5))
    assert not is_same(drawn(sample, WHOLE, 5), drawn(sample, WHOLE, 6))
    assert is_same(before, sample)


def test_images_and_masks_are_flipped_left_to_right_together(sample):
    marked = {**sample, "image": sample["target"][:1].expand(4, -1, -1, -1) * sample["brain"]}
    flips = set()
    for seed in range(8):
        changed = drawn(marked, WHOLE, seed)
        flipped = not torch.equal(changed["target"], sample["target"])
        assert torch.equal(changed["target"], sample["target"].flip(-1) if flipped else sample["target"])
        inside = changed["brain"]
        tumor = changed["target"][0].bool() & inside
        assert float(changed["image"][2][tumor].min()) > float(changed["image"][2][inside & ~tumor].max())
        flips.add(flipped)
    assert flips == {True, False}


def test_contrast_and_brightness_change_by_a_tenth_at_most_and_only_what_is_seen(case):
    sample = RECIPE.prepare(without(case, "t2"), WHOLE)
    changed = drawn(sample, WHOLE)
    before = sample["image"] if torch.equal(changed["brain"], sample["brain"]) else sample["image"].flip(-1)
    inside = changed["brain"]
    assert float(changed["image"][2].abs().max()) == 0.0
    assert bool((changed["image"][:, ~inside] == 0).all())
    for index in (0, 1, 3):
        slope, shift = np.polyfit(before[index][inside].numpy(), changed["image"][index][inside].numpy(), 1)
        assert 0.9 <= slope <= 1.1
        assert abs(shift) <= 0.1
        assert (slope, shift) != pytest.approx((1.0, 0.0), abs=1e-4)


def test_tiles_have_the_size_of_the_grid_and_mostly_hold_the_tumor(case):
    sample = RECIPE.prepare(case, TILES)
    assert sample["image"].shape[1:] > (8, 8, 8)
    tiles = [drawn(sample, TILES, seed) for seed in range(40)]
    assert {tuple(one["image"].shape) for one in tiles} == {(4, 8, 8, 8)}
    assert sum(bool(one["target"].any()) for one in tiles) >= 40 * 0.6
    assert len({one["image"].numpy().tobytes() for one in tiles}) > 20


def test_subsets_are_drawn_from_what_is_present(case):
    sample = RECIPE.prepare(without(case, "t1"), WHOLE)
    for seed in range(10):
        changed = drawn(sample, WHOLE, seed)
        assert changed["sampled"].any()
        assert not changed["sampled"][0]
        assert changed["levels"].sum(dim=1).tolist() == [1, 2, 0]
        assert "scored" not in changed


def test_the_classes_are_the_regions_that_have_a_target_whatever_the_labels_of_the_patients():
    preparation = RECIPE.preparation(("glioma",), training={"targets": {"WT": "tumor"}})
    assert preparation.classes == ("WT",)
    assert preparation.network["regions"] == 1
    assert RECIPE.preparation(("II", "III")).classes == CLASSES


def test_the_defaults_are_those_of_the_card():
    preparation = RECIPE.preparation(CLASSES)
    assert preparation.sequence_names == ("t1", "t1ce", "t2", "flair")
    assert preparation.network == {"sequences": 4, "regions": 3}
    assert preparation.intensity["t2"] == {"kind": "brain_zscore", "clip_percentile": 99.9}
    assert (RECIPE.name, RECIPE.task) == ("ccsd", "segment")
