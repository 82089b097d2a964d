"""How a case is prepared for the grade student, and what the student says of it."""

import numpy as np
import pytest
import torch
from REACTDistillLib.case import Case
from REACTDistillLib.geometry import resample
from REACTDistillLib.memory import Memory
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.recipes.reactkd.grading import paint
from REACTDistillLib.recipes.reactkd.inputs import sequence_image, student_grid
from REACTDistillLib.regions import liver_regions
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Grid, Volume

RECIPE = recipe_named("reactkd")
CLASSES = ("well", "moderate", "poor")
SMALL = RECIPE.preparation(CLASSES, grid_shape_kji=(48, 64, 64), grid_spacing_kji_mm=(5.0, 4.5, 4.5))
INTENSITY = {"kind": "window_zscore", "low": -160.0, "high": 240.0, "statistics": "liver"}


@pytest.fixture(scope="module")
def phantom():
    whole = phantom_case(5, shape_kji=(40, 44, 48))
    return Case({"ct": whole.sequences["ct"]}, whole.regions, label=whole.label, identifier=whole.identifier)


@pytest.fixture(scope="module")
def student():
    return load_student(demo_student("grade"))


def changed(case, change_array, change_matrix):
    """The same physical patient with other voxel axes."""

    def turned(volume):
        return Volume.from_array(change_array(volume.array_kji), change_matrix(volume))

    parts = ({name: turned(one) for name, one in part.items()} for part in (case.sequences, case.regions))
    return Case(*parts, label=case.label)


def flipped(axis_kji):
    def matrix(volume):
        result = volume.grid.ijk_to_ras.copy()
        column = 2 - axis_kji
        result[:3, 3] += result[:3, column] * (volume.grid.shape_kji[axis_kji] - 1)
        result[:3, column] *= -1
        return result

    return lambda array: np.flip(array, axis_kji), matrix


def permuted(order_kji):
    columns = [2 - order_kji[2 - column] for column in range(3)]  # I, J, K of the new array in terms of the old
    return lambda array: np.transpose(array, order_kji), lambda volume: volume.grid.ijk_to_ras[:, [*columns, 3]]


WAYS = [flipped(0), flipped(1), flipped(2), permuted((1, 2, 0)), permuted((2, 1, 0)), permuted((0, 2, 1))]


@pytest.mark.parametrize("way", WAYS, ids=["flip k", "flip j", "flip i", "jik", "ijk", "kij"])
def test_the_same_patient_gets_the_same_grade_whatever_the_order_of_the_axes(phantom, student, way):
    same = changed(phantom, *way)
    first, second = predict(phantom, student), predict(same, student)
    for name in CLASSES:
        assert second.probabilities[name] == pytest.approx(first.probabilities[name], abs=1e-3)
    assert second.graph.names == first.graph.names
    assert np.allclose(second.graph.centroids_ras, first.graph.centroids_ras, atol=1e-6)


def test_r1_by_hand():
    grid = Grid((1, 1, 4), np.eye(4))
    ct = Volume(np.array([[[40.0, 140.0, 1000.0, -1000.0]]]), grid)
    liver = Volume(np.array([[[True, True, True, False]]]), grid)
    # windowed 0.5, 0.75, 1.0: mean 0.75, sd sqrt(0.125 / 3); outside the liver 0
    sd = (0.125 / 3) ** 0.5
    assert sequence_image(ct, liver, grid, INTENSITY).ravel().tolist() == pytest.approx(
        [-0.25 / sd, 0, 0.25 / sd, 0], abs=1e-5
    )


def test_an_unknown_intensity_rule_is_refused():
    grid = Grid((1, 1, 1), np.eye(4))
    with pytest.raises(ValueError, match='"percentile"'):
        sequence_image(
            Volume(np.ones((1, 1, 1)), grid), Volume(np.ones((1, 1, 1), bool), grid), grid, {"kind": "percentile"}
        )


def test_what_lies_outside_the_liver_does_not_matter(phantom, student):
    ct, liver = phantom.sequences["ct"], phantom.regions["liver"]
    far = sequence_image(ct, liver, ct.grid, INTENSITY)
    other = Volume(np.where(liver.array_kji, ct.array_kji, -77.0).astype(np.float32), ct.grid)
    assert np.array_equal(sequence_image(other, liver, ct.grid, INTENSITY), far)


