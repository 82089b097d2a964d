"""What the panel offers, and whose choice and whose result it shows, when there are several images."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow, panel, phantom, run, student  # noqa: F401


def test_a_heat_map_is_never_offered_as_ct_or_pet_nor_chosen_when_the_ct_is_deleted(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    assert (panel.ui.ctVolumeSelector.nodeCount(), panel.ui.petVolumeSelector.nodeCount()) == (1, 1)
    slicer.mrmlScene.RemoveNode(phantom[0])
    host.processEvents()
    assert panel._parameterNode.ctVolume is None
    assert not panel.panel.bar.applyButton.enabled
    assert panel.panel.result.header.notices.startswith("The CT of this result is no longer there.")


def test_a_result_of_another_ct_than_the_chosen_one_says_so(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    assert "not of the chosen CT" not in panel.panel.result.header.notices
    panel._parameterNode.ctVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Other CT")
    host.processEvents()
    warning = "This is the result of &quot;Phantom CT&quot;, not of the chosen CT."
    assert panel.panel.result.header.notices.startswith(warning)
    panel._parameterNode.ctVolume = phantom[0]
    host.processEvents()
    assert "not of the chosen CT" not in panel.panel.result.header.notices


def segmentationWith(**names):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    for segmentId, name in names.items():
        node.GetSegmentation().AddEmptySegment(segmentId, name)
    return node


def choice(panel):
    parameters = panel._parameterNode
    return parameters.liverSegmentID, json.loads(parameters.tumorSegmentIDs or "[]")


def test_a_choice_of_segments_does_not_pass_to_another_segmentation_with_the_same_ids(host, panel) -> None:
    first = segmentationWith(Segment_1="liver", Segment_2="tumor")
    second = segmentationWith(Segment_1="tumor", Segment_2="liver", Segment_3="second tumor")
    panel._parameterNode.segmentation = first
    host.processEvents()
    assert choice(panel) == ("Segment_1", ["Segment_2"])
    panel._parameterNode.segmentation = second
    host.processEvents()
    assert choice(panel) == ("Segment_2", ["Segment_1", "Segment_3"])


def test_a_choice_that_comes_with_the_segmentation_is_kept(host, panel) -> None:
    first, second = (segmentationWith(a="liver", b="tumor", c="second tumor") for _ in range(2))
    panel._parameterNode.segmentation = first
    host.processEvents()
    panel._parameterNode.segmentation = second
    panel._parameterNode.tumorSegmentIDs = '["c"]'
    host.processEvents()
    assert choice(panel) == ("a", ["c"])
    panel.exit()
    panel.enter()
    host.processEvents()
    assert choice(panel) == ("a", ["c"])


def test_a_choice_is_kept_when_its_scene_is_closed_and_read_again(host, panel, tmp_path) -> None:
    import slicer

    panel._parameterNode.segmentation = segmentationWith(a="liver", b="tumor", c="second tumor")
    host.processEvents()
    panel._parameterNode.tumorSegmentIDs = '["c"]'
    host.processEvents()
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    assert slicer.mrmlScene.ReadFromMRB(path, True)
    host.processEvents()
    assert choice(panel) == ("a", ["c"])


def test_a_result_says_when_its_regions_were_edited_or_others_are_chosen(host, panel, phantom) -> None:
    import qt
    import slicer

    def notices() -> str:
        host.processEvents(0.4)
        return panel.panel.result.header.notices

    run(host, panel)
    assert notices().startswith("Research software")
    ctVolume, segmentation = phantom
    liver = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", ctVolume)
    liver[:24] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(liver, segmentation, "liver", ctVolume)
    assert notices().startswith("The regions were edited after this result; grade again.")
    run(host, panel)
    assert notices().startswith("Research software")
    panel.ui.tumorSegmentsList.item(0).setCheckState(qt.Qt.Unchecked)
    assert notices().startswith("Other regions, another PET or another student are chosen now")
    panel.ui.tumorSegmentsList.item(0).setCheckState(qt.Qt.Checked)
    assert notices().startswith("Research software")


def test_a_live_grade_that_fails_leaves_a_result_that_says_so(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents(0.4)
    ctVolume, segmentation = phantom
    tumor = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "tumor", ctVolume) * 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(tumor, segmentation, "tumor", ctVolume)
    host.processEvents(0.4)
    assert host.processEvents(30, until=lambda: not panel.panel.bar.isBusy)
    host.processEvents(0.1)
    assert panel.panel.bar.status.startswith('Segment "tumor" is empty')
    assert panel.panel.result.header.notices.startswith("The regions were edited after this result")


def test_the_slices_go_to_the_strongest_place_of_the_heat_map(host, panel, phantom) -> None:
    import numpy as np
    import slicer
    from REACTDistillScene.volumes import worldGrid

    run(host, panel)
    heat = panel._parameterNode.resultAttention
    sliceNodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    panel.ui.strongestButton.click()
    array = slicer.util.arrayFromVolume(heat)
    k, j, i = np.unravel_index(array.argmax(), array.shape)
    wanted = worldGrid(heat).to_ras((i, j, k))
    for node in sliceNodes:
        normal = [node.GetSliceToRAS().GetElement(row, 2) for row in range(3)]
        place = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        assert np.dot(normal, place) == pytest.approx(np.dot(normal, wanted), abs=0.6)
    panel.ui.showAttentionCheckBox.checked = False
    host.processEvents()
    assert not panel.ui.strongestButton.enabled
