"""The long-lived child of an application: keeps students and cases warm, talks in JSON lines on stdin and stdout.

Requests, one JSON object per line on stdin::

    {"request": "run", "id": 1, "task": "predict", "folder": "...", ...}    see tasks.py
    {"request": "cancel", "id": 1}

Events, one per line on stdout: ``started`` (pid), ``accepted``, ``progress``, then one of ``result`` (answer),
``error`` (message), ``cancelled`` and ``missing`` (volumes to send again) for each id; ``heartbeat`` every second while
something runs; ``released`` when nothing was asked for so long that all memory was given back. Everything that a
package prints goes to stderr. At the end of stdin the process ends: it never outlives the application.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from typing import Any, TextIO

from .errors import sentence_of, without_paths
from .progress import Cancelled, write_event
from .tasks import MissingVolumesError, Warm, task_named

HEARTBEAT_SECONDS = 1.0
_ORPHANED = 3
_UNREADABLE = 4

Request = dict[str, Any]


class Worker:
    """Runs requests one after the other; ``accept`` may be called from another thread than ``serve``."""

    def __init__(self, events: TextIO, *, idle_seconds: float) -> None:
        self._events, self._idle_seconds = events, idle_seconds
        self._writing = threading.Lock()
        self._requests: queue.Queue[Request] = queue.Queue()
        self._state = threading.Lock()
        self._waiting: set[int] = set()
        self._running: int | None = None
        self._cancelled: set[int] = set()
        self._warm = Warm()

    def send(self, event: str, **fields: Any) -> None:
        """Write one event."""
        with self._writing:
            write_event(event, self._events, **fields)

    def accept(self, request: Request) -> None:
        """Queue a request, or mark the one it wants to cancel; a request that waits is cancelled at once."""
        number = int(request["id"])
        with self._state:
            if request["request"] == "run":
                self._waiting.add(number)
                self._requests.put(request)
                return
            if number == self._running:
                self._cancelled.add(number)
            if number not in self._waiting:
                return
            self._waiting.remove(number)
        self.send("cancelled", id=number)

    def serve(self) -> None:
        """Run requests for ever; give the memory back when none came for ``idle_seconds``."""
        while True:
            try:
                request = self._requests.get(timeout=None if self._warm.is_empty else self._idle_seconds)
            except queue.Empty:
                self._warm.forget()
                self.send("released")
                continue
            self.run(request)

    def run(self, request: Request) -> None:
        """Run one request and send its end, unless it was cancelled while it waited."""
        number = int(request["id"])
        with self._state:
            if number not in self._waiting:
                return
            self._waiting.remove(number)
            self._running = number
        try:
            self.send("accepted", id=number)
            self._run(number, request)
        finally:
            with self._state:
                self._running = None
                self._cancelled.discard(number)

    def _run(self, number: int, request: Request) -> None:
        def progress(stage: str, done: int, total: int) -> None:
            if number in self._cancelled:
                raise Cancelled
            self.send("progress", id=number, stage=stage, done=done, total=total)

        try:
            answer = task_named(request.get("task"))(request, self._warm, progress)
            if number in self._cancelled:
                raise Cancelled
        except Cancelled:
            self.send("cancelled", id=number)
        except MissingVolumesError as missing:
            self.send("missing", id=number, tokens=missing.tokens)
        except (ValueError, OSError, MemoryError, ModuleNotFoundError) as error:
            paths = [request[name] for name in ("path", "source", "out") if name in request]
            self.send("error", id=number, message=without_paths(sentence_of(error), *paths))
        else:
            self.send("result", id=number, answer=answer)

    def beat(self) -> None:
        """Send a sign of life if something runs: long steps in compiled code send no progress."""
        with self._state:
            running = self._running is not None
        if running:
            self.send("heartbeat")


def main(*, idle_seconds: float) -> int:
    """Serve the requests on stdin until its end."""
    events = _private_stdout()
    if os.name == "posix" and os.getsid(0) != os.getpid():
        os.setsid()  # so that killing the process group ends every process that this one starts, and no other
    worker = Worker(events, idle_seconds=idle_seconds)
    worker.send("started", pid=os.getpid())
    threading.Thread(target=_read_requests, args=(worker,), daemon=True).start()
    threading.Thread(target=_beat, args=(worker,), daemon=True).start()
    worker.serve()
    return 0


def _private_stdout() -> TextIO:
    """The real stdout, for events only; what others print goes to stderr from here on."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return events


def _read_requests(worker: Worker) -> None:
    """Whatever ends the reading ends the process: a worker that hears nothing could not even be told to end."""
    try:
        _read_lines(worker)
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            traceback.print_exception(error)
        os._exit(_ORPHANED if error is None else _UNREADABLE)


def _read_lines(worker: Worker) -> None:
    # os.read, not sys.stdin: a thread that holds the lock of sys.stdin makes the interpreter crash when it ends.
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                worker.accept(json.loads(line))


def _beat(worker: Worker) -> None:
    pause = threading.Event()
    while not pause.wait(HEARTBEAT_SECONDS):
        worker.beat()
