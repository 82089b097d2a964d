"""R10-R12 and the region graph of a Finding."""

import json

import numpy as np
import pytest
import torch
from REACTDistillLib.graph import RegionGraph, cosine_distance, cosine_similarity, node_features, unit_features


def test_r10_is_the_weighted_mean_over_the_soft_region():
    features = torch.tensor([[[[1.0, 2.0, 4.0]]], [[[0.0, 10.0, 20.0]]]])  # (2, 1, 1, 3)
    masks = torch.tensor([[[[1.0, 0.0, 0.0]]], [[[0.0, 0.5, 1.5]]]])
    assert node_features(features, masks).tolist() == [[1.0, 0.0], [3.5, 17.5]]


def test_r11_has_length_one_and_zeros_stay_zero():
    assert unit_features(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [
        [0.6000000238418579, 0.800000011920929],
        [0, 0],
    ]


def test_r12_by_hand():
    nodes = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    half = 0.5**0.5
    assert cosine_similarity(nodes).numpy() == pytest.approx(np.array([[1, 0, half], [0, 1, half], [half, half, 1]]))
    distance = cosine_distance(nodes)
    assert distance[0, 1].item() == 1.0
    assert distance[0, 2].item() == pytest.approx(1 - half)
    assert (distance >= 0).all()


def test_gradients_reach_the_feature_map_through_the_distances():
    features = torch.randn(4, 2, 2, 2, requires_grad=True)
    masks = torch.rand(3, 2, 2, 2)
    cosine_distance(node_features(features, masks)).sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0


def test_a_region_without_weight_is_refused():
    with pytest.raises(ValueError, match=r"regions \[1\] cover no voxel"):
        node_features(torch.ones(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]], [[[0.0, 0.0]]]]))


def small_graph():
    return RegionGraph(
        names=("tumor_1", "sector_1"),
        kinds=("tumor", "sector"),
        centroids_ras=np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        volumes_ml=np.array([1.5, 400.0]),
        features=np.array([[1.0, 0.0], [0.0, 1.0]], np.float32),
        similarity=np.array([[1.0, 0.25], [0.25, 1.0]], np.float32),
        importance=np.array([0.5, -0.1], np.float32),
    )


def test_edges_and_distance():
    graph = small_graph()
    assert graph.edges() == [(0, 1, 0.25)]
    assert graph.distance.tolist() == [[0.0, 0.75], [0.75, 0.0]]


def test_json_keeps_every_number():
    graph = small_graph()
    again = RegionGraph.from_json(json.loads(json.dumps(graph.to_json())))
    assert again.names == graph.names
    for name in ("centroids_ras", "volumes_ml", "features", "similarity", "importance"):
        assert np.array_equal(getattr(again, name), getattr(graph, name))


def test_arrays_that_do_not_fit_the_nodes_are_refused():
    parts = {**small_graph().__dict__, "importance": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="importance"):
        RegionGraph(**parts)
