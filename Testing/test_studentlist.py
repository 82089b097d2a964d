"""The Students section of a panel, on the stand-in host."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow
from store_samples import DEMO, DEMO_VERSION, Make, damaged, make, store

__all__ = ["host", "mainWindow", "make", "store"]  # fixtures

UI = Path(__file__).resolve().parents[1] / "REACTDistill" / "Resources" / "UI" / "REACTDistillStudents.ui"
NAME, VERSION, TASK, SEQUENCES, SCORES, LICENSE, CHECKSUM, ORIGIN = range(8)


class Section:
    """A student list with a user who answers ``answers`` and notes what he was asked."""

    def __init__(self, place: Any, store: Any) -> None:
        from REACTDistillScene.studentlist import StudentList

        self.file, self.agrees = "", True
        self.questions: list[str] = []
        self.opened: list[Path] = []
        self.changes = 0
        self.list = StudentList(
            place,
            store,
            self._changed,
            chooseFile=lambda: self.file,
            confirm=self._confirm,
            openFolder=self.opened.append,
        )
        self.ui = self.list.ui

    def _changed(self) -> None:
        self.changes += 1

    def _confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.agrees

    def cell(self, row: int, column: int) -> Any:
        return self.ui.studentsTable.item(row, column)

    def names(self) -> list[str]:
        return [self.cell(row, NAME).text() for row in range(self.ui.studentsTable.rowCount)]

    def add(self, path: Path) -> None:
        self.file = str(path)
        self.ui.studentsAddButton.click()

    @property
    def said(self) -> str:
        return self.ui.studentsStatusLabel.text

    @property
    def card(self) -> str:
        return self.ui.studentsCardText.plainText


@pytest.fixture
def section(host: Any, store: Any) -> Iterator[Section]:
    import hosterrors
    import qt

    hosterrors.clear()
    place = qt.QWidget()
    qt.QVBoxLayout(place)
    yield Section(place, store)
    place.deleteLater()
    host.processEvents()
    assert hosterrors.problems() == []


def test_a_shipped_student_is_listed_with_everything_its_card_says(section: Section, store) -> None:
    row = [section.cell(0, column).text() for column in range(8)]
    key = store.demo("grade").key
    scores = row.pop(4)
    assert row == ["Grade demo student", DEMO_VERSION, "grade", "ct", "Apache-2.0", key[:12], "shipped"]
    metrics = store.demo("grade").card.metrics["ct"]
    assert scores.startswith(f"ct: accuracy {metrics['accuracy']:.3g}, ")
    assert scores.endswith(f" ({metrics['cases']:.0f} cases)")
    assert key in section.cell(0, CHECKSUM).toolTip()
    headers = [section.ui.studentsTable.horizontalHeaderItem(column).text() for column in range(8)]
    assert headers == ["Name", "Version", "Task", "Sequences", "Scores", "License", "SHA-256", "Origin"]


def test_optional_sequences_stand_in_parentheses(section: Section, make: Make) -> None:
    rule = {"kind": "window_zscore"}
    section.add(make(sequences={"required": ["ct"], "optional": ["pet_fdg"]}, intensity={"ct": rule, "pet_fdg": rule}))
    assert section.cell(1, SEQUENCES).text() == "ct (pet_fdg)"
    assert section.cell(1, SCORES).text() == "none"
    assert section.cell(1, ORIGIN).text() == "added"


def test_the_card_of_the_selected_student_is_shown_whole(section: Section, store, make: Make) -> None:
    demo = store.demo("grade")
    for words in (
        DEMO,
        "well, moderate, poor",
        "ct, liver (optional: tumor)",
        f"{demo.card.training['cases']} cases",
        "never",
    ):
        assert words in section.card
    assert demo.key in section.card
    assert "48 × 64 × 64 voxels of 5 × 4.5 × 4.5 mm" in section.card
    section.add(make(limitations="Knows <b>nothing</b> & no one."))
    assert "Knows <b>nothing</b> & no one." in section.card
    assert section.cell(1, SCORES).toolTip() == "<p>Knows &lt;b&gt;nothing&lt;/b&gt; &amp; no one.</p>"
    section.list.select(demo.key)
    assert "Grade demo student" in section.card


def test_the_card_tells_the_memory_that_a_run_takes_if_it_says_it(section: Section, make: Make) -> None:
    memory = {
        "image_shape_kji": [155, 240, 240],
        "image_spacing_kji_mm": [1.0, 1.0, 1.0],
        "sequences": 4,
        "whole_bytes": 2_715_024_000,
        "tiled_bytes": 1_036_225_152,
    }
    section.add(make(memory=memory))
    voxels = "155 × 240 × 240 voxels of 1 × 1 × 1 mm (slices, rows, columns)"
    words = f"Memory: up to 2.7 GB, in tiles 1.0 GB, beside the images: 4 sequences of {voxels}"
    assert words in section.card
    section.add(make(weight=2.0))
    assert "Memory" not in section.card


def test_an_added_student_is_selected_and_reported(section: Section, store, make: Make) -> None:
    section.add(make())
    assert section.names() == ["Grade demo student", "Mine"]
    assert section.list.selectedEntry().title == "Mine 2"
    assert section.said == '"Mine 2" was added and its checksum is right.'
    assert section.changes == 1
    assert section.ui.studentsRemoveButton.enabled


def test_a_dialog_that_was_closed_adds_nothing(section: Section) -> None:
    section.ui.studentsAddButton.click()
    assert (section.names(), section.said, section.changes) == (["Grade demo student"], "", 0)


def test_a_damaged_file_is_refused_in_a_sentence(section: Section, make: Make) -> None:
    section.add(damaged(make()))
    assert section.said.endswith("the file is damaged or was changed, get it again.")
    assert (section.names(), section.changes) == (["Grade demo student"], 0)


def test_an_added_student_is_removed_after_a_question(section: Section, store, make: Make) -> None:
    section.add(make())
    section.agrees = False
    section.ui.studentsRemoveButton.click()
    assert section.names() == ["Grade demo student", "Mine"]
    section.agrees = True
    section.ui.studentsRemoveButton.click()
    assert section.names() == ["Grade demo student"]
    assert section.questions == ['Delete the file of the student "Mine 2" from this computer?'] * 2
    assert section.said == '"Mine 2" was removed.'
    assert list(store.folder.iterdir()) == []
    assert section.changes == 2
    assert section.list.selectedEntry().is_shipped


def test_a_shipped_student_cannot_be_removed_and_the_button_says_why(section: Section) -> None:
    assert not section.ui.studentsRemoveButton.enabled
    assert section.ui.studentsRemoveButton.toolTip == "Only students that were added can be removed."


def test_a_student_is_checked_on_demand(section: Section, store, make: Make) -> None:
    section.add(make())
    section.ui.studentsCheckButton.click()
    assert section.said == '"Mine 2" is intact: its tensors have the checksum of its card.'
    damaged(store.entries()[-1].path)
    section.ui.studentsCheckButton.click()
    assert "is damaged or was changed" in section.said


def test_a_file_that_cannot_be_read_is_listed_with_its_problem_and_can_be_removed(section: Section, store) -> None:
    store.make_folder()
    (store.folder / "broken.safetensors").write_bytes(b"")
    section.list.refresh()
    assert section.names() == ["Grade demo student", "broken.safetensors"]
    assert section.cell(1, 1).text() == '"broken.safetensors" is empty, expected a student file.'
    assert section.ui.studentsTable.columnSpan(1, 1) == 7
    section.ui.studentsTable.selectRow(1)
    assert section.card == '"broken.safetensors" is empty, expected a student file.'
    assert not section.ui.studentsCheckButton.enabled
    section.ui.studentsRemoveButton.click()
    assert section.names() == ["Grade demo student"]
    assert section.ui.studentsTable.columnSpan(0, 1) == 1


def test_a_folder_that_cannot_be_read_is_told_and_not_removed(section: Section, store) -> None:
    store.folder.parent.mkdir()
    store.folder.touch()
    section.list.refresh()
    section.ui.studentsTable.selectRow(1)
    assert section.card.endswith("of added students cannot be read: Not a directory.")
    assert not section.ui.studentsRemoveButton.enabled


def test_a_file_copied_into_the_folder_by_hand_appears_and_the_selection_stays(
    section: Section, store, make: Make
) -> None:
    section.add(make())
    (store.folder / "earlier.safetensors").write_bytes(make(weight=2, name="Earlier").read_bytes())
    section.list.refresh()
    assert section.names() == ["Grade demo student", "Earlier", "Mine"]
    assert section.list.selectedEntry().title == "Mine 2"


def test_the_folder_is_shown_made_and_opened(section: Section, store) -> None:
    assert section.ui.studentsFolderEdit.text == str(store.folder)
    assert section.ui.studentsFolderEdit.readOnly
    section.ui.studentsFolderButton.click()
    assert section.opened == [store.folder]
    assert store.folder.is_dir()


def test_students_are_kept_beside_the_settings_and_those_of_tests_elsewhere(host, monkeypatch) -> None:
    import slicer
    from REACTDistillScene.studentlist import studentsFolder

    assert studentsFolder() == Path(slicer.app.temporaryPath) / "REACTDistill" / "Students"
    application = SimpleNamespace(
        slicerUserSettingsFilePath="/home/me/.config/App.ini", testingEnabled=lambda: False, temporaryPath="/tmp"
    )
    monkeypatch.setattr(slicer, "app", application)
    assert studentsFolder() == Path("/home/me/.config/REACTDistill/Students")


def test_every_control_of_the_section_has_a_tool_tip_and_a_name_of_its_own() -> None:
    widgets = list(ElementTree.parse(UI).iter("widget"))
    for widget in widgets[1:]:
        assert widget.get("name", "").startswith("students")
        tips = [node for node in widget.findall("property") if node.get("name") == "toolTip"]
        assert tips or widget.get("name") == "studentsFolderLabel"


def test_reliability_is_the_scores_and_a_warning_for_students_that_know_no_patients(section: Section, store) -> None:
    from dataclasses import replace

    from REACTDistillScene.cardtext import reliabilityText

    metrics = {"ct": {"accuracy": 0.663, "cases": 104, "macro_auc": 0.796, "macro_f1": 0.639}}
    card = replace(store.demo("grade").card, metrics=metrics)
    scores = "Scores of the student: ct: accuracy 0.663, macro AUC 0.796, macro F1 0.639 (104 cases)."
    warning = "It was trained on synthetic images only: for a patient its scores mean nothing."
    assert reliabilityText(card) == f"{scores}<br>{warning}"
    real = replace(card, training={**card.training, "synthetic": False}, metrics={})
    assert reliabilityText(real) == "Scores of the student: none in its card."
