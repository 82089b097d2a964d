"""The network of CCSD: composition by hand, what a missing sequence may change, sizes, refusals."""

import pytest
import torch
from REACTDistillLib.recipes.ccsd.networks import (
    CompositionalNet,
    composition,
    fusion,
    shared_and_specific,
)
from REACTDistillLib.recipes.ccsd.subsets import all_subsets
from torch import nn

SMALL = {"channels": (4, 8), "stem_stride": (1, 1, 1)}
ALL = torch.ones(1, 4, dtype=torch.bool)


def constant(value):
    return torch.full((1, 1, 1, 1, 1), float(value))


def weighted(*weights):
    convolution = nn.Conv3d(len(weights), 1, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weights)[None, :, None, None, None])
    return convolution


def chosen(*members, of=4):
    return torch.tensor([[number in members for number in range(of)]])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CompositionalNet(**SMALL).eval()


@pytest.fixture
def images():
    return torch.randn(1, 4, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def test_c1_gives_the_maps_of_the_shared_and_of_the_specific_encoder():
    class Times(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, image):
            return [image * self.factor, image * self.factor**2]

    shared, specific = shared_and_specific(Times(2.0), Times(3.0), constant(5))
    assert [one.item() for one in shared] == [10.0, 20.0]
    assert [one.item() for one in specific] == [15.0, 45.0]


def test_c2_adds_a_convolution_of_both_maps_to_the_shared_one():
    # 2 + (0.5 * 2 + 2 * 3)
    assert composition(constant(2), constant(3), weighted(0.5, 2.0)).item() == pytest.approx(9.0)


def test_c3_fills_the_slot_of_a_missing_sequence_with_the_mean_shared_features_of_the_present_ones():
    composed, shared = [constant(5), constant(7), constant(9)], [constant(1), constant(3), constant(8)]
    convolution = weighted(100.0, 10.0, 1.0)
    assert fusion(composed, shared, chosen(0, 1, 2, of=3), convolution).item() == pytest.approx(579.0)
    assert fusion(composed, shared, chosen(0, 2, of=3), convolution).item() == pytest.approx(500 + 45 + 9)
    assert fusion(composed, shared, chosen(1, of=3), convolution).item() == pytest.approx(300 + 70 + 3)


def test_c3_gives_each_case_of_a_batch_its_own_subset():
    two = torch.ones(2, 1, 1, 1, 1)
    composed, shared = [5 * two, 7 * two], [1 * two, 3 * two]
    subset = torch.tensor([[True, False], [False, True]])
    assert fusion(composed, shared, subset, weighted(10.0, 1.0)).flatten().tolist() == pytest.approx([51.0, 37.0])


def test_the_whole_network_has_less_than_ten_million_parameters():
    assert sum(one.numel() for one in CompositionalNet().parameters()) == 7_886_627


def test_encoders_run_once_per_volume_whatever_the_number_of_subsets(network, images):
    calls = {"shared": 0, "specific": 0}

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    network.shared_encoder.register_forward_hook(count("shared"))
    for encoder in network.specific_encoders:
        encoder.register_forward_hook(count("specific"))
    encoded = network.encode(images, ALL)
    answers = {tuple(network.decode(encoded, subset[None]).flatten()[:5].tolist()) for subset in all_subsets(4)}
    assert calls == {"shared": 4, "specific": 4}
    assert len(answers) == 15


def test_encoders_of_sequences_that_nobody_has_do_not_run(network, images):
    for encoder in network.specific_encoders[1:]:
        encoder.register_forward_hook(lambda *_: pytest.fail("an encoder ran for nothing"))
    network(images, chosen(0))


@pytest.mark.parametrize("training", [True, False])
def test_the_voxels_of_an_absent_sequence_change_nothing(network, images, training):
    network.train(training)
    other = images.clone()
    other[:, 1] = float("nan")
    other[:, 3] = 1e6
    assert torch.equal(network(images, chosen(0, 2)), network(other, chosen(0, 2)))


def test_a_subset_of_what_is_encoded_is_as_if_only_that_had_been_given(network, images):
    encoded = network.encode(images, ALL)
    for subset in all_subsets(4):
        alone = network(images * subset[None, :, None, None, None], subset[None])
        assert torch.equal(network.decode(encoded, subset[None]), alone)


def test_a_sequence_that_is_absent_is_not_the_same_as_one_of_zeros(network, images):
    zeros = images.clone()
    zeros[:, 1] = 0.0
    assert not torch.allclose(network(zeros, ALL), network(images, chosen(0, 2, 3)), atol=1e-3)


def test_cases_with_other_sequences_in_one_batch_are_as_they_are_alone(network, images):
    present = torch.cat([chosen(0, 2), chosen(1, 2, 3)])
    both = network(torch.cat([images, images + 1]), present)
    assert torch.allclose(both[:1], network(images, present[:1]), atol=1e-5)
    assert torch.allclose(both[1:], network(images + 1, present[1:]), atol=1e-5)


def test_no_gradient_reaches_the_specific_encoder_of_an_absent_sequence(network, images):
    network.train()
    network(images, chosen(0, 2)).sum().backward()
    assert float(network.specific_encoders[1].stem.weight.grad.abs().sum()) == 0.0
    assert float(network.specific_encoders[2].stem.weight.grad.abs().sum()) > 0.0


@pytest.mark.parametrize(
    ("settings", "stride", "size"),
    [
        ({"channels": (4, 8, 8, 8)}, (16, 16, 16), (16, 16, 32)),
        ({"channels": (4, 8), "stem_stride": (1, 2, 2), "level_stride": (1, 2, 2)}, (1, 4, 4), (3, 8, 12)),
        (
            {"channels": (4, 8), "kernel": (1, 3, 3), "stem_stride": (1, 2, 2), "level_stride": (1, 2, 2)},
            (1, 4, 4),
            (1, 8, 8),
        ),
        ({"channels": (4,), "stem_stride": (1, 1, 1)}, (1, 1, 1), (3, 5, 7)),
    ],
    ids=["volumes", "anisotropic", "slices", "one level"],
)
def test_volumes_and_slices_go_through_the_same_code(settings, stride, size):
    network = CompositionalNet(3, 2, **settings)
    assert network.stride_kji == stride
    assert network(torch.randn(2, 3, *size), torch.ones(2, 3, dtype=torch.bool)).shape == (2, 2, *size)


def test_a_kernel_of_one_along_d_sees_each_slice_alone():
    torch.manual_seed(0)
    settings = {"kernel": (1, 3, 3), "stem_stride": (1, 2, 2), "level_stride": (1, 2, 2)}
    network = CompositionalNet(1, 1, (4, 8), **settings)
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):  # normalizes over the volume
            module.forward = lambda features: features
    image, present = torch.randn(1, 1, 3, 8, 8), torch.ones(1, 1, dtype=torch.bool)
    other = image.clone()
    other[:, :, 0] += 1.0
    assert torch.equal(network(image, present)[:, :, 1:], network(other, present)[:, :, 1:])


