"""How the end of a worker is told, and lines from pieces."""

from __future__ import annotations

import pytest
from REACTDistillScene.transport import LineBuffer
from REACTDistillScene.workerclient import reasonOfEnd


@pytest.mark.parametrize(
    ("exitCode", "log", "words"),
    [
        (None, "", "Python could not be started"),
        (1, "torch.OutOfMemoryError: CUDA out of memory", "choose the CPU as device"),
        (-9, "", "killed by the system"),
        (137, "", "killed by the system"),
        (1, "ModuleNotFoundError: No module named 'torch'", 'package "torch" is missing'),
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
