"""Jobs over a real worker process: states, steps, cancel with the whole process tree, losses and what follows."""

from __future__ import annotations

import errno
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.exchange import volume_to_file
from REACTDistillLib.volume import Grid, Volume
from REACTDistillScene.job import Job, JobCallbacks, Pace, State
from REACTDistillScene.transport import LineBuffer, PopenTransport
from REACTDistillScene.workerclient import WorkerClient, reasonOfEnd

SCRIPT = Path(__file__).parent / "scripted_worker.py"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX are tested")


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


def test_a_run_passes_all_states_reports_progress_and_removes_its_folder(recorder) -> None:
    work = EchoWork("echo", "µ")
    recorder.run(work)
    assert recorder.states == [State.STARTING, State.RUNNING, State.IMPORTING, State.IDLE]
    assert recorder.progress == [("echo", 0, 2), ("echo", 1, 2), ("echo", 2, 2)]
    assert work.steps == ["written", "described", "loaded", "shown"]
    assert work.answer == {"value": "µ", "folder": str(work.folder)}
    assert recorder.errors == []
    assert list(recorder.root.iterdir()) == []


def test_the_second_run_uses_the_same_process(recorder) -> None:
    recorder.run(EchoWork("echo", 1))
    pid = recorder.worker.processGroup
    second = EchoWork("echo", 2)
    recorder.run(second)
    assert recorder.worker.processGroup == pid
    assert second.answer["value"] == 2  # type: ignore[index]


def test_a_work_with_nothing_to_do_ends_without_asking_the_worker(recorder) -> None:
    class Nothing(EchoWork):
        def prepare(self, folder, held):
            yield
            return None

    recorder.run(Nothing("echo"))
    assert recorder.states == [State.STARTING, State.IDLE]
    assert not recorder.worker.isRunning


def test_the_sentence_of_the_worker_is_the_error(recorder) -> None:
    recorder.run(EchoWork("refuse"))
    assert recorder.job.state is State.FAILED
    assert recorder.errors == [("The liver lies outside the CT.", "")]
    assert list(recorder.root.iterdir()) == []
    recorder.run(EchoWork("echo", 1))
    assert recorder.job.state is State.IDLE


@pytest.mark.parametrize("stage", ["prepare", "finish"])
def test_the_sentence_of_a_work_is_the_error(recorder, stage) -> None:
    class Refusing(EchoWork):
        pass

    def refuse(*arguments):
        yield
        raise ValueError("The CT was removed.")

    work = Refusing("echo", 1)
    setattr(work, stage, refuse)
    recorder.run(work)
    assert recorder.errors == [("The CT was removed.", "")]
    assert recorder.job.state is State.FAILED
    assert list(recorder.root.iterdir()) == []


def test_a_full_disk_is_a_sentence_and_no_number(recorder) -> None:
    def writeToFullDisk(folder, held):
        yield
        raise OSError(errno.ENOSPC, "No space left on device")

    work = EchoWork("echo", 1)
    work.prepare = writeToFullDisk  # type: ignore[method-assign]
    recorder.run(work)
    assert recorder.errors == [("No space left on device; check the name, the rights and the free space.", "")]
    assert list(recorder.root.iterdir()) == []


def test_an_unforeseen_error_of_a_work_travels_on_but_the_job_can_be_used_again(recorder) -> None:
    work = EchoWork("echo", 1)
    work.finish = lambda *arguments: (1 / 0 for _ in "x")  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        recorder.run(work)
    assert recorder.job.state is State.FAILED
    recorder.run(EchoWork("echo", 1))
    assert recorder.job.state is State.IDLE


def test_a_second_start_is_refused_while_the_first_is_running(recorder) -> None:
    recorder.job.start(EchoWork("steps"))
    with pytest.raises(ValueError, match="running already"):
        recorder.job.start(EchoWork("echo"))


def test_cancel_while_the_inputs_are_written_asks_nobody(recorder) -> None:
    work = EchoWork("echo")
    recorder.job.start(work)
    recorder.job.cancel()
    assert recorder.states == [State.STARTING, State.CANCELLING, State.IDLE]
    assert list(recorder.root.iterdir()) == []
    assert not recorder.worker.isRunning


