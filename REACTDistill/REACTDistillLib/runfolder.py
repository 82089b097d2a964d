"""The folder of one training run: configuration, log, checkpoint, weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import write_file
from .card import shown
from .checkpoint import load_tensors, save_tensors

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_FILE = "config.json"
LOG_FILE = "metrics.jsonl"
CHECKPOINT_FILE = "checkpoint.safetensors"
STUDENT_FILE = "student.safetensors"
SCORES_FILE = "scores.json"  # written last: a run that has it is finished


@dataclass(frozen=True)
class RunFolder:
    """Where a run writes. The checkpoint is the truth: log and best weights are brought to its state on resuming.

    From ``start`` or ``resume`` to ``release`` no other process can train in it, where the file system has POSIX locks.
    """

    path: Path
    _held: ExitStack = field(default_factory=ExitStack, compare=False, repr=False)

    def start(self, content: Mapping[str, Any]) -> None:
        """Make a new run with this configuration; ValueError when the folder holds anything.

        A run that failed before its first checkpoint has nothing to lose: a new one takes its place.
        """
        if self._never_began() and self._hold():  # without locks a run that has just begun looks the same
            self._replace_config(content)
            return
        if self.path.exists() and (not self.path.is_dir() or any(map(_is_kept, self.path.iterdir()))):
            raise ValueError(
                f'"{self.path}" is not empty; a run needs a folder of its own, name a new one or resume the run in it.'
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._replace_config(content)

    def resume(self, content: Mapping[str, Any]) -> None:
        """Check that the run that stopped here had this configuration.

        ValueError says that there is no run, that it is finished, or which field differs. Software versions may
        differ; the run then goes on, but not to the last bit.
        """
        path = self.path / CONFIG_FILE
        if not path.is_file():
            raise ValueError(f'"{self.path}" holds no run that could be resumed; start one there without resuming.')
        if (self.path / SCORES_FILE).is_file():
            raise ValueError(f'The run in "{self.path}" is finished; there is nothing to resume.')
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f'"{path}" is no JSON text any more; start a new run.') from error
        for name in content:
            if name != "versions" and found.get(name) != content[name]:
                raise ValueError(
                    f'The run in "{self.path}" was started with {name} {shown(found.get(name))} and cannot go on with '
                    f"{shown(content[name])}; use the same, or start a new run."
                )
        self._hold()
        self._remove_parts()

    def _replace_config(self, content: Mapping[str, Any]) -> None:
        self._remove_parts()
        write_file(self.path / CONFIG_FILE, json.dumps(content, indent=1).encode())
        self._hold()

    def _never_began(self) -> bool:
        """True when there is a configuration and nothing that was trained with it."""
        if not (self.path / CONFIG_FILE).is_file():
            return False
        others = [path for path in self.path.iterdir() if _is_kept(path) and path.name != CONFIG_FILE]
        return all(path.name == LOG_FILE and path.stat().st_size == 0 for path in others)

    def release(self) -> None:
        """Let others train in the folder; a process that ends in any way does so too."""
        self._held.close()

    def _hold(self) -> bool:
        """Keep other processes out, and return whether that could be done; ValueError when one is in already."""
        try:
            import fcntl
        except ImportError:  # Windows
            return False
        self.release()
        config = self._held.enter_context((self.path / CONFIG_FILE).open("rb"))
        try:
            fcntl.flock(config, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            sentence = f'Another process is training in "{self.path}"; wait for it, stop it or name another folder.'
            raise ValueError(sentence) from None
        except OSError:  # a network file system without locks
            self.release()
            return False
        return True

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the last checkpoint; None when the run stopped before the first one."""
        path = self.path / CHECKPOINT_FILE
        return load_tensors(path) if path.exists() else None

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the checkpoint; ValueError when that fails, and then the one before is still there."""
        save_tensors(self.path / CHECKPOINT_FILE, tensors, state)

    def save_best(self, network: str, tensors: Mapping[str, Tensor], origin: Mapping[str, Any]) -> None:
        """Write the best weights of a network, with the ``origin`` that tells which cases they have seen."""
        save_tensors(self.best_path(network), tensors, origin)

    def best_path(self, network: str) -> Path:
        """The file of the best weights of a network."""
        return self.path / f"best_{network}.safetensors"

    def log(self, line: Mapping[str, Any]) -> None:
        """Append one line to the log; it is on the disk before any checkpoint that counts it."""
        try:
            with (self.path / LOG_FILE).open("ab") as stream:
                stream.write(json.dumps(line).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ValueError(f'"{LOG_FILE}" cannot be written: {error.strerror}; the checkpoint is intact.') from error

    def cut_log(self, lines: int) -> None:
        """Keep the first ``lines`` lines of the log: later ones, or half of one, were written after the checkpoint."""
        path = self.path / LOG_FILE
        found = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if len(found) < lines:
            raise ValueError(f'"{LOG_FILE}" has {len(found)} lines and the checkpoint {lines}; the folder was changed.')
        write_file(path, b"".join(found[:lines]))

    def finish(self, scores: Mapping[str, Any]) -> None:
        """Write the scores of the networks, which ends the run."""
        write_file(self.path / SCORES_FILE, json.dumps(scores, indent=1).encode())

    def _remove_parts(self) -> None:
        """What a process that was killed while writing left behind."""
        for path in self.path.iterdir():
            if not _is_kept(path):
                path.unlink()


def _is_kept(path: Path) -> bool:
    return not (path.name.startswith(".") and path.name.endswith(".part"))
