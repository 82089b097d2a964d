"""One job in a child process: its states, its events and its temporary folder; knows neither Qt nor MRML."""

from __future__ import annotations

import json
import logging
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

_LOG_LINES_KEPT = 30


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
    State.STARTING: {State.RUNNING, State.IMPORTING, State.CANCELLING, State.FAILED},
    State.RUNNING: {State.IMPORTING, State.CANCELLING, State.FAILED},
    State.IMPORTING: {State.IDLE, State.FAILED},
    State.CANCELLING: {State.IDLE},
    State.FAILED: {State.STARTING, State.FAILED, State.IDLE},
}
_BUSY_STATES = (State.STARTING, State.RUNNING, State.IMPORTING, State.CANCELLING)


class Listener(Protocol):
    """Who a transport reports to."""

    def onOutput(self, line: str) -> None: ...

    def onLog(self, line: str) -> None: ...

    def onFinished(self, exitCode: int | None) -> None: ...


class Transport(Protocol):
    """How a child process is started and ended.

    ``onFinished`` is called once per start, after the last line; its exit code is negative for a signal and None when
    the program could not be started at all.
    """

    def start(self, command: Sequence[str], environment: Mapping[str, str], listener: Listener) -> None: ...

    def kill(self, processGroup: int | None) -> None: ...

    def close(self, processGroup: int | None) -> None: ...


@dataclass(frozen=True)
class JobCallbacks:
    """Who a job reports to.

    ``onResult`` gets the result folder and may raise ValueError or OSError to make the job fail with that sentence;
    ``onError`` gets one sentence and the last lines of the log.
    """

    onState: Callable[[State], None]
    onProgress: Callable[[str, int, int], None]
    onResult: Callable[[Path], None]
    onError: Callable[[str, str], None]


class Job:
    """Runs one command at a time in a child process that reports by JSON lines on its stdout.

    The folder given to ``start`` belongs to the job: it is removed when the child has ended, however it ended.
    """

    def __init__(self, transport: Transport, callbacks: JobCallbacks) -> None:
        self.state = State.IDLE
        self._transport = transport
        self._callbacks = callbacks
        self._folder: Path | None = None
        self._processGroup: int | None = None
        self._resultFolder = ""
        self._errorMessage = ""
        self._logTail: deque[str] = deque(maxlen=_LOG_LINES_KEPT)

    @property
    def isBusy(self) -> bool:
        """True from start until the child has ended and its result is imported."""
        return self.state in _BUSY_STATES

    def start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start ``command``; ValueError while another run is not over."""
        if self.isBusy:
            raise ValueError("A calculation is running already; wait for it or cancel it first.")
        self._folder, self._processGroup = folder, None
        self._resultFolder, self._errorMessage = "", ""
        self._logTail.clear()
        self._moveTo(State.STARTING)
        self._transport.start(command, environment, self)

    def cancel(self) -> None:
        """Kill the child with all its children; does nothing when there is nothing left to stop."""
        if self.state in (State.STARTING, State.RUNNING):
            self._moveTo(State.CANCELLING)
            self._transport.kill(self._processGroup)

    def fail(self, message: str) -> None:
        """End in FAILED with one sentence for the user."""
        details = "\n".join(self._logTail)
        self._removeFolder()
        self._moveTo(State.FAILED)
        self._callbacks.onError(message, details)

    def close(self) -> None:
        """End the child without any further callback; for the end of the panel."""
        silent = JobCallbacks(lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None)
        self._callbacks = silent
        self._transport.close(self._processGroup)
        self._removeFolder()

    def onOutput(self, line: str) -> None:
        """One line of the child's stdout; what is not an event is log."""
        event = _eventOf(line)
        if event is None:
            self.onLog(line)
        elif self.state in (State.STARTING, State.RUNNING):
            self._onEvent(event)

    def onLog(self, line: str) -> None:
        """One line of the child's log."""
        if line.strip():
            self._logTail.append(line)
            logging.debug("child process: %s", line)

    def onFinished(self, exitCode: int | None) -> None:
        """The child has ended and all its lines have been read."""
        self._processGroup = None
        if self.state is State.CANCELLING:
            self._removeFolder()
            self._moveTo(State.IDLE)
        elif self.state in (State.STARTING, State.RUNNING):
            if exitCode == 0 and self._resultFolder:
                self._importResult(Path(self._resultFolder))
            else:
                self.fail(self._errorMessage or reasonOfEnd(exitCode, self._logTail))

    def _onEvent(self, event: dict[str, Any]) -> None:
        if self.state is State.STARTING:
            self._moveTo(State.RUNNING)
        kind = event["event"]
        if kind == "started":
            self._processGroup = int(event["pid"])
        elif kind == "progress":
            self._callbacks.onProgress(str(event["stage"]), int(event["done"]), int(event["total"]))
        elif kind == "result":
            self._resultFolder = str(event["folder"])
        elif kind == "error":
            self._errorMessage = str(event["message"])

    def _importResult(self, folder: Path) -> None:
        self._moveTo(State.IMPORTING)
        try:
            self._callbacks.onResult(folder)
        except (ValueError, OSError) as error:
            self.fail(str(error))
        else:
            self._moveTo(State.IDLE)
        finally:
            self._removeFolder()
            if self.state is State.IMPORTING:  # an unforeseen error travels on, but the panel must stay usable
                self._moveTo(State.FAILED)

    def _moveTo(self, state: State) -> None:
        if state not in _NEXT_STATES[self.state]:
            raise RuntimeError(f"a job cannot go from {self.state.value} to {state.value}")
        self.state = state
        self._callbacks.onState(state)

    def _removeFolder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def reasonOfEnd(exitCode: int | None, logTail: Sequence[str]) -> str:
    """One sentence for a child that ended without saying why."""
    log = "\n".join(logTail)
    if exitCode is None:
        return "Python could not be started for the calculation; check the installation of the application."
    if "out of memory" in log.lower() or "MemoryError" in log:
        return 'The calculation ran out of memory; close other programs or choose the device "cpu" under Advanced.'
    if exitCode in (-9, 137):
        return "The calculation was killed by the system, probably for want of memory; close other programs."
    if "No module named" in log:
        missing = log.rsplit("No module named", 1)[1].splitlines()[0].strip(" '\"")
        return f'The Python package "{missing}" is missing; install it and try again.'
    return f"The calculation ended unexpectedly (exit code {exitCode}); the details hold the end of its log."


def _eventOf(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event.get("event"), str) else None