def test_cancel_between_two_steps_keeps_the_worker(recorder) -> None:
    recorder.job.start(EchoWork("steps"))
    recorder.wait(lambda: len(recorder.progress) > 2)
    pid = recorder.worker.processGroup
    recorder.job.cancel()
    assert recorder.job.state is State.CANCELLING
    recorder.wait(lambda: not recorder.job.isBusy, seconds=1.0)
    assert recorder.states[-2:] == [State.CANCELLING, State.IDLE]
    assert recorder.worker.processGroup == pid
    assert list(recorder.root.iterdir()) == []
    work = EchoWork("echo", 1)
    recorder.run(work)
    assert work.answer is not None


def test_cancel_of_a_step_that_never_ends_kills_the_worker_after_a_second(recorder) -> None:
    recorder.job.start(EchoWork("hang"))
    recorder.wait(lambda: recorder.progress)
    pid = recorder.worker.processGroup
    recorder.job.cancel()
    recorder.wait(lambda: not recorder.job.isBusy, seconds=3.0)
    assert not isAlive(pid)
    assert recorder.errors == []
    recorder.run(EchoWork("echo", 1))
    assert recorder.job.state is State.IDLE


def test_the_second_cancel_kills_the_worker_and_what_it_started_at_once(recorder, tmp_path_factory) -> None:
    marker = tmp_path_factory.mktemp("pid") / "grandchild"
    recorder.job.start(EchoWork("spawn", str(marker)))
    recorder.wait(lambda: recorder.progress)
    child, grandchild = recorder.worker.processGroup, int(marker.read_text())
    recorder.job.cancel()
    recorder.job.cancel()
    recorder.wait(lambda: not recorder.job.isBusy, seconds=0.9)
    recorder.wait(lambda: not isAlive(child) and not isAlive(grandchild), seconds=2.0)
    assert recorder.errors == []
    assert list(recorder.root.iterdir()) == []


def test_cancel_while_the_result_is_loaded_closes_its_steps(recorder) -> None:
    undone = []

    class Undoing(EchoWork):
        def finish(self, answer, folder):
            try:
                while True:
                    yield
            finally:
                undone.append(True)

    recorder.job.start(Undoing("echo", 1))
    recorder.wait(lambda: recorder.job.state is State.IMPORTING)
    recorder.job.cancel()
    assert (recorder.job.state, undone) == (State.IDLE, [True])
    assert list(recorder.root.iterdir()) == []


def test_a_crash_is_one_sentence_with_the_end_of_the_log_and_the_next_run_works(recorder) -> None:
    recorder.run(EchoWork("abort"))
    message, details = recorder.errors[0]
    assert message.startswith("The calculation ended unexpectedly (exit code -6)")
    lines = details.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (30, "line 70", "line 99")
    assert not recorder.worker.isRunning
    recorder.run(EchoWork("echo", 1))
    assert recorder.job.state is State.IDLE


def test_a_worker_killed_from_outside_is_one_sentence(recorder) -> None:
    recorder.job.start(EchoWork("steps"))
    recorder.wait(lambda: recorder.progress)
    os.kill(recorder.worker.processGroup, 9)
    recorder.wait(lambda: not recorder.job.isBusy, seconds=3.0)
    assert recorder.errors[0][0].startswith("The calculation was killed by the system")


def test_a_worker_without_a_sign_of_life_is_ended(tmp_path) -> None:
    recorder = Recorder(tmp_path, silenceSeconds=2.5)
    recorder.job.start(EchoWork("freeze"))
    recorder.wait(lambda: not recorder.job.isBusy, seconds=10.0)
    assert recorder.errors[0][0] == "The calculation did not answer any more and was ended; try again."


def test_heartbeats_keep_a_long_step_alive(tmp_path) -> None:
    recorder = Recorder(tmp_path, silenceSeconds=2.5)
    recorder.job.start(EchoWork("hang"))
    recorder.wait(lambda: recorder.progress)
    end = time.monotonic() + 4.0
    recorder.wait(lambda: time.monotonic() > end)
    assert recorder.job.state is State.RUNNING
    recorder.job.close()
    recorder.worker.close()


