"""How a case becomes a training sample, and how a sample is changed at random."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from REACTDistillLib.case import Case
from REACTDistillLib.memory import Memory
from REACTDistillLib.phantom import GRADES, phantom_case
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.recipes.reactkd.curriculum import Curriculum
from REACTDistillLib.recipes.reactkd.inputs import cell_grid, covered_shares, exam_images, sequence_image
from REACTDistillLib.recipes.reactkd.samples import aligned_after_flip, changed_at_random, rician_series
from REACTDistillLib.volume import Box, Grid, Volume

RECIPE = recipe_named("reactkd")
TRAINING = {
    "privileged": {"pet_fdg": {"kind": "organ_ratio"}, "pet_acetate": {"kind": "percentile_zscore"}},
    "teacher": {
        "feature_size": 4,
        "depths": [1, 1, 1, 1],
        "heads": [2, 2, 2, 2],
        "level": 1,
        "finest": 1,
        "attention_channels": 8,
    },
    "doses": [1e5, 1e3],
}
SETTINGS = {
    "grid_shape_kji": (16, 16, 16),
    "grid_spacing_kji_mm": (15.0, 15.0, 15.0),
    "network": {"classes": 3, "stem_stride": [2, 2, 2], "channels": [4, 8], "strides": [1]},
}
LIVER = Volume(np.ones((8, 8, 8), bool), Grid((8, 8, 8), np.diag([10.0, 10.0, 10.0, 1.0])))
GRID_OF_LIVER = Grid((16, 16, 16), np.diag([5.0, 5.0, 5.0, 1.0]) + np.array([[0, 0, 0, -2.5]] * 3 + [[0] * 4]))
PREPARATION = RECIPE.preparation(GRADES, **SETTINGS, training=TRAINING)


@pytest.fixture(scope="module")
def case():
    return phantom_case(2, shape_kji=(24, 24, 24))


@pytest.fixture(scope="module")
def sample(case):
    return RECIPE.prepare(case, PREPARATION)


def test_a_training_sample_holds_what_student_and_teachers_see(sample):
    shapes = {name: tuple(tensor.shape) for name, tensor in sample.items()}
    assert shapes == {
        "image": (1, 16, 16, 16),
        "present": (1,),
        "required": (1,),
        "pools": (3, 8, 8, 8),
        "label": (),
        "exam": (3, 16, 16, 16),
        "exam_present": (3,),
        "dosed": (2, 16, 16, 16),
        "nodes": (24, 8, 8, 8),
        "teacher_nodes": (24, 4, 4, 4),
        "teacher_pools": (3, 4, 4, 4),
    }
    assert torch.equal(sample["image"][0], sample["exam"][0])
    assert not torch.equal(sample["dosed"][0], sample["dosed"][1])


def test_regions_keep_their_volume_on_both_feature_grids(sample):
    own, teachers = sample["nodes"].sum(dim=(1, 2, 3)), sample["teacher_nodes"].sum(dim=(1, 2, 3))
    assert torch.allclose(own, 8 * teachers, rtol=0.03, atol=0.05)  # a teacher's voxel is 8 of the student's
    assert int((own > 0).sum()) >= 6


def test_an_absent_tracer_is_zero_and_marked_and_an_unknown_grade_is_minus_one(case):
    sequences = {name: volume for name, volume in case.sequences.items() if name != "pet_fdg"}
    sample = RECIPE.prepare(Case(sequences, case.regions, identifier="x"), PREPARATION)
    assert sample["exam_present"].tolist() == [True, False, True]
    assert float(sample["exam"][1].abs().max()) == 0.0
    assert int(sample["label"]) == -1


def test_the_noise_of_a_case_is_its_own_and_always_the_same(case, sample):
    assert torch.equal(RECIPE.prepare(case, PREPARATION)["dosed"], sample["dosed"])
    other = RECIPE.prepare(replace(case, identifier="another"), PREPARATION)
    assert not torch.equal(other["dosed"], sample["dosed"])


def test_the_same_draw_gives_the_same_change_and_another_one_another(sample):
    draws = [RECIPE.augment(sample, torch.Generator().manual_seed(seed), PREPARATION) for seed in (5, 5, 6)]
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])
    assert not torch.equal(draws[0]["image"], draws[2]["image"])
    assert draws[0]["dosed"].shape == (1, 16, 16, 16)


def test_a_flip_keeps_regions_on_what_they_lie_on():
    """An image that is 1 on one feature voxel's input voxel and masks that point at it meet after every flip."""
    image = torch.zeros(1, 4, 8, 8)
    image[0, 2, 4, 6] = 1.0  # input voxel 2 * (1, 2, 3)
    mask = torch.zeros(3, 2, 4, 4)
    mask[:, 1, 2, 3] = 1.0
    sample = {"image": image, "pools": mask, "present": torch.ones(1, dtype=torch.bool), "label": torch.tensor(0)}
    found = set()
    for seed in range(24):
        changed = changed_at_random(sample, torch.Generator().manual_seed(seed), (2, 2, 2), None)
        at = [index // 2 for index in (changed["image"][0] != 0).nonzero()[0].tolist()]
        assert (changed["pools"][0] > 0).nonzero()[0].tolist() == at
        found.add(tuple(at))
    assert found == {(1, 2, 3), (1, 1, 3), (1, 2, 0), (1, 1, 0)}


def test_an_unflipped_image_is_not_moved():
    image = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert aligned_after_flip(image, [], (2, 2, 2)) is image


def test_cells_of_patches_lie_in_the_middle_of_their_voxels():
    grid = Grid.centered((0.0, 0.0, 0.0), shape_kji=(4, 4, 4), spacing_kji_mm=(3.0, 2.0, 1.0))
    cells = cell_grid(grid, (2, 2, 4))
    assert cells.shape_kji == (2, 2, 1)
    assert cells.to_ras((0, 0, 0)).tolist() == grid.to_ras((1.5, 0.5, 0.5)).tolist()
    assert cells.center_ras.tolist() == pytest.approx(grid.center_ras.tolist())


def test_organ_ratio_is_uptake_over_the_mean_of_the_organ_minus_one():
    grid = Grid.centered((0.0, 0.0, 0.0), shape_kji=(1, 1, 4), spacing_kji_mm=(1.0, 1.0, 1.0))
    pet = Volume(np.array([[[1.0, 3.0, 8.0, 50.0]]], np.float32), grid)
    organ = Volume(np.array([[[True, True, True, False]]]), grid)
    image = sequence_image(pet, organ, grid, {"kind": "organ_ratio"})
    assert image.ravel().tolist() == pytest.approx([-0.75, -0.25, 1.0, 0.0])


def test_r2_clips_to_percentiles_before_the_z_score():
    grid = Grid.centered((0.0, 0.0, 0.0), shape_kji=(1, 1, 101), spacing_kji_mm=(1.0, 1.0, 1.0))
    values = np.arange(101, dtype=np.float32)
    values[100] = 1e6  # the 99th percentile is 99, the 1st is 1
    organ = Volume(np.ones((1, 1, 101), bool), grid)
    image = sequence_image(Volume(values[None, None], grid), organ, grid, {"kind": "percentile_zscore"}).ravel()
    clipped = np.clip(np.arange(101.0), 1, 99)
    assert image.tolist() == pytest.approx(((clipped - clipped.mean()) / clipped.std()).tolist(), abs=1e-4)
    assert image[100] == image[99]


def test_rician_noise_has_the_ratio_asked_for_and_never_goes_below_zero():
    grid = Grid.centered((0.0, 0.0, 0.0), shape_kji=(8, 64, 64), spacing_kji_mm=(1.0, 1.0, 1.0))
    image = Volume(np.full(grid.shape_kji, 100.0, np.float32), grid)
    organ = Volume(np.ones(grid.shape_kji, bool), grid)
    good, poor = rician_series(image, organ, (50.0, 10.0), seed=3)
    assert good.array_kji.std() == pytest.approx(2.0, rel=0.03)
    assert poor.array_kji.std() == pytest.approx(10.0, rel=0.03)
    assert poor.array_kji.min() >= 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"alpha": 1.5}, '"alpha" must be from 0 to 1, got 1.5'),
        ({"temprature": 2.0}, 'unknown field "temprature"'),
        ({"teacher": {"fusion": "sum"}}, "fusion must be one of"),
        ({"dose_model": "dim"}, '"dose_model" must be one of'),
        ({"graph": {"node": -1.0}}, "0 or above"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(content, sentence):
    with pytest.raises(ValueError, match=sentence):
        Curriculum.from_json(content)


def test_unequal_attention_is_refused_before_anything_is_trained():
    training = {**TRAINING, "teacher": {**TRAINING["teacher"], "attention_channels": 16}}
    with pytest.raises(ValueError, match="has 8 channels and the teachers' 16"):
        RECIPE.networks(RECIPE.preparation(GRADES, **SETTINGS, training=training))


def test_attentions_of_two_widths_fit_where_only_logits_are_taught():
    teacher = {**TRAINING["teacher"], "attention_channels": 16}
    logits = {**TRAINING, "teacher": teacher, "share_attention": False, "graph_weight": 0.0}
    assert set(RECIPE.networks(RECIPE.preparation(GRADES, **SETTINGS, training=logits))) == {"student", "teachers"}
    compared = {**logits, "graph_weight": 1.0}
    with pytest.raises(ValueError, match="share it or compare what it gives"):
        RECIPE.networks(RECIPE.preparation(GRADES, **SETTINGS, training=compared))


def test_signal_to_noise_ratios_have_no_default():
    with pytest.raises(ValueError, match=r'"rician" needs "doses", the signal-to-noise ratios, such as \[20, 10, 5\]'):
        Curriculum.from_json({"dose_model": "rician"})
    assert Curriculum.from_json({"dose_model": "rician", "doses": [20, 5]}).doses == (20, 5)


def test_modality_dropout_leaves_out_optional_sequences_and_never_the_required_one(case):
    settings = {
        **SETTINGS,
        "network": {**SETTINGS["network"], "sequences": 3},
        "sequences": {"required": ["ct"], "optional": ["pet_fdg", "pet_acetate"]},
        "intensity": {**PREPARATION.intensity, **TRAINING["privileged"]},
    }
    # Without a curriculum as often as a curriculum has it by default.
    for training, kept in (({**TRAINING, "modality_dropout": 0.5}, 0.5), ({}, 0.2)):
        preparation = RECIPE.preparation(GRADES, **settings, training=training)
        sample = RECIPE.prepare(case, preparation)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.stack([RECIPE.augment(sample, generator, preparation)["present"] for _ in range(400)])
        assert bool(drawn[:, 0].all())
        assert drawn[:, 1:].float().mean(dim=0).tolist() == pytest.approx([kept, kept], abs=0.08)
        found = {tuple(row) for row in drawn[:, 1:].tolist()}
        assert found == {(False, False), (False, True), (True, False), (True, True)}


def moved(volume, shift_mm):
    """A volume that lies elsewhere along R."""
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[0, 3] += shift_mm
    return Volume(volume.array_kji, Grid(volume.grid.shape_kji, matrix))


def test_a_sequence_that_misses_the_organ_is_refused_and_a_part_of_it_counts_alone(case):
    grid, organ, rule = GRID_OF_LIVER, LIVER, {"kind": "organ_ratio"}
    uptake = np.full(organ.grid.shape_kji, 5.0, np.float32)
    uptake[:, :, :4] = 7.0  # the half that the moved image shows is not the half that it does not
    whole = Volume(uptake, organ.grid)
    assert exam_images({"pet": whole}, ["pet"], organ, grid, {"pet": rule})[1].all()
    beside = moved(whole, 500.0)
    with pytest.raises(ValueError, match=r'Only 0% of the organ lies inside "pet"; at least 25% is needed'):
        exam_images({"pet": beside}, ["pet"], organ, grid, {"pet": rule})
    even = Volume(np.full(organ.grid.shape_kji, 5.0, np.float32), organ.grid)
    half = even.cropped(Box((0, 0, 0), (8, 8, 4)))
    assert covered_shares({"pet": even, "half": half}, organ, grid, Memory()) == {"pet": 1.0, "half": 0.5}
    image = exam_images({"pet": half}, ["pet"], organ, grid, {"pet": rule})[0]
    assert np.abs(image).max() < 1e-6  # an even uptake is the mean everywhere: the rest of the organ counts for nothing


def test_statistics_of_the_volume_are_those_of_r1_by_hand():
    hu = np.array([-1000.0, 60.0, 100.0, 60.0, 100.0, 60.0, 100.0, 60.0], np.float32).reshape(2, 2, 2)
    ct = Volume(np.repeat(hu[None], 1, 0).reshape(2, 2, 2), Grid((2, 2, 2), np.eye(4)))
    liver = Volume(hu > 0, ct.grid)
    rule = {"kind": "window_zscore", "low": -160.0, "high": 240.0, "statistics": "volume"}
    windowed = np.clip(hu, -160, 240).astype(float)
    expected = (60.0 - windowed.mean()) / windowed.std()
    assert sequence_image(ct, liver, ct.grid, rule)[0, 0, 1] == pytest.approx(expected, rel=1e-5)
    of_liver = (60.0 - hu[hu > 0].mean()) / hu[hu > 0].std()
    assert sequence_image(ct, liver, ct.grid, {**rule, "statistics": "liver"})[0, 0, 1] == pytest.approx(of_liver)
