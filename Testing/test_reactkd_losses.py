"""Losses of REACT-KD against numbers worked out by hand."""

import ast
import math
import re
from pathlib import Path

import pytest
import torch
from REACTDistillLib.graph import cosine_distance
from REACTDistillLib.gromov import gromov_wasserstein
from REACTDistillLib.recipes.reactkd import losses
from REACTDistillLib.recipes.reactkd.losses import (
    GraphWeights,
    Nodes,
    alignment_plan,
    edge_loss,
    focal_loss,
    graph_terms,
    identity_plan,
    node_loss,
    region_nodes,
    topology_loss,
    total_loss,
)

BOTH = torch.tensor([[True, True]])
# Student nodes at a right angle (S = 0, D = 1); teacher nodes at 60 degrees (S = 1/2, D = 1/2). Lengths do not matter.
STUDENT = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
TEACHER = torch.tensor([[[1.0, 0.0], [0.5, math.sqrt(0.75)]]])


def test_the_focal_loss_is_by_hand_and_leaves_out_cases_without_label():
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -5.0]])
    one = -(0.25**2) * math.log(0.75)  # p_y = 3/4
    assert focal_loss(logits, torch.tensor([1, -1])).item() == pytest.approx(one / 2, rel=1e-5)
    assert focal_loss(logits, torch.tensor([-1, -1])).item() == 0.0
    plain = focal_loss(logits[:1], torch.tensor([1]), gamma=0.0)
    assert plain.item() == pytest.approx(-math.log(0.75), rel=1e-5)


def test_the_focal_loss_weighs_classes():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)], [5.0, -5.0]])
    quarter, three_quarters = -(0.75**2) * math.log(0.25), -(0.25**2) * math.log(0.75)
    weighed = focal_loss(logits, torch.tensor([0, 1, -1]), weights=(2.0, 0.5))
    assert weighed.item() == pytest.approx((2 * quarter + 0.5 * three_quarters) / 3, rel=1e-5)


def test_the_focal_loss_has_a_slope_for_the_surest_answer():
    for gamma in (0.5, 2.0):
        logits = torch.tensor([[40.0, 0.0, 0.0]], requires_grad=True)
        focal_loss(logits, torch.tensor([0]), gamma).backward()
        assert logits.grad.tolist() == [[pytest.approx(0.0, abs=1e-3)] * 3]


def test_a_node_without_direction_has_no_gradient_that_outweighs_all_others():
    nothing = torch.zeros(1, 2, 2, requires_grad=True)
    node_loss(nothing, TEACHER, BOTH, identity_plan(BOTH)).backward()
    assert 0 < nothing.grad.abs().max().item() < 1e4


def test_r17_is_never_above_the_plan_that_couples_each_node_with_its_own():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(60, 10, 8, generator=generator)
    student = teacher + 0.6 * torch.randn(60, 10, 8, generator=generator)
    own, other = cosine_distance(student), cosine_distance(teacher)
    nodes = torch.ones(60, 10, dtype=torch.bool)
    nodes[:30, 7:] = False  # padding
    solved = gromov_wasserstein(own, other, nodes, nodes).value
    counted = (nodes[:, :, None] & nodes[:, None, :]).float()
    identity = ((own - other).square() * counted).sum(dim=(1, 2)) / counted.sum(dim=(1, 2))
    assert int((solved > identity + 1e-6).sum()) > 10  # else this test tells nothing
    expected = torch.minimum(solved, identity).mean().item()
    assert topology_loss(student, teacher, nodes, GraphWeights()).item() == pytest.approx(expected, rel=1e-5)
    alone = topology_loss(student, teacher, nodes, GraphWeights(alignment="sinkhorn")).item()
    assert alone == pytest.approx(solved.mean().item(), rel=1e-5)  # nodes without names have no such plan


def test_r10_nodes_are_means_over_soft_regions_and_empty_regions_are_no_nodes():
    features = torch.tensor([[[[[1.0, 3.0]]], [[[0.0, 4.0]]]]])  # (1, 2, 1, 1, 2)
    masks = torch.tensor([[[[[1.0, 0.0]]], [[[0.5, 0.5]]], [[[0.0, 0.0]]]]])  # (1, 3, 1, 1, 2)
    nodes = region_nodes(features, masks)
    assert nodes.mask.tolist() == [[True, True, False]]
    assert nodes.features[0, :2].tolist() == [[1.0, 0.0], [2.0, 2.0]]


def test_r15_with_the_identity_is_the_mean_square_between_unit_features():
    plan = identity_plan(BOTH)
    assert plan.tolist() == [[[0.5, 0.0], [0.0, 0.5]]]  # R13
    # node 1 agrees; node 2: (0 - 0.5)^2 + (1 - 0.866)^2 over 2 channels; mean over 2 nodes
    expected = ((0.5**2) + (1 - math.sqrt(0.75)) ** 2) / 2 / 2
    assert node_loss(STUDENT, TEACHER, BOTH, plan).item() == pytest.approx(expected, rel=1e-5)


def test_r15_rows_of_a_plan_are_scaled_to_one():
    half = torch.full((1, 2, 2), 0.25)  # each student node meets both teacher nodes equally
    middle = TEACHER.mean(dim=1)[0].tolist()  # (0.75, 0.433)
    expected = ((1 - middle[0]) ** 2 + middle[1] ** 2 + middle[0] ** 2 + (1 - middle[1]) ** 2) / 2 / 2
    assert node_loss(STUDENT, TEACHER, BOTH, half).item() == pytest.approx(expected, rel=1e-5)


def test_r16_compares_similarities_with_the_diagonal_forced_to_one():
    # S_s - S~ is 0 on the diagonal and 0 - 1/2 off it: two of four entries of 1/4
    assert edge_loss(STUDENT, TEACHER, BOTH, identity_plan(BOTH)).item() == pytest.approx(0.125, rel=1e-5)


