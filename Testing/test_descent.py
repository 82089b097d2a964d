"""Conditional gradient over couplings: what each step promises is what the objective does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from REACTDistillLib.matching.descent import Coupling, Found, at, coupling_of, descended

pytest.importorskip("scipy", reason="scipy is not installed")


def symmetric(nodes: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((nodes, nodes))
    return values + values.T


def assignments(nodes: int = 6) -> Coupling:
    linear = np.random.default_rng(3).normal(size=(nodes, nodes)) / nodes
    return coupling_of(-symmetric(nodes, 1), symmetric(nodes, 2), linear)


def objective(coupling: Coupling, plan: np.ndarray) -> float:
    """F(U) = -<S U T, U> + 2 <linear, U> as it is written."""
    return float((coupling.source @ plan @ coupling.target * plan).sum() + 2 * (coupling.linear * plan).sum())


def reached(coupling: Coupling, start: np.ndarray, rival: float = math.inf) -> Found:
    return descended(coupling, at(coupling, start), rival)


def test_slope_and_value_of_an_assignment_by_hand() -> None:
    graphs = -np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([[0.0, 3.0], [3.0, 0.0]])
    coupling = coupling_of(*graphs, np.array([[1.0, 5.0], [7.0, 2.0]]))
    crossed = at(coupling, np.array([[0.0, 0.5], [0.5, 0.0]]))
    # -S U is minus the identity, times T that is -T.
    assert crossed.slope.tolist() == [[1.0, 5.0 - 3.0], [7.0 - 3.0, 2.0]]
    # -<S U T, U> is -(3 + 3) / 2; twice the linear cells are 2 * (5 + 7) / 2.
    assert crossed.value == -3.0 + 12.0
    assert coupling.best(crossed.slope).tolist() == [[0.5, 0.0], [0.0, 0.5]]  # 1 + 2 is less than 2 + 4


def test_the_best_transport_by_hand() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    coupling = coupling_of(np.zeros((2, 2)), np.zeros((3, 3)), np.zeros((2, 3)))
    plan = coupling.best(np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 1.0]]))
    assert np.allclose(plan, np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]]) / 6)


def test_a_descent_falls_and_ends_where_the_best_plan_of_the_slope_does_not_gain() -> None:
    coupling = assignments()
    start = np.eye(6) / 6
    found = reached(coupling, start)
    assert np.allclose(np.sort(found.plan * 6, axis=1), np.eye(6)[[5] * 6])
    assert np.allclose(found.plan.sum(axis=0), 1 / 6)
    assert found.value == pytest.approx(objective(coupling, found.plan))
    assert found.value < objective(coupling, start)
    assert objective(coupling, coupling.best(found.slope)) >= found.value - 1e-12


def test_a_descent_that_cannot_reach_its_rival_ends_early() -> None:
    coupling = assignments(12)
    start = np.eye(12) / 12
    first = at(coupling, coupling.best(at(coupling, start).slope))
    whole = reached(coupling, start)
    assert first.value > whole.value  # there is more than one step to go
    assert reached(coupling, start, rival=-1e9).value == first.value
    assert reached(coupling, start, rival=whole.value).value == whole.value


def test_transports_keep_their_marginals_and_fall() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    linear = np.random.default_rng(3).normal(size=(4, 6))
    coupling = coupling_of(-symmetric(4, 1), symmetric(6, 2), linear)
    start = np.full((4, 6), 1 / 24)
    found = reached(coupling, start)
    assert np.allclose(found.plan.sum(axis=1), 1 / 4)
    assert np.allclose(found.plan.sum(axis=0), 1 / 6)
    assert found.value == pytest.approx(objective(coupling, found.plan))
    assert found.value < objective(coupling, start)


@pytest.mark.parametrize("nodes", [15, 12])
def test_a_descent_from_the_even_plan_ends_at_the_value_of_pot(nodes: int) -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed")
    points = np.random.default_rng(1).random((2, 15, 2))
    source, target = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    target = target[:nodes, :nodes]
    coupling = coupling_of(-source, target, np.zeros((15, nodes)))
    found = reached(coupling, np.full((15, nodes), 1 / (15 * nodes)))
    value = (source**2).mean() + (target**2).mean() + 2 * found.value
    assert value == pytest.approx(ot.gromov.gromov_wasserstein2(source, target))
