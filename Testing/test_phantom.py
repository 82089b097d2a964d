"""Phantoms: one patient on many grids, hand-worked numbers, and how strongly each image tells the grade."""

import dataclasses
import math
import time

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.brain import brain_case
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.phantom import (
    GRADES,
    Patient,
    draw_patient,
    phantom_case,
    phantom_grid,
    sample,
)
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.phantoms.shapes import Ellipsoid
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.volume import Box, Grid

PINNED_CENTER_RAS = (6.98585834712631, 19.34167578894857, -245.1026369621726)
PINNED_FDG_RATIO = 2.047703638702325


class TestPatient:
    def test_grades_follow_the_seeds_in_turn(self):
        assert [draw_patient(seed).grade for seed in range(4)] == ["well", "moderate", "poor", "well"]

    @pytest.mark.parametrize("seed", [-1, 1.5, True, "3"])
    def test_what_is_no_seed_is_refused(self, seed):
        with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
            draw_patient(seed)

    def test_tumors_keep_their_number_sizes_and_distance(self):
        for seed in range(30):
            shapes = [tumor.shape for tumor in draw_patient(seed).tumors]
            assert 1 <= len(shapes) <= 4
            assert 15 <= 2 * shapes[0].radius_mm + 1e-9 <= 60
            assert all(6 <= 2 * shape.radius_mm <= 15 for shape in shapes[1:])
            for satellite in shapes[1:]:
                assert shapes[0].distance_mm(satellite.surface(50)).min() > 0

    def test_ct_numbers_are_those_of_a_portal_venous_phase(self):
        for seed in range(30):
            patient = draw_patient(seed)
            assert 90 <= patient.liver.hu <= 120
            assert all(40 <= tumor.hu <= 100 and 20 <= tumor.core_hu <= 40 for tumor in patient.tumors)
            assert 8 <= patient.noise_hu <= 20

    def test_clinical_items_are_codes_and_shares(self):
        rows = [draw_patient(seed).clinical for seed in range(60)]
        assert {row["sex"] for row in rows} == {0.0, 1.0}
        assert {row["hepatitis"] for row in rows} == {0.0, 1.0, 2.0}
        assert all(0 <= row[item] <= 1 for row in rows for item in ("AFP_norm", "age_norm"))


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(1)


@pytest.fixture(scope="module")
def quiet(patient):
    return sample(patient, phantom_grid(patient), noise_scale=0.0)


