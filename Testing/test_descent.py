"""Exchanges and swaps of a coupling: what they promise is what the objective does."""

from __future__ import annotations

import pytest
import torch
from REACTDistillLib.coupling import vertex
from REACTDistillLib.descent import Quadratic, _offers, exchanged, swapped
from REACTDistillLib.swaps import Swaps, span, swap_order
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


def test_the_score_of_a_swap_of_rows_is_a_quarter_of_the_fall_of_the_objective(
    objective: Quadratic, units: Tensor
) -> None:
    spans = span(objective.source), span(units @ objective.target @ units.mT)
    swaps = Swaps.of(objective.slope(units) @ units.mT, *spans, torch.ones(2, 4, 4, dtype=torch.bool))
    for row in range(4):
        chosen = torch.zeros(2, 4, dtype=torch.bool)
        chosen[:, row] = True
        after = units.gather(1, swap_order(swaps.other, chosen)[:, :, None].expand_as(units))
        assert torch.allclose(at(objective, units) - at(objective, after), 4.0 * swaps.score[:, row])


def test_a_descent_falls_keeps_marginals_and_ends_where_no_exchange_gains(objective: Quadratic, units: Tensor) -> None:
    after = exchanged(units, objective, 200)
    assert (at(objective, after) < at(objective, units)).all()
    assert torch.equal(after.sum(2), units.sum(2))
    assert torch.equal(after.sum(1), units.sum(1))
    spans = span(objective.source), span(objective.target)
    for kind in range(3):
        gain = _offers(after, objective.slope(after), spans, kind).gain
        assert (gain > -1e-5 * at(objective, after).abs()[:, None]).all()


def test_swaps_of_partners_end_in_a_permutation_that_no_swap_improves() -> None:
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 5:] = False
    pairs = valid[:, :, None] & valid[:, None, :]
    objective = Quadratic(symmetric(7, 5) * pairs, symmetric(7, 6) * pairs)
    partner = swapped(torch.arange(7).expand(2, 7), objective, valid, 100)
    assert partner[0].sort().values.tolist() == list(range(7))
    assert partner[1, :5].sort().values.tolist() == list(range(5))
    plan = torch.nn.functional.one_hot(partner, 7).double() * valid[:, :, None]
    least = at(objective, plan)
    for i in range(5):
        for k in range(i):
            order = list(range(7))
            order[i], order[k] = k, i
            assert (at(objective, plan[:, order]) >= least - 1e-9).all()


def test_a_swap_changes_two_places_and_no_more() -> None:
    other = torch.tensor([[2, 0, 0, 1]])
    assert swap_order(other, torch.tensor([[True, False, False, True]])).tolist() == [[2, 3, 0, 1]]
    assert swap_order(other, torch.zeros(1, 4, dtype=torch.bool)).tolist() == [[0, 1, 2, 3]]