def test_a_python_that_does_not_exist_is_one_sentence(tmp_path) -> None:
    recorder = Recorder(tmp_path)
    recorder.worker = WorkerClient(PopenTransport(), lambda: (["/no/such/python"], {}))
    recorder.job = recorder.newJob("panel")
    recorder.run(EchoWork("echo"))
    assert recorder.errors == [
        ("Python could not be started for the calculation; check the installation of the application.", "")
    ]


def test_a_launcher_that_finds_no_python_is_its_own_sentence(tmp_path) -> None:
    def launcher():
        raise ValueError("No Python was found.")

    recorder = Recorder(tmp_path)
    recorder.worker = WorkerClient(PopenTransport(), launcher)
    recorder.job = recorder.newJob("panel")
    recorder.run(EchoWork("echo"))
    assert recorder.errors == [("No Python was found.", "")]


def test_closing_a_job_in_the_middle_is_silent_and_leaves_nothing(recorder) -> None:
    recorder.job.start(EchoWork("steps"))
    recorder.wait(lambda: recorder.progress)
    pid, states = recorder.worker.processGroup, len(recorder.states)
    recorder.job.close()
    recorder.worker.close()
    assert not isAlive(pid)
    assert (len(recorder.states), recorder.errors) == (states, [])
    assert list(recorder.root.iterdir()) == []


def test_two_panels_share_the_worker_and_one_that_waits_is_cancelled_at_once(recorder) -> None:
    recorder.job.start(EchoWork("steps"))
    recorder.wait(lambda: recorder.progress)
    waiting = recorder.newJob("other panel")
    waiting.start(EchoWork("echo", 1))
    waiting.poll()
    assert waiting.state is State.STARTING
    waiting.cancel()
    recorder.wait(lambda: not waiting.isBusy, seconds=0.9)
    assert recorder.job.state is State.RUNNING
    waiting.close()


def test_when_one_panel_kills_the_worker_the_other_is_told_so(recorder) -> None:
    recorder.job.start(EchoWork("hang"))
    recorder.wait(lambda: recorder.progress)
    waiting = recorder.newJob("other panel")
    waiting.start(EchoWork("echo", 1))
    waiting.poll()
    recorder.job.cancel()
    recorder.job.cancel()
    recorder.wait(lambda: not waiting.isBusy, seconds=2.0)
    assert recorder.errors == [("The calculation was stopped together with another one; start it again.", "")]


class HoldWork(EchoWork):
    """Sends two volumes, each only when the worker does not hold it."""

    def __init__(self, tokens: dict[str, float]) -> None:
        super().__init__("hold")
        self.tokens, self.sent = tokens, 0

    def prepare(self, folder, held):
        request = {"task": "hold", "sequences": {}}
        for name, value in self.tokens.items():
            token = f"{name}-{value}"
            description = None
            if token not in held:
                array = np.full((1, 1, 2), value, dtype=np.float32)
                description = volume_to_file(Volume(array, Grid((1, 1, 2), np.eye(4))), folder, name)
                self.sent += 1
            request["sequences"][name] = {"token": token, "volume": description}
            yield
        return request


def test_only_what_changed_is_sent_again(recorder) -> None:
    works = [HoldWork({"ct": 1.0, "pet": 2.0}), HoldWork({"ct": 1.0, "pet": 3.0}), HoldWork({"ct": 1.0, "pet": 2.0})]
    for work in works:
        recorder.run(work)
    assert [work.sent for work in works] == [2, 1, 1]
    assert [work.answer for work in works] == [
        {"read": 2, "sums": {"ct": 2.0, "pet": 4.0}},
        {"read": 1, "sums": {"ct": 2.0, "pet": 6.0}},
        {"read": 1, "sums": {"ct": 2.0, "pet": 4.0}},
    ]


def test_a_request_that_waits_builds_on_the_one_before_it(recorder) -> None:
    first, second = HoldWork({"ct": 1.0, "pet": 2.0}), HoldWork({"ct": 1.0, "pet": 2.0})
    ahead = recorder.newJob("panel")
    ahead.start(first)
    while ahead.hasSteps:
        ahead.poll()
    recorder.run(second)
    assert (first.sent, second.sent) == (2, 0)
    assert second.answer == {"read": 0, "sums": {"ct": 2.0, "pet": 4.0}}
    ahead.close()


