"""The Students section of a panel: list, add, check and remove student files, and read their cards."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from REACTDistillLib.errors import sentence_of

from .cardtext import cardAsRichText, scoresText, sequencesText
from .translation import tr as _

if TYPE_CHECKING:
    from REACTDistillLib.store import StudentEntry, StudentStore

_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "REACTDistillStudents.ui"
_SHOWN_DIGITS = 12  # of a checksum


def studentsFolder() -> Path:
    """Where added students are kept: beside the settings of the application, so that an update leaves them alone.

    In tests, and without the application, a temporary folder: what is tested must not depend on the user's students.
    """
    if slicer.app.testingEnabled():
        return Path(slicer.app.temporaryPath) / "REACTDistill" / "Students"
    return Path(slicer.app.slicerUserSettingsFilePath).parent / "REACTDistill" / "Students"


class StudentList:
    """Shows ``store`` in ``place`` (a widget with a vertical layout); calls ``onChange()`` after every add and remove.

    ``chooseFile()`` gives the path of the file to add, "" for none; ``confirm(question)`` is true to go on;
    ``openFolder(path)`` shows a folder to the user. Left out, the application asks and shows.
    """

    def __init__(
        self,
        place: Any,
        store: StudentStore,
        onChange: Callable[[], None],
        *,
        chooseFile: Callable[[], str] | None = None,
        confirm: Callable[[str], bool] | None = None,
        openFolder: Callable[[Path], None] | None = None,
    ) -> None:
        self._store, self._onChange = store, onChange
        self._chooseFile = chooseFile or _chosenFile
        self._confirm = confirm or slicer.util.confirmOkCancelDisplay
        self._openFolder = openFolder or _showFolder
        self._entries: list[StudentEntry] = []
        widget = slicer.util.loadUI(str(_UI_FILE))
        place.layout().addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self.ui.studentsFolderEdit.text = str(store.folder)
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Read the folders again, for instance because the user copied a file there; the selection stays."""
        selected = self.selectedEntry()
        self._entries = self._store.entries()
        self._fillTable()
        self._select(selected.path if selected is not None else None)

    def selectedEntry(self) -> StudentEntry | None:
        """The student of the selected row."""
        row = self.ui.studentsTable.currentRow()
        return self._entries[row] if 0 <= row < len(self._entries) else None

    def select(self, key: str) -> None:
        """Select the student whose tensors have the SHA-256 ``key`` and show its card, if it is here."""
        for entry in self._entries:
            if entry.card is not None and entry.key == key:
                self._select(entry.path)
                return

    def add(self, path: str | Path) -> None:
        """Add a student file and select it; the status line says that it was added, or why not."""
        try:
            with slicer.util.WaitCursor():
                added = self._store.add(path)
        except (ValueError, OSError) as error:
            self._say(sentence_of(error))
            return
        self.refresh()
        self._select(added.path)
        self._say(_('"{student}" was added and its checksum is right.').format(student=added.title))
        self._onChange()

    def _connect(self) -> None:
        self.ui.studentsTable.connect("itemSelectionChanged()", self._onSelection)
        self.ui.studentsAddButton.connect("clicked()", self._onAdd)
        self.ui.studentsRemoveButton.connect("clicked()", self._onRemove)
        self.ui.studentsCheckButton.connect("clicked()", self._onCheck)
        self.ui.studentsFolderButton.connect("clicked()", self._onFolder)

    def _fillTable(self) -> None:
        table = self.ui.studentsTable
        table.blockSignals(True)
        table.rowCount = 0
        table.rowCount = len(self._entries)
        for row, entry in enumerate(self._entries):
            self._fillRow(row, _cells(entry))
        table.resizeColumnsToContents()
        for row, entry in enumerate(self._entries):
            if entry.problem:  # last, as no column is to be as wide as a sentence
                self._fillRow(row, [(entry.title, str(entry.path)), (entry.problem, entry.problem)])
                table.setSpan(row, 1, 1, table.columnCount - 1)
        table.resizeRowsToContents()
        table.blockSignals(False)

    def _fillRow(self, row: int, cells: list[tuple[str, str]]) -> None:
        import qt

        for column, (text, toolTip) in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(toolTip and f"<p>{html.escape(toolTip)}</p>")  # only rich text is broken into lines
            self.ui.studentsTable.setItem(row, column, item)

    def _select(self, path: Path | None) -> None:
        paths = [entry.path for entry in self._entries]
        if paths:
            self.ui.studentsTable.selectRow(paths.index(path) if path in paths else 0)
        self._onSelection()

    def _say(self, sentence: str) -> None:
        self.ui.studentsStatusLabel.text = sentence

    def _onSelection(self) -> None:
        entry = self.selectedEntry()
        isAdded = entry is not None and not entry.is_shipped and entry.path != self._store.folder
        self.ui.studentsRemoveButton.enabled = isAdded
        self.ui.studentsRemoveButton.toolTip = (
            _("Delete the file of the selected student.")
            if isAdded
            else _("Only students that were added can be removed.")
        )
        self.ui.studentsCheckButton.enabled = entry is not None and entry.card is not None
        if entry is None:
            self.ui.studentsCardText.html = ""
        else:
            self.ui.studentsCardText.html = cardAsRichText(entry.card) if entry.card else html.escape(entry.problem)

    def _onAdd(self) -> None:
        path = self._chooseFile()
        if path:
            self.add(path)

    def _onRemove(self) -> None:
        entry = self.selectedEntry()
        if entry is None:
            return
        question = _('Delete the file of the student "{student}" from this computer?').format(student=entry.title)
        if not self._confirm(question):
            return
        try:
            self._store.remove(entry)
        except (ValueError, OSError) as error:
            self._say(sentence_of(error))
            return
        self.refresh()
        self._say(_('"{student}" was removed.').format(student=entry.title))
        self._onChange()

    def _onCheck(self) -> None:
        entry = self.selectedEntry()
        if entry is None:
            return
        try:
            with slicer.util.WaitCursor():
                self._store.verify(entry)
        except (ValueError, OSError) as error:
            self._say(sentence_of(error))
            return
        self._say(_('"{student}" is intact: its tensors have the checksum of its card.').format(student=entry.title))

    def _onFolder(self) -> None:
        try:
            self._store.make_folder()
        except (ValueError, OSError) as error:
            self._say(sentence_of(error))
            return
        self._openFolder(self._store.folder)


def _cells(entry: StudentEntry) -> list[tuple[str, str]]:
    """Text and tool tip of each column; without a card only the name."""
    place = str(entry.path)
    if entry.card is None:
        return [(entry.title, place)]
    card = entry.card
    origin = _("shipped") if entry.is_shipped else _("added")
    return [
        (card.name, place),
        (card.version, ""),
        (card.task, ", ".join(card.classes)),
        (sequencesText(card), _("Required sequences, optional ones in parentheses.")),
        (scoresText(card) or _("none"), card.limitations),
        (card.licence, ""),
        (card.tensors_sha256[:_SHOWN_DIGITS], _("Tensors SHA-256: {key}").format(key=card.tensors_sha256)),
        (origin, place),
    ]


def _chosenFile() -> str:
    import qt

    pattern = _("Student files") + " (*.safetensors)"
    return str(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Add a student file"), "", pattern))


def _showFolder(folder: Path) -> None:
    import qt

    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
