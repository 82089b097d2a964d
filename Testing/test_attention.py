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


@pytest.mark.parametrize("pooling", ["contrast", "regions", "global"])
@pytest.mark.parametrize("has_tumor", [True, False])
def test_bias_plus_all_evidence_is_exactly_the_logit(pooling, has_tumor):
    torch.manual_seed(0)
    network = GradeStudent(3, stem_stride=(2, 2, 2), channels=(8, 16), strides=(1,), pooling=pooling).eval()
    image, pools = torch.randn(1, 1, 8, 12, 12), torch.rand(1, 3, 4, 6, 6)
    if not has_tumor:
        pools[:, 1:] = 0
    output = network(image, pools)
    evidence = network.evidence(output.features[0], pools[0])
    assert torch.allclose(network.head.bias + evidence.flatten(1).sum(dim=1), output.logits[0], atol=1e-5)


def test_a_voxel_of_a_tumor_speaks_by_its_difference_from_the_liver():
    network = GradeStudent(2, channels=(1,), strides=(), pooling="contrast").eval()
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 4.0]]))  # of liver, tumor and shell
        network.head.bias.zero_()
    features = torch.tensor([1.0, 3.0, 8.0]).reshape(1, 1, 1, 3)
    pools = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]).reshape(3, 1, 1, 3)
    # The liver's mean is 4. Class 0: a third of each value, and 2 * (3 - 4) / 2 and 2 * (8 - 4) / 2 in the tumor.
    evidence = network.evidence(features, pools).flatten(1)
    assert evidence[0].tolist() == pytest.approx([1 / 3, 1.0 - 1.0, 8 / 3 + 4.0])
    assert evidence[1].tolist() == [0.0, 0.0, 0.0]  # there is no shell
    assert network.classify(features[None], pools[None])[0].tolist() == pytest.approx([7.0, 0.0])


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
