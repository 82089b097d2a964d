"""What the command line says when the system, the user or the files do not play along: one sentence, nothing lost."""

import logging

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.casefiles import case_from_files
from REACTDistillLib.files import write_volume
from REACTDistillLib.finding import check_result_folder
from REACTDistillLib.masks import read_region
from REACTDistillLib.regions import liver_regions
from REACTDistillLib.volume import Grid, Volume


def predict_into(folder) -> list[str]:
    return ["predict", "--ct", "/no/such/ct.nrrd", "--liver", "liver.nrrd", "--out", str(folder)]


def refused(capsys, words: str) -> None:
    """One line on stderr, no traceback."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_a_file_in_place_of_the_result_folder_is_one_sentence_before_any_work(tmp_path, capsys):
    (tmp_path / "result").write_text("mine")
    for folder in (tmp_path / "result", tmp_path / "result" / "below"):
        assert main(predict_into(folder)) == 2
        refused(capsys, "is a file; name a new folder")
    assert (tmp_path / "result").read_text() == "mine"


def test_a_result_folder_with_a_file_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "finding.json").write_text("{}")
    check_result_folder(tmp_path)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        check_result_folder(tmp_path)


def test_a_folder_without_write_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("REACTDistillLib.finding.os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match="no right to write into"):
        check_result_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            PermissionError(13, "Permission denied", "/locked/cohort.json"),
            2,
            '"/locked/cohort.json": Permission denied',
        ),
        (OSError(28, "No space left on device"), 2, "No space left on device; check"),
        (MemoryError(), 2, "memory of this computer"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(tmp_path, capsys, monkeypatch, error, status, words):
    def refuse(*arguments, **named):
        raise error

    monkeypatch.setattr("REACTDistillLib.files.read_volume", refuse)
    assert main(predict_into(tmp_path / "result")) == status
    refused(capsys, words)
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize(("ct", "liver"), [("", ["liver.nrrd"]), ("ct.nrrd", [""])])
def test_an_empty_name_does_not_mean_the_current_folder(ct, liver):
    with pytest.raises(ValueError, match="empty name"):
        case_from_files(ct, liver, None)


@pytest.mark.parametrize(("text", "words"), [("{", "is not JSON"), ("[1]", "must hold one JSON object")])
def test_a_config_that_is_no_json_object_is_one_sentence(tmp_path, capsys, text, words):
    (tmp_path / "config.json").write_text(text)
    arguments = ["train", "reactkd", "--cohort", "x", "--run", "y", "--config", str(tmp_path / "config.json")]
    assert main(arguments) == 2
    refused(capsys, words)


def test_a_folder_without_dicom_has_no_series_and_says_so(tmp_path, capsys):
    assert main(["series", str(tmp_path)]) == 2
    refused(capsys, "holds no DICOM image")


def test_fewer_phantoms_than_folds_are_refused_with_the_least_number(tmp_path, capsys):
    assert main(["phantoms", "--out", str(tmp_path / "cohort"), "--count", "4"]) == 2
    refused(capsys, "at least 5 phantoms, got 4")


def test_a_label_map_of_many_organs_taken_whole_is_a_warning_without_its_name(tmp_path, caplog):
    array = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    write_volume(Volume(array, Grid((2, 2, 2), np.eye(4))), tmp_path / "organs.nrrd")
    with caplog.at_level(logging.WARNING):
        read_region(f"{tmp_path / 'organs.nrrd'}:5")
        assert not caplog.records
        assert int(read_region(str(tmp_path / "organs.nrrd")).array_kji.sum()) == 7
    assert "7 regions" in caplog.text
    assert "organs" not in caplog.text


def test_a_liver_that_reaches_only_the_margin_of_the_image_lies_outside():
    image = Grid((4, 4, 4), np.eye(4))
    beside = np.eye(4)
    beside[0, 3] = 3.8  # its voxels begin beyond the last center, but within the margin of the search
    with pytest.raises(ValueError, match="lies outside the image"):
        liver_regions(Volume(np.ones((2, 2, 2), dtype=bool), Grid((2, 2, 2), beside)), None, image)
