"""How the end of a worker is told, and lines from pieces."""

from __future__ import annotations

import os
import sys
import time

import pytest
from REACTDistillScene import workerclient
from REACTDistillScene.transport import LineBuffer, PopenTransport
from REACTDistillScene.workerclient import WorkerClient, reasonOfEnd


@pytest.mark.parametrize(
    ("exitCode", "log", "words"),
    [
        (None, "", "Python could not be started"),
        (1, "torch.OutOfMemoryError: CUDA out of memory", "choose the CPU as device"),
        (-9, "", "killed by the system"),
        (137, "", "killed by the system"),
        (1, "ModuleNotFoundError: No module named 'torch'", 'package "torch" is missing'),
        (1, "[/opt/PythonSlicer] exit abnormally - Report the problem.", "crashed or was killed by the system"),
        (3, "", "exit code 3"),
    ],
)
def test_the_end_of_a_worker_is_told_in_words(exitCode, log, words) -> None:
    sentence = reasonOfEnd(exitCode, log.splitlines())
    assert words in sentence
    assert sentence.count("\n") == 0


def test_lines_are_put_together_from_pieces() -> None:
    lines: list[str] = []
    buffer = LineBuffer(lines.append)
    for piece in (b'{"a', b'": 1}\r\n{"b"', b": 2}\nrest \xff"):
        buffer.feed(piece)
    assert lines == ['{"a": 1}', '{"b": 2}']
    buffer.flush()
    assert lines[2] == "rest \ufffd"


class Nested:
    """A listener whose first line opens a dialog, during which the transport is polled and ends."""

    def __init__(self, transport: PopenTransport) -> None:
        self.transport, self.lines, self.ends = transport, [], []

    def onOutput(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) == 1:
            end = time.monotonic() + 20.0
            while not self.ends and time.monotonic() < end:
                self.transport.poll()
                time.sleep(0.01)

    def onLog(self, line: str) -> None:
        self.lines.append(line)

    def onFinished(self, exitCode: int | None) -> None:
        self.ends.append(exitCode)


def test_a_poll_within_a_poll_ends_the_process_once() -> None:
    transport = PopenTransport()
    listener = Nested(transport)
    transport.start([sys.executable, "-c", "print('one'); print('two')"], dict(os.environ), listener)
    end = time.monotonic() + 20.0
    while not listener.lines and time.monotonic() < end:
        transport.poll()
        time.sleep(0.01)
    transport.poll()
    assert listener.ends == [0]
    assert "one" in listener.lines


class Silent:
    """A transport whose child says nothing."""

    def __init__(self) -> None:
        self.kills = 0

    def start(self, *arguments: object) -> None:
        self.started = arguments

    def write(self, text: str) -> None:
        self.written = text

    def poll(self) -> None:
        self.polled = True

    def kill(self, processGroup: int | None) -> None:
        self.kills += 1


def test_only_silence_that_was_listened_to_ends_a_worker(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(workerclient.time, "monotonic", lambda: now[0])
    transport = Silent()
    worker = WorkerClient(transport, lambda: (["python"], {}), silenceSeconds=60.0)
    worker.submit({"task": "grade"}, listener=None, tokens=frozenset())
    now[0] += 500.0  # the application was busy, or asleep
    worker.poll()
    assert transport.kills == 0
    for _ in range(59):
        now[0] += 1.0
        worker.poll()
    assert transport.kills == 0
    for _ in range(2):
        now[0] += 1.0
        worker.poll()
    assert transport.kills == 1