def test_after_a_cancel_only_what_changed_by_it_is_sent_again(recorder) -> None:
    recorder.run(HoldWork({"ct": 1.0, "pet": 2.0}))
    canceled = HoldWork({"ct": 1.0, "pet": 3.0})
    recorder.job.start(canceled)
    while recorder.job.hasSteps:
        recorder.job.poll()
    recorder.job.cancel()
    assert recorder.worker.held("panel") == {"ct-1.0"}
    recorder.wait(lambda: not recorder.job.isBusy)
    assert recorder.worker.held("panel") == {"ct-1.0"}
    third = HoldWork({"ct": 1.0, "pet": 2.0})
    recorder.run(third)
    assert (third.sent, third.answer["sums"]) == (1, {"ct": 2.0, "pet": 4.0})


def test_a_request_whose_volumes_never_came_because_the_one_before_it_was_canceled_is_sent_again(recorder) -> None:
    recorder.job.start(EchoWork("steps"))
    recorder.wait(lambda: recorder.progress)
    ahead, waiting = recorder.newJob("other panel"), recorder.newJob("other panel")
    works = HoldWork({"ct": 1.0}), HoldWork({"ct": 1.0})
    for job, work in zip((ahead, waiting), works, strict=True):
        job.start(work)
        while job.hasSteps:
            job.poll()
    assert works[1].sent == 0
    ahead.cancel()
    recorder.job.cancel()
    recorder.wait(lambda: waiting.poll() or not waiting.isBusy)
    assert (works[1].sent, works[1].answer) == (1, {"read": 1, "sums": {"ct": 2.0}})
    assert recorder.errors == []
    ahead.close()
    waiting.close()


def test_a_job_may_wait_for_a_cancel_for_ever_and_leave_the_worker_alone(recorder) -> None:
    callbacks = JobCallbacks(lambda state: None, lambda *progress: None, lambda *error: None)
    job = Job(recorder.worker, callbacks, holder="panel", makeFolder=recorder.newFolder, pace=Pace(0.004, math.inf))
    job.start(EchoWork("hang"))
    recorder.wait(lambda: job.poll() or job.state is State.RUNNING)
    job.cancel()
    end = time.monotonic() + 1.5
    recorder.wait(lambda: job.poll() or time.monotonic() > end)
    assert job.state is State.CANCELLING
    assert isAlive(recorder.worker.processGroup)
    job.close()


def test_a_new_worker_is_sent_everything(recorder) -> None:
    recorder.run(HoldWork({"ct": 1.0}))
    os.kill(recorder.worker.processGroup, 9)
    recorder.wait(lambda: not recorder.worker.isRunning)
    second = HoldWork({"ct": 1.0})
    recorder.run(second)
    assert (second.sent, second.answer) == (1, {"read": 1, "sums": {"ct": 2.0}})


def test_an_idle_worker_gives_its_memory_back_and_is_sent_everything_again(tmp_path) -> None:
    recorder = Recorder(tmp_path, idleSeconds=0.3)
    recorder.run(HoldWork({"ct": 1.0}))
    assert recorder.worker.held("panel") == {"ct-1.0"}
    recorder.wait(lambda: not recorder.worker.held("panel"), seconds=5.0)
    second = HoldWork({"ct": 1.0})
    recorder.run(second)
    assert (second.sent, second.answer) == (1, {"read": 1, "sums": {"ct": 2.0}})
    recorder.job.close()
    recorder.worker.close()


def test_a_request_that_crosses_the_release_is_sent_again_in_full(tmp_path) -> None:
    recorder = Recorder(tmp_path, idleSeconds=0.3)
    recorder.run(HoldWork({"ct": 1.0}))
    time.sleep(1.0)  # the worker has released by now, which nobody here has heard yet
    second = HoldWork({"ct": 1.0})
    second.prepare = _withoutPoll(second)  # type: ignore[method-assign]
    recorder.run(second)
    assert second.answer == {"read": 1, "sums": {"ct": 2.0}}
    assert recorder.states.count(State.STARTING) == 3
    recorder.job.close()
    recorder.worker.close()


def _withoutPoll(work: HoldWork):
    original = HoldWork.prepare
    calls = []

    def prepare(folder, held):
        calls.append(held)
        return original(work, folder, {"ct-1.0"} if len(calls) == 1 else held)

    return prepare


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
