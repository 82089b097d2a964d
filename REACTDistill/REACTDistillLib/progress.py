"""Progress of long work: a callback that may also stop it, and its form as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TextIO

# Called as progress(stage, done, total). It may raise Cancelled, which is honoured between steps and tiles.
ProgressCallback = Callable[[str, int, int], None]


class Cancelled(Exception):
    """The user asked to stop; nothing half-written is left."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress for callers that show none."""


def write_event(event: str, stream: TextIO | None = None, **fields: Any) -> None:
    """Write one event as one line of JSON, at once: {"event": ..., ...}."""
    stream = sys.stdout if stream is None else stream
    stream.write(json.dumps({"event": event, **fields}) + "\n")
    stream.flush()


def json_progress(stage: str, done: int, total: int) -> None:
    """Progress as JSON lines on stdout: {"event": "progress", "stage": "...", "done": 3, "total": 8}."""
    write_event("progress", stage=stage, done=done, total=total)
