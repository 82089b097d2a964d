"""Alignment of graphs: starts, softening, padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from REACTDistillLib.matching.alignment import Graphs, Pairs, aligned, ranked

pytest.importorskip("scipy", reason="scipy is not installed")


def symmetric(nodes: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((nodes, nodes))
    return values + values.T


def test_nodes_are_coupled_by_rank_by_hand_also_where_sizes_differ() -> None:
    source_order, target_order = np.array([[1, 0, 2], [1, 0, 2]]), np.array([[0, 2, 1], [2, 0, 1]])
    plans = ranked(source_order, target_order, np.array([2, 3]), np.array([3, 3]))
    # Node 1 has 1/2: all of the 1/3 of node 0 and half of node 2; node 0 has the rest. Node 2 is padding.
    expected = np.array([[0.0, 1 / 3, 1 / 6], [1 / 3, 0.0, 1 / 6], [0.0, 0.0, 0.0]])
    assert np.allclose(plans[0], expected)
    # Node 1 is the first of the source and has the first of the target, node 2; and so on.
    assert np.allclose(plans[1] * 3, np.eye(3)[[0, 2, 1]])


def test_softening_takes_half_of_the_mean_eigenvalue_and_leaves_padding() -> None:
    graph = np.array([[[-1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]])
    weight = np.array([[0.5, 0.5, 0.0]])
    # Eigenvalues -2 and 0, of which the second belongs to the means: the mean of the others is -2.
    softened = Graphs(weight, np.array([2]), graph, weight, weight).softened()
    assert softened[0].tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_softening_changes_the_objective_of_graphs_of_one_size_by_a_constant() -> None:
    one, other = (symmetric(5, seed)[None] for seed in (1, 2))
    even, count = np.full((1, 5), 0.2), np.array([5])
    soft_one, soft_other = (Graphs(even, count, graph, even, even).softened() for graph in (one, other))
    changes = []
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 17):
        plan = np.eye(5)[list(order)]
        objectives = [float((s[0] @ plan @ t[0] * plan).sum()) for s, t in ((one, other), (soft_one, soft_other))]
        changes.append(objectives[1] - objectives[0])
    assert np.ptp(changes) < 1e-12
    assert abs(changes[0]) > 0.1


def test_a_bonus_alone_decides_between_graphs_without_distances() -> None:
    bonus = np.array([[[0.0, 5.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 2.0]]])
    third, empty = np.full((1, 3), 1 / 3), np.zeros((1, 3, 3))
    # 5 + 1 + 2 is more than 0 + 3 + 2.
    plan = aligned(Pairs(empty, empty, third, third, bonus))[0]
    assert np.allclose(plan * 3, np.eye(3)[[1, 0, 2]])


def test_padding_gets_nothing_wherever_it_stands() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    points = np.random.default_rng(0).random((2, 6, 2))
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    a, b = np.full((2, 6), 1 / 6), np.full((2, 6), 1 / 6)
    a[1], b[1] = [1 / 4, 0, 1 / 4, 1 / 4, 1 / 4, 0], [1 / 5, 1 / 5, 1 / 5, 1 / 5, 0, 1 / 5]
    plans = aligned(Pairs(distance, distance[::-1].copy(), a, b, None))
    assert np.allclose(plans.sum(axis=2), a)
    assert np.allclose(plans.sum(axis=1), b)
