"""Conditional gradient over couplings: what each step promises is what the objective does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from REACTDistillLib.alignment import Pairs, aligned
from REACTDistillLib.descent import Assignments, Couplings, Transports, descended

pytest.importorskip("scipy", reason="scipy is not installed")


def symmetric(nodes: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((nodes, nodes))
    return values + values.T


def assignments(nodes: int = 6) -> Assignments:
    linear = np.random.default_rng(3).normal(size=(nodes, nodes))
    return Assignments(-symmetric(nodes, 1), symmetric(nodes, 2), linear)


def objective(couplings: Couplings, masses: np.ndarray) -> float:
    """F(U) = -<S U T, U> + 2 <linear, U> as it is written."""
    return float((couplings.source @ masses @ couplings.target * masses).sum() + 2 * (couplings.linear * masses).sum())


def test_slope_and_value_of_an_assignment_by_hand() -> None:
    couplings = Assignments(
        -np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([[0.0, 3.0], [3.0, 0.0]]), np.array([[1.0, 5.0], [7.0, 2.0]])
    )
    crossed = np.array([1, 0])
    # Row 0 of -S T with the rows of T crossed: -2 times row 0 of T.
    slope = couplings.slope(crossed)
    assert slope.tolist() == [[1.0 + 0.0, 5.0 - 6.0], [7.0 - 6.0, 2.0 + 0.0]]
    # -<S U T, U> is -(2 * 3 + 2 * 3); twice the linear cells are 2 * (5 + 7).
    assert couplings.value(crossed, slope) == -12.0 + 24.0
    assert couplings.best(slope).tolist() == [1, 0]  # -1 + 1 is less than 1 + 2
    masses = np.zeros((2, 2))
    couplings.fill(masses, crossed)
    assert masses.tolist() == [[0.0, 0.5], [0.5, 0.0]]


def test_nodes_of_two_graphs_of_two_sizes_are_coupled_by_rank_by_hand() -> None:
    couplings = Transports(np.zeros((2, 2)), np.zeros((3, 3)), np.zeros((2, 3)))
    plan = couplings.ranked(np.array([1, 0]), np.array([0, 2, 1]))
    # Node 1 has 1/2: all of the 1/3 of node 0 and half of node 2; node 0 has the rest.
    assert plan.tolist() == [[0.0, pytest.approx(1 / 3), pytest.approx(1 / 6)], [pytest.approx(1 / 3), 0.0, 1 / 6]]


def test_a_shift_of_one_size_changes_the_objective_by_a_constant() -> None:
    couplings = assignments(5)
    softened = couplings.softened(0.7, 0.3)
    changes = []
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 17):
        plan = np.array(order)
        changes.append(softened.value(plan, softened.slope(plan)) - couplings.value(plan, couplings.slope(plan)))
    assert np.ptp(changes) < 1e-12
    assert abs(changes[0]) > 0.1


def test_a_descent_falls_and_ends_where_the_best_plan_of_the_slope_does_not_gain() -> None:
    couplings = assignments()
    start = np.arange(6)
    plan, value = descended(couplings, [start], 100)
    masses = np.eye(6)[plan]
    assert sorted(plan.tolist()) == list(range(6))
    assert value == pytest.approx(objective(couplings, masses))
    assert value < couplings.value(start, couplings.slope(start))
    following = couplings.best(couplings.slope(plan))
    assert couplings.value(following, couplings.slope(following)) >= value - 1e-12


def test_a_descent_begins_at_the_lowest_of_its_starts() -> None:
    couplings = assignments()
    starts = [np.roll(np.arange(6), shift) for shift in range(6)]
    values = [couplings.value(start, couplings.slope(start)) for start in starts]
    plan, value = descended(couplings, starts, 0)
    assert value == min(values)
    assert plan is starts[int(np.argmin(values))]


def test_transports_keep_their_marginals_and_fall() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    couplings = Transports(-symmetric(4, 1), symmetric(6, 2), np.random.default_rng(3).normal(size=(4, 6)))
    start = np.full((4, 6), 1 / 24)
    plan, value = descended(couplings, [start], 100)
    assert np.allclose(plan.sum(axis=1), 1 / 4)
    assert np.allclose(plan.sum(axis=0), 1 / 6)
    assert value == pytest.approx(objective(couplings, plan))
    assert value < objective(couplings, start)


def test_padding_gets_nothing_wherever_it_stands() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    points = np.random.default_rng(0).random((2, 6, 2))
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    a, b = np.full((2, 6), 1 / 6), np.full((2, 6), 1 / 6)
    a[1], b[1] = [1 / 4, 0, 1 / 4, 1 / 4, 1 / 4, 0], [1 / 5, 1 / 5, 1 / 5, 1 / 5, 0, 1 / 5]
    plans = aligned(Pairs(distance, distance[::-1].copy(), a, b, None))
    assert np.allclose(plans.sum(axis=2), a)
    assert np.allclose(plans.sum(axis=1), b)
