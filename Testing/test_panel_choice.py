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


def shownClassInTable(panel) -> str:
    from REACTDistillScene.tables import cells

    return dict(cells(panel._parameterNode.resultTable))["Shown class"]


@pytest.mark.parametrize("moment", ["another class is being shown", "the first grade is running"])
def test_the_class_that_is_shown_is_always_the_one_chosen_last(host, panel, phantom, moment) -> None:
    run(host, panel)
    box = panel.ui.shownClassComboBox
    first, last = [name for name in ("well", "moderate", "poor") if name != shownClassInTable(panel)]
    if moment == "the first grade is running":
        panel.panel.bar.applyButton.click()
    else:
        box.currentIndex = box.findData(first)
    assert panel.panel.bar.isBusy
    box.currentIndex = box.findData(last)
    host.processEvents(1.0)
    assert host.processEvents(30, until=lambda: not panel.panel.bar.isBusy)
    host.processEvents(0.5)
    assert host.processEvents(30, until=lambda: not panel.panel.bar.isBusy)
    assert (panel._parameterNode.shownClass, shownClassInTable(panel)) == (last, last)


@pytest.mark.parametrize("text", ["abc", "5", '{"a": 1}', "[1, 2]", "null"])
def test_tumors_of_a_scene_that_cannot_be_read_are_guessed_anew(host, panel, phantom, text) -> None:
    panel._parameterNode.tumorSegmentIDs = text
    host.processEvents()
    assert choice(panel) == ("liver", ["tumor"])


def test_an_unrelated_segmentation_is_neither_chosen_nor_drawn_into(host, panel) -> None:
    import slicer

    vertebra = segmentationWith(v="vertebra")
    panel.module._phantomNodes(seed=3)[1].GetParentTransformNode()
    slicer.mrmlScene.RemoveNode(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[1])
    host.processEvents()
    assert panel._parameterNode.segmentation is None
    panel.ui.drawButton.click()
    host.processEvents()
    assert list(vertebra.GetSegmentation().GetSegmentIDs()) == ["v"]
    assert panel._parameterNode.segmentation is not vertebra
    panel.ui.drawButton.click()


def test_a_layer_that_the_user_changed_while_the_heat_map_was_shown_stays(host, panel, phantom) -> None:
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Other")
    run(host, panel)
    manager = slicer.app.layoutManager()
    composites = {name: manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()}
    composites["Red"].SetBackgroundVolumeID(other.GetID())
    panel.ui.showAttentionCheckBox.checked = False
    host.processEvents()
    assert composites["Red"].GetBackgroundVolumeID() == other.GetID()
    assert composites["Red"].GetForegroundVolumeID() is None


def test_each_run_has_a_folder_of_its_own_that_only_the_user_can_read(host, panel) -> None:
    from REACTDistillScene.jobbar import _newFolder

    folders = [_newFolder() for _ in range(20)]
    assert len(set(folders)) == 20
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    for folder in folders:
        folder.rmdir()


def test_a_ct_that_is_removed_while_its_result_is_shown_leaves_no_result(host, panel, phantom, monkeypatch) -> None:
    import slicer
    from REACTDistillScene import results

    monkeypatch.setattr(results, "showInOwnColors", lambda node, colors: slicer.mrmlScene.RemoveNode(phantom[0]))
    run(host, panel)
    assert panel.panel.bar.status == "The CT was removed while its result was shown, so the result was dropped."
    assert [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_an_earlier_result_is_brought_up_to_date_in_one_step(host, panel, phantom) -> None:
    from REACTDistillScene.results import showFinding, showFindingInSteps

    finding, _ = panel.module.REACTDistillLogic().process(
        *phantom, "liver", ["tumor"], panel.panel.students.entryOf("").path, device="cpu"
    )
    assert len(list(showFindingInSteps(finding, phantom[0]))) == 6
    assert list(showFindingInSteps(finding, phantom[0], earlier=showFinding(finding, phantom[0]))) == []