class TestSampling:
    def test_the_field_of_view_holds_the_liver_and_the_liver_holds_the_tumors(self):
        for seed in range(9):
            case = phantom_case(seed, shape_kji=(36, 36, 36))
            liver, tumor = (case.regions[name].array_kji for name in ("liver", "tumor"))
            border = liver.copy()
            border[1:-1, 1:-1, 1:-1] = False
            assert not border.any()
            assert tumor.any()
            assert not (tumor & ~liver).any()
            assert 1150 < liver.sum() * case.regions["liver"].grid.voxel_ml < 1950

    def test_a_case_says_what_it_is(self, quiet):
        assert set(quiet.sequences) == {"ct", "pet_fdg", "pet_acetate"}
        assert (quiet.label, quiet.identifier) == ("moderate", "phantom_00001")

    def test_the_liver_is_on_the_right_hand_side(self, quiet, patient):
        k, j, i = np.nonzero(quiet.regions["liver"].array_kji)
        middle = quiet.regions["liver"].grid.to_ras(np.stack([i, j, k], axis=1)).mean(axis=0)
        assert middle[0] - patient.center_ras[0] > 25

    def test_a_tumor_of_20_15_and_10_mm_has_12_566_ml(self, patient):
        # 4/3 pi 2.0 1.5 1.0 = 12.566 ml
        shape = Ellipsoid(patient.tumors[0].shape.center_mm, (20.0, 15.0, 10.0))
        bare = dataclasses.replace(patient, tumors=(dataclasses.replace(patient.tumors[0], shape=shape),))
        center = np.array(patient.center_ras) + np.array(shape.center_mm)
        grid = Grid.centered(center, shape_kji=(32, 40, 48), spacing_kji_mm=(1.0, 1.0, 1.0))
        assert sample(bare, grid).regions["tumor"].array_kji.sum() * grid.voxel_ml == pytest.approx(12.566, rel=0.01)

    def test_drawn_tumors_have_the_volume_of_their_ellipsoids_within_5_percent(self):
        for seed in (0, 2, 17):
            one = draw_patient(seed)
            main = one.tumors[0].shape
            alone = dataclasses.replace(one, tumors=one.tumors[:1])
            side = math.ceil(2.5 * max(main.semi_axes_mm))
            center = np.array(one.center_ras) + np.array(main.center_mm)
            grid = Grid.centered(center, shape_kji=(side,) * 3, spacing_kji_mm=(1.0, 1.0, 1.0))
            volume_ml = sample(alone, grid).regions["tumor"].array_kji.sum() * grid.voxel_ml
            assert volume_ml == pytest.approx(main.volume_ml, rel=0.05)

    def test_air_fat_and_liver_have_their_ct_numbers(self, quiet, patient):
        ct = quiet.sequences["ct"]
        at = [patient.center_ras + np.array(place) for place in ((-143.0, -143.0, 0.0), (0.0, 103.0, 0.0))]
        air, fat = (ct.array_kji[tuple(np.rint(ct.grid.to_ijk(place)).astype(int)[::-1])] for place in at)
        assert air == -1000
        assert fat == pytest.approx(-100, abs=1)
        liver = quiet.regions["liver"].array_kji & ~quiet.regions["tumor"].array_kji
        assert np.median(ct.array_kji[liver]) == pytest.approx(patient.liver.hu, abs=3)

    def test_noise_has_the_standard_deviation_of_the_patient(self, quiet, patient):
        noisy = phantom_case(1).sequences["ct"].array_kji
        soft = quiet.sequences["ct"].array_kji > -300  # air is cut off at -1024
        assert (noisy - quiet.sequences["ct"].array_kji)[soft].std() == pytest.approx(patient.noise_hu, rel=0.02)

    def test_one_seed_gives_the_same_bits_twice(self):
        first, second = phantom_case(5), phantom_case(5)
        for name, volume in {**first.sequences, **first.regions}.items():
            other = {**second.sequences, **second.regions}[name]
            assert np.array_equal(volume.array_kji, other.array_kji)
            assert volume.grid.same_as(other.grid)
        assert first.clinical == second.clinical

    def test_patients_are_the_same_on_every_machine(self):
        one = draw_patient(7)
        np.testing.assert_allclose(one.center_ras, PINNED_CENTER_RAS, atol=1e-9)
        assert one.tumors[0].fdg_suv / one.liver.fdg_suv == pytest.approx(PINNED_FDG_RATIO, abs=1e-9)

    def test_reversed_and_exchanged_axes_show_the_same_patient(self, quiet, patient):
        turn = np.zeros((4, 4))  # new i runs along -k, new j along i, new k along -j
        turn[2, 0], turn[0, 1], turn[1, 2], turn[3, 3] = -1, 1, -1, 1
        turn[:3, 3] = (0, 47, 47)
        grid = Grid((48, 48, 48), phantom_grid(patient).ijk_to_ras @ turn)
        other = sample(patient, grid, noise_scale=0.0)
        for name, volume in {**quiet.sequences, **quiet.regions}.items():
            array = {**other.sequences, **other.regions}[name].array_kji
            back = array.transpose(2, 0, 1)[::-1, ::-1, :]  # (k, j, i) of the first grid
            differing = ~np.isclose(back.astype(np.float32), volume.array_kji.astype(np.float32), atol=0.5)
            assert differing.mean() < 1e-4, name

    def test_an_oblique_grid_sees_the_same_at_a_shared_point(self, quiet, patient):
        ct = quiet.sequences["ct"]
        angle = math.radians(25)
        matrix = np.eye(4)
        matrix[:2, :2] = 3 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        for ijk in ((10, 20, 24), (14, 30, 20), (24, 24, 24), (16, 25, 30), (2, 2, 2)):
            matrix[:3, 3] = ct.grid.to_ras(ijk) - matrix[:3, :3] @ (2, 2, 2)
            small = sample(patient, Grid((5, 5, 5), matrix), noise_scale=0.0)
            for name, volume in quiet.sequences.items():
                assert small.sequences[name].array_kji[2, 2, 2] == pytest.approx(volume.array_kji[ijk[::-1]], abs=0.02)

    def test_the_part_of_a_grid_looks_like_the_whole(self, quiet, patient):
        box = Box((20, 10, 5), (41, 43, 38))
        part = sample(patient, phantom_grid(patient).cropped(box), noise_scale=0.0)
        for name, volume in quiet.sequences.items():
            np.testing.assert_allclose(part.sequences[name].array_kji, volume.array_kji[box.slices], atol=0.05)

    def test_a_cohort_of_200_takes_less_than_a_minute(self):
        start = time.process_time()
        for seed in range(4):
            phantom_case(seed)
        assert (time.process_time() - start) / 4 * 200 < 60


