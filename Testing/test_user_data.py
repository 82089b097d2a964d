"""What belongs to the user stays as it is, and what is damaged or seen before is not taken for sound or new."""

import gzip
import json
import os
import zlib
from dataclasses import replace

import numpy as np
import pytest
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.errors import without_paths
from REACTDistillLib.files import read_volume, write_labels, write_volume
from REACTDistillLib.finding import check_result_folder
from REACTDistillLib.geometry import main_box, mask_box
from REACTDistillLib.heldout import Subject, part_of
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student, read_card
from REACTDistillLib.volume import Box, Grid, Volume


@pytest.fixture(scope="module")
def case():
    return phantom_case(3, shape_kji=(24, 24, 24))


@pytest.fixture(scope="module")
def finding(case):
    return predict(case, demo_student("grade"), device="cpu")


def test_masks_of_the_user_with_names_of_results_are_not_replaced(finding, case, tmp_path):
    for name in ("mask_liver", "mask_tumor"):
        write_volume(case.regions[name.removeprefix("mask_")], tmp_path / f"{name}.nrrd")
    with pytest.raises(ValueError, match="holds other files; name a new folder"):
        finding.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mask_liver.nrrd", "mask_tumor.nrrd"}


def test_a_result_that_was_changed_by_hand_is_not_replaced(finding, tmp_path):
    folder = finding.save(tmp_path / "result")
    finding.save(folder)  # an untouched one is
    later = (folder / "finding.json").stat().st_mtime + 60
    os.utime(folder / "attention.nrrd", (later, later))
    with pytest.raises(ValueError, match=r'holds "attention\.nrrd", which was changed by hand'):
        check_result_folder(folder)


def test_a_flipped_bit_in_a_packed_image_is_found(tmp_path):
    grid = Grid((60, 70, 80), np.eye(4))
    path = tmp_path / "image.nii.gz"
    voxels = np.random.default_rng(0).integers(0, 1000, grid.shape_kji).astype(np.int16)
    write_volume(Volume(voxels, grid), path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(bytes(content)))
    assert np.array_equal(read_volume(path).array_kji, voxels)
    # A voxel changed while the checksum of the whole stays: what a flipped bit in the packed bytes does.
    checksum = zlib.crc32(bytes(content))
    content[-2] ^= 1
    packed = bytearray(gzip.compress(bytes(content)))
    packed[-8:-4] = checksum.to_bytes(4, "little")
    path.write_bytes(bytes(packed))
    with pytest.raises(ValueError, match="cannot be unpacked to its end"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_flipped_bit_in_packed_labels_is_found(tmp_path, suffix):
    path = tmp_path / f"organs{suffix}"
    labels = np.random.default_rng(0).integers(0, 3, (20, 30, 40)).astype(np.uint8)
    write_labels(labels, Grid(labels.shape, np.eye(4)), path)
    assert np.array_equal(read_volume(path).array_kji, labels)
    content = bytearray(path.read_bytes())
    content[-6 if suffix == ".nrrd" else -2] ^= 1  # of the checksum at the end: the bits of voxels are all sound
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'organs{suffix}" cannot be unpacked to its end'):
        read_volume(path)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be (unpacked|read)"):
        read_volume(path)
    path.write_bytes(content[:-4])
    with pytest.raises(ValueError, match=r"cannot be (unpacked|read)"):
        read_volume(path)


@pytest.mark.parametrize(
    ("sentence", "path", "expected"),
    [
        ('"/a/b/ct.nii" is no image.', "/a/b", "The chosen file is no image."),
        ("/a/b/ct.nii is not there.", "/a/b", "The chosen file is not there."),
        ("The median inside the liver is 1116.", "1", "The median inside the liver is 1116."),
        ("The mask lies on the liver.", ".", "The mask lies on the liver."),
        ('"a.nrrd" ends in the middle.', "a.nrrd", "The chosen file ends in the middle."),
        ('"cases/a/ct" is empty.', "cases/a", "The chosen file is empty."),
    ],
)
def test_only_paths_are_taken_out_of_a_sentence(sentence, path, expected):
    assert without_paths(sentence, path) == expected


