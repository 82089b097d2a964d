"""The teachers of REACT-KD: encoders, fusion, shared attention."""

import pytest
import torch
from REACTDistillLib.recipes.reactkd.networks import CBAM3D, ChannelAttention3D, GradeStudent, SpatialAttention3D
from REACTDistillLib.recipes.reactkd.teachers import Fusion, SwinEncoder, TeacherConfig, Teachers

SMALL = TeacherConfig(
    feature_size=4,
    depths=(1, 1, 1, 1),
    heads=(2, 2, 2, 2),
    window_kji=(2, 2, 2),
    level=1,
    finest=1,
    attention_channels=8,
    pooling="contrast",
)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_default_encoder_is_the_paper_s_swin_of_width_48_at_one_thirty_second():
    config = TeacherConfig()
    assert config.channels == [768]
    assert config.stride_kji == (32, 32, 32)
    assert [64 // 32, 224 // 32, 224 // 32] == [2, 7, 7]
    assert count(SwinEncoder(config).swin) == pytest.approx(8.06e6, rel=0.01)


def test_cbam_of_768_channels_has_the_published_number_of_weights():
    assert count(CBAM3D(768)) == 2 * 768 * 96 + 2 * 7**3  # 148,142


def test_r5_channel_attention_is_the_sigmoid_of_both_pooled_paths():
    attention = ChannelAttention3D(2, reduction=2)
    with torch.no_grad():
        attention.shrink.weight.copy_(torch.tensor([1.0, 1.0]).reshape(1, 2, 1, 1, 1))
        attention.grow.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1))
    features = torch.tensor([0.0, 1.0, 0.0, 0.5]).reshape(1, 2, 1, 1, 2)
    # averages 0.5 and 0.25, maxima 1 and 0.5: hidden 0.75 and 1.5, sum 2.25
    expected = torch.sigmoid(torch.tensor([2.25, -2.25])).tolist()
    assert attention(features).flatten().tolist() == pytest.approx(expected)


def test_r6_spatial_attention_is_the_sigmoid_of_a_convolution_of_mean_and_maximum():
    attention = SpatialAttention3D(kernel=1)
    with torch.no_grad():
        attention.conv.weight.copy_(torch.tensor([2.0, 1.0]).reshape(1, 2, 1, 1, 1))
    features = torch.tensor([0.0, 1.0, 0.5, -1.0]).reshape(1, 2, 1, 1, 2)
    # means 0.25 and 0, maxima 0.5 and 1
    expected = torch.sigmoid(torch.tensor([2 * 0.25 + 0.5, 0.0 + 1.0])).tolist()
    assert attention(features).flatten().tolist() == pytest.approx(expected)


def fusion_of(kind, modalities=2):
    fusion = Fusion(modalities, 1, kind)
    with torch.no_grad():
        for convolution in getattr(fusion, "convolutions", []):
            convolution.weight.fill_(1.0)
            convolution.bias.zero_()
    return fusion


def test_r8_the_gate_is_the_sigmoid_of_the_sum_and_weighs_the_mean():
    maps = [torch.full((1, 1, 1, 1, 1), 1.0), torch.full((1, 1, 1, 1, 1), 2.0)]
    both, first = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    gate = torch.sigmoid(torch.tensor(3.0)).item()
    assert fusion_of("gate")(maps, both).item() == pytest.approx(gate * 1.5)
    assert fusion_of("sigmoid")(maps, both).item() == pytest.approx(gate)
    assert fusion_of("gate")(maps, first).item() == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item())


@pytest.mark.parametrize("kind", ["gate", "sigmoid", "concat"])
def test_an_absent_sequence_has_no_say_whatever_stands_in_its_place(kind):
    torch.manual_seed(0)
    teachers = Teachers(3, 2, TeacherConfig(**{**vars(SMALL), "fusion": kind})).eval()
    exam, dosed = torch.randn(1, 3, 8, 8, 8), torch.randn(1, 1, 8, 8, 8)
    pools = torch.rand(1, 3, 2, 2, 2)
    present = torch.tensor([[True, True, False]])
    other = exam.clone()
    other[:, 2] = 100.0
    with torch.inference_mode():
        one, same = (teachers(x, present, dosed, pools).structure_function for x in (exam, other))
        changed = teachers(other, torch.tensor([[True, True, True]]), dosed, pools).structure_function
    assert torch.equal(one, same)
    assert not torch.allclose(one, changed)


