"""CBAM3D (R5-R7) by hand, the student's shapes, the loss."""

import math

import pytest
import torch
from REACTDistillLib.recipes.reactkd.losses import focal_loss
from REACTDistillLib.recipes.reactkd.networks import (
    CBAM3D,
    ChannelAttention3D,
    GradeStudent,
    SpatialAttention3D,
    against_organ,
    pool,
)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_r5_by_hand():
    attention = ChannelAttention3D(2, reduction=2)
    with torch.no_grad():
        attention.shrink.weight.copy_(torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1, 1))
        attention.grow.weight.copy_(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1, 1))
    features = torch.tensor([[1.0, 5.0], [0.0, 2.0]]).reshape(1, 2, 1, 1, 2)
    # averages 3 and 1 -> relu(2) = 2; maxima 5 and 2 -> relu(3) = 3; so sigmoid(2 + 3) and sigmoid(4 + 6)
    assert attention(features).flatten().tolist() == pytest.approx([sigmoid(5), sigmoid(10)])


def test_r5_parameters_have_no_bias_and_reduction_eight():
    assert sum(p.numel() for p in ChannelAttention3D(768).parameters()) == 2 * 768 * 96


def test_the_published_cbam_has_148142_parameters():
    assert sum(p.numel() for p in CBAM3D(768).parameters()) == 148_142


def test_r6_by_hand():
    attention = SpatialAttention3D(kernel=1)
    with torch.no_grad():
        attention.conv.weight.copy_(torch.tensor([1.0, 10.0]).reshape(1, 2, 1, 1, 1))
    features = torch.tensor([[1.0, -1.0], [3.0, 0.0]]).reshape(1, 2, 1, 1, 2)
    # voxel 0: mean 2, max 3; voxel 1: mean -0.5, max 0
    assert attention(features).flatten().tolist() == pytest.approx([sigmoid(32), sigmoid(-0.5)])


def test_r7_multiplies_channel_attention_first():
    cbam = CBAM3D(4, reduction=2, kernel=3)
    features = torch.randn(2, 4, 3, 4, 5)
    attended, attention = cbam(features)
    weighted = cbam.channel(features) * features
    assert torch.equal(attention, cbam.spatial(weighted))
    assert torch.equal(attended, attention * weighted)


def test_pooling_by_hand_and_an_empty_region_says_nothing():
    features = torch.tensor([[[1.0, 3.0], [0.0, 4.0]]]).reshape(1, 2, 1, 1, 2)
    masks = torch.tensor([[[1.0, 1.0], [0.0, 0.25], [0.0, 0.0]]]).reshape(1, 3, 1, 1, 2)
    assert pool(features, masks)[0].tolist() == [[2.0, 2.0], [3.0, 4.0], [0.0, 0.0]]


def test_tumor_and_shell_are_set_against_the_organ_and_an_absent_shell_stays_nothing():
    means = torch.tensor([[[2.0, 2.0], [3.0, 4.0], [0.0, 0.0]]])
    pools = torch.tensor([[1.0, 1.0], [0.0, 0.25], [0.0, 0.0]]).reshape(1, 3, 1, 1, 2)
    assert against_organ(means, pools).tolist() == [[[2.0, 2.0], [1.0, 2.0], [0.0, 0.0]]]


def test_the_student_gives_logits_features_and_attention_on_its_strided_grid():
    student = GradeStudent(3)
    image, pools = torch.randn(1, 1, 16, 32, 32), torch.rand(1, 3, 4, 4, 4)
    output = student(image, pools)
    assert student.stride_kji == (4, 8, 8)
    assert output.logits.shape == (1, 3)
    assert output.features.shape == (1, 64, 4, 4, 4)
    assert output.attention.shape == (1, 1, 4, 4, 4)
    assert 0 <= output.attention.min() <= output.attention.max() <= 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pooling": "most"}, '"most"'),
        ({"channels": (8, 16), "strides": (1, 2)}, "2 channel numbers need 1 strides"),
        ({"channels": (8, 10_000), "strides": (1,)}, "from 1 to 1024"),
        ({"stem_stride": (2, 0, 2)}, "from 1 to 1024"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        GradeStudent(3, **settings)


def test_focal_loss_by_hand():
    logits = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    expected = ((0.25**2) * -math.log(0.75) + (0.5**2) * -math.log(0.5)) / 2
    assert focal_loss(logits, torch.tensor([1, 0])).item() == pytest.approx(expected)
    cross_entropy = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0]))
    assert focal_loss(logits, torch.tensor([1, 0]), gamma=0.0).item() == pytest.approx(cross_entropy.item())
