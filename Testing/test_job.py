"""Jobs over a real worker process: states, steps, cancel with the whole process tree, losses and what follows."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import errno
import os
import time

import pytest
from job_samples import EchoWork, Recorder, isAlive, recorder  # noqa: F401
from REACTDistillScene.job import State
from REACTDistillScene.transport import PopenTransport
from REACTDistillScene.workerclient import WorkerClient

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX are tested")


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
