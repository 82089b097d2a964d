"""Runs through the panel of REACTDistill, with the real child process: results, and inputs that cannot be right."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

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
from node_cases import caseFromNodes
from REACTDistillLib.predict import predict


def test_apply_shows_what_the_student_says_as_the_logic_does_and_leaves_no_file(host, panel, phantom, student) -> None:
    import slicer

    ctVolume, segmentation = phantom
    before = slicer.util.arrayFromVolume(ctVolume).copy()
    shownBefore = layers()
    run(host, panel)
    parameters = panel._parameterNode
    assert panel.panel.bar.status.startswith("Done in ")
    finding = predict(caseFromNodes(ctVolume, segmentation, "liver", "tumor"), str(student), device="cpu")
    console, _ = panel.module.REACTDistillLogic().process(
        ctVolume, segmentation, "liver", "tumor", str(student), device="cpu"
    )
    assert console.probabilities == finding.probabilities
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
