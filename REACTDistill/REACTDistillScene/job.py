"""One job of a panel, run by the worker: its states, its steps and its temporary folder; knows neither Qt nor MRML."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from REACTDistillLib.errors import sentence_of

from .translation import tr as _
from .workerclient import Event, WorkerClient

Request = dict[str, Any]
Answer = Mapping[str, Any]


class State(Enum):
    """What a job is doing; ``Job`` alone moves it on."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    IMPORTING = "importing"
    CANCELLING = "cancelling"
    FAILED = "failed"


_NEXT_STATES = {
    State.IDLE: {State.STARTING, State.FAILED},
    State.STARTING: {State.RUNNING, State.CANCELLING, State.FAILED, State.IDLE},
    State.RUNNING: {State.IMPORTING, State.CANCELLING, State.FAILED, State.STARTING},
    State.IMPORTING: {State.IDLE, State.FAILED, State.CANCELLING},
    State.CANCELLING: {State.IDLE},
    State.FAILED: {State.STARTING, State.FAILED, State.IDLE},
}
_BUSY_STATES = (State.STARTING, State.RUNNING, State.IMPORTING, State.CANCELLING)


class Work(Protocol):
    """What a job does, cut into steps of a few milliseconds: both generators pause between them.

    ``prepare`` writes what the worker needs into ``folder`` and returns the request, or None when there is nothing to
    do; volumes whose tokens are ``held`` by the worker need not be written. ``finish`` brings the worker's answer into
    the scene. Either may raise ValueError or OSError, whose sentence is shown, and ``finish`` undoes what it did when
    it is closed half-way.
    """

    def prepare(self, folder: Path, held: frozenset[str]) -> Generator[None, None, Request | None]: ...

    def finish(self, answer: Answer, folder: Path) -> Generator[None, None, None]: ...


@dataclass(frozen=True)
class _Run:
    work: Work
    folder: Path


@dataclass(frozen=True)
class Pace:
    """How long one poll may keep the main thread, and how long a cancel waits before it kills the worker."""

    stepSeconds: float = 0.02
    cancelSeconds: float = 1.0


@dataclass(frozen=True)
class JobCallbacks:
    """Who a job reports to: ``onError`` gets one sentence and the last lines of the worker's log."""

    onState: Callable[[State], None]
    onProgress: Callable[[str, int, int], None]
    onError: Callable[[str, str], None]


_PACE = Pace()


