"""Conditional gradient over couplings: what each step promises is what the objective does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from REACTDistillLib.alignment import Pairs, aligned
from REACTDistillLib.descent import Assignments, Couplings, Transports, descended, lowest

pytest.importorskip("scipy", reason="scipy is not installed")


def symmetric(nodes: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((nodes, nodes))
    return values + values.T


def one_pair(kind: type[Couplings], source: np.ndarray, target: np.ndarray, linear: np.ndarray) -> Couplings:
    rows, columns = (np.array([count]) for count in linear.shape)
    return kind(source[None], target[None], linear[None], rows, columns)


def assignments(nodes: int = 6) -> Couplings:
    linear = np.random.default_rng(3).normal(size=(nodes, nodes))
    return one_pair(Assignments, -symmetric(nodes, 1), symmetric(nodes, 2), linear)


def objective(couplings: Couplings, masses: np.ndarray) -> float:
    """F(U) = -<S U T, U> + 2 <linear, U> of the first pair as it is written."""
    slope = couplings.source[0] @ masses @ couplings.target[0]
    return float((slope * masses).sum() + 2 * (couplings.linear[0] * masses).sum())


def value_of(couplings: Couplings, plan: np.ndarray) -> float:
    return float(couplings.value(plan[None], couplings.slope(plan[None]))[0])


def test_slope_and_value_of_an_assignment_by_hand() -> None:
    couplings = one_pair(
        Assignments,
        -np.array([[0.0, 2.0], [2.0, 0.0]]),
        np.array([[0.0, 3.0], [3.0, 0.0]]),
        np.array([[1.0, 5.0], [7.0, 2.0]]),
    )
    crossed = np.array([[1, 0]])
    # Row 0 of -S T with the rows of T crossed: -2 times row 0 of T.
    slope = couplings.slope(crossed)
    assert slope.tolist() == [[[1.0 + 0.0, 5.0 - 6.0], [7.0 - 6.0, 2.0 + 0.0]]]
    # -<S U T, U> is -(2 * 3 + 2 * 3); twice the linear cells are 2 * (5 + 7).
    assert couplings.value(crossed, slope).tolist() == [-12.0 + 24.0]
    assert couplings.best(slope).tolist() == [[1, 0]]  # -1 + 1 is less than 1 + 2
    assert couplings.masses(crossed).tolist() == [[[0.0, 0.5], [0.5, 0.0]]]


def test_nodes_of_two_graphs_of_two_sizes_are_coupled_by_rank_by_hand() -> None:
    couplings = one_pair(Transports, np.zeros((2, 2)), np.zeros((3, 3)), np.zeros((2, 3)))
    plan = couplings.ranked(np.array([[1, 0]]), np.array([[0, 2, 1]]))[0]
    # Node 1 has 1/2: all of the 1/3 of node 0 and half of node 2; node 0 has the rest.
    assert plan.tolist() == [[0.0, pytest.approx(1 / 3), pytest.approx(1 / 6)], [pytest.approx(1 / 3), 0.0, 1 / 6]]


def test_nodes_of_two_graphs_of_one_size_are_coupled_by_rank_by_hand() -> None:
    couplings = one_pair(Assignments, np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3)))
    # Node 1 is the first of the source and has the first of the target, node 2; and so on.
    assert couplings.ranked(np.array([[1, 0, 2]]), np.array([[2, 0, 1]])).tolist() == [[0, 2, 1]]


def test_a_shift_of_one_size_changes_the_objective_by_a_constant() -> None:
    couplings = assignments(5)
    softened = couplings.softened(np.array([0.7]), np.array([0.3]))
    orders = itertools.islice(itertools.permutations(range(5)), 0, 120, 17)
    changes = [value_of(softened, np.array(order)) - value_of(couplings, np.array(order)) for order in orders]
    assert np.ptp(changes) < 1e-12
    assert abs(changes[0]) > 0.1


def test_a_descent_falls_and_ends_where_the_best_plan_of_the_slope_does_not_gain() -> None:
    couplings = assignments()
    start = np.arange(6)
    found = descended(couplings, lowest(couplings, [start[None]]), 100)
    plan, value = found.plans[0], found.values[0]
    assert sorted(plan.tolist()) == list(range(6))
    assert value == pytest.approx(objective(couplings, np.eye(6)[plan]))
    assert value < value_of(couplings, start)
    assert value_of(couplings, couplings.best(couplings.slope(plan[None]))[0]) >= value - 1e-12


def test_a_descent_begins_at_the_lowest_of_its_starts() -> None:
    couplings = assignments()
    starts = [np.roll(np.arange(6), shift) for shift in range(6)]
    values = [value_of(couplings, start) for start in starts]
    found = lowest(couplings, [start[None] for start in starts])
    assert found.values.tolist() == [min(values)]
    assert found.plans[0].tolist() == starts[int(np.argmin(values))].tolist()


def test_pairs_of_a_batch_go_down_as_each_would_alone() -> None:
    rng = np.random.default_rng(0)
    counts = np.array([3, 6, 5, 1])
    here = np.arange(6) < counts[:, None]
    square = here[:, :, None] & here[:, None, :]
    source, target = (np.stack([symmetric(6, seed + i) for i in range(4)]) * square for seed in (1, 10))
    whole = Assignments(-source, target, rng.normal(size=square.shape) * square, counts, counts)
    start = np.tile(np.arange(6), (4, 1))
    found = descended(whole, lowest(whole, [start]), 100)
    for index, n in enumerate(counts):
        parts = (whole.source, whole.target, whole.linear)
        alone = one_pair(Assignments, *(part[index, :n, :n] for part in parts))
        expected = descended(alone, lowest(alone, [start[:1, :n]]), 100)
        assert found.plans[index, :n].tolist() == expected.plans[0].tolist()
        assert found.plans[index, n:].tolist() == list(range(n, 6))
        assert found.values[index] == pytest.approx(expected.values[0])
    assert (found.plans != start).any(1).tolist().count(True) >= 2


def test_a_descent_that_cannot_reach_its_rival_ends_early() -> None:
    couplings = assignments(12)
    start = lowest(couplings, [np.arange(12)[None]])
    one, whole = (descended(couplings, start, most) for most in (1, 100))
    assert one.values[0] > whole.values[0]  # there is more than one step to go
    out_of_reach, in_reach = np.array([-1e9]), whole.values
    assert descended(couplings, start, 100, out_of_reach).values.tolist() == one.values.tolist()
    assert descended(couplings, start, 100, in_reach).values.tolist() == whole.values.tolist()


def test_transports_keep_their_marginals_and_fall() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    linear = np.random.default_rng(3).normal(size=(4, 6))
    couplings = one_pair(Transports, -symmetric(4, 1), symmetric(6, 2), linear)
    start = np.full((4, 6), 1 / 24)
    found = descended(couplings, lowest(couplings, [start[None]]), 100)
    plan, value = found.plans[0], found.values[0]
    assert np.allclose(plan.sum(axis=1), 1 / 4)
    assert np.allclose(plan.sum(axis=0), 1 / 6)
    assert value == pytest.approx(objective(couplings, plan))
    assert value < objective(couplings, start)


def test_a_descent_from_the_even_plan_ends_at_the_value_of_pot() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed")
    points = np.random.default_rng(1).random((2, 15, 2))
    source, target = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    couplings = one_pair(Assignments, -source, target, np.zeros((15, 15)))
    even = couplings.best(-np.outer(source.sum(0), target.sum(0))[None])
    found = descended(couplings, lowest(couplings, [even]), 100)
    plan = found.plans[0]
    assert found.values[0] == pytest.approx(-(source * target[plan][:, plan]).sum())
    expected = ot.gromov.gromov_wasserstein2(source, target)
    assert ((source - target[plan][:, plan]) ** 2).mean() == pytest.approx(expected)


def test_padding_gets_nothing_wherever_it_stands() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    points = np.random.default_rng(0).random((2, 6, 2))
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    a, b = np.full((2, 6), 1 / 6), np.full((2, 6), 1 / 6)
    a[1], b[1] = [1 / 4, 0, 1 / 4, 1 / 4, 1 / 4, 0], [1 / 5, 1 / 5, 1 / 5, 1 / 5, 0, 1 / 5]
    plans = aligned(Pairs(distance, distance[::-1].copy(), a, b, None))
    assert np.allclose(plans.sum(axis=2), a)
    assert np.allclose(plans.sum(axis=1), b)