@pytest.fixture(scope="module")
def numbers():
    return np.array([_region_numbers(draw_patient(seed)) for seed in range(90)])


class TestSignal:
    """The grade is plain in PET and faint in CT: cross-validated linear discriminants of a few numbers per patient."""

    def test_pet_tells_the_grade(self, numbers):
        assert _macro_auc(np.log(numbers[:, :2])) > 0.97

    def test_ct_hints_at_the_grade(self, numbers):
        assert 0.80 < _macro_auc(numbers[:, 2:5]) < 0.94

    def test_clinical_items_hint_weakly(self, numbers):
        assert 0.5 < _macro_auc(numbers[:, 5:]) < 0.75


def _region_numbers(patient):
    """Uptake ratio of each tracer, CT mean, sd and rim of the tumor, AFP and age, on 6 mm voxels around the tumors."""
    grid = phantom_grid(patient)
    reach = 24.0 + max(max(tumor.shape.semi_axes_mm) for tumor in patient.tumors)
    middles = grid.to_ijk(np.array([tumor.shape.center_mm for tumor in patient.tumors]) + patient.center_ras)[:, ::-1]
    lower = np.maximum(np.floor(middles.min(axis=0) - reach / 6), 0).astype(int)
    upper = np.minimum(np.ceil(middles.max(axis=0) + reach / 6), 47).astype(int) + 1
    case = sample(patient, grid.cropped(Box(tuple(lower.tolist()), tuple(upper.tolist()))))
    ct, fdg, acetate = (volume.array_kji for volume in case.sequences.values())
    tumor = case.regions["tumor"].array_kji
    liver = case.regions["liver"].array_kji & ~_dilated(_dilated(tumor))
    rim = (_dilated(tumor) & case.regions["liver"].array_kji) & _dilated(~tumor)
    base = ct[liver].mean()
    pet = [image[tumor].mean() / image[liver].mean() for image in (fdg, acetate)]
    clinical = [case.clinical["AFP_norm"], case.clinical["age_norm"]]
    return [*pet, ct[tumor].mean() - base, ct[tumor].std(), ct[rim].mean() - base, *clinical]


def _dilated(mask):
    grown = np.pad(mask, 1)
    parts = [np.roll(grown, step, axis) for axis in range(3) for step in (-1, 1)]
    return np.logical_or.reduce([grown, *parts])[1:-1, 1:-1, 1:-1]


def _macro_auc(numbers, folds=5):
    """Macro one-versus-rest AUC of linear discriminant analysis, 5 folds, grades in turn as the seeds give them."""
    label = np.arange(len(numbers)) % len(GRADES)
    fold = np.arange(len(numbers)) // len(GRADES) % folds
    scores = np.zeros((len(numbers), len(GRADES)))
    for held in range(folds):
        scores[fold == held] = _discriminant(numbers[fold != held], label[fold != held], numbers[fold == held])
    return np.mean([_auc(scores[:, grade], label == grade) for grade in range(len(GRADES))])


def _discriminant(training, label, held):
    mean, sd = training.mean(axis=0), training.std(axis=0)
    training, held = (training - mean) / sd, (held - mean) / sd
    middles = np.array([training[label == grade].mean(axis=0) for grade in range(len(GRADES))])
    inverse = np.linalg.inv(np.cov((training - middles[label]).T) + 0.01 * np.eye(training.shape[1]))
    scores = held @ inverse @ middles.T - 0.5 * np.einsum("ga,ab,gb->g", middles, inverse, middles)
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def _auc(score, positive):
    pairs = score[positive][:, None] - score[~positive][None, :]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


