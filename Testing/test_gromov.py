"""R13 and R17: Gromov-Wasserstein of region graphs, and the surrogate of the published code."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from REACTDistillLib.graph import cosine_distance, node_features
from REACTDistillLib.gromov import (
    GromovWasserstein,
    Solver,
    gromov_wasserstein,
    surrogate_value,
)
from torch import Tensor

SOLVERS = ["gw", "entropic"]


def cosine_graph(nodes: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    distance = cosine_distance(torch.randn(nodes, 6, generator=generator, dtype=torch.float64))
    return distance.fill_diagonal_(0.0).to(dtype)


def point_graph(nodes: int, seed: int) -> Tensor:
    points = torch.rand(nodes, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cdist(points, points)


def padded(graphs: list[Tensor], nodes: int | None = None) -> tuple[Tensor, Tensor]:
    """A batch (B, N, N) with large numbers in the padding, which must not matter, and its mask (B, N)."""
    nodes = nodes or max(len(graph) for graph in graphs)
    distances = torch.full((len(graphs), nodes, nodes), 7.0, dtype=graphs[0].dtype)
    mask = torch.zeros(len(graphs), nodes, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        distances[index, : len(graph), : len(graph)] = graph
        mask[index, : len(graph)] = True
    return distances, mask


def one_pair(source: Tensor, target: Tensor, **settings: object) -> GromovWasserstein:
    return gromov_wasserstein(source[None], target[None], **settings)  # type: ignore[arg-type]


def value_by_hand(source: Tensor, target: Tensor, plan: Tensor) -> float:
    """R17 as it is written: the sum over i, k, j, l."""
    change = source[:, None, :, None] - target[None, :, None, :]  # (i, j, k, l)
    return torch.einsum("ijkl,ij,kl->", change**2, plan, plan).item()


def best_permutation_value(source: Tensor, target: Tensor) -> float:
    count = len(source)
    return min(
        ((source - target[list(order)][:, list(order)]) ** 2).sum().item() / count**2
        for order in itertools.permutations(range(count))
    )


@pytest.mark.parametrize("solver", ["gw", "pot"])
def test_r17_of_two_nodes_is_half_the_squared_difference_of_their_distances(solver: str) -> None:
    if solver == "pot":
        pytest.importorskip("ot", reason="POT is not installed")
    source = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    target = torch.tensor([[0.0, 0.4], [0.4, 0.0]])
    result = one_pair(source, target, solver=solver)
    assert result.value.item() == pytest.approx(0.5 * (1.0 - 0.4) ** 2, abs=1e-7)


def test_r17_against_one_node_is_the_mean_squared_distance() -> None:
    source = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])
    result = one_pair(source, torch.zeros(1, 1))
    assert result.value.item() == pytest.approx(2 * (1 + 4 + 9) / 9)
    assert result.plan[0, :, 0].tolist() == pytest.approx([1 / 3] * 3)
    assert one_pair(torch.zeros(1, 1), torch.zeros(1, 1)).value.item() == 0.0


def test_r17_of_a_node_that_splits_worked_out_by_hand() -> None:
    # Three nodes at 0, 0 and 1 on a line against two at 0 and 1: node 1 of the target holds half, so a sixth crosses.
    source = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    target = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    # Mass 1/6 at distance 0 in the source and 1 in the target from 1/2, and the other way round from 1/3.
    assert one_pair(source, target).value.item() == pytest.approx(2 * (1 / 6) * (1 / 2) + 2 * (1 / 6) * (1 / 3))


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_value_is_the_sum_of_r17_at_the_plan(solver: str) -> None:
    source, target = cosine_graph(6, 1), cosine_graph(9, 2)
    result = one_pair(source, target, solver=solver)
    assert result.value.item() == pytest.approx(value_by_hand(source, target, result.plan[0]), rel=1e-9)


@pytest.mark.parametrize("nodes", [2, 3, 5, 8, 12])
@pytest.mark.parametrize("graph", [cosine_graph, point_graph])
def test_equal_graphs_and_permuted_copies_are_at_distance_zero(graph: Callable[[int, int], Tensor], nodes: int) -> None:
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(3))
    one = graph(nodes, 4).float()
    assert one_pair(one, one).value.item() < 1e-6
    assert one_pair(one, one[order][:, order]).value.item() < 1e-6


def test_the_value_is_near_the_minimum_over_all_permutations() -> None:
    excess = []
    for seed in range(24):
        source, target = cosine_graph(6, seed), cosine_graph(6, 100 + seed)
        least = best_permutation_value(source, target)
        excess.append(one_pair(source, target).value.item() / least - 1)
    assert min(excess) == pytest.approx(0.0, abs=1e-9)
    assert sum(excess) / len(excess) < 0.15


@pytest.mark.parametrize(("nodes", "others"), [(9, 9), (7, 12)])
def test_the_value_does_not_depend_on_the_order_of_nodes(nodes: int, others: int) -> None:
    generator = torch.Generator().manual_seed(5)
    for seed in range(5):
        source, target = cosine_graph(nodes, seed), cosine_graph(others, 50 + seed)
        expected = one_pair(source, target).value.item()
        first, second = torch.randperm(nodes, generator=generator), torch.randperm(others, generator=generator)
        permuted = one_pair(source[first][:, first], target[second][:, second])
        assert permuted.value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("solver", [*SOLVERS, "pot"])
def test_padding_changes_nothing_and_a_batch_is_a_loop(solver: str) -> None:
    if solver == "pot":
        pytest.importorskip("ot", reason="POT is not installed")
    sizes = [(4, 4), (5, 9), (1, 6), (8, 3), (9, 9)]
    sources = [cosine_graph(n, n) for n, _ in sizes]
    targets = [cosine_graph(m, 20 + m) for _, m in sizes]
    source, source_mask = padded(sources, 11)
    target, target_mask = padded(targets, 13)
    together = gromov_wasserstein(source, target, source_mask, target_mask, solver=solver)
    for index, (one, other) in enumerate(zip(sources, targets, strict=True)):
        alone = one_pair(one, other, solver=solver)
        n, m = sizes[index]
        assert together.value[index].item() == pytest.approx(alone.value.item(), abs=1e-12)
        assert torch.allclose(together.plan[index, :n, :m], alone.plan[0], atol=1e-12)
        assert together.plan[index].sum().item() == pytest.approx(1.0)


def test_padding_may_stand_anywhere() -> None:
    source, target = cosine_graph(5, 1), cosine_graph(6, 2)
    spread = torch.full((1, 8, 8), float("nan"), dtype=torch.float64)
    mask = torch.tensor([[False, True, True, False, True, True, False, True]])
    spread[mask[:, :, None] & mask[:, None, :]] = source.flatten()
    result = gromov_wasserstein(spread, target[None], mask)
    assert result.value.item() == pytest.approx(one_pair(source, target).value.item(), abs=1e-12)
    assert result.plan[0, ~mask[0]].abs().max().item() == 0.0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 2.0, 1e3])
def test_plans_have_the_equal_masses_of_r13_at_every_scale_in_float32(solver: str, scale: float) -> None:
    source, target = (cosine_graph(10, 1, torch.float32) * scale)[None], (point_graph(7, 2).float() * scale)[None]
    settings = Solver(solver, epsilon=0.05 * scale**2)  # type: ignore[arg-type]
    result = gromov_wasserstein(source, target, solver=settings)
    assert result.plan.min().item() >= 0.0
    assert (result.plan.sum(2) - 1 / 10).abs().max().item() < 1e-6
    assert (result.plan.sum(1) - 1 / 7).abs().max().item() < 1e-6
    wide = gromov_wasserstein(source.double() / scale, target.double() / scale, solver=Solver(solver))  # type: ignore[arg-type]
    assert result.value.item() / scale**2 == pytest.approx(wide.value.item(), rel=1e-3)


@pytest.mark.parametrize("sizes", [(5, 5), (4, 6)])
def test_the_gradient_is_that_of_finite_differences(sizes: tuple[int, int]) -> None:
    # On symmetric changes, since distances are symmetric.
    def value(source: Tensor, target: Tensor) -> Tensor:
        return gromov_wasserstein((source + source.mT) / 2, (target + target.mT) / 2).value

    graphs = [cosine_graph(sizes[0], 8)[None].requires_grad_(), cosine_graph(sizes[1], 9)[None].requires_grad_()]
    assert torch.autograd.gradcheck(value, graphs, eps=1e-6, atol=1e-6)


def test_gradients_reach_the_features_of_the_student_through_a_feature_map() -> None:
    features = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks = torch.rand(5, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(features: Tensor) -> Tensor:
        student = cosine_distance(node_features(features, masks))
        return gromov_wasserstein(((student + student.T) / 2)[None], cosine_graph(5, 3)[None]).value.sum()

    assert torch.autograd.gradcheck(loss, features.requires_grad_(), eps=1e-7, atol=1e-5)


def test_gradients_are_finite_and_zero_where_the_graphs_are_equal() -> None:
    source = cosine_graph(6, 1, torch.float32)[None].requires_grad_()
    gromov_wasserstein(source, source.detach()).value.sum().backward()
    assert source.grad is not None
    assert source.grad.abs().max().item() < 1e-6


def test_the_plan_carries_no_gradient_and_padding_gets_none() -> None:
    source, mask = padded([cosine_graph(4, 1)], 6)
    result = gromov_wasserstein(source.requires_grad_(), cosine_graph(5, 2)[None], mask)
    result.value.sum().backward()
    assert not result.plan.requires_grad
    assert source.grad is not None
    assert source.grad[0, 4:].abs().max().item() == 0.0
    assert source.grad[0, :4, :4].abs().max().item() > 0.0


def test_autocast_and_half_precision_change_nothing_beyond_rounding() -> None:
    source, target = cosine_graph(8, 1, torch.float32)[None], cosine_graph(8, 2, torch.float32)[None]
    expected = gromov_wasserstein(source, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = gromov_wasserstein(source, target)
    assert result.value.dtype == torch.float32
    assert torch.equal(result.value, expected.value)
    half = source.bfloat16(), target.bfloat16()
    result = gromov_wasserstein(*half)
    assert result.value.dtype == torch.float32
    assert torch.equal(result.value, gromov_wasserstein(*(distance.float() for distance in half)).value)


def cluster_graph(nodes: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    chosen = centers[torch.randint(4, (nodes,), generator=generator)]
    distance = cosine_distance(chosen + 0.3 * torch.randn(nodes, 6, generator=generator, dtype=torch.float64))
    return distance.fill_diagonal_(0.0)


@pytest.mark.parametrize("graph", [cosine_graph, cluster_graph, point_graph])
@pytest.mark.parametrize("one_size", [True, False])
def test_values_are_below_those_of_pot_on_random_graphs(graph: Callable[[int, int], Tensor], one_size: bool) -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    rng = np.random.default_rng(0)
    sizes = [(int(n), int(n if one_size else m)) for n, m in rng.integers(12, 25, (24, 2))]
    source, source_mask = padded([graph(n, index) for index, (n, _) in enumerate(sizes)])
    target, target_mask = padded([graph(m, 70 + index) for index, (_, m) in enumerate(sizes)])
    ours = gromov_wasserstein(source, target, source_mask, target_mask).value
    pot = gromov_wasserstein(source, target, source_mask, target_mask, solver="pot").value
    assert (ours <= pot * (1 + 1e-6)).double().mean().item() >= 0.95
    assert (1 - ours / pot).mean().item() > 0.05
    best = gromov_wasserstein(source, target, source_mask, target_mask, solver="best").value
    assert (best <= pot * (1 + 1e-6)).all()


def test_fused_lies_between_structure_and_cost() -> None:
    source, target = cosine_graph(5, 1), cosine_graph(5, 2)
    order = [3, 1, 4, 0, 2]
    cost = 1.0 - torch.eye(5, dtype=torch.float64)[order]
    structure = one_pair(source, target, solver=Solver("fused", alpha=1.0), cost=cost[None])
    assert structure.value.item() == pytest.approx(one_pair(source, target).value.item())
    alone = one_pair(source, target, solver=Solver("fused", alpha=0.0), cost=cost[None])
    assert alone.value.item() == pytest.approx(0.0)
    assert alone.plan[0].argmax(1).tolist() == order
    both = one_pair(source, target, solver=Solver("fused", alpha=0.5), cost=cost[None])
    by_hand = 0.5 * value_by_hand(source, target, both.plan[0]) + 0.5 * (cost * both.plan[0]).sum().item()
    assert both.value.item() == pytest.approx(by_hand)
    least = min(
        0.5 * ((source - target[list(o)][:, list(o)]) ** 2).mean().item()
        + 0.5 * sum(cost[i, o[i]].item() for i in range(5)) / 5
        for o in itertools.permutations(range(5))
    )
    assert least - 1e-9 <= both.value.item() < 1.1 * least


def test_fused_of_two_sizes_follows_the_cost() -> None:
    source, target = cosine_graph(2, 1), cosine_graph(3, 2)
    cost = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    result = one_pair(source, target, solver=Solver("fused", alpha=0.0), cost=cost[None])
    expected = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]], dtype=torch.float64) / 6
    assert torch.allclose(result.plan[0], expected)


def test_the_entropic_plan_sharpens_as_epsilon_falls() -> None:
    source, target = cosine_graph(6, 1), cosine_graph(6, 2)
    soft, sharp = (one_pair(source, target, solver=Solver("entropic", epsilon=e)) for e in (10.0, 0.01))
    assert torch.allclose(soft.plan, torch.full_like(soft.plan, 1 / 36), atol=5e-3)
    assert sharp.value.item() < soft.value.item()


def test_the_surrogate_by_hand() -> None:
    source = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    target = torch.tensor([[0.0, 0.4], [0.4, 0.0]])
    # The identity plan: rows scaled to 1 leave Dt as it is, two of four entries differ by 0.6.
    assert surrogate_value(source[None], target[None], torch.eye(2)[None] / 2).item() == pytest.approx(0.36 / 2)
    # The even plan: every entry of pi Dt pi^T is 0.2.
    even = torch.full((1, 2, 2), 0.25)
    assert surrogate_value(source[None], target[None], even).item() == pytest.approx((2 * 0.04 + 2 * 0.64) / 4)


def test_the_surrogate_ignores_padding_and_carries_gradients() -> None:
    source, mask = padded([cosine_graph(3, 1)], 5)
    target = cosine_graph(4, 2)[None].requires_grad_()
    plan = gromov_wasserstein(source, target.detach(), mask).plan
    expected = surrogate_value(source[:, :3, :3], target, plan[:, :3])
    result = surrogate_value(source, target, plan)
    assert result.item() == pytest.approx(expected.item())
    result.sum().backward()
    assert target.grad is not None
    assert target.grad.abs().max().item() > 0.0


def invalid(change: Callable[[Tensor], None]) -> Tensor:
    distance = cosine_graph(3, 1)[None]
    change(distance)
    return distance


GOOD = cosine_graph(3, 0)[None]


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        ((GOOD[0], GOOD), {}, r"source distances must be floating and \(B, N, N\), got \(3, 3\)"),
        ((GOOD, GOOD[:, :2]), {}, r"target distances must be floating and \(B, N, N\), got \(1, 2, 3\)"),
        ((GOOD, GOOD.repeat(2, 1, 1)), {}, "1 source graphs cannot be paired with 2 target graphs"),
        ((invalid(lambda d: d[0, 0].fill_(float("nan"))), GOOD), {}, "source distances hold NaN or infinity"),
        ((GOOD, invalid(lambda d: d[0, 1].fill_(float("inf")))), {}, "target distances hold NaN or infinity"),
        ((GOOD, invalid(lambda d: d[0, 1].mul_(2.0))), {}, "target distances are not symmetric"),
        ((GOOD, GOOD, torch.zeros(1, 3, dtype=torch.bool)), {}, "source graph 0 of the batch has no node"),
        ((GOOD, GOOD, torch.ones(1, 4, dtype=torch.bool)), {}, r"source mask must be bool \(1, 3\), got"),
        ((GOOD, GOOD, torch.ones(1, 3)), {}, "source mask must be bool"),
        ((GOOD, GOOD), {"solver": "exact"}, "solver 'exact' is unknown; choose one of gw, fused, entropic, pot, best"),
        ((GOOD, GOOD), {"solver": "fused"}, 'a cost between nodes belongs to the solver "fused"'),
        ((GOOD, GOOD), {"cost": GOOD}, 'a cost between nodes belongs to the solver "fused"'),
        ((GOOD, GOOD), {"solver": "fused", "cost": GOOD[:, :2]}, r"cost between nodes must be \(1, 3, 3\), got"),
        ((GOOD, GOOD), {"solver": "fused", "cost": GOOD * float("nan")}, "cost between nodes holds NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(
    arguments: tuple[Tensor, ...], settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        gromov_wasserstein(*arguments, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"alpha": 1.5}, "alpha"), ({"epsilon": 0.0}, "epsilon > 0")],
)
def test_a_solver_out_of_range_is_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Solver(**settings)  # type: ignore[arg-type]


def test_the_surrogate_refuses_an_empty_plan() -> None:
    with pytest.raises(ValueError, match="a plan without mass aligns nothing"):
        surrogate_value(GOOD, GOOD, torch.zeros(1, 3, 3))


def test_pot_is_asked_for_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ot.gromov", None)
    with pytest.raises(ValueError, match='"POT" is missing; run pip install'):
        one_pair(GOOD[0], GOOD[0], solver="pot")


@pytest.mark.parametrize(
    ("module", "target", "sentence"),
    [
        ("scipy.optimize", GOOD[0], '"scipy" is missing; run pip install'),
        ("ot.lp.emd_wrap", GOOD[0, :2, :2], '"POT" is missing; run pip install'),
    ],
)
def test_packages_of_linear_problems_are_asked_for_when_missing(
    monkeypatch: pytest.MonkeyPatch, module: str, target: Tensor, sentence: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=sentence):
        one_pair(GOOD[0], target)