class Job:
    """Runs one work at a time. ``poll`` does everything and must be called every few milliseconds while it is busy.

    ``holder`` names the panel: the worker keeps its latest volumes under that name. ``makeFolder`` makes a new folder
    for each run; it is removed when the run has ended, however it ended.
    """

    def __init__(
        self,
        worker: WorkerClient,
        callbacks: JobCallbacks,
        *,
        holder: str,
        makeFolder: Callable[[], Path],
        pace: Pace = _PACE,
    ) -> None:
        self.state, self._pace = State.IDLE, pace
        self._worker, self._callbacks, self._holder, self._makeFolder = worker, callbacks, holder, makeFolder
        self._steps: Generator[None, None, Any] | None = None
        self._number: int | None = None
        self._run: _Run | None = None
        self._cancelledAt = 0.0
        self._wasRepeated = False

    @property
    def isBusy(self) -> bool:
        """True from ``start`` until the run has ended in any way."""
        return self.state in _BUSY_STATES

    @property
    def hasSteps(self) -> bool:
        """True while there is something to do at once, and not only the worker to wait for."""
        return self._steps is not None

    def start(self, work: Work) -> None:
        """Start ``work``; ValueError while another run is not over, OSError when no folder can be made."""
        if self.isBusy:
            raise ValueError(_("A calculation is running already; wait for it or cancel it first."))
        self._run = _Run(work, self._makeFolder())
        self._wasRepeated = False
        self._prepare(self._run)

    def cancel(self) -> None:
        """Stop as soon as the worker can, at the latest after a second; the second call kills the worker at once."""
        if self.state is State.CANCELLING:
            self._worker.kill()
        elif self.isBusy:
            self._stopSteps()
            self._cancelledAt = time.monotonic()
            self._moveTo(State.CANCELLING)
            if self._number is None:
                self._end(State.IDLE)
            else:
                self._worker.cancel(self._number)

    def fail(self, message: str, details: str = "") -> None:
        """End in FAILED with one sentence for the user."""
        self._end(State.FAILED)
        self._callbacks.onError(message, details)

    def poll(self) -> None:
        """Hear the worker and do the next steps."""
        self._worker.poll()
        if self._steps is not None:
            self._doSteps()
        elif self.state is State.CANCELLING and time.monotonic() - self._cancelledAt > self._pace.cancelSeconds:
            self._cancelledAt = time.monotonic()
            self._worker.kill()

    def close(self) -> None:
        """End the run without any further callback; for the end of the panel."""
        self._callbacks = JobCallbacks(lambda *anything: None, lambda *anything: None, lambda *anything: None)
        self._stopSteps()
        if self._number is not None:
            self._worker.cancel(self._number)
        self._end(self.state)

    def onEvent(self, event: Event) -> None:
        """What the worker says of this run."""
        kind = event["event"]
        if self.state is State.CANCELLING:
            if kind in ("cancelled", "result", "error", "missing"):  # a result that comes too late is dropped
                self._number = None
                self._end(State.IDLE)
        elif kind == "accepted":
            self._moveTo(State.RUNNING)
        elif kind == "progress":
            self._callbacks.onProgress(str(event["stage"]), int(event["done"]), int(event["total"]))
        elif kind == "result":
            self._import(event["answer"])
        elif kind == "missing":
            self._repeat()
        elif kind in ("error", "cancelled"):
            self._number = None
            self.fail(str(event.get("message", _("The calculation was stopped."))))

    def onLost(self, message: str, details: str) -> None:
        """The worker has died."""
        self._number = None
        if self.state is State.CANCELLING:
            self._end(State.IDLE)
        else:
            self.fail(message, details)

    def _prepare(self, run: _Run) -> None:
        self._steps = run.work.prepare(run.folder, self._worker.held(self._holder))
        self._moveTo(State.STARTING)

    def _repeat(self) -> None:
        """The worker has given its memory back meanwhile: everything is sent again, once."""
        self._number = None
        if self._wasRepeated:
            self.fail(_("The calculation could not keep the images in memory; close other programs and try again."))
            return
        self._wasRepeated = True
        self._worker.forgetHeld(self._holder)
        if self._run is not None:
            self._prepare(self._run)

    def _import(self, answer: Answer) -> None:
        self._number = None
        if self._run is not None:
            self._steps = self._run.work.finish(answer, self._run.folder)
            self._moveTo(State.IMPORTING)

    def _doSteps(self) -> None:
        end = time.monotonic() + self._pace.stepSeconds
        isOver, value = False, None
        isUnderControl = False
        try:
            while not isOver and self._steps is not None and time.monotonic() < end:
                try:
                    next(self._steps)
                except StopIteration as stop:
                    isOver, value = True, stop.value
            if isOver:
                self._steps = None
                self._afterSteps(value)
            isUnderControl = True
        except (ValueError, OSError) as error:
            isUnderControl = True
            self.fail(sentence_of(error))
        finally:
            if not isUnderControl:  # an unforeseen error travels on, but the panel must stay usable
                self._end(State.FAILED)

    def _afterSteps(self, value: Any) -> None:
        if value is not None and self._run is not None:
            request: Request = {**value, "holder": self._holder, "folder": str(self._run.folder)}
            self._number = self._worker.submit(request, self, tokens=_tokensIn(request))
        else:
            self._end(State.IDLE)

    def _end(self, state: State) -> None:
        self._stopSteps()
        if self._number is not None:
            self._worker.forget(self._number)
            self._number = None
        run, self._run = self._run, None
        if run is not None:
            shutil.rmtree(run.folder, ignore_errors=True)
        if state is not self.state or state is State.FAILED:
            self._moveTo(state)

    def _stopSteps(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _moveTo(self, state: State) -> None:
        if state not in _NEXT_STATES[self.state]:
            raise RuntimeError(f"a job cannot go from {self.state.value} to {state.value}")
        self.state = state
        self._callbacks.onState(state)


def _tokensIn(request: Request) -> frozenset[str]:
    named = {**request.get("sequences", {}), **request.get("regions", {})}
    return frozenset(one["token"] for one in named.values())
