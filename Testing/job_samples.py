"""A job over a real, scripted worker process, and a work that tells what is done with it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from REACTDistillScene.job import Job, JobCallbacks, State
from REACTDistillScene.transport import PopenTransport
from REACTDistillScene.workerclient import WorkerClient

SCRIPT = Path(__file__).parent / "scripted_worker.py"


class EchoWork:
    """A work of two steps before and two steps after its request."""

    def __init__(self, task: str, value: object = None) -> None:
        self.task, self.value = task, value
        self.steps: list[str] = []
        self.answer: object = None
        self.folder: Path | None = None

    def prepare(self, folder, held):
        self.folder = folder
        (folder / "ct.raw").write_bytes(b"voxels")
        self.steps.append("written")
        yield
        self.steps.append("described")
        yield
        return {"task": self.task, "value": self.value}

    def finish(self, answer, folder):
        self.steps.append("loaded")
        yield
        self.answer = answer
        self.steps.append("shown")
        yield


class Recorder:
    """A job with everything it reports."""

    def __init__(self, root: Path, *, idleSeconds: float = 60.0, silenceSeconds: float = 60.0) -> None:
        self.root = root
        self.states: list[State] = []
        self.progress: list[tuple[str, int, int]] = []
        self.errors: list[tuple[str, str]] = []
        launch = ([sys.executable, "-u", str(SCRIPT), str(idleSeconds)], dict(os.environ))
        self.worker = WorkerClient(PopenTransport(), lambda: launch, silenceSeconds=silenceSeconds)
        self.job = self.newJob("panel")

    def newJob(self, holder: str) -> Job:
        callbacks = JobCallbacks(
            self.states.append,
            lambda *progress: self.progress.append(progress),
            lambda *error: self.errors.append(error),
        )
        return Job(self.worker, callbacks, holder=holder, makeFolder=self.newFolder)

    def newFolder(self) -> Path:
        folder = self.root / f"run{len(list(self.root.iterdir()))}-{time.monotonic_ns()}"
        folder.mkdir()
        return folder

    def wait(self, until, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"the job did not get there: {self.states[-3:]} {self.errors}"
            self.job.poll()
            time.sleep(0.005)

    def run(self, work) -> None:
        self.job.start(work)
        self.wait(lambda: not self.job.isBusy)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(tmp_path)
    yield made
    made.job.close()
    made.worker.close()


def isAlive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return status != "Z"