def test_r17_of_two_nodes_is_half_the_squared_difference_of_their_distances():
    value = topology_loss(STUDENT, TEACHER, BOTH, GraphWeights()).item()
    assert value == pytest.approx(0.5 * (1.0 - 0.5) ** 2, rel=1e-4)


def test_r17_surrogate_is_the_mean_square_of_aligned_distances():
    value = topology_loss(STUDENT, TEACHER, BOTH, GraphWeights(topology="surrogate")).item()
    assert value == pytest.approx(2 * 0.5**2 / 4, rel=1e-5)  # the diagonals are 0 in both


@pytest.mark.parametrize("topology", ["gw", "entropic", "fused", "surrogate", "pot"])
def test_every_topology_brings_gradients_to_the_student_and_none_to_the_teacher(topology):
    generator = torch.Generator().manual_seed(1)
    student = torch.randn((2, 5, 4), generator=generator, requires_grad=True)
    teacher = torch.randn((2, 5, 4), generator=generator, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    terms = graph_terms(Nodes(student, mask), Nodes(teacher, mask), GraphWeights(node=0.0, edge=0.0, topology=topology))
    terms["gw"].backward()
    assert teacher.grad is None
    assert float(student.grad.abs().sum()) > 0
    assert bool(student.grad.isfinite().all())
    assert float(student.grad[1, 4].abs().sum()) == 0.0  # padding has no say


@pytest.mark.parametrize("alignment", ["identity", "sinkhorn"])
def test_node_and_edge_gradients_agree_with_finite_differences(alignment):
    generator = torch.Generator().manual_seed(2)
    student = torch.randn((2, 4, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn((2, 4, 3), generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])
    plan = alignment_plan(student.detach(), teacher, mask, GraphWeights(alignment=alignment)).double()
    assert torch.autograd.gradcheck(lambda nodes: node_loss(nodes, teacher, mask, plan), student)
    assert torch.autograd.gradcheck(lambda nodes: edge_loss(nodes, teacher, mask, plan), student)


def test_the_topological_gradient_agrees_with_finite_differences():
    generator = torch.Generator().manual_seed(3)
    student = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64)
    mask = torch.ones((1, 4), dtype=torch.bool)
    assert torch.autograd.gradcheck(
        lambda nodes: topology_loss(nodes, teacher, mask, GraphWeights()), student, eps=1e-7, atol=1e-4
    )


def test_r14_matches_like_with_like_whatever_their_order():
    mask = torch.ones((1, 3), dtype=torch.bool)
    nodes = torch.eye(3)[None]
    plan = alignment_plan(nodes, nodes[:, [2, 0, 1]], mask, GraphWeights(alignment="sinkhorn"))
    assert plan.argmax(dim=2).tolist() == [[1, 2, 0]]
    assert plan.sum(dim=2).tolist()[0] == pytest.approx([1 / 3] * 3, abs=1e-4)


def test_r18_adds_the_weighted_terms_and_leaves_out_those_of_weight_0():
    weights = GraphWeights(node=2.0, edge=0.0, gw=3.0)
    terms = graph_terms(Nodes(STUDENT, BOTH), Nodes(TEACHER, BOTH), weights)
    assert set(terms) == {"node", "gw"}
    single = node_loss(STUDENT, TEACHER, BOTH, identity_plan(BOTH)).item()
    assert terms["node"].item() == pytest.approx(2 * single)
    assert terms["gw"].item() == pytest.approx(3 * 0.125, rel=1e-4)


def test_equal_graphs_cost_nothing():
    terms = graph_terms(Nodes(STUDENT, BOTH), Nodes(STUDENT, BOTH), GraphWeights())
    assert all(abs(term.item()) < 1e-6 for term in terms.values())


def test_a_batch_with_an_empty_graph_counts_it_as_nothing():
    empty = Nodes(torch.cat([STUDENT, STUDENT]), torch.tensor([[True, True], [False, False]]))
    other = Nodes(torch.cat([TEACHER, TEACHER]), empty.mask)
    alone = graph_terms(Nodes(STUDENT, BOTH), Nodes(TEACHER, BOTH), GraphWeights())
    for name, term in graph_terms(empty, other, GraphWeights()).items():
        assert term.item() == pytest.approx(alone[name].item() / 2, rel=1e-4)


def test_r20_shares_one_between_focal_and_logits_and_weighs_the_graph():
    focal, logits, graph = torch.tensor(2.0), torch.tensor(3.0), {"node": torch.tensor(5.0)}
    terms = {name: term.item() for name, term in total_loss(focal, logits, graph, 0.7, 0.5).items()}
    assert terms == pytest.approx({"focal": 0.6, "logits": 2.1, "node": 2.5})
    assert total_loss(focal, None, {}, 0.7, 1.0)["focal"].item() == 2.0
    published = total_loss(focal, logits, graph, 1.0, 1.0, 1.0)
    assert {name: term.item() for name, term in published.items()} == {"focal": 2.0, "logits": 3.0, "node": 5.0}


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"node": -1.0}, "0 or above"),
        ({"topology": "wrong"}, "topology one of"),
        ({"alignment": "x"}, "alignment must"),
    ],
)
def test_weights_that_cannot_be_are_refused(field, sentence):
    with pytest.raises(ValueError, match=sentence):
        GraphWeights(**field)


def test_every_equation_of_the_paper_has_a_function_that_names_it():
    named = set()
    for path in Path(losses.__file__).parents[2].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                named |= set(re.findall(r"\bR\d+\b", ast.get_docstring(node) or ""))
    assert {f"R{number}" for number in range(1, 21)} <= named
