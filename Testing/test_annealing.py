"""Annealing of plans: Sinkhorn in place, and slopes that point to good vertices."""

from __future__ import annotations

import numpy as np
import pytest
from REACTDistillLib.matching.annealing import annealed, blurred

HALVES = np.full((1, 2), 0.5)


def centered(distance: np.ndarray) -> np.ndarray:
    return distance - distance.mean(-1, keepdims=True) - distance.mean(-2, keepdims=True) + distance.mean((-1, -2))


def test_a_blurred_plan_of_two_by_two_worked_out_by_hand() -> None:
    cost = np.array([[[-1.0, 1.0], [1.0, -1.0]]])
    # The least cost lies 1 below 0; by symmetry the plan is [[x, 1/2 - x], [1/2 - x, x]], x / (1/2 - x) = exp(2 / T).
    plan = blurred(cost, HALVES, HALVES, 2 / np.log(3))
    assert plan[0].flatten().tolist() == pytest.approx([3 / 8, 1 / 8, 1 / 8, 3 / 8])


def test_the_temperature_has_the_unit_of_the_cost() -> None:
    cost = np.random.default_rng(0).normal(size=(2, 3, 4))
    cost -= cost.mean((1, 2), keepdims=True)
    a, b = np.full((2, 3), 1 / 3), np.full((2, 4), 1 / 4)
    assert np.allclose(blurred(cost * 1e3, a, b, 0.3), blurred(cost.copy(), a, b, 0.3))


def test_a_blurred_plan_has_its_row_sums_and_leaves_padding_empty() -> None:
    rng = np.random.default_rng(1)
    cost = np.zeros((1, 5, 4))
    cost[0, :4, :3] = rng.normal(size=(4, 3))
    cost[0, :4, :3] -= cost[0, :4, :3].mean()
    a, b = np.array([[0.25, 0.25, 0.25, 0.25, 0.0]]), np.array([[1 / 3, 1 / 3, 1 / 3, 0.0]])
    alone = blurred(cost[:, :4, :3].copy(), a[:, :4], b[:, :3], 0.5)
    plan = blurred(cost, a, b, 0.5)
    assert np.allclose(plan.sum(2), a)
    assert np.allclose(plan.sum(1), b, atol=0.02)
    assert np.allclose(plan[:, :4, :3], alone)
    assert plan[0, 4].max() == plan[0, :, 3].max() == 0.0


def test_a_cost_without_differences_leaves_the_even_plan() -> None:
    assert np.allclose(blurred(np.zeros((1, 2, 2)), HALVES, HALVES, 0.1), 0.25)


@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_the_slope_of_two_nodes_worked_out_by_hand(turned: float) -> None:
    # Distance 1 between two nodes, less the means: a quarter of M = [[-1, 1], [1, -1]] twice over.
    graph = centered(np.array([[[0.0, 1.0], [1.0, 0.0]]]))
    start = turned * np.array([[[-1.0, 1.0], [1.0, -1.0]]])
    slope = annealed(-graph, graph, np.zeros((1, 2, 2)), HALVES, HALVES, start)
    # The plan ends as half the identity, or turned; -S U T is -(M / 2) (1 / 2) (M / 2) = M / 4, as M M = -2 M.
    assert slope[0].flatten().tolist() == pytest.approx([-turned / 4, turned / 4, turned / 4, -turned / 4])


def test_between_graphs_without_distances_the_slope_is_its_linear_part() -> None:
    linear, empty = np.array([[[2.0, -2.0], [-2.0, 2.0]]]), np.zeros((1, 2, 2))
    assert annealed(empty, empty, linear, HALVES, HALVES, -linear).tolist() == linear.tolist()


def test_the_slope_points_to_the_order_of_a_permuted_copy() -> None:
    solve = pytest.importorskip("scipy.optimize", reason="scipy is not installed").linear_sum_assignment
    rng = np.random.default_rng(2)
    points = rng.random((10, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    order = rng.permutation(10)
    source, target = centered(distance[None]), centered(distance[order][:, order][None])
    means = distance.mean(1) - distance.mean()
    linear = -np.outer(means, means[order])[None]
    a = np.full((1, 10), 0.1)
    found = solve(annealed(-source, target, linear, a, a, linear.copy())[0])[1]
    assert order[found].tolist() == list(range(10))