def test_prepared_tensors_have_the_shapes_of_the_card_and_hold_the_volume_of_the_masks(phantom):
    sample = RECIPE.prepare(phantom, SMALL)
    assert sample["image"].shape == (1, 48, 64, 64)
    assert sample["pools"].shape == (3, 12, 8, 8)
    assert int(sample["label"]) == CLASSES.index(phantom.label)
    cell_ml = 5 * 4.5 * 4.5 / 1000 * 4 * 8 * 8
    liver_ml = phantom.regions["liver"].array_kji.sum() * phantom.regions["liver"].grid.voxel_ml
    tumor_ml = phantom.regions["tumor"].array_kji.sum() * phantom.regions["tumor"].grid.voxel_ml
    assert float(sample["pools"][0].sum()) * cell_ml == pytest.approx(liver_ml, rel=0.01)
    assert float(sample["pools"][1].sum()) * cell_ml == pytest.approx(tumor_ml, rel=0.01)


def test_preparing_is_deterministic_and_augmenting_leaves_the_original_alone(phantom):
    sample = RECIPE.prepare(phantom, SMALL)
    assert torch.equal(sample["image"], RECIPE.prepare(phantom, SMALL)["image"])
    before = {name: tensor.clone() for name, tensor in sample.items()}
    augmented = RECIPE.augment(sample, torch.Generator().manual_seed(0), SMALL)
    assert not torch.equal(augmented["image"], sample["image"])
    assert all(torch.equal(sample[name], before[name]) for name in sample)


def test_the_heat_map_lies_on_the_source_grid_inside_the_liver_at_the_right_place():
    grid = Grid((10, 12, 14), np.diag([-2.0, -2.0, 3.0, 1.0]))  # axes L, P, S
    liver = np.zeros(grid.shape_kji, bool)
    liver[2:9, 2:11, 2:13] = True
    regions = liver_regions(Volume(liver, grid), None, grid)
    features = Grid.centered((-14.0, -12.0, 15.0), shape_kji=(3, 3, 3), spacing_kji_mm=(6.0, 6.0, 6.0))
    heat = np.zeros((3, 3, 3), np.float32)
    heat[1, 1, 1] = 1.0  # at (-14, -12, 15): voxel k 5, j 6, i 7
    painted = resample(paint(heat, features, regions.liver), grid)
    assert np.unravel_index(painted.array_kji.argmax(), grid.shape_kji) == (5, 6, 7)
    assert painted.array_kji[5, 6, 7] == pytest.approx(1.0)
    assert (painted.array_kji[~liver] == 0).all()


def test_the_students_grid_is_centered_on_the_box_of_the_liver():
    grid = Grid((5, 5, 5), np.diag([2.0, 2.0, 2.0, 1.0]))
    liver = np.zeros((5, 5, 5), bool)
    liver[1:4, 0:2, 4] = True
    assert student_grid(Volume(liver, grid), SMALL, (4, 8, 8)).strided((4, 8, 8)).center_ras.tolist() == [8.0, 1.0, 4.0]


def test_a_finding_says_who_made_it_and_what_it_must_not_be_used_for(phantom, student):
    finding = predict(phantom, student)
    assert sum(finding.probabilities.values()) == pytest.approx(1.0)
    assert finding.grid.same_as(phantom.sequences["ct"].grid)
    whole = finding.whole_attention()
    assert whole.array_kji.shape == phantom.sequences["ct"].array_kji.shape
    assert (whole.array_kji[~phantom.regions["liver"].array_kji] == 0).all()
    assert finding.attention.array_kji.max() <= 1.0
    assert len(finding.graph.names) >= 4
    assert finding.provenance.device == "cpu"
    assert "not a medical device" in finding.notices()[0]
    assert "phantoms only" in finding.notices()[1]


def test_a_case_without_tumor_is_graded_with_a_warning(phantom, student):
    case = Case(phantom.sequences, {"liver": phantom.regions["liver"]})
    assert "No tumor mask was given" in predict(case, student).warnings[0]


