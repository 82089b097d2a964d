"""Transports of a job: QProcess inside the application, Popen elsewhere; both end the whole process tree."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from .job import Listener

_CRASH_EXIT = 1  # QProcess::CrashExit
_FAILED_TO_START = 0  # QProcess::FailedToStart
_CLOSE_TIMEOUT_MS = 2000


class LineBuffer:
    """Cuts a stream of bytes into lines of text; a line may arrive in pieces."""

    def __init__(self, onLine: Callable[[str], None]) -> None:
        self._onLine = onLine
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._onLine(line.decode("utf-8", errors="replace").rstrip("\r"))

    def flush(self) -> None:
        """Hand on an unfinished last line."""
        if self._rest:
            self.feed(b"\n")


def endProcessGroup(processGroup: int | None) -> None:
    """Kill every process of the group; the group is the process ID that the child announced."""
    if processGroup is None:
        return
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(processGroup)], check=False, capture_output=True)
        return
    try:
        os.killpg(processGroup, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


class QtTransport:
    """Child process by QProcess: lines arrive by signals, so nothing polls and no thread is needed."""

    def __init__(self) -> None:
        self._process: Any = None
        self._listener: Listener | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str], listener: Listener) -> None:
        """Start ``command`` with exactly ``environment``."""
        import qt

        self._listener = listener
        self._output, self._log = LineBuffer(listener.onOutput), LineBuffer(listener.onLog)
        if self._process is None:
            self._process = self._newProcess()
        variables = qt.QProcessEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        self._process.setProcessEnvironment(variables)
        self._process.start(command[0], list(command[1:]))

    def kill(self, processGroup: int | None) -> None:
        """Kill the child; ``onFinished`` follows when it is gone."""
        endProcessGroup(processGroup)
        if self._process is not None:
            self._process.kill()

    def close(self, processGroup: int | None) -> None:
        """Kill the child, wait until it is gone, and report nothing any more."""
        self._listener = None
        if self._process is None:
            return
        self.kill(processGroup)
        self._process.waitForFinished(_CLOSE_TIMEOUT_MS)
        self._process.deleteLater()
        self._process = None

    def _newProcess(self) -> Any:
        import qt

        # One QProcess for all runs: deleting it from inside its own signal would crash the application.
        process = qt.QProcess()
        process.connect("readyReadStandardOutput()", self._onReadyOutput)
        process.connect("readyReadStandardError()", self._onReadyLog)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        return process

    def _onReadyOutput(self) -> None:
        self._output.feed(self._process.readAllStandardOutput().data())

    def _onReadyLog(self) -> None:
        self._log.feed(self._process.readAllStandardError().data())

    def _onFinished(self, exitCode: int, exitStatus: Any) -> None:
        self._onReadyOutput()
        self._onReadyLog()
        self._report(-exitCode if _number(exitStatus) == _CRASH_EXIT else exitCode)

    def _onProcessError(self, error: Any) -> None:
        if _number(error) == _FAILED_TO_START:  # the only error after which finished() does not come
            self._report(None)

    def _report(self, exitCode: int | None) -> None:
        self._output.flush()
        self._log.flush()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.onFinished(exitCode)


def _number(enumeration: Any) -> int:
    """PythonQt hands enumerations over as int or as an enum object, depending on version and signal."""
    return int(getattr(enumeration, "value", enumeration))


class PopenTransport:
    """Child process by Popen, for programs without Qt; the owner calls ``poll`` again and again.

    The streams go through files, so that reading never blocks, on any system.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: Listener | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._streams: list[tuple[BinaryIO, LineBuffer]] = []

    def start(self, command: Sequence[str], environment: Mapping[str, str], listener: Listener) -> None:
        """Start ``command`` with exactly ``environment``."""
        self._listener = listener
        self._folder = tempfile.TemporaryDirectory()
        paths = [os.path.join(self._folder.name, name) for name in ("output", "log")]
        with open(paths[0], "wb") as output, open(paths[1], "wb") as log:
            try:
                self._process = subprocess.Popen(
                    command, env=dict(environment), stdin=subprocess.PIPE, stdout=output, stderr=log
                )
            except OSError:
                self._process = None
        buffers = (LineBuffer(listener.onOutput), LineBuffer(listener.onLog))
        self._streams = [(open(path, "rb"), buffer) for path, buffer in zip(paths, buffers, strict=True)]  # noqa: SIM115

    def poll(self) -> None:
        """Hand on what the child wrote since the last call and, once, its end."""
        if self._listener is None:
            return
        exitCode = None if self._process is None else self._process.poll()
        for stream, buffer in self._streams:
            buffer.feed(stream.read())
        if self._process is None or exitCode is not None:
            for _, buffer in self._streams:
                buffer.flush()
            listener = self._listener
            self._release()
            listener.onFinished(exitCode)

    def kill(self, processGroup: int | None) -> None:
        """Kill the child; ``onFinished`` follows at a later ``poll``."""
        endProcessGroup(processGroup)
        if self._process is not None:
            self._process.kill()

    def close(self, processGroup: int | None) -> None:
        """Kill the child, wait until it is gone, and report nothing any more."""
        self.kill(processGroup)
        if self._process is not None:
            self._process.wait()
        self._release()

    def _release(self) -> None:
        for stream, _ in self._streams:
            stream.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._process, self._listener, self._folder, self._streams = None, None, None, []
