"""The combo box of a panel that chooses a student of one task; shared by all panels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .translation import tr as _

if TYPE_CHECKING:
    from REACTDistillLib.store import StudentEntry, StudentStore

_SHOWN_DIGITS = 12  # of a checksum
_Item = tuple[str, str, str]  # text, key, tool tip


class StudentChoice:
    """Shows the students of ``task`` in ``comboBox`` and calls ``onChoice(key)`` when the user chooses another one.

    A key is the SHA-256 of the tensors of a student, or "" for the demo student that ships with the extension.
    """

    def __init__(self, comboBox: Any, store: StudentStore, task: str, onChoice: Callable[[str], None]) -> None:
        self._comboBox, self._store, self._task, self._onChoice = comboBox, store, task, onChoice
        self._shown: list[_Item] = []
        self._shownKey = ""
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def show(self, key: str) -> None:
        """Select a student and list those that are there now; one that is not installed is shown as such and kept."""
        demo, entries = self._demo(), self._entries()
        if demo is not None and key == demo.key:
            key = ""
        items = self._items(demo, entries)
        if key not in [itemKey for _text, itemKey, _tip in items]:
            items.append(_absentItem(key))
        self._shownKey = key
        self._fill(items)

    def refresh(self) -> None:
        """List the students anew, after one was added or removed; the choice stays."""
        self.show(self._shownKey)

    def entryOf(self, key: str) -> StudentEntry | None:
        """The student of a key; None when it is not installed or does another task."""
        if not key:
            return self._demo()
        entry = self._store.find(key)
        return entry if entry is not None and _doesTask(entry, self._task) else None

    def whyNot(self, key: str) -> str:
        """One sentence that says why the student of a key cannot be used; "" when it can."""
        if self.entryOf(key) is not None:
            return ""
        if not key:
            return _("The demo student is missing from this installation; choose another student.")
        return _("The student of this scene is not installed; add its file under Students.")

    def _demo(self) -> StudentEntry | None:
        try:
            demo = self._store.demo(self._task)
        except ValueError:  # a copy of the software without students is no error before somebody wants to use one
            return None
        return demo if _doesTask(demo, self._task) else None

    def _entries(self) -> list[StudentEntry]:
        """Students of the task, each checksum once."""
        entries: dict[str, StudentEntry] = {}
        for entry in self._store.entries():
            if _doesTask(entry, self._task):
                entries.setdefault(entry.key, entry)
        return list(entries.values())

    def _items(self, demo: StudentEntry | None, entries: list[StudentEntry]) -> list[_Item]:
        others = [entry for entry in entries if demo is None or entry.key != demo.key]
        listed = others if demo is None else [demo, *others]
        count = Counter(entry.title for entry in listed)
        return [
            (
                entry.title if count[entry.title] == 1 else f"{entry.title} ({entry.key[:_SHOWN_DIGITS]})",
                "" if entry is demo else entry.key,
                _toolTip(entry),
            )
            for entry in listed
        ]

    def _fill(self, items: list[_Item]) -> None:
        import qt

        self._comboBox.blockSignals(True)
        if items != self._shown:
            self._comboBox.clear()
            for index, (text, key, toolTip) in enumerate(items):
                self._comboBox.addItem(text, key)
                self._comboBox.setItemData(index, toolTip, qt.Qt.ToolTipRole)
            self._shown = items
        self._comboBox.currentIndex = [key for _text, key, _tip in items].index(self._shownKey)
        self._comboBox.blockSignals(False)

    def _onIndexChanged(self, index: int) -> None:
        if 0 <= index < len(self._shown) and self._shown[index][1] != self._shownKey:
            self._shownKey = self._shown[index][1]
            self._onChoice(self._shownKey)


def _doesTask(entry: StudentEntry, task: str) -> bool:
    return entry.card is not None and entry.card.task == task


def _absentItem(key: str) -> _Item:
    if not key:
        return _("No demo student"), "", _("The demo student is missing from this installation.")
    text = _("Student not installed ({digits}...)").format(digits=key[:4])
    return text, key, _("Tensors SHA-256: {key}").format(key=key)


def _toolTip(entry: StudentEntry) -> str:
    from .cardtext import reliabilityText

    return "" if entry.card is None else reliabilityText(entry.card)
