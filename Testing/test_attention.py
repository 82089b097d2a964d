"""Class evidence, heat map and region importance."""

import pytest
import torch
from REACTDistillLib.attention import class_evidence, class_margin, heat_map, region_importance
from REACTDistillLib.recipes.reactkd.networks import GradeStudent


def test_evidence_by_hand():
    features = torch.tensor([[[[2.0, 4.0]]], [[[1.0, 3.0]]]])  # (C=2, 1, 1, 2)
    pools = torch.tensor([[[[1.0, 1.0]]], [[[0.0, 0.5]]]])  # (R=2, 1, 1, 2)
    weight = torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0]])  # class 0: first channel, and tumor channel 2
    # class 0: voxel 0: 2 / 2 = 1; voxel 1: 4 / 2 + 2 * 3 * 0.5 / 0.5 = 8; class 1: 1 / 2 and 3 / 2
    assert class_evidence(features, pools, weight).flatten(1).tolist() == [[1.0, 8.0], [0.5, 1.5]]


@pytest.mark.parametrize("pooling", ["regions", "global"])
@pytest.mark.parametrize("has_tumor", [True, False])
def test_bias_plus_all_evidence_is_exactly_the_logit(pooling, has_tumor):
    torch.manual_seed(0)
    network = GradeStudent(3, stem_stride=(2, 2, 2), channels=(8, 16), strides=(1,), pooling=pooling).eval()
    image, pools = torch.randn(1, 1, 8, 12, 12), torch.rand(1, 3, 4, 6, 6)
    if not has_tumor:
        pools[:, 1:] = 0
    output = network(image, pools)
    evidence = class_evidence(output.features[0], network.pools_used(pools)[0], network.head.weight)
    assert torch.allclose(network.head.bias + evidence.flatten(1).sum(dim=1), output.logits[0], atol=1e-5)


def test_margin_heat_and_importance_by_hand():
    evidence = torch.tensor([[[[3.0, 0.0]]], [[[1.0, 2.0]]], [[[1.0, 0.0]]]])
    margin = class_margin(evidence, 0)
    assert margin.flatten().tolist() == [2.0, -1.0]
    assert heat_map(margin).flatten().tolist() == [1.0, 0.0]
    masks = torch.tensor([[[[1.0, 0.0]]], [[[0.5, 1.0]]]])
    assert region_importance(margin, masks).tolist() == pytest.approx([2 / 3, 0.0])


def test_no_evidence_gives_zeros_and_no_nan():
    nothing = torch.zeros(1, 1, 2)
    assert heat_map(nothing).tolist() == [[[0.0, 0.0]]]
    assert region_importance(nothing, torch.ones(1, 1, 1, 2)).tolist() == [0.0]