def test_ct_goes_through_one_encoder_in_both_teachers_and_pet_through_another():
    torch.manual_seed(0)
    teachers = Teachers(3, 2, SMALL)
    exam, dosed, pools = torch.randn(2, 3, 8, 8, 8), torch.randn(2, 1, 8, 8, 8), torch.rand(2, 3, 2, 2, 2)
    present = torch.ones(2, 3, dtype=torch.bool)
    teachers(exam, present, dosed, pools).dose_aware.sum().backward()
    assert teachers.main_encoder.project is not None
    assert all(parameter.grad is None for parameter in teachers.privileged_encoder.parameters())
    assert any(parameter.grad is not None for parameter in teachers.main_encoder.parameters())
    assert all(parameter.grad is not None for parameter in teachers.cbam.parameters())


def test_a_student_of_another_width_reaches_the_shared_attention_by_a_projection():
    narrow = GradeStudent(3, channels=(4, 6), strides=(1,), attention_channels=8)
    assert narrow.project.weight.shape == (8, 6, 1, 1, 1)
    assert narrow.cbam.state_dict().keys() == Teachers(3, 1, SMALL).cbam.state_dict().keys()
    equal = GradeStudent(3, channels=(4, 8), strides=(1,), attention_channels=8)
    assert isinstance(equal.project, torch.nn.Identity)


def with_open_gates(student):
    with torch.no_grad():
        student.gates.fill_(0.5)
    return student


def test_sequences_beside_the_first_come_in_through_gates_that_open_from_zero():
    torch.manual_seed(0)
    student = GradeStudent(3, sequences=2, channels=(4, 8), strides=(1,)).eval()
    image, pools = torch.randn(1, 2, 8, 16, 16), torch.rand(1, 3, 4, 4, 4)
    first, both = student.stems[0](image[:, :1]), student.stems[1](image[:, 1:])
    alone = student(image, pools, torch.tensor([[True, False]])).logits
    assert torch.equal(student(image, pools).logits, alone)
    student(image, pools).logits.square().sum().backward()
    assert student.gates.grad.abs().item() > 0  # a closed gate can open
    with_open_gates(student)
    assert torch.allclose(student._first(image, None), first + 0.5 * both)
    assert not torch.allclose(student(image, pools).logits, alone)


def test_one_seed_gives_students_of_one_and_of_three_sequences_the_same_first_weights():
    def drawn(sequences):
        torch.manual_seed(0)
        return GradeStudent(3, sequences=sequences, channels=(4, 8), strides=(1,)).state_dict()

    one, three = drawn(1), drawn(3)
    assert three.keys() - one.keys() == {"gates"} | {name for name in three if name.startswith(("stems.1", "stems.2"))}
    assert all(torch.equal(three[name], tensor) for name, tensor in one.items())


def test_a_student_gives_the_same_answer_alone_and_in_a_batch_in_training_and_in_use():
    torch.manual_seed(0)
    student = with_open_gates(GradeStudent(3, sequences=2, channels=(4, 8), strides=(1,)))
    image, pools = torch.randn(3, 2, 8, 16, 16), torch.rand(3, 3, 4, 4, 4)
    present = torch.tensor([[True, True], [True, False], [False, True]])
    with torch.inference_mode():
        together = student(image, pools, present).logits
        alone = student.eval()(image[1:2], pools[1:2], present[1:2]).logits
    assert torch.allclose(together[1:2], alone, atol=1e-6)