@pytest.mark.parametrize(
    ("size", "present", "sentence"),
    [
        ((1, 4, 8, 9, 8), [[True] * 4], "must be a multiple of"),
        ((1, 3, 8, 8, 8), [[True] * 3], "do not fit a network of 4 sequences"),
        ((1, 4, 8, 8, 8), [[False] * 4], "each case needs a sequence"),
    ],
)
def test_images_that_do_not_fit_are_refused(network, size, present, sentence):
    with pytest.raises(ValueError, match=sentence):
        network.encode(torch.zeros(size), torch.tensor(present))


@pytest.mark.parametrize("subset", [chosen(), chosen(0, 1)], ids=["empty", "absent"])
def test_a_subset_that_is_empty_or_not_present_is_refused(network, images, subset):
    encoded = network.encode(images, chosen(0, 2))
    with pytest.raises(ValueError, match="must name at least one sequence"):
        network.decode(encoded, subset)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"channels": ()}, "whole numbers from 1 to 1024"),
        ({"channels": (4, 100_000)}, "whole numbers from 1 to 1024"),
        ({"regions": 0}, "whole numbers from 1 to 1024"),
        ({"kernel": (2, 3, 3)}, "a kernel needs odd sizes"),
        ({"stem_stride": (2, 2)}, "need 3 numbers"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        CompositionalNet(**settings)
