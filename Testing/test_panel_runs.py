"""Runs through the panel, with the real child process: result, cancel, errors, closed scene."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import (  # noqa: F401
    host,
    layers,
    mainWindow,
    panel,
    phantom,
    run,
    student,
    temporaryFiles,
    withAndWithoutMainWindow,
)


def test_apply_shows_what_the_logic_says_and_leaves_no_file(host, panel, phantom, student) -> None:
    import slicer

    ctVolume, segmentation = phantom
    before = slicer.util.arrayFromVolume(ctVolume).copy()
    shownBefore = layers()
    run(host, panel)
    parameters = panel._parameterNode
    assert panel.panel.bar.status.startswith("Done in ")
    finding, _ = panel.module.REACTDistillLogic().process(
        ctVolume, segmentation, "liver", "tumor", str(student), device="cpu"
    )
    bars = panel.ui.probabilityTable
    shown = {bars.item(row, 0).text(): bars.cellWidget(row, 1).value for row in range(bars.rowCount)}
    assert shown == pytest.approx({name: 1000 * value for name, value in finding.probabilities.items()}, abs=1)
    assert finding.predicted_class in panel.panel.result.header.headline
    assert "not a medical device" in panel.panel.result.header.notices
    assert np.array_equal(slicer.util.arrayFromVolume(parameters.resultAttention), finding.attention.array_kji)
    assert np.array_equal(slicer.util.arrayFromVolume(ctVolume), before)
    assert temporaryFiles() == []
    display = segmentation.GetDisplayNode()
    if shownBefore:
        assert layers() == [(ctVolume.GetID(), parameters.resultAttention.GetID())] * 3
        assert not display.GetVisibility2DFill()  # the fill would cover the heat map
        panel.ui.showAttentionCheckBox.checked = False
        host.processEvents()
        assert layers() == shownBefore
    assert display.GetVisibility2DFill()


@withAndWithoutMainWindow
def test_switches_act_on_the_result(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    graphDisplay = panel._parameterNode.resultGraph.GetDisplayNode()
    assert graphDisplay.GetVisibility() == 1
    panel.ui.showGraphCheckBox.checked = False
    panel.ui.attentionOpacitySlider.value = 0.25
    host.processEvents()
    assert graphDisplay.GetVisibility() == 0
    if slicer.app.layoutManager() is not None:
        composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        assert composite.GetForegroundOpacity() == pytest.approx(0.25)


CANCEL_MOMENTS = {
    "the inputs are written": lambda panel: panel.panel.bar.job._number is None,
    "the worker starts": lambda panel: panel.panel.bar.worker.processGroup is not None,
    "the student is loaded": lambda panel: "loading" in panel.panel.bar.status,
}


@pytest.mark.parametrize("moment", CANCEL_MOMENTS.values(), ids=CANCEL_MOMENTS.keys())
def test_while_it_runs_apply_is_cancel_and_cancel_leaves_nothing(host, panel, phantom, moment) -> None:
    import slicer
    from hostorphans import childProcesses

    ctVolume, segmentation = phantom
    before = [slicer.util.arrayFromVolume(ctVolume).copy(), segmentation.GetMTime(), ctVolume.GetMTime()]
    bar = panel.panel.bar
    bar.applyButton.click()
    assert bar.applyButton.text == "Cancel"
    assert not panel.ui.inputsButton.enabled
    assert moment(panel) or host.processEvents(30, until=lambda: moment(panel))
    bar.applyButton.click()
    assert host.processEvents(1.5, until=lambda: not bar.isBusy)
    host.processEvents(0.05)
    assert (bar.applyButton.text, bar.status) == ("Apply", "Canceled.")
    assert panel.ui.inputsButton.enabled
    assert temporaryFiles() == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert np.array_equal(slicer.util.arrayFromVolume(ctVolume), before[0])
    assert [segmentation.GetMTime(), ctVolume.GetMTime()] == before[1:]
    assert set(childProcesses()) <= {bar.worker.processGroup}  # warm for the next run, or none


def test_cancel_while_the_student_is_asked_drops_a_result_that_comes_too_late(host, panel, phantom) -> None:
    import slicer

    bar = panel.panel.bar
    hear = bar.job.onEvent

    def hearAndCancel(event) -> None:  # at the very event: a moment later the answer may be there
        hear(event)
        if event.get("stage") == "student" and bar.applyButton.text == "Cancel":
            bar.applyButton.click()

    bar.job.onEvent = hearAndCancel
    bar.applyButton.click()
    assert host.processEvents(60, until=lambda: not bar.isBusy)
    assert bar.status == "Canceled."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert temporaryFiles() == []


def test_a_second_cancel_ends_the_worker_at_once(host, panel, phantom) -> None:
    from hostorphans import childProcesses

    bar = panel.panel.bar
    bar.applyButton.click()
    assert host.processEvents(30, until=lambda: bar.worker.processGroup is not None)
    bar.applyButton.click()
    if bar.isBusy:  # it may have been between two steps just then
        assert (bar.applyButton.text, bar.status) == ("Stop now", "Canceling...")
        bar.applyButton.click()
        assert host.processEvents(1.0, until=lambda: not bar.isBusy)
        assert childProcesses() == {}
    assert bar.status == "Canceled."
    run(host, panel)
    assert bar.status.startswith("Done in ")


def test_a_killed_child_is_one_sentence_and_the_next_run_works(host, panel, phantom) -> None:
    panel.panel.bar.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.panel.bar.worker.processGroup is not None)
    os.kill(panel.panel.bar.worker.processGroup, signal.SIGKILL)
    assert host.processEvents(5, until=lambda: not panel.panel.bar.isBusy)
    assert panel.panel.bar.status.startswith("The calculation was killed by the system")
    run(host, panel)
    assert panel.panel.bar.status.startswith("Done in ")


def test_closing_the_scene_stops_the_run_and_says_so(host, panel, phantom) -> None:
    import slicer

    panel.panel.bar.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.panel.bar.worker.processGroup is not None)
    slicer.mrmlScene.Clear(0)
    assert host.processEvents(5, until=lambda: not panel.panel.bar.isBusy)
    host.processEvents(0.05)
    assert panel.panel.bar.status == "The scene was closed, so the calculation was stopped."
    assert panel.panel.bar.applyButton.toolTip == "Choose a CT volume."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_a_closed_scene_leaves_no_word_of_its_result(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert panel.panel.bar.status == ""
    assert not panel.ui.resultButton.visible


def test_the_result_of_a_removed_ct_is_dropped_with_a_sentence(host, panel, phantom) -> None:
    import slicer

    panel.panel.bar.applyButton.click()
    slicer.mrmlScene.RemoveNode(phantom[0])
    assert host.processEvents(60, until=lambda: not panel.panel.bar.isBusy)
    assert panel.panel.bar.status == "The CT was removed while it was graded, so the result was dropped."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert temporaryFiles() == []


def test_an_image_that_is_no_ct_ends_in_one_sentence(host, panel, phantom) -> None:
    import slicer

    slicer.util.arrayFromVolume(phantom[0])[:] += 5000
    slicer.util.arrayFromVolumeModified(phantom[0])
    run(host, panel)
    assert re.fullmatch(r"The median inside the liver is \d+, .*\.", panel.panel.bar.status)
    assert panel.panel.bar.applyButton.enabled
    assert temporaryFiles() == []


def test_an_empty_liver_segment_ends_in_one_sentence_before_anything_starts(host, panel, phantom) -> None:
    phantom[1].GetSegmentation().AddEmptySegment("empty", "empty liver")
    host.processEvents()
    panel.ui.liverSegmentComboBox.currentIndex = panel.ui.liverSegmentComboBox.findData("empty")
    host.processEvents()
    run(host, panel)
    assert not panel.panel.bar.worker.isRunning
    assert "empty liver" in panel.panel.bar.status
    assert temporaryFiles() == []


def test_a_scene_read_into_the_open_panel_shows_its_own_choice_and_result(host, panel, phantom, tmp_path) -> None:
    import slicer

    ctVolume, _segmentation = phantom
    run(host, panel)
    ctVolume.SetName("graded CT")
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    panel.enter()
    host.processEvents()
    assert slicer.mrmlScene.ReadFromMRB(path, False)
    host.processEvents()
    parameters = panel._parameterNode
    assert parameters.resultTable.GetName() == "Phantom CT grade"
    assert parameters.resultCT.GetName() == parameters.ctVolume.GetName() == "graded CT"
    assert panel.ui.resultButton.isVisibleTo(panel.place)


def test_a_heat_map_that_was_saved_with_the_scene_or_shown_before_a_reload_can_be_switched_off(
    host, panel, phantom, tmp_path
) -> None:
    import slicer

    run(host, panel)
    display = phantom[1].GetDisplayNode()
    identifier = display.GetID()
    ctId, attentionId = phantom[0].GetID(), panel._parameterNode.resultAttention.GetID()
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert slicer.mrmlScene.ReadFromMRB(path, True)
    host.processEvents()
    assert layers() == [(ctId, attentionId)] * 3
    assert not slicer.mrmlScene.GetNodeByID(identifier).GetVisibility2DFill()
    panel.panel.result.forget()  # as the panel that a reload makes
    panel.updateGUI()
    panel.ui.showAttentionCheckBox.checked = False
    host.processEvents()
    assert layers() == [(ctId, None)] * 3
    assert slicer.mrmlScene.GetNodeByID(identifier).GetVisibility2DFill()
