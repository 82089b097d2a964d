"""A cohort file from a folder of cases and a table of labels."""

from __future__ import annotations

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.files import write_volume
from REACTDistillLib.volume import Grid, Volume

GRID = Grid((3, 4, 5), np.eye(4))


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        case = tmp_path / "cases" / f"c{number}"
        case.mkdir(parents=True)
        write_volume(Volume(np.full(GRID.shape_kji, float(number), np.float32), GRID), case / "ct.nii.gz")
        write_volume(Volume(np.ones(GRID.shape_kji, bool), GRID), case / "liver.nrrd")
        (case / "notes.txt").write_text("not an image")
    return tmp_path / "cases"


def table(folder, lines):
    path = folder.parent / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())  # as a spreadsheet saves it
    return path


def written(folder, lines, *words):
    assert main(["cohort", str(folder), "--labels", str(table(folder, lines)), *words]) == 0
    return Cohort.read(folder / "cohort.json")


def test_files_become_sequences_and_regions_and_columns_items(folder):
    lines = ["case,label,patient,AFP,centre", "c0,well,p1,4.5,north", "c1,poor,p2,,south", "c2,,p2,nan,"]
    cohort = written(folder, lines, "--folds", "2")
    assert (cohort.classes, cohort.synthetic) == (("well", "poor"), False)
    first, second, third = cohort.entries
    assert (first.id, first.patient, first.label) == ("c0", "p1", "well")
    assert first.sequences == {"ct": "c0/ct.nii.gz"}
    assert first.regions == {"liver": "c0/liver.nrrd"}
    assert first.clinical == {"AFP": 4.5, "centre": "north"}
    assert (second.clinical, third.clinical) == ({"centre": "south"}, {"AFP": "nan"})
    assert third.label is None
    assert second.fold == third.fold != first.fold  # one patient in one fold, the other in the other
    case = first.load()  # checks the hashes
    assert case.regions["liver"].is_mask
    assert case.sequences["ct"].array_kji.max() == 0.0


def test_folds_of_the_table_are_kept_and_classes_can_be_ordered(folder, capsys):
    lines = ["case,label,fold", *(f"c{n},{'well' if n % 2 else 'poor'},{n // 2}" for n in range(6))]
    cohort = written(folder, lines, "--classes", "well", "poor")
    assert cohort.classes == ("well", "poor")
    assert [entry.fold for entry in cohort.entries] == [0, 0, 1, 1, 2, 2]
    assert "fold 2: 1 poor, 1 well\n6 cases: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["name,label", "c0,well"], '"labels.csv" has no column "case"; it has name, label.'),
        (["case,label"], '"labels.csv" names no case.'),
        (["case,label", "c0,well", "c0,poor"], 'names the case "c0" twice'),
        (["case,label", "c9,well", "c1,poor"], 'There is no folder "c9" in'),
        (["case,label", "../cases,well", "c1,poor"], 'There is no folder "../cases" in'),
        (["case,label,fold", "c0,well,0", "c1,poor,"], 'The case "c1" has no fold while others have one'),
        (["case,label,fold", "c0,well,x", "c1,poor,1"], 'has the fold "x"; folds are 0, 1, 2'),
        (["case,label", "empty,well", "c1,poor"], 'The case "empty" holds no image'),
        (["case,label", "twice,well", "c1,poor"], 'The case "twice" has two files "ct"'),
        (["case,label,patient,fold", "c0,well,p,0", "c1,poor,p,1"], 'patient "p" is in folds 0 and 1'),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(folder, capsys, lines, sentence):
    (folder / "empty").mkdir()
    (folder / "twice").mkdir()
    for name in ("ct.nrrd", "ct.mha"):
        (folder / "twice" / name).write_bytes((folder / "c0" / "liver.nrrd").read_bytes())
    words = ["cohort", str(folder), "--labels", str(table(folder, lines)), "--folds", "2"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (folder / "cohort.json").exists()


def test_a_cohort_file_that_is_there_stays(folder, capsys):
    lines = ["case,label", "c0,well", "c1,poor"]
    written(folder, lines, "--folds", "2")
    before = (folder / "cohort.json").read_bytes()
    assert main(["cohort", str(folder), "--labels", str(table(folder, lines)), "--folds", "2"]) == 2
    assert "holds a cohort.json already" in capsys.readouterr().err
    assert (folder / "cohort.json").read_bytes() == before
