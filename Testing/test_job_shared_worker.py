"""Jobs of two panels over one worker: who waits, what is sent again, what is told when it ends."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import math
import os
import time

import numpy as np
import pytest
from job_samples import EchoWork, Recorder, isAlive, recorder  # noqa: F401
from REACTDistillLib.exchange import volume_to_file
from REACTDistillLib.volume import Grid, Volume
from REACTDistillScene.job import Job, JobCallbacks, Pace, State

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX are tested")


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