def test_a_tumor_mask_that_is_the_liver_mask_is_told(phantom, student):
    case = Case(phantom.sequences, {"liver": phantom.regions["liver"], "tumor": phantom.regions["liver"]})
    assert "covers 100% of the liver" in predict(case, student).warnings[0]


def test_sequences_the_student_cannot_use_are_told(phantom, student):
    case = Case({**phantom.sequences, "pet_fdg": phantom.sequences["ct"]}, phantom.regions)
    assert '"pet_fdg" was given' in predict(case, student).warnings[-1]


def broken(case, array):
    return Case({"ct": Volume(array, case.sequences["ct"].grid)}, case.regions)


def test_input_that_cannot_be_graded_is_refused_in_one_sentence(phantom, student):
    ct = phantom.sequences["ct"].array_kji
    cases = {
        "needs the sequence": Case({}, phantom.regions),
        "needs the mask": Case(phantom.sequences),
        "Hounsfield": broken(phantom, ct + 1024),
        "without a number": broken(phantom, np.where(phantom.regions["tumor"].array_kji, np.nan, ct)),
        "not MR or PET": broken(phantom, np.maximum(ct, 0)),
        "not a CT image": broken(phantom, np.full_like(ct, 60.0)),
    }
    for words, case in cases.items():
        with pytest.raises(ValueError, match=words) as caught:
            predict(case, student)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def test_nan_outside_the_liver_does_not_matter(phantom, student):
    array = phantom.sequences["ct"].array_kji.copy()
    array[0, 0, 0] = np.nan
    assert predict(broken(phantom, array), student).probabilities == predict(phantom, student).probabilities


def test_half_a_liver_is_graded_with_a_warning_and_a_tenth_is_refused(phantom, student):
    ct, liver = phantom.sequences["ct"], phantom.regions["liver"]
    rows = np.flatnonzero(liver.array_kji.any(axis=(1, 2)))
    for share, expected in ((0.5, "of the liver mask lies inside"), (0.1, None)):
        last = rows[0] + max(1, int(share * rows.size))
        cut = Volume(ct.array_kji[: last + 1], Grid((last + 1, *ct.grid.shape_kji[1:]), ct.grid.ijk_to_ras))
        case = Case({"ct": cut}, {"liver": liver})
        if expected:
            assert any(expected in warning for warning in predict(case, student).warnings)
        else:
            with pytest.raises(ValueError, match="is needed"):
                predict(case, student)


def test_a_full_memory_is_one_sentence(phantom, student, monkeypatch):
    def fill(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(RECIPE), "predict", fill)
    with pytest.raises(ValueError, match='memory of "cpu" is full'):
        predict(phantom, student)


def test_nan_at_the_edge_of_the_liver_is_refused(phantom, student):
    liver, array = phantom.regions["liver"].array_kji, phantom.sequences["ct"].array_kji.copy()
    k, j = (int(index[0]) for index in np.nonzero(liver.any(axis=2)))
    array[k, j, int(liver[k, j].argmax()) - 1] = np.nan
    with pytest.raises(ValueError, match="without a number"):
        predict(broken(phantom, array), student)


def test_a_loaded_student_is_not_moved_to_another_device(phantom, student):
    with pytest.raises(ValueError, match='loaded on "cpu"'):
        predict(phantom, student, device="cuda")


def edited(mask, voxel_kji):
    """The mask with one small block of voxels turned over."""
    array = mask.array_kji.copy()
    array[tuple(slice(n - 1, n + 2) for n in voxel_kji)] ^= True
    return Volume(array, mask.grid)


def same_finding(one, other):
    assert one.probabilities == other.probabilities
    assert one.shown_class == other.shown_class
    assert one.graph.to_json() == other.graph.to_json()
    assert one.attention.grid.same_as(other.attention.grid)
    assert np.array_equal(one.attention.array_kji, other.attention.array_kji)
    assert one.warnings == other.warnings


