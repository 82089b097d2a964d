"""The panel of REACTDistill on the stand-in host, with real MRML nodes: choices and parameters."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "host"))

from hostdriver import run, saveAndReadAgain, withAndWithoutMainWindow
from hostpanel import host, mainWindow, panel, phantom, student  # noqa: F401


@withAndWithoutMainWindow
def test_a_disabled_apply_says_what_is_missing(host, panel) -> None:
    import slicer

    def reason():
        host.processEvents()
        assert panel.panel.bar.applyButton.enabled is (panel.panel.bar.applyButton.toolTip == "Grade the tumor.")
        return panel.panel.bar.applyButton.toolTip

    assert reason() == "Choose a CT volume."
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    assert reason() == "Choose a segmentation with a liver segment."
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    assert reason() == "Choose a segmentation with a liver segment."  # it may be of something else
    panel._parameterNode.segmentation = segmentation
    assert reason() == "Choose the segment of the liver."
    segmentation.GetSegmentation().AddEmptySegment("a", "Whole Liver")
    host.processEvents(0.4)  # past the pause after an edit
    assert reason() == "Grade the tumor."
    panel._parameterNode.petVolume = panel._parameterNode.ctVolume
    assert reason() == "The PET is the same volume as the CT; choose another one or none."
    panel._parameterNode.petVolume = None
    panel._parameterNode.student = 64 * "a"
    assert reason() == "The student of this scene is not installed; add its file under Students."
    panel._parameterNode.student = ""
    assert reason() == "Grade the tumor."


def test_segments_are_preselected_by_name_and_kept_when_renamed(host, panel) -> None:
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    names = {"t1": "livertumor1", "s": "Spleen", "h": "HCC segment 7", "l": "Liver", "t2": "Leber"}
    for segmentId, name in names.items():
        segmentation.GetSegmentation().AddEmptySegment(segmentId, name)
    panel.enter()
    host.processEvents()
    assert panel._parameterNode.liverSegmentID == "l"
    assert json.loads(panel._parameterNode.tumorSegmentIDs) == ["t1", "h"]
    segmentation.GetSegmentation().GetSegment("h").SetName("old biopsy")
    segmentation.GetSegmentation().RemoveSegment("t1")
    host.processEvents()
    assert json.loads(panel._parameterNode.tumorSegmentIDs) == ["h"]
    assert [panel.ui.tumorSegmentsList.item(row).text() for row in range(3)] == ["Spleen", "old biopsy", "Leber"]


def test_the_user_chooses_another_liver_and_no_tumor(host, panel, phantom) -> None:
    import qt

    panel.ui.tumorSegmentsList.item(0).setCheckState(qt.Qt.Unchecked)
    host.processEvents()
    assert panel._parameterNode.tumorSegmentIDs == "[]"
    panel.ui.liverSegmentComboBox.currentIndex = 1
    host.processEvents()
    assert (panel._parameterNode.liverSegmentID, panel._parameterNode.tumorSegmentIDs) == ("tumor", "[]")
    assert panel.ui.tumorSegmentsList.item(0).text() == "liver"


def test_what_the_student_needs_and_its_scores_are_shown(panel) -> None:
    text = panel.ui.studentNeedsLabel.text
    assert "Needs: ct, liver" in text
    assert "macro AUC 0.5" in text


def test_parameters_and_result_survive_saving_and_loading_the_scene(host, panel, phantom, tmp_path) -> None:
    run(host, panel)
    panel.ui.attentionOpacitySlider.value = 0.3
    host.processEvents()
    shown = panel.panel.result.header.headline
    saveAndReadAgain(host, panel, tmp_path)
    parameters = panel._parameterNode
    assert (parameters.ctVolume.GetName(), parameters.liverSegmentID) == ("Phantom CT", "liver")
    assert parameters.tumorSegmentIDs == '["tumor"]'
    assert parameters.attentionOpacity == pytest.approx(0.3)
    assert panel.panel.result.header.headline == shown


def test_unreadable_parameters_of_a_scene_are_reset(host, panel, caplog) -> None:
    node = panel._parameterNode.parameterNode
    panel.setParameterNode(None)
    node.SetParameter("attentionOpacity", "from the future")
    panel.enter()
    assert "reset to defaults" in caplog.text
    assert panel._parameterNode.attentionOpacity == pytest.approx(0.6)
