"""Student files and an empty store, for the tests of the store and of the widgets that show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from REACTDistillLib import shipped
from REACTDistillLib.store import StudentStore
from REACTDistillLib.student import read_card
from student_samples import draft

Make = Callable[..., Path]
DEMO_VERSION = read_card(shipped.demo_student("grade")).version
DEMO = f"Grade demo student {DEMO_VERSION}"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A new student file outside the store; equal weights make equal checksums."""
    import torch
    from REACTDistillLib.student import save_student

    def make_file(file: str = "my.safetensors", weight: float = 1.0, **fields: Any) -> Path:
        path = tmp_path / "download" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        network = torch.nn.Linear(2, 1)
        torch.nn.init.constant_(network.weight, weight)
        torch.nn.init.zeros_(network.bias)
        save_student(path, network, draft(**{"name": "Mine", "version": "2", "recipe": "reactkd", **fields}))
        return path

    return make_file


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudentStore:
    """One shipped student, the demo of grading, and a folder that does not exist yet."""
    graders = [shipped.demo_student("grade")]
    monkeypatch.setattr(shipped, "shipped_students", lambda: graders)
    return StudentStore(tmp_path / "settings" / "Students")


def damaged(path: Path) -> Path:
    """The same file with one bit of the last weight turned over."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return path
