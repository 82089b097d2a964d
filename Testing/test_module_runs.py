"""Runs through the panel of every module, with the real child process: cancel, errors, closed scene."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "host"))

from hostdriver import cancelAtStage, run, startRun, temporaryFiles, waitUntilIdle
from hosteverymodule import driven, host, mainWindow, panel, phantom, student  # noqa: F401


def contents():
    """What a user sees in the scene: each node with the time of its last change, and the voxels of the images."""
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLStorableNode")
    found = {node.GetID(): [node.GetMTime()] for node in nodes if not node.GetHideFromEditors()}
    for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        found[volume.GetID()].append(slicer.util.arrayFromVolume(volume).tobytes())
    return found


CANCEL_MOMENTS = {
    "the inputs are written": lambda panel: panel.panel.bar.job._number is None,
    "the worker starts": lambda panel: panel.panel.bar.worker.processGroup is not None,
    "the student is loaded": lambda panel: "loading" in panel.panel.bar.status,
}


@pytest.mark.parametrize("moment", CANCEL_MOMENTS.values(), ids=CANCEL_MOMENTS.keys())
def test_while_it_runs_apply_is_cancel_and_cancel_leaves_nothing(host, panel, phantom, moment) -> None:
    from hostorphans import childProcesses

    before, bar = contents(), panel.panel.bar
    bar.applyButton.click()
    assert bar.applyButton.text == "Cancel"
    assert not panel.ui.inputsButton.enabled
    assert moment(panel) or host.processEvents(30, until=lambda: moment(panel))
    bar.applyButton.click()
    waitUntilIdle(host, panel, seconds=1.5)
    assert (bar.applyButton.text, bar.status) == ("Apply", "Canceled.")
    assert panel.ui.inputsButton.enabled
    assert temporaryFiles() == []
    assert contents() == before
    assert set(childProcesses()) <= {bar.worker.processGroup}  # warm for the next run, or none


def test_a_script_may_apply_a_panel_while_the_user_is_elsewhere(host, panel, phantom, driven) -> None:
    panel.exit()
    run(host, panel)
    assert panel.panel.bar.status.startswith("Done in ")
    panel.enter()
    host.processEvents()
    assert driven.resultOf(panel) is not None


def test_cancel_while_the_student_is_asked_drops_a_result_that_comes_too_late(host, panel, phantom) -> None:
    before = contents()
    cancelAtStage(panel, "student")
    run(host, panel)
    assert panel.panel.bar.status == "Canceled."
    assert contents() == before
    assert temporaryFiles() == []


def test_a_second_cancel_ends_the_worker_at_once(host, panel, phantom) -> None:
    from hostorphans import childProcesses

    bar = panel.panel.bar
    startRun(host, panel)
    bar.applyButton.click()
    if bar.isBusy:  # it may have been between two steps just then
        assert (bar.applyButton.text, bar.status) == ("Stop now", "Canceling...")
        bar.applyButton.click()
        waitUntilIdle(host, panel, seconds=1.0)
        assert childProcesses() == {}
    assert bar.status == "Canceled."
    run(host, panel)
    assert bar.status.startswith("Done in ")


def test_a_killed_child_is_one_sentence_and_the_next_run_works(host, panel, phantom) -> None:
    os.kill(startRun(host, panel), signal.SIGKILL)
    waitUntilIdle(host, panel, seconds=5)
    assert panel.panel.bar.status.startswith("The calculation was killed by the system")
    run(host, panel)
    assert panel.panel.bar.status.startswith("Done in ")


def test_closing_the_scene_stops_the_run_and_says_so(driven, host, panel, phantom) -> None:
    import slicer

    startRun(host, panel)
    slicer.mrmlScene.Clear(0)
    waitUntilIdle(host, panel, seconds=5)
    assert panel.panel.bar.status == "The scene was closed, so the calculation was stopped."
    assert panel.panel.bar.applyButton.toolTip == driven.emptyScene
    assert contents() == {}


def test_a_closed_scene_leaves_no_word_of_its_result(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    assert panel.ui.resultButton.isVisibleTo(panel.place)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert panel.panel.bar.status == ""
    assert not panel.ui.resultButton.isVisibleTo(panel.place)


def test_the_result_of_a_removed_input_is_dropped_with_a_sentence(driven, host, panel, phantom) -> None:
    import slicer

    panel.panel.bar.applyButton.click()
    slicer.mrmlScene.RemoveNode(driven.inputOf(panel))
    left = set(contents())
    waitUntilIdle(host, panel)
    assert panel.panel.bar.status == driven.inputRemoved
    assert set(contents()) == left
    assert temporaryFiles() == []