def test_an_absent_sequence_of_the_student_has_no_say():
    torch.manual_seed(0)
    student = with_open_gates(GradeStudent(3, sequences=2, channels=(4, 8), strides=(1,))).eval()
    image, pools = torch.randn(1, 2, 8, 16, 16), torch.rand(1, 3, 4, 4, 4)
    first = torch.tensor([[True, False]])
    other = image.clone()
    other[:, 1] = 50.0
    with torch.inference_mode():
        assert torch.equal(student(image, pools, first).logits, student(other, pools, first).logits)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"feature_size": 0}, "whole numbers from 1"),
        ({"level": 5}, "maps 0 to 4"),
        ({"fusion": "sum"}, "fusion must be one of gate"),
        ({"pooling": "none"}, 'pooling must be "global" or "contrast"'),
        ({"normalize": 1}, "normalize must be true or false, got 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(field, sentence):
    with pytest.raises(ValueError, match=sentence):
        TeacherConfig(**field)


def test_r4_the_map_of_a_patch_is_its_normalized_embedding():
    """Two channels, of which one is the mean of the patch and the other 0: normalized over channels they are +1, -1."""
    config = TeacherConfig(feature_size=2, heads=(1, 1, 1, 1), level=0, finest=0, attention_channels=2)
    encoder = SwinEncoder(config)
    with torch.no_grad():
        encoder.swin.patch_embed.proj.weight.zero_()
        encoder.swin.patch_embed.proj.weight[0].fill_(1 / 8)
        encoder.swin.patch_embed.proj.bias.zero_()
    image = torch.full((1, 1, 2, 2, 4), 3.0)
    image[..., 2:] = -3.0
    found = encoder(image)
    assert found.shape == (1, 2, 1, 1, 2)
    assert found.flatten().tolist() == pytest.approx([1.0, -1.0, -1.0, 1.0], abs=1e-4)


def test_without_normalization_the_map_of_a_patch_tells_how_high_its_values_are():
    """The channels of the embedding are the mean of the patch and 0; under the layer norm both patches are alike."""
    sizes = {"feature_size": 2, "heads": (1, 1, 1, 1), "level": 0, "finest": 0, "attention_channels": 2}
    image = torch.full((1, 1, 2, 2, 4), 0.5)
    image[..., 2:] = 3.0
    maps = {}
    for normalize in (True, False):
        encoder = SwinEncoder(TeacherConfig(**sizes, normalize=normalize))
        with torch.no_grad():
            encoder.swin.patch_embed.proj.weight.zero_()
            encoder.swin.patch_embed.proj.weight[0].fill_(1 / 8)
            encoder.swin.patch_embed.proj.bias.zero_()
        maps[normalize] = encoder(image).flatten().tolist()
    assert maps[True] == pytest.approx([1.0, 1.0, -1.0, -1.0], abs=1e-3)
    assert maps[False] == pytest.approx([0.5, 3.0, 0.0, 0.0])


def test_without_normalization_twice_the_features_give_twice_the_distance_from_the_bias():
    for normalize, factor in ((True, 1.0), (False, 2.0)):
        torch.manual_seed(0)
        teachers = Teachers(3, 0, TeacherConfig(**{**vars(SMALL), "normalize": normalize})).eval()
        features = torch.randn(1, 8, 2, 2, 2)
        pools = torch.rand(1, 3, 2, 2, 2)
        above = [
            teachers.dose_aware_head(teachers._pooled(teachers.dose_norm(scale * features), pools))
            - teachers.dose_aware_head.bias
            for scale in (1.0, 2.0)
        ]
        assert torch.allclose(above[1], factor * above[0], rtol=1e-4, atol=1e-5)


def test_maps_of_several_levels_are_added_at_the_resolution_of_the_finest():
    torch.manual_seed(0)
    config = TeacherConfig(**{**vars(SMALL), "finest": 0})
    encoder = SwinEncoder(config)
    image = torch.randn(1, 1, 8, 8, 8)
    assert config.stride_kji == (2, 2, 2)
    assert encoder(image).shape == (1, 8, 4, 4, 4)
    fine, coarse = encoder._maps(image)
    assert (fine.shape, coarse.shape) == ((1, 4, 4, 4, 4), (1, 8, 2, 2, 2))
    with torch.no_grad():
        encoder.project[0].weight.zero_()
    larger = torch.nn.functional.interpolate(coarse, size=(4, 4, 4), mode="trilinear")
    assert torch.allclose(encoder(image), larger, atol=1e-6)


def test_r9_logits_are_the_head_of_the_pooled_map():
    teachers = Teachers(2, 0, TeacherConfig(**{**vars(SMALL), "attention_channels": 2, "pooling": "global"}))
    with torch.no_grad():
        teachers.structure_function_head.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        teachers.structure_function_head.bias.copy_(torch.tensor([0.5, 0.0]))
    fused = torch.tensor([1.0, 3.0, 0.0, 4.0]).reshape(1, 2, 1, 1, 2)  # means 2 and 2
    logits = teachers.structure_function_head(teachers._pooled(fused, torch.zeros(1, 3, 1, 1, 2)))
    assert logits.flatten().tolist() == [6.5, -2.0]
    assert logits.softmax(dim=1)[0, 0].item() == pytest.approx(1 / (1 + 2.718281828**-8.5))


def test_regional_pooling_sets_tumor_and_shell_against_the_organ_and_an_absent_tumor_to_nothing():
    teachers = Teachers(2, 0, TeacherConfig(**{**vars(SMALL), "attention_channels": 1}))
    fused = torch.tensor([1.0, 5.0]).reshape(1, 1, 1, 1, 2)
    pools = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]).reshape(1, 3, 1, 1, 2)
    assert teachers._pooled(fused, pools).flatten().tolist() == [3.0, 2.0, 0.0]
