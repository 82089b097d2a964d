"""Exchanges and swaps of a coupling: what they promise is what the objective does."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from REACTDistillLib.alignment import Pairs, _centered_slope, _partners_of_rank
from REACTDistillLib.coupling import balanced, vertex
from REACTDistillLib.descent import Quadratic, _offers, exchanged, swapped
from REACTDistillLib.swaps import reordered_graph, span, swap_order
from torch import Tensor


def symmetric(nodes: int, seed: int) -> Tensor:
    values = torch.rand(2, nodes, nodes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values + values.mT  # with a diagonal, which cancels in the objective of an exchange


@pytest.fixture
def objective() -> Quadratic:
    bonus = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return Quadratic(symmetric(4, 1), symmetric(6, 2), bonus)


@pytest.fixture
def units() -> Tensor:
    """Two vertices of four source nodes, 6 units each, and six target nodes, 4 units each."""
    plan = torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return vertex(plan, torch.full((2, 4), 6.0).double(), torch.full((2, 6), 4.0).double())


def at(objective: Quadratic, units: Tensor) -> Tensor:
    return objective.at(units, objective.slope(units))


def test_the_objective_by_hand() -> None:
    source = torch.tensor([[[0.0, 2.0], [2.0, 0.0]]])
    plan, bonus = torch.eye(2)[None], torch.tensor([[[1.0, 5.0], [5.0, 3.0]]])
    # <S I S, I> is the sum of squares, 8; the bonus of the two cells is 4.
    assert at(Quadratic(source, source), plan).item() == -16.0
    assert at(Quadratic(source, source, bonus), plan).item() == -32.0


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_gain_of_an_exchange_is_the_change_of_the_objective(objective: Quadratic, units: Tensor, kind: int) -> None:
    spans = span(objective.source), span(objective.target)
    moves = _offers(units, objective.slope(units), spans, kind)
    for row in range(4):
        chosen = torch.zeros(2, 4, dtype=torch.bool)
        chosen[:, row] = True
        after = moves.applied(units, chosen)
        assert torch.equal(after.sum(2), units.sum(2))
        assert torch.equal(after.sum(1), units.sum(1))
        assert after.min().item() >= 0.0
        assert torch.allclose(at(objective, after) - at(objective, units), moves.gain[:, row])


def agreement(here: Tensor, there: Tensor, bonus: Tensor, order: Tensor) -> float:
    """What ``swap_order`` seeks to raise, of the first pair of graphs, as it is written."""
    nodes = range(len(order))
    pairs = sum(here[0, i, k] * there[0, order[i], order[k]] for i in nodes for k in nodes)
    return float(pairs + 2 * sum(bonus[0, i, order[i]] for i in nodes))


def test_one_round_makes_the_best_swap_and_one_more_at_most_of_four_nodes() -> None:
    valid = torch.ones(1, 4, dtype=torch.bool)
    for seed in range(6):
        here, there = symmetric(4, seed)[:1], symmetric(4, 50 + seed)[:1]
        bonus = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        present = agreement(here, there, bonus, torch.arange(4))
        swaps = {pair: torch.arange(4) for pair in itertools.combinations(range(4), 2)}
        for (i, k), order in swaps.items():
            order[[i, k]] = order[[k, i]]
        gains = {pair: agreement(here, there, bonus, order) - present for pair, order in swaps.items()}
        best = max(gains, key=lambda pair: gains[pair])
        result = swap_order(here, there, valid, 1, bonus)[0]
        if gains[best] <= 0:
            assert result.tolist() == [0, 1, 2, 3]
        elif not torch.equal(result, torch.arange(4)):  # two swaps together may be worse than none
            assert (result[best[0]], result[best[1]]) == (best[1], best[0])
        assert agreement(here, there, bonus, result) >= present
        after = swap_order(here, there, valid, 50, bonus)[0]
        assert agreement(here, there, bonus, after) >= present + max(0.0, gains[best]) * (1 - 1e-9)


@pytest.mark.parametrize("side", ["source", "target"])
def test_swaps_of_the_nodes_of_either_graph_lower_the_objective_until_none_does(
    objective: Quadratic, units: Tensor, side: str
) -> None:
    after = swapped(units, objective, 20)
    assert (at(objective, after) <= at(objective, units)).all()
    assert torch.equal(after.sum(2), units.sum(2))
    assert torch.equal(after.sum(1), units.sum(1))
    # Of the swaps of this side alone no single one is left that lowers the objective after many rounds.
    here, there, plan = objective.source, objective.target, units
    if side == "target":
        here, there, plan = there, here, units.mT
    turned = objective if side == "source" else objective.transposed()
    assert turned.bonus is not None
    order = swap_order(here, plan @ there @ plan.mT, plan.sum(2) > 0, 100, turned.bonus @ plan.mT)
    plan = plan.gather(1, order[:, :, None].expand_as(plan))
    for i, k in itertools.combinations(range(plan.shape[1]), 2):
        other = list(range(plan.shape[1]))
        other[i], other[k] = k, i
        assert (at(turned, plan[:, other]) >= at(turned, plan) - 1e-6 * at(turned, plan).abs()).all()


def test_a_descent_falls_keeps_marginals_and_ends_where_no_exchange_gains(objective: Quadratic, units: Tensor) -> None:
    after = exchanged(units, objective, 200)
    assert (at(objective, after) < at(objective, units)).all()
    assert torch.equal(after.sum(2), units.sum(2))
    assert torch.equal(after.sum(1), units.sum(1))
    spans = span(objective.source), span(objective.target)
    for kind in range(3):
        gain = _offers(after, objective.slope(after), spans, kind).gain
        assert (gain > -1e-5 * at(objective, after).abs()[:, None]).all()


def test_swaps_end_in_a_permutation_that_no_swap_improves() -> None:
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 5:] = False
    pairs = valid[:, :, None] & valid[:, None, :]
    source, target = symmetric(7, 5) * pairs, symmetric(7, 6) * pairs
    order = swap_order(source, target, valid, 100)
    assert order[0].sort().values.tolist() == list(range(7))
    assert order[1, :5].sort().values.tolist() == list(range(5))
    assert order[1, 5:].tolist() == [5, 6]
    most = (source * reordered_graph(target, order)).sum((1, 2))
    for i, k in itertools.combinations(range(5), 2):
        other = order.clone()
        other[:, i], other[:, k] = order[:, k], order[:, i]
        assert ((source * reordered_graph(target, other)).sum((1, 2)) <= most * (1 + 1e-6)).all()


def test_more_rounds_never_lose_what_fewer_found() -> None:
    valid = torch.ones(40, 10, dtype=torch.bool)
    values = torch.rand(2, 40, 10, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    here, there = values + values.mT
    most = (here * there).sum((1, 2))
    for rounds in range(1, 10):
        reached = (here * reordered_graph(there, swap_order(here, there, valid, rounds))).sum((1, 2))
        assert (reached >= most - 1e-9).all()
        most = reached


def test_padding_stays_where_it_is_even_when_a_swap_with_it_would_gain() -> None:
    valid = torch.tensor([[True, True, False, False]])
    here = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    here = torch.nn.functional.pad(here, (0, 2, 0, 2))
    assert swap_order(here, -here, valid, 5).tolist() == [[0, 1, 2, 3]]


def test_a_reordered_graph_has_its_rows_and_columns_in_the_order() -> None:
    distance = torch.tensor([[[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]])
    order = torch.tensor([[2, 0, 1]])
    assert reordered_graph(distance, order)[0].tolist() == [[0.0, 2.0, 3.0], [2.0, 0.0, 1.0], [3.0, 1.0, 0.0]]


@pytest.fixture
def pairs() -> Pairs:
    """Two pairs of graphs of one size, the second with padding at the second place of the source, the last of both."""
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[1, [1, 5]] = False
    reached = torch.ones(2, 6, dtype=torch.bool)
    reached[1, 4:] = False
    source = symmetric(6, 1) * valid[:, :, None] * valid[:, None, :]
    target = symmetric(6, 2) * reached[:, :, None] * reached[:, None, :]
    a, b = valid.double() / valid.sum(1, keepdim=True), reached.double() / reached.sum(1, keepdim=True)
    return Pairs(source, target, a, b, None)


def test_nodes_start_with_partners_of_their_rank_and_then_with_shuffled_ones(pairs: Pairs) -> None:
    starts = _partners_of_rank(pairs, 4).view(4, 2, 6)
    for index in range(2):
        valid, reached = pairs.a[index] > 0, pairs.b[index] > 0
        by_rank = pairs.target[index].sum(1)[starts[0, index, valid]]
        assert by_rank[pairs.source[index].sum(1)[valid].argsort()].diff().min().item() >= 0
        for start in starts[:, index]:
            assert sorted(start.tolist()) == list(range(6))
            assert reached[start[valid]].all()
    assert len({tuple(start.tolist()) for start in starts[:, 0]}) == 4


def test_the_centered_slope_tells_plans_apart_as_the_slope_does(pairs: Pairs) -> None:
    bonus = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(9)).double()
    bonus *= (pairs.a[:, :, None] > 0) & (pairs.b[:, None, :] > 0)
    even, source, target = _centered_slope(replace(pairs, bonus=bonus))
    for centered, a, b in ((even, pairs.a, pairs.b), (source, pairs.a, pairs.a), (target, pairs.b, pairs.b)):
        assert (centered @ b[:, :, None]).abs().max().item() < 1e-12
        assert (a[:, None, :] @ centered).abs().max().item() < 1e-12
    assert source[1, 1].abs().max().item() == even[1, 1].abs().max().item() == 0.0
    plans = (torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(seed)).double() for seed in range(2))
    first, second = (balanced(plan, pairs.a, pairs.b, 500) for plan in plans)
    slopes = pairs.source @ first @ pairs.target + bonus, even + source @ first @ target
    changes = [(slope * (second - first)).sum((1, 2)) for slope in slopes]
    assert torch.allclose(*changes, atol=1e-9)
    assert changes[0].abs().min().item() > 1e-3
