"""Many cases at once: every case has its row, those that fail too, and what is done stays."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.batch import cases_of, predict_cases
from REACTDistillLib.errors import without_paths
from REACTDistillLib.files import write_volume
from REACTDistillLib.finding import Finding
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.predict import predict
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Volume


@pytest.fixture(scope="module")
def student():
    return load_student(demo_student("grade"), device="cpu")


@pytest.fixture
def folders(tmp_path) -> Path:
    """Three cases: one with a tumor, one without, one whose liver is empty."""
    for name, seed in (("b", 1), ("a", 2), ("c", 3)):
        case, folder = phantom_case(seed), tmp_path / "cases" / name
        folder.mkdir(parents=True)
        write_volume(case.sequences["ct"], folder / "ct.nrrd")
        liver = case.regions["liver"]
        if name == "c":
            liver = Volume(np.zeros_like(liver.array_kji), liver.grid)
        write_volume(liver, folder / "liver.nii.gz")
        if name == "b":
            write_volume(case.regions["tumor"], folder / "tumor.nrrd")
    return tmp_path / "cases"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_each_case_is_graded_as_alone_and_a_bad_one_does_not_stop_the_others(folders, student, tmp_path) -> None:
    rows = predict_cases(cases_of(folders), student, tmp_path / "out")
    assert [row.identifier for row in rows] == ["a", "b", "c"]
    alone = predict(cases_of(folders)[1].load(), student)
    assert rows[1].probabilities == alone.probabilities
    assert Finding.load(tmp_path / "out" / "case_0002").probabilities == alone.probabilities
    table = rows_of(tmp_path / "out")
    assert table[1]["well"] == str(round(alone.probabilities["well"], 6))
    assert (table[2]["predicted_class"], table[2]["well"], table[2]["folder"]) == ("", "", "")
    assert "marks no region" in table[2]["problem"] or "empty" in table[2]["problem"]
    assert all("not a medical device" in row["notice"] for row in table)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case_0001", "case_0002", "results.csv"]


def test_what_is_done_stays_when_the_rest_is_cancelled(folders, student, tmp_path) -> None:
    def cancel_at_second(stage, done, total):
        assert (stage, total) == ("batch", 3)
        if done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict_cases(cases_of(folders), student, tmp_path / "out", progress=cancel_at_second)
    assert [row["case"] for row in rows_of(tmp_path / "out")] == ["a"]


def test_a_cohort_file_is_a_source_too(student, tmp_path) -> None:
    write_phantom_cohort(tmp_path / "cohort", count=2, folds=2)
    rows = predict_cases(cases_of(tmp_path / "cohort" / "cohort.json"), student, tmp_path / "out")
    assert [row.problem for row in rows] == ["", ""]


def test_results_are_never_mixed_with_other_files(folders, student, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match='"out" is not an empty folder'):
        predict_cases(cases_of(folders), student, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_of_two_runs_into_one_new_folder_the_second_is_refused(folders, student, tmp_path) -> None:
    def start_another(stage, done, total) -> None:
        if stage == "batch" and done == 0:  # the first has written no row yet
            with pytest.raises(ValueError, match='"out" is not an empty folder'):
                predict_cases(cases_of(folders), student, tmp_path / "out")

    rows = predict_cases(cases_of(folders), student, tmp_path / "out", progress=start_another)
    assert [row["case"] for row in rows_of(tmp_path / "out")] == [row.identifier for row in rows]


def test_a_folder_without_cases_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ValueError, match="put each case into one of its own"):
        cases_of(tmp_path)


@pytest.mark.parametrize(
    ("names", "words"),
    [(["liver.nrrd"], 'holds no "ct"'), (["ct.nrrd", "ct.mha", "liver.nrrd"], 'holds 2 files called "ct"')],
)
def test_a_case_with_a_wrong_set_of_files_says_which(student, tmp_path, names, words) -> None:
    (tmp_path / "cases" / "a").mkdir(parents=True)
    for name in names:
        write_volume(phantom_case(1).sequences["ct"], tmp_path / "cases" / "a" / name)
    (row,) = predict_cases(cases_of(tmp_path / "cases"), student, tmp_path / "out")
    assert words in row.problem


def test_the_command_prints_a_line_per_case(folders, tmp_path, capsys) -> None:
    assert main(["batch", str(folders), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed[:3]] == ["a", "b", "c"]
    assert "not a medical device" in printed[3]


def test_neither_table_nor_sentences_hold_a_path(student, tmp_path) -> None:
    folder = tmp_path / "Doe^Jane" / "case"
    folder.mkdir(parents=True)
    (folder / "ct.nrrd").write_text("no image")
    (folder / "liver.nrrd").write_text("no image")
    (row,) = predict_cases(cases_of(tmp_path / "Doe^Jane"), student, tmp_path / "out")
    assert "the chosen file" in row.problem.lower()
    assert "Doe" not in (tmp_path / "out" / "results.csv").read_text()


@pytest.mark.parametrize(
    ("sentence", "clean"),
    [
        ('"/data/Doe/ct.nrrd" does not exist.', "The chosen file does not exist."),
        ("[Errno 13] Permission denied: '/data/Doe/out'", "[Errno 13] Permission denied: 'the chosen file'"),
        ('"Doe" is not an empty folder.', "The chosen file is not an empty folder."),
        ("the liver is empty", "The liver is empty"),
    ],
)
def test_paths_are_taken_out_of_sentences(sentence, clean) -> None:
    assert without_paths(sentence, "/data/Doe") == clean
