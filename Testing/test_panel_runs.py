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
    assert panel.ui.statusLabel.text.startswith("Done in ")
    finding, _ = panel.module.REACTDistillLogic().process(
        ctVolume, segmentation, "liver", "tumor", str(student), device="cpu"
    )
    bars = panel.ui.probabilityTable
    shown = {bars.item(row, 0).text(): bars.cellWidget(row, 1).value for row in range(bars.rowCount)}
    assert shown == pytest.approx({name: 1000 * value for name, value in finding.probabilities.items()}, abs=1)
    assert finding.predicted_class in panel.ui.predictionLabel.text
    assert "not a medical device" in panel.ui.noticesLabel.text
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


def test_while_it_runs_apply_is_cancel_and_cancel_leaves_nothing(host, panel, phantom) -> None:
    import slicer

    panel.ui.applyButton.click()
    assert panel.ui.applyButton.text == "Cancel"
    assert not panel.ui.inputsButton.enabled
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    pid = panel.job._processGroup
    panel.ui.applyButton.click()
    assert panel.ui.statusLabel.text == "Canceling..."
    assert host.processEvents(5, until=lambda: not panel.job.isBusy)
    host.processEvents(0.05)
    assert (panel.ui.applyButton.text, panel.ui.statusLabel.text) == ("Apply", "Canceled.")
    assert panel.ui.inputsButton.enabled
    assert temporaryFiles() == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_child_is_one_sentence_and_the_next_run_works(host, panel, phantom) -> None:
    panel.ui.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    os.kill(panel.job._processGroup, signal.SIGKILL)
    assert host.processEvents(5, until=lambda: not panel.job.isBusy)
    assert panel.ui.statusLabel.text.startswith("The calculation was killed by the system")
    run(host, panel)
    assert panel.ui.statusLabel.text.startswith("Done in ")


def test_closing_the_scene_stops_the_run_and_says_so(host, panel, phantom) -> None:
    import slicer

    panel.ui.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    slicer.mrmlScene.Clear(0)
    assert host.processEvents(5, until=lambda: not panel.job.isBusy)
    host.processEvents(0.05)
    assert panel.ui.statusLabel.text == "The scene was closed, so the calculation was stopped."
    assert panel.ui.applyButton.toolTip == "Choose a CT volume."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_a_closed_scene_leaves_no_word_of_its_result(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert panel.ui.statusLabel.text == ""
    assert not panel.ui.resultButton.visible


def test_the_result_of_a_removed_ct_is_dropped_with_a_sentence(host, panel, phantom) -> None:
    import slicer

    panel.ui.applyButton.click()
    slicer.mrmlScene.RemoveNode(phantom[0])
    assert host.processEvents(60, until=lambda: not panel.job.isBusy)
    assert panel.ui.statusLabel.text == "The CT was removed while it was graded, so the result was dropped."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert temporaryFiles() == []


def test_an_image_that_is_no_ct_ends_in_one_sentence(host, panel, phantom) -> None:
    import slicer

    slicer.util.arrayFromVolume(phantom[0])[:] += 5000
    slicer.util.arrayFromVolumeModified(phantom[0])
    run(host, panel)
    assert re.fullmatch(r"The median inside the liver is \d+, .*\.", panel.ui.statusLabel.text)
    assert panel.ui.applyButton.enabled
    assert temporaryFiles() == []


def test_an_empty_liver_segment_ends_in_one_sentence_before_anything_starts(host, panel, phantom) -> None:
    phantom[1].GetSegmentation().AddEmptySegment("empty", "empty liver")
    host.processEvents()
    panel.ui.liverSegmentComboBox.currentIndex = panel.ui.liverSegmentComboBox.findData("empty")
    host.processEvents()
    panel.ui.applyButton.click()
    assert not panel.job.isBusy
    assert "empty liver" in panel.ui.statusLabel.text
    assert temporaryFiles() == []