def test_cases_of_the_training_are_known_in_a_corrected_cohort_file(tmp_path):
    from REACTDistillLib.phantomcohort import write_phantom_cohort

    cohort = write_phantom_cohort(tmp_path / "cohort", count=9, folds=3, shape_kji=(8, 8, 8))
    assert isinstance(cohort, Cohort)
    card = read_card(demo_student("grade"))
    seen = frozenset(entry.id for entry in cohort.entries if entry.fold != 0)
    own = part_of(cohort, card, Subject(tmp_path, tmp_path, 0, seen), None)
    assert not own.held_out
    assert own.warnings[0].startswith("The cohort file is not that of the training, but 6 of 9 cases")
    unseen = part_of(cohort, card, Subject(tmp_path, tmp_path, 0, seen), 0)
    assert (unseen.held_out, unseen.warnings) == (True, ())


def test_a_student_that_takes_no_tumor_is_shown_none(case):
    student = load_student(demo_student("grade"))
    plain = replace(student, card=replace(student.card, regions={"required": ["liver"], "optional": []}))
    with_tumor, without = predict(case, plain), predict(replace(case, regions={"liver": case.regions["liver"]}), plain)
    assert with_tumor.probabilities == without.probabilities
    assert '"tumor" was given but' in " ".join(with_tumor.warnings)
    assert "No tumor mask was given" not in " ".join(without.warnings)


def test_a_grader_of_another_organ_answers(case):
    student = load_student(demo_student("grade"))
    names = {"sequences": {"required": ["scan"], "optional": []}, "regions": {"required": ["organ"], "optional": []}}
    other = replace(student, card=replace(student.card, **names, intensity={"scan": student.card.intensity["ct"]}))
    renamed = replace(case, sequences={"scan": case.sequences["ct"]}, regions={"organ": case.regions["liver"]})
    plain = predict(replace(case, regions={"liver": case.regions["liver"]}), student)
    assert predict(renamed, other).probabilities == plain.probabilities


def test_the_table_of_a_batch_of_grades_has_the_warnings(tmp_path, case):
    import csv

    from REACTDistillLib.batch import cases_of, predict_cases

    source = tmp_path / "cases"
    (source / "one").mkdir(parents=True)
    (source / ".hidden").mkdir()
    write_volume(case.sequences["ct"], source / "one" / "ct.nrrd")
    write_volume(case.regions["liver"], source / "one" / "liver.nrrd")
    cases = cases_of(source)
    assert [one.identifier for one in cases] == ["one"]
    predict_cases(cases, load_student(demo_student("grade")), tmp_path / "out")
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    assert "No tumor mask was given" in row["warnings"]
    assert json.loads((tmp_path / "out" / "case_0001" / "finding.json").read_text())["warnings"][0] in row["warnings"]


def test_a_stray_voxel_does_not_move_the_grid_and_is_told(case):
    """A voxel of the mask in the corner of the image, as a slip of the brush leaves it."""
    plain = predict(case, demo_student("grade"), device="cpu")
    for name in ("liver", "tumor"):
        mask = case.regions[name]
        array = mask.array_kji.copy()
        array[0, 0, 0] = True
        slipped = replace(case, regions={**case.regions, name: Volume(array, mask.grid)})
        told = predict(slipped, demo_student("grade"), device="cpu")
        assert told.predicted_class == plain.predicted_class
        assert told.probabilities == pytest.approx(plain.probabilities, abs=0.02)
        assert any("stray voxels" in warning for warning in told.warnings)
    assert not any("stray voxels" in warning for warning in plain.warnings)


def test_the_main_box_keeps_pieces_of_one_percent():
    mask = np.zeros((20, 20, 20), bool)
    mask[4:14, 5:15, 6:16] = True  # 1000 voxels
    assert main_box(mask) == mask_box(mask) == Box((4, 5, 6), (14, 15, 16))
    mask[0, 0, 0:9] = True
    assert main_box(mask) == Box((4, 5, 6), (14, 15, 16))
    assert mask_box(mask) == Box((0, 0, 0), (14, 15, 16))
    mask[0, 0, 9:12] = True  # 12 of 1012
    assert main_box(mask) == mask_box(mask)
    assert main_box(np.zeros((2, 2, 2), bool)) is None
    two = np.zeros((9, 1, 1), bool)
    two[[1, 7]] = True
    assert main_box(two) == Box((1, 0, 0), (8, 1, 1))


def test_images_whose_names_the_student_does_not_know_are_named(case):
    renamed = replace(case, sequences={"t1c": case.sequences["ct"]}, regions={})
    with pytest.raises(ValueError, match=r"takes t1, t1ce, t2, flair, but the case has: t1c; name its images so"):
        predict(renamed, demo_student("segment"), device="cpu")
