"""What is got ready in the pause after an edit: silent, dropped by the next edit, and the same grade in the end."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow, panel, phantom, run, student, temporaryFiles  # noqa: F401

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a worker is made to stand still by a signal of POSIX")


@pytest.fixture
def live(host, panel, phantom):
    """The panel with a result that follows edits; tasks that the worker was asked for since."""
    run(host, panel)
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents(0.5)  # past what the switch itself starts
    worker = panel.panel.bar.worker
    panel.asked, submit = [], worker.submit
    worker.submit = lambda request, *a, **k: panel.asked.append(request) or submit(request, *a, **k)
    yield panel
    del worker.submit


@pytest.fixture
def frozen(live):
    """The worker stands still until ``thaw``, or the end of the test."""
    group = live.panel.bar.worker.processGroup
    os.kill(group, signal.SIGSTOP)
    live.thaw = lambda: os.kill(group, signal.SIGCONT)
    yield live
    if live.panel.bar.worker.processGroup == group:
        live.thaw()


def growTumor(phantom, slices=3) -> None:
    import slicer

    tumor, liver = (slicer.util.arrayFromSegmentBinaryLabelmap(phantom[1], n, phantom[0]) for n in ("tumor", "liver"))
    k = int(np.flatnonzero(liver.any(axis=(1, 2))).mean())
    tumor[k : k + slices] |= liver[k : k + slices]
    slicer.util.updateSegmentBinaryLabelmapFromArray(tumor, phantom[1], "tumor", phantom[0])


def shownCells(panel) -> dict[str, str]:
    from REACTDistillScene.tables import cells

    return dict(cells(panel._parameterNode.resultTable))


def assertShowsWhatTheLogicSays(panel, phantom) -> None:
    path = panel.panel.students.entryOf("").path
    finding, _ = panel.module.REACTDistillLogic().process(*phantom, "liver", ["tumor"], path, device="cpu")
    shown = shownCells(panel)
    for name, probability in finding.probabilities.items():
        assert shown[f"Probability of {name}"] == f"{probability:.4f}"


def untilAhead(host, panel) -> None:
    """Until the worker was asked to get ready, and has not answered."""
    assert host.processEvents(5.0, until=lambda: bool(panel.asked))
    assert panel.asked[-1]["task"] == "get_ready"


def untilGraded(host, panel) -> None:
    assert host.processEvents(30.0, until=lambda: any(one["task"] == "predict" for one in panel.asked))
    assert host.processEvents(60.0, until=lambda: not panel.panel.bar.isBusy)
    host.processEvents(0.1)


def test_the_pause_is_used_and_the_grade_sends_and_reads_nothing_again(host, live, phantom, monkeypatch) -> None:
    from REACTDistillScene import cases

    read, original = [], cases.maskFromSegmentInSteps
    monkeypatch.setattr(cases, "maskFromSegmentInSteps", lambda *a: read.append(a[1]) or original(*a))
    growTumor(phantom)
    untilGraded(host, live)
    assert [request["task"] for request in live.asked] == ["get_ready", "predict"]
    assert read == ["tumor"]
    ready, grade = live.asked
    assert ready["regions"]["tumor"]["volume"] is not None
    assert ready["sequences"]["ct"]["volume"] is None
    assert [one["volume"] for one in (*grade["regions"].values(), *grade["sequences"].values())] == [None] * 3
    assertShowsWhatTheLogicSays(live, phantom)
    assert temporaryFiles() == []


def test_until_the_pause_is_over_nothing_is_to_be_seen(host, frozen, phantom) -> None:
    bar, before = frozen.panel.bar, shownCells(frozen)
    status = bar.status
    frozen.panel.regions.watch._timers[-1][0].setInterval(600_000)  # a pause that does not end
    growTumor(phantom)
    untilAhead(host, frozen)
    for _ in range(2):
        assert (bar.isBusy, bar.status, bar.applyButton.text) == (False, status, "Apply")
        assert bar.applyButton.enabled
        assert not bar._ui.progressBar.visible
        assert shownCells(frozen) == before
        frozen.thaw()
        assert host.processEvents(10.0, until=lambda: not bar.ahead.isBusy)
    assert temporaryFiles() == []


def test_an_edit_while_masks_are_read_drops_what_was_read(host, live, phantom, monkeypatch) -> None:
    from REACTDistillScene import gradejob

    original = gradejob.regionInSteps
    closed = []

    def endless(*arguments):
        try:
            while True:
                yield
        finally:
            closed.append(True)

    monkeypatch.setattr(gradejob, "regionInSteps", endless)
    growTumor(phantom)
    assert host.processEvents(5.0, until=lambda: live.panel.bar.ahead.hasSteps)
    monkeypatch.setattr(gradejob, "regionInSteps", original)
    growTumor(phantom, slices=5)
    assert closed == [True]
    assert not live.panel.bar.ahead.isBusy
    assert (live.asked, temporaryFiles()) == ([], [])
    untilGraded(host, live)
    assertShowsWhatTheLogicSays(live, phantom)


def test_an_edit_while_the_worker_gets_ready_drops_it_and_the_last_edit_is_graded(host, frozen, phantom) -> None:
    growTumor(phantom)
    untilAhead(host, frozen)
    growTumor(phantom, slices=5)
    from REACTDistillScene.job import State

    assert frozen.panel.bar.ahead.state is State.CANCELLING
    frozen.thaw()
    untilGraded(host, frozen)
    assert frozen.asked[-1]["sequences"]["ct"]["volume"] is None  # an edit more is no reason to send the image again
    assertShowsWhatTheLogicSays(frozen, phantom)
    assert temporaryFiles() == []


def test_a_grade_that_does_not_wait_for_the_worker_to_be_ready_builds_on_it(host, frozen, phantom) -> None:
    growTumor(phantom)
    untilAhead(host, frozen)
    frozen.panel.bar.applyButton.click()
    assert host.processEvents(5.0, until=lambda: len(frozen.asked) == 2)
    frozen.thaw()
    untilGraded(host, frozen)
    assert [request["task"] for request in frozen.asked] == ["get_ready", "predict"]
    assert frozen.asked[1]["regions"]["tumor"]["volume"] is None
    assertShowsWhatTheLogicSays(frozen, phantom)


def test_a_canceled_apply_during_it_leaves_nothing(host, frozen, phantom) -> None:
    growTumor(phantom)
    untilAhead(host, frozen)
    bar = frozen.panel.bar
    bar.applyButton.click()
    bar.applyButton.click()
    frozen.thaw()
    assert host.processEvents(5.0, until=lambda: not bar.isBusy and not bar.ahead.isBusy)
    assert bar.status == "Canceled."
    assert temporaryFiles() == []


def test_a_worker_killed_while_it_gets_ready_is_told_to_nobody_and_the_edit_is_graded(host, live, phantom) -> None:
    import slicer

    dialogs, worker, status = [], live.panel.bar.worker, live.panel.bar.status
    original, slicer.util.errorDisplay = slicer.util.errorDisplay, lambda text, **_: dialogs.append(text)
    group = worker.processGroup
    os.kill(group, signal.SIGSTOP)
    growTumor(phantom)
    untilAhead(host, live)
    os.kill(group, signal.SIGKILL)
    assert host.processEvents(5.0, until=lambda: not live.panel.bar.ahead.isBusy)
    assert live.panel.bar.status == status
    untilGraded(host, live)
    slicer.util.errorDisplay = original
    assert dialogs == []
    assert worker.processGroup != group
    assertShowsWhatTheLogicSays(live, phantom)
    assert temporaryFiles() == []


@pytest.mark.parametrize("ending", ["scene closed", "segmentation removed", "module left"])
def test_what_ends_the_edit_ends_it(host, frozen, phantom, ending) -> None:
    import hostscene
    import slicer

    growTumor(phantom)
    untilAhead(host, frozen)
    if ending == "scene closed":
        hostscene.closeScene()
    elif ending == "segmentation removed":
        slicer.mrmlScene.RemoveNode(phantom[1])
    else:
        slicer.util.selectModule("Data")
    host.processEvents(0.1)
    frozen.thaw()
    assert host.processEvents(5.0, until=lambda: not frozen.panel.bar.ahead.isBusy)
    host.processEvents(0.5)
    assert [request["task"] for request in frozen.asked] == ["get_ready"]
    assert temporaryFiles() == []


def test_what_is_wrong_with_an_edit_is_told_by_the_grade_and_once(host, live, phantom) -> None:
    import slicer

    empty = np.zeros_like(slicer.util.arrayFromSegmentBinaryLabelmap(phantom[1], "tumor", phantom[0]))
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, phantom[1], "tumor", phantom[0])
    states = []
    original = live.panel.bar._onError
    live.panel.bar.job._callbacks.__dict__["onError"] = lambda *error: states.append(error[0]) or original(*error)
    host.processEvents(0.6)
    assert len(states) == 1
    assert states[0].startswith('Segment "tumor" is empty')


def test_without_live_grading_the_pause_is_not_used(host, live, phantom) -> None:
    live.ui.liveGradingCheckBox.checked = False
    host.processEvents()
    growTumor(phantom)
    host.processEvents(0.5)
    assert live.asked == []