class TestCohort:
    def test_a_phantom_cohort_is_complete_balanced_and_reads_back_to_the_bit(self, tmp_path):
        stages = []
        cohort = write_phantom_cohort(
            tmp_path / "phantoms",
            count=6,
            seed=3,
            folds=2,
            shape_kji=(12, 14, 16),
            progress=lambda *event: stages.append(event),
        )
        assert cohort.synthetic
        assert [entry.label for entry in cohort.entries] == ["well", "moderate", "poor"] * 2
        assert [len(entries) for entries in cohort.split(0)] == [3, 3]
        assert stages[-1] == ("phantoms", 6, 6)
        loaded, drawn = cohort.entries[2].load(), phantom_case(5, shape_kji=(12, 14, 16))
        for name, volume in {**drawn.sequences, **drawn.regions}.items():
            other = {**loaded.sequences, **loaded.regions}[name]
            assert np.array_equal(volume.array_kji, other.array_kji)
            assert volume.is_mask == other.is_mask
            np.testing.assert_allclose(volume.grid.ijk_to_ras, other.grid.ijk_to_ras, atol=1e-6)
        assert (loaded.label, loaded.clinical) == (drawn.label, drawn.clinical)

    def test_the_same_phantoms_in_another_folder_have_the_same_hash(self, tmp_path):
        first, second = (
            write_phantom_cohort(tmp_path / name, count=3, folds=3, shape_kji=(8, 8, 8)) for name in ("one", "two")
        )
        assert first.sha256 == second.sha256

    def test_a_folder_with_files_is_left_alone(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match="already exists and is not empty"):
            write_phantom_cohort(tmp_path, count=3, folds=3)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_cohort_of_brains_has_one_class_and_reads_back_to_the_bit(self, tmp_path):
        cohort = write_phantom_cohort(
            tmp_path / "brains", kind="brain", count=3, seed=4, folds=3, shape_kji=(12, 14, 16)
        )
        assert cohort.synthetic
        assert cohort.name == "brain phantoms 4 to 6"
        assert cohort.classes == ("glioma",)
        assert sorted(entry.fold for entry in cohort.entries) == [0, 1, 2]
        assert [entry.id for entry in cohort.entries] == [f"brain_phantom_0000{seed}" for seed in (4, 5, 6)]
        loaded, drawn = cohort.entries[1].load(), brain_case(5, shape_kji=(12, 14, 16))
        assert loaded.label == "glioma"
        for name, volume in {**drawn.sequences, **drawn.regions}.items():
            other = {**loaded.sequences, **loaded.regions}[name]
            assert np.array_equal(volume.array_kji, other.array_kji)
            assert volume.is_mask == other.is_mask

    def test_an_unknown_kind_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match='no phantom of the kind "knee"; there are'):
            write_phantom_cohort(tmp_path / "knees", kind="knee", count=3, folds=3)
        assert list(tmp_path.iterdir()) == []

    def test_brains_without_a_grade_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="no grade to leave out; ask for 0 without a label, not 2"):
            write_phantom_cohort(tmp_path / "brains", kind="brain", count=3, folds=3, unlabeled=2)

    def test_the_command_line_writes_brains(self, tmp_path, capsys):
        options = ["phantoms", "--out", str(tmp_path / "brains"), "--kind", "brain"]
        assert main([*options, "--count", "2", "--folds", "2", "--shape", "8", "9", "10"]) == 0
        assert "2 synthetic patients" in capsys.readouterr().out
        assert sorted(Cohort.read(tmp_path / "brains" / "cohort.json").entries[0].sequences) == [
            "flair",
            "t1",
            "t1ce",
            "t2",
        ]

    def test_cancelling_leaves_nothing(self, tmp_path):
        def cancel(stage, done, total):
            raise Cancelled

        with pytest.raises(Cancelled):
            write_phantom_cohort(tmp_path / "phantoms", count=3, folds=3, shape_kji=(8, 8, 8), progress=cancel)
        assert list(tmp_path.iterdir()) == []
