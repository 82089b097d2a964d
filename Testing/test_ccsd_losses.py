"""Losses of CCSD against numbers worked out by hand."""

import ast
import math
import re
from pathlib import Path

import pytest
import torch
from REACTDistillLib.recipes import ccsd
from REACTDistillLib.recipes.ccsd.losses import (
    Answer,
    Softening,
    alignment_loss,
    criticality,
    divergence,
    dmcd_loss,
    hmsd_loss,
    losses_without_each,
    running_criticality,
    segmentation_loss,
    sequence_classification_loss,
    total_loss,
    without_most_critical,
)

# At tau = 2 a logit of 2 ln 3 is a probability of 3/4, one of -2 ln 3 of 1/4, one of 0 of 1/2.
SURE = 2 * math.log(3.0)
TAU = 2.0


def bernoulli(p, q):
    """tau^2 KL of two probabilities at tau = 2."""
    return TAU**2 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def volume(*values):
    """One case, one region, one row of voxels."""
    return torch.tensor(values).reshape(1, 1, 1, 1, -1)


def softening(*inside):
    return Softening(TAU, torch.tensor(inside or [True]).reshape(1, 1, 1, -1))


def answer(*values, counts=True):
    return Answer(volume(*values), torch.tensor([counts]))


def test_c4_is_dice_and_cross_entropy_by_hand():
    # p = 1/2, 1/2; g = 1, 0: 1 - (2 * 0.5 + 1) / (1 + 1 + 1) and ln 2
    loss = segmentation_loss(volume(0.0, 0.0), volume(1.0, 0.0), torch.tensor([[True]]))
    assert loss.tolist() == pytest.approx([1 / 3 + math.log(2)])


def test_c4_is_the_mean_over_known_regions_of_each_case():
    logits = torch.cat([volume(0.0, 0.0), volume(40.0, -40.0)], dim=1)  # (1, 2, 1, 1, 2)
    target = torch.cat([volume(1.0, 0.0), volume(1.0, 0.0)], dim=1)
    logits, target = logits.expand(3, -1, -1, -1, -1), target.expand(3, -1, -1, -1, -1)
    known = torch.tensor([[True, True], [False, True], [False, False]])
    one = 1 / 3 + math.log(2)
    assert segmentation_loss(logits, target, known).tolist() == pytest.approx([one / 2, 0.0, 0.0], abs=1e-6)


def test_c4_costs_nothing_for_an_empty_region_that_stays_empty():
    loss = segmentation_loss(volume(-40.0, -40.0), volume(0.0, 0.0), torch.tensor([[True]]))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_the_divergence_is_a_mean_over_the_voxels_inside():
    teacher = torch.full((1, 1, 1, 1, 3), 0.75)
    expected = (bernoulli(0.75, 0.5) + bernoulli(0.75, 0.25)) / 2
    value = divergence(volume(0.0, -SURE, 9.0), teacher, softening(True, True, False))
    assert value.tolist() == pytest.approx([expected])


def test_c5_is_the_sum_over_levels_of_the_mean_over_subsets():
    levels = [[answer(0.0), answer(-SURE)], [answer(0.0)]]
    expected = (bernoulli(0.75, 0.5) + bernoulli(0.75, 0.25)) / 2 + bernoulli(0.75, 0.5)
    assert hmsd_loss(volume(SURE), levels, softening()).tolist() == pytest.approx([expected])
    weighted = hmsd_loss(volume(SURE), levels, softening(), weights=[0.0, 3.0])
    assert weighted.tolist() == pytest.approx([3 * bernoulli(0.75, 0.5)])


def test_c5_leaves_out_subsets_that_a_case_does_not_have():
    levels = [[answer(0.0), answer(-SURE, counts=False)], [answer(9.0, counts=False)]]
    assert hmsd_loss(volume(SURE), levels, softening()).tolist() == pytest.approx([bernoulli(0.75, 0.5)])


def test_c5_adjacent_takes_the_mean_answer_of_the_level_above():
    levels = [[answer(-SURE)], [answer(0.0), answer(SURE)]]
    mean = (0.5 + 0.75) / 2
    expected = bernoulli(0.75, 0.5) / 2 + bernoulli(mean, 0.25)
    assert hmsd_loss(volume(SURE), levels, softening(), teacher="adjacent").tolist() == pytest.approx([expected])


def test_c5_adjacent_takes_the_full_set_where_there_is_no_level_above():
    levels = [[answer(0.0)], [answer(-SURE, counts=False)]]
    adjacent = hmsd_loss(volume(SURE), levels, softening(), teacher="adjacent")
    assert adjacent.tolist() == pytest.approx([bernoulli(0.75, 0.5)])


def test_c5_needs_a_weight_per_level():
    with pytest.raises(ValueError, match="1 levels need as many weights"):
        hmsd_loss(volume(SURE), [[answer(0.0)]], softening(), weights=[1.0, 1.0])


def losses_of_subsets(table):
    """L_seg of each subset of each case of a batch, from a table, and a count of the passes."""
    passes = []

    def loss_of(subset):
        passes.append(subset.tolist())
        return torch.tensor([table[tuple(row.nonzero().flatten().tolist())] for row in subset])

    return loss_of, passes


