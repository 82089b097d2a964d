"""What all panels share that ask a student: its choice, the device, the bar that starts a calculation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from REACTDistillLib.store import StudentStore

from .devicechoice import DeviceChoice
from .job import State, Work
from .jobbar import JobBar, JobTexts
from .packages import ensurePackages, missingPackages, whyNoGpu
from .studentchoice import StudentChoice
from .studentlist import StudentList, studentsFolder
from .translation import tr as _


class StudentPanel:
    """Shows the parameters in the widgets ``ui`` and brings what the user does back into them.

    ``parameters`` is the parameter node while the module is entered, else None; ``currentParameters()`` returns it even
    then, for results that come while the user is elsewhere. ``holder`` is the name of the module, ``task`` that of the
    students it asks. A panel adds ``show``, ``_showReadiness`` and ``_work``.
    """

    def __init__(
        self, ui: Any, currentParameters: Callable[[], Any], *, holder: str, task: str, texts: JobTexts
    ) -> None:
        self._ui, self._currentParameters = ui, currentParameters
        self.parameters: Any = None
        store = StudentStore(studentsFolder())
        self.students = StudentChoice(ui.studentComboBox, store, task, self._onStudentChoice)
        self.studentList = StudentList(ui.studentsPlace, store, self._onStudentsChanged)
        self.device = DeviceChoice(ui.deviceComboBox)
        self.bar = JobBar(ui.jobPlace, holder=holder, texts=texts, makeWork=self._workOfApply, onState=self._onJobState)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self.show)

    def show(self) -> None:
        """Show the parameters; called once after any number of changes."""
        raise NotImplementedError(f"{type(self).__name__} must say what it shows")

    def leave(self) -> None:
        """The user goes to another module; a run goes on."""

    def closeScene(self) -> None:
        """The scene is about to be closed."""
        self.leave()
        self.bar.showStatus("")
        self.bar.stop(_("The scene was closed, so the calculation was stopped."))

    def close(self) -> None:
        """End everything; for ``cleanup``."""
        self.bar.close()

    # For a panel

    def _showReadiness(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must say whether a calculation can start")

    def _work(self) -> Work:
        """The calculation of the button, of the inputs as they are now."""
        raise NotImplementedError(f"{type(self).__name__} must say what its button starts")

    def _showReason(self, reason: str) -> None:
        """Why a calculation cannot start, "" where the inputs say nothing against it."""
        if not reason and self.device.device == "cuda":
            reason = whyNoGpu()
        self.bar.showReason(reason)

    def _hasPackages(self) -> bool:
        """Whether the packages are there, perhaps installed now after a yes; a sentence says why they are not."""
        wasMissing = bool(missingPackages())
        whyNot = ensurePackages()
        if whyNot:
            self.bar.showStatus(whyNot)
        elif wasMissing:
            self.bar.worker.restart()
        return not whyNot

    def _studentPath(self) -> Path:
        student = self._currentParameters().student
        entry = self.students.entryOf(student)
        if entry is None:
            raise ValueError(self.students.whyNot(student))
        return entry.path

    def _cardTextOf(self, tensorsSha256: str, textOf: Callable[[Any], str]) -> str:
        """What the card of a student says that made a result."""
        entry = self.students.entryOf(tensorsSha256)
        if entry is None or entry.card is None:
            return _("Its file is not installed here, so its card cannot be shown.")
        return textOf(entry.card)

    # What the user does

    def _workOfApply(self) -> Work | None:
        return self._work() if self._hasPackages() else None

    def _onStudentChoice(self, key: str) -> None:
        if self.parameters is not None:
            self.parameters.student = key

    def _onStudentsChanged(self) -> None:
        self.students.refresh()
        self.show()

    def _onJobState(self, state: State) -> None:
        if self.parameters is not None:
            self._showReadiness()
