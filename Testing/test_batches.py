"""Which samples a stage draws."""

import pytest
import torch
from REACTDistillLib.batches import Batches, _balanced
from REACTDistillLib.deploy import Trained
from REACTDistillLib.parallel import Processes
from REACTDistillLib.recipes import Stage
from REACTDistillLib.trainingconfig import TrainingConfig


class Unchanged:
    """A recipe whose augmentation changes nothing."""

    def augment(self, sample, generator, preparation):
        return sample


LABELS = [0, 1, -1, -1, -1, -1, -1, -1]


def drawn(*, unlabeled, steps=0, epoch=0, share=0.5):
    samples = [{"label": torch.tensor(label), "number": torch.tensor(n)} for n, label in enumerate(LABELS)]
    config = TrainingConfig(batch_size=2, steps_per_epoch=steps, labeled_draws=share)
    trained = Trained(None, config, Unchanged(), None)
    batches = Batches(trained, samples, Processes(0, 1, "cpu"), Stage("learn", [], unlabeled=unlabeled))
    return [batch["number"].tolist() for batch in batches.epoch(epoch)]


def test_cases_with_a_label_are_half_of_what_is_drawn():
    assert _balanced([label >= 0 for label in LABELS], 0.5) == [0, 1] * 3 + [2, 3, 4, 5, 6, 7]
    assert _balanced([True, True, False], 0.5) == [0, 1, 2]
    assert _balanced([False, False], 0.5) == [0, 1]
    numbers = [n for batch in drawn(unlabeled=True, steps=6) for n in batch]
    assert sorted(numbers) == sorted([0, 1] * 3 + [2, 3, 4, 5, 6, 7])


def test_the_share_of_cases_with_a_label_is_a_setting():
    assert _balanced([label >= 0 for label in LABELS], 0.7) == [0, 1] * 7 + [2, 3, 4, 5, 6, 7]  # 14 of 20
    assert _balanced([label >= 0 for label in LABELS], 0.1) == list(range(8))  # once, though this is a quarter
    numbers = [n for batch in drawn(unlabeled=True, steps=10, share=0.7) for n in batch]
    assert sorted(numbers) == sorted([0, 1] * 7 + [2, 3, 4, 5, 6, 7])
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"labeled_draws is {share}; it must lie between 0 and 1."):
            drawn(unlabeled=True, share=share)


def test_a_stage_that_needs_labels_draws_no_case_without():
    assert {n for batch in drawn(unlabeled=False, steps=5) for n in batch} == {0, 1}


def test_an_epoch_is_what_the_cases_fill_or_as_many_steps_as_asked_for():
    assert len(drawn(unlabeled=True)) == 4
    assert len(drawn(unlabeled=False)) == 1
    assert len(drawn(unlabeled=False, steps=7)) == 7


def test_each_epoch_has_an_order_of_its_own():
    assert drawn(unlabeled=True, steps=6) == drawn(unlabeled=True, steps=6)
    assert drawn(unlabeled=True, steps=6) != drawn(unlabeled=True, steps=6, epoch=1)
