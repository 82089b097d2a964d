"""Many brains at once: subfolders by the name of the sequence, one row each, whatever is wrong with one of them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.batch import cases_of, predict_cases, task_of
from REACTDistillLib.brain import brain_case
from REACTDistillLib.case import Case
from REACTDistillLib.casefiles import case_from_folder, sequences_in_folder
from REACTDistillLib.files import write_volume
from REACTDistillLib.finding import Finding
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.predict import predict
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from segmenting_samples import save_segmenting_student


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "segmenter.safetensors"
    return load_student(save_segmenting_student(path), device="cpu")


@pytest.fixture(scope="module")
def exams():
    return [brain_case(seed) for seed in (1, 2, 3)]


@pytest.fixture
def folders(exams, tmp_path) -> Path:
    """Two sequences by plain names, all four as BraTS names them, and one that is no image."""
    for name in ("a", "b", "c"):
        (tmp_path / "cases" / name).mkdir(parents=True)
    for name in ("t1ce", "flair"):
        write_volume(exams[0].sequences[name], tmp_path / "cases" / "a" / f"{name}.nrrd")
    (tmp_path / "cases" / "b" / "b_flair.nii.gz").write_text("no image")
    for name, ending in {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}.items():
        write_volume(exams[2].sequences[name], tmp_path / "cases" / "c" / f"BraTS-GLI-00003-000-{ending}.nii.gz")
    write_volume(exams[2].regions["wt"], tmp_path / "cases" / "c" / "BraTS-GLI-00003-000-seg.nii.gz")
    return tmp_path / "cases"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_each_brain_is_segmented_as_alone_and_one_that_cannot_be_read_does_not_stop_the_others(
    folders, exams, student, tmp_path
) -> None:
    rows = predict_cases(cases_of(folders), student, tmp_path / "out")
    alone = predict(Case({name: exams[0].sequences[name] for name in ("t1ce", "flair")}), student).segmentation
    assert [row.identifier for row in rows] == ["a", "b", "c"]
    assert rows[0].volumes_ml == alone.volumes_ml
    assert Finding.load(tmp_path / "out" / "case_0001").segmentation.volumes_ml == alone.volumes_ml
    assert rows[0].summary.startswith(f"WT {alone.volumes_ml['WT']:.1f} ml, TC")
    table = rows_of(tmp_path / "out")
    assert list(table[0]) == [
        *("case", "folder", "sequences", "WT_ml", "TC_ml", "ET_ml", "warnings", "problem", "notice"),
    ]
    assert [row["sequences"] for row in table] == ["t1ce+flair", "", "t1+t1ce+t2+flair"]
    assert [row["WT_ml"] for row in table] == [str(alone.volumes_ml["WT"]), "", str(rows[2].volumes_ml["WT"])]
    assert [bool(row["problem"]) for row in table] == [False, True, False]
    assert str(folders) not in (tmp_path / "out" / "results.csv").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case_0001", "case_0003", "results.csv"]


def test_what_makes_a_result_uncertain_stands_in_its_row(exams, student, tmp_path) -> None:
    (tmp_path / "cases" / "one").mkdir(parents=True)
    write_volume(exams[0].sequences["t2"], tmp_path / "cases" / "one" / "t2.nrrd")
    predict_cases(cases_of(tmp_path / "cases"), student, tmp_path / "out")
    (row,) = rows_of(tmp_path / "out")
    assert 'Only one sequence was given ("t2")' in row["warnings"]


def test_a_cohort_of_brains_is_a_source_too(student, tmp_path) -> None:
    write_phantom_cohort(tmp_path / "cohort", count=2, folds=2, kind="brain")
    cases = cases_of(tmp_path / "cohort" / "cohort.json")
    assert task_of(cases) == "segment"
    rows = predict_cases(cases, student, tmp_path / "out")
    assert [(row.problem, row.sequences) for row in rows] == [("", ("t1", "t1ce", "t2", "flair"))] * 2


def test_files_are_told_by_how_their_names_end(exams, tmp_path) -> None:
    flair = exams[0].sequences["flair"]
    for name in ("Patient 7 FLAIR.nrrd", "patient_7_t1gd.nrrd", "notes.nrrd", "brain.nrrd"):
        write_volume(exams[0].regions["brain"] if name == "brain.nrrd" else flair, tmp_path / name)
    assert sequences_in_folder(tmp_path) == ("flair",)  # "t1gd" is none of the known endings
    case = case_from_folder(tmp_path)
    assert list(case.sequences) == ["flair"]
    assert list(case.regions) == ["brain"]
    assert np.array_equal(case.regions["brain"].array_kji, exams[0].regions["brain"].array_kji)
    write_volume(flair, tmp_path / "flair.nrrd")
    with pytest.raises(ValueError, match='holds 2 files called "flair"; leave one of them'):
        case_from_folder(tmp_path)


def test_a_ct_beside_mr_makes_it_a_ct_and_neither_is_one_sentence(exams, tmp_path) -> None:
    write_volume(exams[0].sequences["t1"], tmp_path / "t1.nrrd")
    write_volume(exams[0].sequences["t1"], tmp_path / "ct.nrrd")
    assert sequences_in_folder(tmp_path) == ("ct",)
    with pytest.raises(ValueError, match='holds no "liver"; name the files ct, liver and tumor, or t1'):
        case_from_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match='The folder of the case holds no "ct"; name the files ct, liver and tumor, or t1'
    ):
        case_from_folder(tmp_path / "empty")


def test_the_names_decide_which_demo_student_answers_and_a_mixture_is_refused(folders, tmp_path) -> None:
    assert task_of(cases_of(folders)) == "segment"
    shutil.copytree(folders / "a", tmp_path / "mixed" / "a")
    (tmp_path / "mixed" / "b").mkdir()
    assert task_of(cases_of(tmp_path / "mixed")) == "segment"
    (tmp_path / "mixed" / "b" / "ct.nrrd").write_text("")
    with pytest.raises(ValueError, match="Some cases are CT and others MR"):
        task_of(cases_of(tmp_path / "mixed"))


def test_a_grading_student_says_of_brains_what_it_needs(folders, tmp_path) -> None:
    student = load_student(demo_student("grade"), device="cpu")
    rows = predict_cases(cases_of(folders), student, tmp_path / "out")
    assert 'needs the sequence "ct", but the case has: flair, t1ce' in rows[0].problem
    assert "predicted_class" in rows_of(tmp_path / "out")[0]


def test_the_command_segments_brains_by_the_demo_student(exams, tmp_path, capsys) -> None:
    for number, exam in enumerate(exams[:2]):
        (tmp_path / "cases" / str(number)).mkdir(parents=True)
        write_volume(exam.sequences["flair"], tmp_path / "cases" / str(number) / "flair.nrrd")
    assert main(["batch", str(tmp_path / "cases"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ml")[0].rsplit(" ", 1)[0] for line in printed[:2]] == ["0: WT", "1: WT"]
    assert "not a medical device" in printed[2]


def test_real_brains_are_segmented_together(shared_data, tmp_path, capsys) -> None:
    for number, patient in enumerate(("brats_2013_pat0005_1", "brats_2013_pat0006_1")):
        folder = tmp_path / "cases" / f"patient {number}"
        folder.mkdir(parents=True)
        source = shared_data(f"brain_brats2013/{patient}")
        shutil.copyfile(source / "Flair_subtrMeanDivStd.nii.gz", folder / "flair.nii.gz")
        shutil.copyfile(source / "T1c_subtrMeanDivStd.nii.gz", folder / "t1c.nii.gz")
    (tmp_path / "cases" / "patient 2").mkdir()
    assert main(["batch", str(tmp_path / "cases"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    rows = rows_of(tmp_path / "out")
    assert [row["sequences"] for row in rows] == ["t1ce+flair", "t1ce+flair", ""]
    assert float(rows[1]["WT_ml"]) > float(rows[0]["WT_ml"]) > 5.0  # 217 and 81 ml were marked
    assert 'holds no "ct"; name the files' in rows[2]["problem"]
