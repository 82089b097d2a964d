"""Distillation terms that the papers share."""

import math
from functools import partial

import pytest
import torch
from REACTDistillLib.distill import (
    bernoulli_divergence,
    ramp_up,
    softened,
    softened_divergence,
    squared_difference,
    taught_by,
    with_sequences_dropped,
)

# Two classes: logits (0, 2 ln 3) at T = 2 are probabilities (1/4, 3/4), logits (0, 0) are (1/2, 1/2).
EVEN, SURE = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2 * math.log(3.0)]])


def test_r19_is_t_squared_times_the_divergence_of_the_softened_teacher_from_the_student():
    expected = 4 * (0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    assert softened_divergence(EVEN, SURE, 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_r19_is_a_sum_over_classes_and_a_mean_over_cases():
    both = softened_divergence(torch.cat([EVEN, SURE]), torch.cat([SURE, SURE]), 2.0)
    assert both.item() == pytest.approx(softened_divergence(EVEN, SURE, 2.0).item() / 2, rel=1e-6)


def test_no_gradient_goes_to_the_teacher():
    student, teacher = EVEN.clone().requires_grad_(), SURE.clone().requires_grad_()
    softened_divergence(student, teacher, 2.0).backward()
    assert teacher.grad is None
    # T^2 / T (p_s - p_t) = 2 (0.5 - 0.25, 0.5 - 0.75)
    assert student.grad.tolist()[0] == pytest.approx([0.5, -0.5])


def test_two_teachers_are_averaged_by_their_weights():
    one, other = softened_divergence(EVEN, SURE, 2.0).item(), softened_divergence(EVEN, -SURE, 2.0).item()
    at_two = partial(softened_divergence, temperature=2.0)
    assert taught_by(EVEN, [SURE, -SURE], [0.5, 0.5], at_two).item() == pytest.approx((one + other) / 2)
    assert taught_by(EVEN, [SURE, EVEN], [3.0, 1.0], at_two).item() == pytest.approx(0.75 * one)
    assert taught_by(EVEN, [SURE, -SURE], [1.0, 0.0], at_two).item() == pytest.approx(one)


def test_the_squared_difference_of_logits_is_their_mean_by_hand():
    student = torch.tensor([[1.0, 3.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0]], requires_grad=True)
    value = squared_difference(student, teacher)
    assert value.item() == pytest.approx((1 + 4) / 2)
    value.backward()
    assert student.grad.tolist() == [[1.0, 2.0]]  # 2 (z_s - z_t) / 2
    assert teacher.grad is None


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [-1.0, 2.0]])
def test_weights_that_fit_no_teachers_are_refused(weights):
    with pytest.raises(ValueError, match="2 teachers need as many weights of 0 or above"):
        taught_by(EVEN, [SURE, EVEN], weights, squared_difference)


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"must be above 0, got 0\.0"):
        softened_divergence(EVEN, SURE, 0.0)


@pytest.mark.parametrize(
    ("progress", "share", "weight"),
    [(0.0, 0.2, 0.0), (0.1, 0.2, 0.5), (0.2, 0.2, 1.0), (1.0, 0.2, 1.0), (0.0, 0.0, 1.0)],
)
def test_terms_ramp_up_in_a_straight_line(progress, share, weight):
    assert ramp_up(progress, share) == pytest.approx(weight)


def test_modality_dropout_leaves_at_least_one_present_sequence_and_never_adds_one():
    generator = torch.Generator().manual_seed(0)
    present = torch.tensor([True, False, True])
    drawn = [with_sequences_dropped(present, 0.9, generator) for _ in range(200)]
    assert all(bool(kept.any()) and not bool(kept[1]) for kept in drawn)
    assert {tuple(kept.tolist()) for kept in drawn} >= {(True, False, False), (False, False, True)}


def test_modality_dropout_leaves_out_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    kept = torch.stack([with_sequences_dropped(torch.ones(2, dtype=torch.bool), 0.3, generator) for _ in range(4000)])
    # both would go in 0.09 of the cases, then each stays in half of them: 0.7 + 0.045
    assert kept.float().mean(dim=0).tolist() == pytest.approx([0.745, 0.745], abs=0.02)


def test_certain_dropout_keeps_exactly_one_and_none_keeps_all():
    generator = torch.Generator().manual_seed(0)
    three = torch.ones(3, dtype=torch.bool)
    assert int(with_sequences_dropped(three, 1.0, generator).sum()) == 1
    assert with_sequences_dropped(three, 0.0, generator).tolist() == [True, True, True]


def test_required_sequences_stay_and_the_others_go_as_often_as_said():
    generator = torch.Generator().manual_seed(0)
    three, required = torch.ones(3, dtype=torch.bool), torch.tensor([True, False, False])
    for probability in (0.2, 0.98):
        kept = [with_sequences_dropped(three, probability, generator, required=required) for _ in range(4000)]
        shares = torch.stack(kept).float().mean(dim=0).tolist()
        assert shares == pytest.approx([1.0, 1 - probability, 1 - probability], abs=0.02)
    certain = [with_sequences_dropped(three, 1.0, generator, required=required).tolist() for _ in range(50)]
    assert certain == [[True, False, False]] * 50


def test_the_bernoulli_divergence_is_that_of_two_outcomes_by_hand():
    # At T = 2 the teacher's logit 2 ln 3 is 3/4, the student's 0 is 1/2.
    teacher = softened(torch.tensor([2 * math.log(3.0)]), 2.0)
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert bernoulli_divergence(torch.tensor([0.0]), teacher, 2.0).item() == pytest.approx(expected, rel=1e-6)
    two_classes = softened_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2 * math.log(3.0)]]), 2.0)
    assert expected == pytest.approx(two_classes.item(), rel=1e-6)


def test_the_bernoulli_divergence_is_a_number_for_the_surest_answers_and_zero_for_equal_ones():
    logits = torch.tensor([200.0, -200.0, 3.0])
    assert bernoulli_divergence(logits, softened(logits, 1.0), 1.0).tolist() == pytest.approx([0.0] * 3, abs=1e-6)
    assert bernoulli_divergence(-logits[:2], softened(logits[:2], 1.0), 1.0).tolist() == pytest.approx([200.0] * 2)


def test_no_gradient_of_the_bernoulli_divergence_goes_to_the_teacher():
    student, teacher = torch.tensor([0.0], requires_grad=True), torch.tensor([2 * math.log(3.0)], requires_grad=True)
    bernoulli_divergence(student, softened(teacher, 2.0), 2.0).sum().backward()
    assert teacher.grad is None
    assert student.grad.item() == pytest.approx(2 * (0.5 - 0.75))  # T^2 / T (q - p)


@pytest.mark.parametrize("function", [softened, lambda z, t: bernoulli_divergence(z, z.sigmoid(), t)])
def test_a_temperature_of_zero_softens_nothing(function):
    with pytest.raises(ValueError, match=r"must be above 0, got 0\.0"):
        function(torch.tensor([1.0]), 0.0)