def test_a_warm_grade_is_the_cold_grade_after_any_edit(phantom, student):
    ct, liver, tumor = phantom.sequences["ct"], phantom.regions["liver"], phantom.regions["tumor"]
    in_tumor = np.argwhere(tumor.array_kji)[0].tolist()
    edge = np.argwhere(liver.array_kji)[0].tolist()
    beyond = Volume(tumor.array_kji.copy(), tumor.grid)
    beyond.array_kji[tuple(edge)] = beyond.array_kji[edge[0] - 1, edge[1], edge[2]] = True  # reaches out of the liver
    brighter = Volume(ct.array_kji + 5, ct.grid)
    memory = Memory()
    steps = [
        (ct, liver, tumor, None),
        (ct, liver, tumor, "well"),
        (ct, liver, edited(tumor, in_tumor), None),
        (ct, edited(liver, edge), tumor, None),
        (ct, liver, beyond, "poor"),
        (ct, liver, None, None),
        (brighter, liver, tumor, None),
        (ct, liver, tumor, None),
    ]
    for image, liver_mask, tumor_mask, shown_class in steps:
        regions = {"liver": liver_mask} if tumor_mask is None else {"liver": liver_mask, "tumor": tumor_mask}
        case = Case({"ct": image}, regions)
        cold = predict(case, student, shown_class=shown_class)
        same_finding(predict(case, student, shown_class=shown_class, memory=memory), cold)


def test_a_tumor_edit_inside_the_liver_needs_no_forward_pass_and_a_liver_edit_one(phantom, student, monkeypatch):
    ct, liver, tumor = phantom.sequences["ct"], phantom.regions["liver"], phantom.regions["tumor"]
    passes = []
    features = type(student.network).features
    monkeypatch.setattr(type(student.network), "features", lambda *given: passes.append(1) or features(*given))
    memory = Memory()
    first = predict(phantom, student, memory=memory)
    inside = np.argwhere(tumor.array_kji)[tumor.array_kji.sum() // 2].tolist()
    second = predict(Case({"ct": ct}, {"liver": liver, "tumor": edited(tumor, inside)}), student, memory=memory)
    predict(phantom, student, memory=memory, shown_class="well")
    assert len(passes) == 1
    assert first.probabilities != second.probabilities
    edge = np.argwhere(liver.array_kji)[0].tolist()
    predict(Case({"ct": ct}, {"liver": edited(liver, edge), "tumor": tumor}), student, memory=memory)
    assert len(passes) == 2


def test_a_refused_case_leaves_the_memory_sound(phantom, student):
    memory = Memory()
    broken_ct = broken(phantom, np.full_like(phantom.sequences["ct"].array_kji, 60.0))
    with pytest.raises(ValueError, match="not a CT image"):
        predict(broken_ct, student, memory=memory)
    same_finding(predict(phantom, student, memory=memory), predict(phantom, student))


def test_map_and_importance_speak_of_the_class_shown(phantom, student):
    found = {name: predict(phantom, student, shown_class=name) for name in CLASSES}
    default = predict(phantom, student)
    assert default.shown_class == default.predicted_class
    same_finding(default, found[default.predicted_class])
    assert len({finding.graph.importance.tobytes() for finding in found.values()}) == 3
    assert all(finding.probabilities == default.probabilities for finding in found.values())


def test_a_class_that_the_student_does_not_know_is_refused_with_the_ones_it_knows(phantom, student):
    with pytest.raises(ValueError, match='no class "bad"; its classes are well, moderate, poor'):
        predict(phantom, student, shown_class="bad")


def test_a_coarser_heat_map_has_the_values_of_the_full_one_at_the_voxels_it_keeps(tmp_path):
    from REACTDistillLib.finding import Finding
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student

    case = phantom_case(3)
    millimeters = case.sequences["ct"].grid.spacing_ijk_mm.max()
    full = predict(case, demo_student("grade"), device="cpu")
    coarse = predict(case, demo_student("grade"), device="cpu", heat_map_mm=2.5 * millimeters)
    assert coarse.probabilities == full.probabilities
    kept = full.attention.array_kji[::2, ::2, ::2]
    assert np.allclose(coarse.attention.array_kji, kept, atol=1e-6)
    assert coarse.whole_attention().array_kji.shape == case.sequences["ct"].array_kji.shape
    read = Finding.load(coarse.save(tmp_path / "result"))
    assert np.array_equal(read.attention.array_kji, coarse.whole_attention().array_kji)
