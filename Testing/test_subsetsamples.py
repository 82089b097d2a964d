"""Dice of prepared samples over subsets, by a network that is known."""

import pytest
import torch
from REACTDistillLib.subsets.samples import Truth, logits_by_subset, sample_table

NAMES = ("t1", "t1ce", "flair")


class Counted:
    """Says of each region: where any sequence of the subset is positive."""

    def __init__(self):
        self.encoded, self.decoded = 0, []

    def encode(self, images, present):
        self.encoded += 1
        return images

    def decode(self, encoded, subset):
        self.decoded.append(subset[0].tolist())
        seen = torch.where(subset[:, :, None, None, None], encoded, -1.0)
        return seen.amax(dim=1, keepdim=True).expand(-1, 2, -1, -1, -1)


def sample(present=(True, True, True), known=(True, True)):
    """Voxels 0 to 3 of 6 are tumor; T1 is positive in 0, T1ce in 1, FLAIR in 2, 3, 4 and 5; voxel 5 is outside."""
    image = torch.full((3, 1, 1, 6), -1.0)
    image[0, ..., 0] = image[1, ..., 1] = image[2, ..., 2:] = 1.0
    target = torch.zeros(2, 1, 1, 6)
    target[0, ..., :4] = 1.0
    brain = torch.ones(1, 1, 6, dtype=torch.bool)
    brain[..., 5] = False
    return {
        "image": image,
        "present": torch.tensor(present),
        "target": target,
        "known": torch.tensor(known),
        "brain": brain,
    }


def test_dice_by_hand():
    target, logits = torch.zeros(4, 1, 1, 5), torch.full((4, 1, 1, 5), -1.0)
    target[0, ..., :2] = target[0, ..., 4] = 1.0
    logits[0, ..., 1:] = logits[1, ..., 0] = 1.0
    brain = torch.tensor([True, True, True, True, False])[None, None]
    known = torch.tensor([True, True, True, False])
    truth = Truth.of({"target": target, "known": known, "brain": brain})
    # 2 * 1 / (2 + 3): the last voxel, in both, is outside; nothing to find and found; nothing and nothing; no truth
    assert truth.dice(logits) == pytest.approx([0.4, 0.0, 1.0, float("nan")], nan_ok=True)


def test_the_dice_of_each_subset_is_that_of_its_voxels_inside_the_brain():
    network = Counted()
    table = sample_table(network, [sample()], NAMES, ["WT", "ET"])
    dice = dict(zip(table.subsets, table.dice[0, :, 0], strict=True))
    assert dice["t1",] == pytest.approx(2 * 1 / (1 + 4))
    assert dice["flair",] == pytest.approx(2 * 2 / (3 + 4))
    assert dice["t1", "t1ce"] == pytest.approx(2 * 2 / (2 + 4))
    assert dice[NAMES] == pytest.approx(2 * 4 / (5 + 4))
    assert table.dice[0, :, 1].tolist() == [0.0] * 7  # found where there is none


def test_the_encoders_run_once_per_sample_and_the_decoder_once_per_subset():
    network = Counted()
    sample_table(network, [sample(), sample(present=(True, False, True))], NAMES, ["WT", "ET"])
    assert network.encoded == 2
    assert len(network.decoded) == 7 + 3
    assert not any(chosen[1] for chosen in network.decoded[7:])


def test_a_region_without_truth_is_left_out():
    table = sample_table(Counted(), [sample(known=(True, False))], NAMES, ["WT", "ET"])
    assert table.dice[0, :, 1].tolist() == pytest.approx([float("nan")] * 7, nan_ok=True)


def test_subsets_are_named_whatever_the_order_of_the_channels():
    one = sample()
    turned = ("flair", "t1", "t1ce")
    image, present = one["image"][[2, 0, 1]], one["present"]
    straight = dict(logits_by_subset(Counted(), one["image"], present, NAMES))
    for name, logits in logits_by_subset(Counted(), image, present, turned):
        assert torch.equal(logits, straight[name])
