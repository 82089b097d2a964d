"""The worker as the application sees it: started when needed, asked by requests, replaced when it has died."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .translation import tr as _
from .transport import Transport

_LOG_LINES_KEPT = 30
SILENCE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 2.0  # between two polls of an application that is not busy
_SILENT = "no sign of life"

Event = Mapping[str, Any]
# Returns command and environment of the worker; raises ValueError with one sentence when there is no Python to run it.
Launcher = Callable[[], tuple[Sequence[str], Mapping[str, str]]]


class RequestListener(Protocol):
    """Who hears of one request: its events, or that the worker was lost before it came to an end."""

    def onEvent(self, event: Event) -> None: ...

    def onLost(self, message: str, details: str) -> None: ...


class WorkerClient:
    """Sends requests to one long-lived child process and hands its events to those who asked.

    Several may ask at the same time; the worker answers one after the other. Whoever waits for an answer calls
    ``poll`` often.
    """

    def __init__(self, transport: Transport, launcher: Launcher, *, silenceSeconds: float = SILENCE_SECONDS) -> None:
        self._transport, self._launcher, self._silenceSeconds = transport, launcher, silenceSeconds
        self._isRunning = self._wasKilled = False
        self._processGroup: int | None = None
        self._listeners: dict[int, RequestListener] = {}
        self._tokens: dict[int, tuple[str, frozenset[str]]] = {}  # of requests under way
        self._held: dict[str, frozenset[str]] = {}
        self._lastNumber = 0
        self._lastSign = self._lastPoll = 0.0
        self._log: deque[str] = deque(maxlen=_LOG_LINES_KEPT)

    @property
    def isRunning(self) -> bool:
        """True while there is a child process."""
        return self._isRunning

    @property
    def processGroup(self) -> int | None:
        """Process ID of the worker, known once it has started."""
        return self._processGroup

    def held(self, holder: str) -> frozenset[str]:
        """Tokens of the volumes of ``holder`` that the worker has, or will have after what it was asked already."""
        underWay = [tokens for one, tokens in self._tokens.values() if one == holder]
        return underWay[-1] if underWay else self._held.get(holder, frozenset())

    def forgetHeld(self, holder: str) -> None:
        """The worker turned out not to have them."""
        self._held.pop(holder, None)

    def submit(self, request: Mapping[str, Any], listener: RequestListener, *, tokens: frozenset[str]) -> int:
        """Send a request and return its number; ``tokens`` are the volumes the worker holds after it.

        Raises ValueError with one sentence when the worker cannot be started.
        """
        if not self._isRunning:
            command, environment = self._launcher()
            self._log.clear()
            self._isRunning, self._processGroup, self._wasKilled = True, None, False
            self._transport.start(command, environment, self)
        self._lastNumber += 1
        self._lastSign = self._lastPoll = time.monotonic()
        self._listeners[self._lastNumber] = listener
        self._tokens[self._lastNumber] = (str(request.get("holder", "")), tokens)
        self._send({**request, "request": "run", "id": self._lastNumber})
        return self._lastNumber

    def cancel(self, number: int) -> None:
        """Ask the worker to stop a request; the event ``cancelled`` follows, or its result if it was just done."""
        if number in self._listeners:
            holder, tokens = self._tokens[number]
            self._tokens[number] = holder, self._surelyHeld(holder, tokens)
            self._send({"request": "cancel", "id": number})

    def forget(self, number: int) -> None:
        """Hear no more of a request, whatever comes."""
        self._listeners.pop(number, None)
        self._tokens.pop(number, None)

    def kill(self) -> None:
        """End the worker with all its children; whoever waits is told at a later ``poll``."""
        if not self._isRunning:  # it has ended, and those who waited are being told
            return
        self._wasKilled = True
        self._transport.kill(self._processGroup)

    def restart(self) -> None:
        """End the worker now; the next request starts a new one, which sees what was installed meanwhile."""
        self._transport.close(self._processGroup)
        self._loseAll(_("The calculation was stopped together with another one; start it again."), "")

    def poll(self) -> None:
        """Hand on what the worker said; end one that has been silent too long while it was asked something.

        While the application itself is busy or asleep it hears nothing: such a time does not count.
        """
        now = time.monotonic()
        if now - self._lastPoll > _LONGEST_PAUSE_SECONDS:
            self._lastSign += now - self._lastPoll
        self._lastPoll = now
        self._transport.poll()
        if self._listeners and time.monotonic() - self._lastSign > self._silenceSeconds:
            self._log.append(f"{_SILENT} for {self._silenceSeconds:.0f} s")
            self._lastSign = time.monotonic()
            self._transport.kill(self._processGroup)

    def close(self) -> None:
        """End the worker without any further word."""
        self._listeners.clear()
        self._transport.close(self._processGroup)
        self._forgetProcess()

    def onOutput(self, line: str) -> None:
        """One line of the worker's stdout; what is no event is log."""
        self._lastSign = time.monotonic()
        event = _eventOf(line)
        if event is None or not isinstance(event.get("id", event.get("pid", 0)), int):
            self.onLog(line)
        elif event["event"] == "started":
            self._processGroup = int(event["pid"])
        elif event["event"] == "released":
            self._held.clear()
        elif "id" in event:
            self._dispatch(int(event["id"]), event)

    def onLog(self, line: str) -> None:
        """One line of the worker's log."""
        if line.strip():
            self._log.append(line)  # and not into the log of the application: libraries name files of patients

    def onFinished(self, exitCode: int | None) -> None:
        """The worker has ended and all its lines have been read."""
        message, details = reasonOfEnd(exitCode, self._log), "\n".join(self._log)
        if self._wasKilled:
            message = _("The calculation was stopped together with another one; start it again.")
        self._loseAll(message, details)

    def _loseAll(self, message: str, details: str) -> None:
        waiting = list(self._listeners.values())
        self._forgetProcess()
        for listener in waiting:
            listener.onLost(message, details)

    def _dispatch(self, number: int, event: Event) -> None:
        listener = self._listeners.get(number)
        if event["event"] in ("result", "error", "cancelled", "missing"):
            holder, tokens = self._tokens.pop(number, ("", frozenset()))
            if event["event"] == "missing":
                self._held.pop(holder, None)
            else:
                isWhole = event["event"] == "result"
                self._held[holder] = tokens if isWhole else self._surelyHeld(holder, tokens)
            self._listeners.pop(number, None)
        if listener is not None:
            listener.onEvent(event)

    def _surelyHeld(self, holder: str, tokens: frozenset[str]) -> frozenset[str]:
        """What the worker has of ``tokens``, however far it came with the request that names them."""
        return tokens & self._held.get(holder, frozenset())

    def _send(self, message: Mapping[str, Any]) -> None:
        self._transport.write(json.dumps(message) + "\n")

    def _forgetProcess(self) -> None:
        self._isRunning, self._processGroup = False, None
        self._listeners.clear()
        self._tokens.clear()
        self._held.clear()


def reasonOfEnd(exitCode: int | None, logTail: Sequence[str]) -> str:
    """One sentence for a worker that ended without saying why."""
    log = "\n".join(logTail)
    if exitCode is None:
        return _("Python could not be started for the calculation; check the installation of the application.")
    if _SILENT in log:
        return _("The calculation did not answer any more and was ended; try again.")
    if "out of memory" in log.lower() or "MemoryError" in log:
        return _("The calculation ran out of memory; close other programs or choose the CPU as device.")
    if exitCode in (-9, 137):
        return _("The calculation was killed by the system, probably for want of memory; close other programs.")
    if "No module named" in log:
        missing = log.rsplit("No module named", 1)[1].splitlines()[0].strip(" '\"")
        return _('The Python package "{name}" is missing; install it and try again.').format(name=missing)
    if "exit abnormally" in log:  # said by the launcher PythonSlicer, whose own exit code is 1
        return _("The calculation crashed or was killed by the system, perhaps for want of memory; try again.")
    text = _("The calculation ended unexpectedly (exit code {code}); the details hold the end of its log.")
    return text.format(code=exitCode)


def _eventOf(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event.get("event"), str) else None
