"""The combo box that chooses a student, on the stand-in host."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow
from REACTDistillLib import shipped
from store_samples import DEMO, Make, make, store

__all__ = ["host", "mainWindow", "make", "store"]  # fixtures

NOT_INSTALLED = "The student of this scene is not installed; add its file under Students."


@pytest.fixture
def combo(host: Any) -> Iterator[Any]:
    import hosterrors
    import qt

    hosterrors.clear()
    box = qt.QComboBox()
    yield box
    box.deleteLater()
    host.processEvents()
    assert hosterrors.problems() == []


@pytest.fixture
def chosen() -> list[str]:
    return []


@pytest.fixture
def choice(combo: Any, store: Any, chosen: list[str]) -> Any:
    from REACTDistillScene.studentchoice import StudentChoice

    return StudentChoice(combo, store, "grade", chosen.append)


def texts(combo: Any) -> list[str]:
    return [combo.itemText(index) for index in range(combo.count)]


def test_the_demo_student_is_chosen_by_an_empty_key_and_by_its_own(combo, choice, store, chosen) -> None:
    for key in ("", store.demo("grade").key):
        choice.show(key)
        assert (texts(combo), combo.currentIndex) == ([DEMO], 0)
        assert choice.entryOf(key) == store.demo("grade")
        assert choice.whyNot(key) == ""
    assert chosen == []


def test_the_user_chooses_an_added_student_and_comes_back(combo, choice, store, chosen, make: Make) -> None:
    key = store.add(make()).key
    choice.show("")
    assert texts(combo) == [DEMO, "Mine 2"]
    combo.currentIndex = 1
    combo.currentIndex = 0
    assert chosen == [key, ""]
    choice.show(key)
    assert combo.currentText == "Mine 2"
    assert choice.entryOf(key).path.parent == store.folder
    assert chosen == [key, ""]


def test_students_of_one_name_and_version_are_told_apart_by_their_checksum(combo, choice, store, make: Make) -> None:
    keys = [store.add(make(weight=weight)).key for weight in (1, 2)]
    choice.show("")
    assert sorted(texts(combo)[1:]) == sorted(f"Mine 2 ({key[:12]})" for key in keys)


def test_two_files_of_one_student_are_one_choice(combo, choice, store, make: Make) -> None:
    entry = store.add(make())
    (store.folder / "again.safetensors").write_bytes(entry.path.read_bytes())
    choice.show("")
    assert texts(combo)[1:] == ["Mine 2"]


def test_a_student_that_is_not_installed_is_shown_as_such_and_kept(combo, choice, store, chosen, make: Make) -> None:
    path = make()
    key = store.add(path).key
    store.remove(store.find(key))
    choice.show(key)
    assert combo.currentText == f"Student not installed ({key[:4]}...)"
    assert choice.entryOf(key) is None
    assert choice.whyNot(key) == NOT_INSTALLED
    assert chosen == []
    store.add(path)
    choice.refresh()
    assert texts(combo) == [DEMO, "Mine 2"]
    assert combo.currentText == "Mine 2"
    assert choice.whyNot(key) == ""
    assert chosen == []


def test_the_choice_stays_when_a_student_is_added_before_it(combo, choice, store, chosen, make: Make) -> None:
    key = store.add(make()).key
    choice.show(key)
    store.add(make(weight=2, name="Earlier in the alphabet"))
    choice.refresh()
    assert (combo.currentText, combo.currentIndex, chosen) == ("Mine 2", 2, [])


def test_a_file_that_cannot_be_read_is_no_choice(combo, choice, store) -> None:
    store.make_folder()
    (store.folder / "broken.safetensors").write_bytes(b"")
    choice.show("")
    assert texts(combo) == [DEMO]


def test_without_a_shipped_student_the_panel_says_so(combo, choice, chosen, monkeypatch) -> None:
    monkeypatch.setattr(shipped, "shipped_students", list)
    choice.show("")
    assert texts(combo) == ["No demo student"]
    assert choice.whyNot("") == "The demo student is missing from this installation; choose another student."


def test_students_of_another_task_are_no_choice(combo, store, make: Make) -> None:
    from REACTDistillScene.studentchoice import StudentChoice

    key = store.add(make()).key
    other = StudentChoice(combo, store, "segment", print)
    other.show("")
    assert texts(combo) == ["No demo student"]
    assert other.entryOf(key) is None


def test_the_tool_tip_of_a_choice_tells_how_reliable_it_is(combo, choice) -> None:
    import qt

    choice.show("")
    tip = combo.itemData(0, qt.Qt.ToolTipRole)
    assert "accuracy 0." in tip
    assert " cases)" in tip
    assert "synthetic images only" in tip
