"""Transports of a child process: QProcess inside the application, Popen elsewhere; both end the whole process tree."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

_NOT_RUNNING = 0  # QProcess::NotRunning
_RUNNING = 2  # QProcess::Running
_CRASH_EXIT = 1  # QProcess::CrashExit
_FAILED_TO_START = 0  # QProcess::FailedToStart
_CLOSE_TIMEOUT_MS = 2000
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # of a console, which only Windows opens
_WRITE_TIMEOUT_MS = 1  # a pipe takes a request at once, unless its child has stopped reading


class Listener(Protocol):
    """Who a transport reports to."""

    def onOutput(self, line: str) -> None: ...

    def onLog(self, line: str) -> None: ...

    def onFinished(self, exitCode: int | None) -> None: ...


class Transport(Protocol):
    """One child process at a time; nothing happens but in ``poll``, which its owner calls again and again.

    ``onFinished`` is called once per start, after the last line; its exit code is negative for a signal and None when
    the program could not be started at all.
    """

    def start(self, command: Sequence[str], environment: Mapping[str, str], listener: Listener) -> None: ...

    def write(self, text: str) -> None: ...

    def poll(self) -> None: ...

    def kill(self, processGroup: int | None) -> None: ...

    def close(self, processGroup: int | None) -> None: ...


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
        command = ["taskkill", "/F", "/T", "/PID", str(processGroup)]
        subprocess.run(command, check=False, capture_output=True, creationflags=_NO_WINDOW)
        return
    try:
        os.killpg(processGroup, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


class QtTransport:
    """Child process by QProcess, which collects the output while the application does other things.

    No signal of it is used: deleting or restarting a QProcess from inside its own signal crashes the application.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self._listener: Listener | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str], listener: Listener) -> None:
        """Start ``command`` with exactly ``environment``."""
        import qt

        self._listener = listener
        self._output, self._log = LineBuffer(listener.onOutput), LineBuffer(listener.onLog)
        self._process = qt.QProcess()
        variables = qt.QProcessEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        self._process.setProcessEnvironment(variables)
        self._process.start(command[0], list(command[1:]))

    def write(self, text: str) -> None:
        """Write to the stdin of the child, at once and not only when the event loop comes to it."""
        self._process.write(text)
        if _number(self._process.state()) == _RUNNING:
            self._process.waitForBytesWritten(_WRITE_TIMEOUT_MS)

    def poll(self) -> None:
        """Hand on what the child wrote since the last call and, once, its end."""
        if self._process is None or self._listener is None:
            return
        process, listener = self._process, self._listener
        over = _number(process.state()) == _NOT_RUNNING  # asked first: then nothing more can come afterwards
        self._output.feed(process.readAllStandardOutput().data())
        if self._process is process:  # a line may open a dialog, during which the timer polls again
            self._log.feed(process.readAllStandardError().data())
        if over and self._process is process:
            self._output.flush()
            self._log.flush()
            exitCode = self._exitCode()
            self._release()
            listener.onFinished(exitCode)

    def kill(self, processGroup: int | None) -> None:
        """Kill the child; ``onFinished`` follows at a later ``poll``."""
        endProcessGroup(processGroup)
        if self._process is not None:
            self._process.kill()

    def close(self, processGroup: int | None) -> None:
        """Kill the child, wait until it is gone, and report nothing any more."""
        if self._process is not None:
            self.kill(processGroup)
            self._process.waitForFinished(_CLOSE_TIMEOUT_MS)
            self._release()

    def _exitCode(self) -> int | None:
        if _number(self._process.error()) == _FAILED_TO_START:
            return None
        code = int(self._process.exitCode())
        return -code if _number(self._process.exitStatus()) == _CRASH_EXIT else code

    def _release(self) -> None:
        self._process.deleteLater()
        self._process, self._listener = None, None


def _number(enumeration: Any) -> int:
    """PythonQt hands enumerations over as int or as an enum object, depending on version and signal."""
    return int(getattr(enumeration, "value", enumeration))


class PopenTransport:
    """Child process by Popen, for programs without Qt.

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
        # On Windows a child that was just ended may hold its files a moment longer.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        paths = [os.path.join(self._folder.name, name) for name in ("output", "log")]
        with open(paths[0], "wb") as output, open(paths[1], "wb") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    env=dict(environment),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=log,
                    creationflags=_NO_WINDOW,
                )
            except OSError:
                self._process = None
        buffers = (LineBuffer(listener.onOutput), LineBuffer(listener.onLog))
        self._streams = [(open(path, "rb"), buffer) for path, buffer in zip(paths, buffers, strict=True)]  # noqa: SIM115

    def write(self, text: str) -> None:
        """Write to the stdin of the child; a child that is gone is reported by ``poll``."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def poll(self) -> None:
        """Hand on what the child wrote since the last call and, once, its end."""
        if self._listener is None:
            return
        exitCode = None if self._process is None else self._process.poll()
        listener = self._listener
        for stream, buffer in self._streams:
            if self._listener is listener:  # a line may open a dialog, during which the timer polls again
                buffer.feed(stream.read())
        if self._listener is listener and (self._process is None or exitCode is not None):
            for _, buffer in self._streams:
                buffer.flush()
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
            with contextlib.suppress(BrokenPipeError):  # what a dead child never read
                self._process.stdin.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._process, self._listener, self._folder, self._streams = None, None, None, []
