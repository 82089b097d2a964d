"""Files and folders that appear complete or not at all."""

from pathlib import Path

import pytest
from REACTDistillLib.atomic import new_folder, write_file


def test_a_file_is_replaced_as_a_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"old")
    write_file(tmp_path / "a.json", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", b"new")]


def test_a_file_that_cannot_be_written_is_one_sentence_and_the_old_one_stays(tmp_path: Path, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "a.json").write_bytes(b"old")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ValueError, match=r'^"a.json" cannot be written: No space left on device\.$'):
        write_file(tmp_path / "a.json", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", b"old")]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_takes_the_place_of_none_or_of_an_empty_one(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "result").mkdir()
    with new_folder(tmp_path / "result") as temporary:
        (temporary / "a.txt").write_text("a")
        assert not (tmp_path / "result" / "a.txt").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["result", "a.txt"]


def test_a_folder_that_filled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    with pytest.raises(OSError, match="not empty"), new_folder(folder) as temporary:
        temporary.with_name("result").joinpath("theirs").mkdir(parents=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["result", "theirs"]


def test_after_an_error_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "result"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