TABLE = {(0, 1, 2): 1.0, (1, 2): 1.2, (0, 2): 2.0, (0, 1): 1.5, (2,): 3.0, (0,): 2.5, (1,): 1.6}


def test_c6_criticality_is_what_the_loss_gains_without_a_sequence():
    loss_of, passes = losses_of_subsets(TABLE)
    full = torch.ones(1, 3, dtype=torch.bool)
    values = criticality(losses_without_each(full, loss_of), loss_of(full), full)
    assert values.tolist()[0] == pytest.approx([0.2, 1.0, 0.5])
    assert len(passes) == 3 + 1


def test_c6_path_loses_the_most_critical_sequence_at_each_step():
    loss_of, _ = losses_of_subsets(TABLE)
    subset = torch.tensor([[True, True, True], [True, True, False]])
    path = []
    for _ in range(2):
        values = criticality(losses_without_each(subset, loss_of), loss_of(subset), subset)
        subset, counts = without_most_critical(subset, values)
        path.append((subset.tolist(), counts.tolist()))
    # First case: without 1 the loss is 2.0, the worst; of (0, 2), without 0 it is 3.0. The second case, (0, 1): without
    # 0 it is 1.6, without 1 it is 2.5; then it has one sequence and keeps it.
    assert path == [
        ([[True, False, True], [True, False, False]], [True, True]),
        ([[False, False, True], [True, False, False]], [True, False]),
    ]


def test_c6_sums_the_divergences_of_neighbors_on_the_path():
    path = [answer(SURE), answer(0.0), answer(-SURE)]
    expected = bernoulli(0.75, 0.5) + bernoulli(0.5, 0.25)
    assert dmcd_loss(path, softening()).tolist() == pytest.approx([expected])
    path[2] = answer(-SURE, counts=False)
    assert dmcd_loss(path, softening()).tolist() == pytest.approx([bernoulli(0.75, 0.5)])


def test_c6_running_criticality_moves_by_the_mean_of_what_was_observed():
    previous, sums, counts = torch.tensor([1.0, 1.0]), torch.tensor([6.0, 0.0]), torch.tensor([2.0, 0.0])
    # 0.9 * 1 + 0.1 * 3; the second was not left out by any case
    assert running_criticality(previous, sums, counts, 0.9).tolist() == pytest.approx([1.2, 1.0])


@pytest.mark.parametrize("teacher", ["full", "adjacent"])
def test_no_gradient_of_c5_and_c6_reaches_a_teacher(teacher):
    full, middle, single = (volume(value).requires_grad_() for value in (SURE, 0.5, -SURE))
    counts = torch.tensor([True])
    hmsd_loss(full, [[Answer(single, counts)]], softening(), teacher=teacher).sum().backward()
    assert full.grad is None
    single.grad = None
    # Of three answers the middle one learns from the full set and teaches the single one: of that it feels nothing.
    dmcd_loss([Answer(full, counts), Answer(middle, counts), Answer(single, counts)], softening()).sum().backward()
    assert full.grad is None
    # tau^2 / tau (q - p)
    q = 1 / (1 + math.exp(-0.25))
    assert middle.grad.item() == pytest.approx(TAU * (q - 0.75), rel=1e-5)
    assert single.grad.item() == pytest.approx(TAU * (0.25 - q), rel=1e-5)


def test_c7_weighs_the_two_distillation_terms():
    of_case = torch.tensor([1.0, 3.0])
    terms = total_loss({"sampled": of_case, "full": 2 * of_case}, of_case, 5 * of_case, (0.5, 0.1))
    assert {name: one.item() for name, one in terms.items()} == pytest.approx(
        {"sampled": 2.0, "full": 4.0, "hmsd": 1.0, "dmcd": 1.0}
    )
    assert list(total_loss({"sampled": of_case}, None, None, (0.0, 0.0))) == ["sampled"]


def test_shaspec_alignment_is_the_mean_distance_of_every_two_present_sequences():
    maps = [volume(1.0, 1.0), volume(2.0, 4.0), volume(9.0, 9.0)]
    assert alignment_loss(maps, torch.tensor([[True, True, False]])).tolist() == pytest.approx([2.0])
    assert alignment_loss(maps, torch.tensor([[True, True, True]])).tolist() == pytest.approx([(2 + 8 + 6) / 3])
    assert alignment_loss(maps, torch.tensor([[True, False, False]])).tolist() == [0.0]


def test_shaspec_classification_is_the_cross_entropy_of_the_present_sequences():
    logits = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0]]])
    first, second = -math.log(0.75), math.log(2.0)
    both = sequence_classification_loss(logits, torch.tensor([[True, True]]))
    assert both.tolist() == pytest.approx([(first + second) / 2])
    assert sequence_classification_loss(logits, torch.tensor([[True, False]])).tolist() == pytest.approx([first])


def test_every_equation_has_a_function_that_names_it():
    named = set()
    for path in Path(ccsd.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                named |= set(re.findall(r"^C\d", ast.get_docstring(node) or ""))
    assert named == {f"C{number}" for number in range(1, 8)}
