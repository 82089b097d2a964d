"""What every panel has below its inputs: Apply, which becomes Cancel, a progress bar and one line of status."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from REACTDistillLib.errors import sentence_of

from .job import Job, JobCallbacks, Pace, State, Work
from .sharedworker import acquireWorker, releaseWorker
from .translation import tr as _
from .uifiles import loadSection

_STEPS_INTERVAL_MS = 0  # as soon as the event loop has nothing else to do
_BUSY_INTERVAL_MS = 5
_IDLE_INTERVAL_MS = 500  # the worker may end or give its memory back while nobody asks it
# What nobody asked for must not be felt, and is no reason to kill a worker.
_SILENT_PACE = Pace(stepSeconds=0.004, cancelSeconds=math.inf)


@dataclass(frozen=True)
class JobTexts:
    """The words of one panel: tooltip of Apply, status while it runs, and the names of the stages of its tasks."""

    apply: str
    running: str
    stages: Mapping[str, str]


class JobBar:
    """Runs the works of one panel in the worker.

    ``makeWork()`` is called at a click on Apply; it returns the work, or None when there is nothing to do, and may
    raise ValueError or OSError, whose sentence is shown. ``onState(state)`` is called whenever the job moves on.
    """

    def __init__(
        self,
        place: Any,
        *,
        holder: str,
        texts: JobTexts,
        makeWork: Callable[[], Work | None],
        onState: Callable[[State], None],
    ) -> None:
        self._texts, self._makeWork, self._onState = texts, makeWork, onState
        self._reason = self._lastWord = ""
        self._running, self._errors = texts.running, "dialog"
        self._ui = loadSection("REACTDistillJob.ui", place)
        self._worker = acquireWorker()
        callbacks = JobCallbacks(self._onJobState, self._onProgress, self._onError)
        self.job = Job(self._worker, callbacks, holder=holder, makeFolder=_newFolder)
        silent = JobCallbacks(lambda state: None, lambda *progress: None, lambda *error: None)
        # What goes wrong ahead of a work goes wrong again in the work itself, where it is told.
        self.ahead = Job(self._worker, silent, holder=holder, makeFolder=_newFolder, pace=_SILENT_PACE)
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self.poll)
        self._ui.applyButton.connect("clicked()", self.onApply)
        self._showButton()

    @property
    def isBusy(self) -> bool:
        """True while a work is running."""
        return self.job.isBusy

    @property
    def worker(self) -> Any:
        """The worker that this bar shares with the other panels."""
        return self._worker

    @property
    def applyButton(self) -> Any:
        return self._ui.applyButton

    @property
    def status(self) -> str:
        """The line of status."""
        return str(self._ui.statusLabel.text)

    def showStatus(self, text: str) -> None:
        """Replace the line of status."""
        self._ui.statusLabel.text = text

    def announce(self, text: str) -> None:
        """Say ``text`` when the work that is running has ended well."""
        self._lastWord = text

    def showReason(self, reason: str) -> None:
        """Say why Apply is disabled; "" enables it."""
        if reason != self._reason:
            self._reason = reason
            self._showButton()

    def start(self, work: Work, *, running: str = "", errors: str = "dialog") -> None:
        """Run ``work`` now, with ``running`` as status; ``errors="status"`` shows them in the line of status only."""
        if self.job.isBusy:
            raise RuntimeError("a work was started while another one is running")
        if self.ahead.hasSteps:  # what has been asked already comes to an end first: the work may build on it
            self.ahead.cancel()
        self._running, self._errors = running or self._texts.running, errors
        try:
            self.job.start(work)
        except (ValueError, OSError) as error:
            self.job.fail(sentence_of(error))

    def startAhead(self, work: Work) -> None:
        """Run ``work`` silently, if nothing else runs: it gets a warm worker ready for a work that is to follow."""
        if not (self.job.isBusy or self.ahead.isBusy) and self._worker.isRunning:
            try:
                self.ahead.start(work)
            except OSError as error:
                self.ahead.fail(sentence_of(error))
            self._setTimer()

    def stopAhead(self) -> None:
        """The work that was to follow will not: what has been done for it ahead is dropped."""
        if self.ahead.isBusy and self.ahead.state is not State.CANCELLING and not self.job.isBusy:
            self.ahead.cancel()

    def fail(self, sentence: str) -> None:
        """Show why a work could not even be made."""
        self._errors = "dialog"
        self.job.fail(sentence)

    def stop(self, why: str) -> None:
        """Cancel the run and say why; nothing happens when there is none."""
        self.stopAhead()
        if not self.job.isBusy:
            return
        if self.job.state is not State.CANCELLING:
            self.job.cancel()
        self._lastWord = why
        if not self.job.isBusy:
            self.showStatus(why)

    def onApply(self) -> None:
        """Apply, or Cancel while a work is running."""
        if self.job.isBusy:
            self.job.cancel()
            return
        try:
            work = self._makeWork()
        except (ValueError, OSError) as error:
            self.fail(sentence_of(error))
            return
        if work is not None:
            self.start(work)

    def poll(self) -> None:
        """Let the job go on; called by the timer."""
        self.job.poll()
        self.ahead.poll()
        self._setTimer()

    def close(self) -> None:
        """End the run and give the worker back; for ``cleanup``."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self.poll)
        self.job.close()
        self.ahead.close()
        releaseWorker(self._worker)

    def _setTimer(self) -> None:
        isBusy = self.job.isBusy or self.ahead.isBusy
        if isBusy or self._worker.isRunning:
            waiting = _BUSY_INTERVAL_MS if isBusy else _IDLE_INTERVAL_MS
            interval = _STEPS_INTERVAL_MS if self.job.hasSteps or self.ahead.hasSteps else waiting
            if not self._timer.active or self._timer.interval != interval:
                self._timer.start(interval)
        elif self._timer.active:
            self._timer.stop()

    def _onJobState(self, state: State) -> None:
        status = {
            State.STARTING: _("Starting..."),
            State.RUNNING: self._running,
            State.IMPORTING: _("Loading the result..."),
            State.CANCELLING: _("Canceling..."),
        }
        if state is State.STARTING:
            self._ui.progressBar.setRange(0, 0)
            self._lastWord = ""
        elif state is State.CANCELLING:
            self._lastWord = _("Canceled.")
        if state is not State.FAILED:  # its sentence comes with the error
            self.showStatus(status.get(state, self._lastWord))
        self._setTimer()
        self._showButton()
        self._onState(state)

    def _onProgress(self, stage: str, done: int, total: int) -> None:
        progressBar = self._ui.progressBar
        # A new value is painted at once, and with it the whole window, slice views and all, while everything waits.
        progressBar.updatesEnabled = False
        progressBar.setRange(0, max(total, 1))
        progressBar.value = min(done, max(total, 1))
        progressBar.updatesEnabled = True
        if stage in self._texts.stages:
            self.showStatus(self._texts.stages[stage])

    def _onError(self, message: str, details: str) -> None:
        message = message[:1].upper() + message[1:]
        self.showStatus(message)
        if self._errors == "dialog":
            slicer.util.errorDisplay(message, detailedText=details)

    def _showButton(self) -> None:
        button, busy = self._ui.applyButton, self.job.isBusy
        button.enabled = busy or not self._reason
        if not busy:
            button.text, button.toolTip = _("Apply"), self._reason or self._texts.apply
        elif self.job.state is State.CANCELLING:
            button.text, button.toolTip = _("Stop now"), _("End the calculation at once.")
        else:
            button.text, button.toolTip = _("Cancel"), _("Stop the calculation.")
        self._ui.progressBar.visible = busy


def _newFolder() -> Path:
    # Its name holds nothing of the patient, no run has the folder of another, and no other user can read it.
    place = Path(slicer.app.temporaryPath)
    place.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="REACTDistill-", dir=place))
