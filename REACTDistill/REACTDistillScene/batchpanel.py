"""The Batch section of a panel: many cases from files, graded in the worker, and the table of all results."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctk
import slicer

from .resultnodes import RESULT_ATTRIBUTE
from .tables import fillTable
from .translation import tr as _
from .uifiles import loadSection

if TYPE_CHECKING:
    from .job import Answer, Request


class BatchPanel:
    """Two paths and a button in ``place``; ``onStart(source, output)`` is called with the paths when both are given."""

    def __init__(self, place: Any, onStart: Callable[[Path, Path], None]) -> None:
        self._onStart = onStart
        self.ui = loadSection("REACTDistillBatch.ui", place)
        kinds = ctk.ctkPathLineEdit
        self.ui.batchSourceEdit.filters = kinds.Files | kinds.Dirs
        self.ui.batchOutputEdit.filters = kinds.Dirs
        self.ui.batchButton.connect("clicked()", self._onButton)
        for edit in (self.ui.batchSourceEdit, self.ui.batchOutputEdit):
            edit.connect("currentPathChanged(QString)", self._showButton)
        self._isBusy = False
        self._showButton()

    def showBusy(self, *, isBusy: bool) -> None:
        """No second batch can be started while something is running."""
        self._isBusy = isBusy
        self._showButton()

    def _showButton(self) -> None:
        hasPaths = bool(self.ui.batchSourceEdit.currentPath and self.ui.batchOutputEdit.currentPath)
        self.ui.batchButton.enabled = hasPaths and not self._isBusy
        self.ui.batchButton.toolTip = (
            _("Grade all cases with the chosen student; Cancel keeps what is done.")
            if hasPaths
            else _("Choose the cases and a folder for the results.")
        )

    def _onButton(self) -> None:
        self._onStart(Path(self.ui.batchSourceEdit.currentPath), Path(self.ui.batchOutputEdit.currentPath))


class BatchWork:
    """Grades the cases at ``source`` into the folder ``output`` and shows the table of all; nothing else is loaded."""

    def __init__(
        self, source: Path, output: Path, student: Path, device: str, onDone: Callable[[int, int], None]
    ) -> None:
        """``onDone(graded, failed)`` is called with the numbers of cases."""
        self._source, self._output, self._student, self._device = source, output, student, device
        self._onDone = onDone

    def prepare(self, folder: Path, held: frozenset[str]) -> Generator[None, None, Request]:
        """Request for the task "batch"."""
        yield
        return {
            "task": "batch",
            "source": str(self._source),
            "out": str(self._output),
            "student": str(self._student),
            "device": self._device,
        }

    def finish(self, answer: Answer, folder: Path) -> Generator[None, None, None]:
        """Add the table node."""
        yield
        rows, classes = answer["rows"], answer["classes"]
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", _("Batch grades"))
        node.SetAttribute(RESULT_ATTRIBUTE, "1")
        shares = {name: [_share(row["probabilities"], name) for row in rows] for name in classes}
        fillTable(
            node,
            {
                "Case": [row["identifier"] for row in rows],
                "Predicted class": [row["predicted_class"] for row in rows],
                **{f"Probability of {name}": values for name, values in shares.items()},
                "Problem": [row["problem"] for row in rows],
            },
        )
        failed = sum(bool(row["problem"]) for row in rows)
        self._onDone(len(rows) - failed, failed)


def _share(probabilities: dict[str, float], name: str) -> str:
    return f"{probabilities[name]:.4f}" if probabilities else ""
