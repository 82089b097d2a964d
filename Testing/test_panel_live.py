"""What follows a first grade: live grading after edits, another class shown, drawing, importing, another student."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
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
    mainWindow,
    panel,
    phantom,
    run,
    saveUntrainedStudent,
    student,
    temporaryFiles,
)


def resultIds(parameters) -> list[str]:
    nodes = (parameters.resultTable, parameters.resultRegionTable, parameters.resultAttention, parameters.resultGraph)
    return [node.GetID() for node in nodes]


def shownCells(parameters) -> dict[str, str]:
    from REACTDistillScene.tables import cells

    return dict(cells(parameters.resultTable))


def growTumor(segmentation, ctVolume) -> None:
    """One edit: the tumor grows by a slab of liver."""
    import slicer

    tumor = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "tumor", ctVolume)
    liver = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", ctVolume)
    k = int(np.flatnonzero(liver.any(axis=(1, 2))).mean())
    tumor[k : k + 3] |= liver[k : k + 3]
    slicer.util.updateSegmentBinaryLabelmapFromArray(tumor, segmentation, "tumor", ctVolume)


def settle(host, panel) -> None:
    """Past the pause of the watch, then to the end of what it started."""
    host.processEvents(0.4)
    assert host.processEvents(60, until=lambda: not panel.panel.bar.isBusy)
    host.processEvents(0.1)


def test_an_edit_brings_the_same_nodes_up_to_date(host, panel, phantom) -> None:
    run(host, panel)
    parameters = panel._parameterNode
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents()
    before, ids = shownCells(parameters), resultIds(parameters)
    growTumor(phantom[1], phantom[0])
    nodeCount = _nodeCount()  # the edit itself leaves display nodes of its label map behind
    settle(host, panel)
    after = shownCells(parameters)
    assert resultIds(parameters) == ids
    assert _nodeCount() == nodeCount
    assert {k: v for k, v in after.items() if k.startswith("Prob")} != {
        k: v for k, v in before.items() if k.startswith("Prob")
    }
    finding, _ = panel.module.REACTDistillLogic().process(
        *phantom, "liver", ["tumor"], panel.panel.students.entryOf("").path, device="cpu"
    )
    assert after["Probability of well"] == f"{finding.probabilities['well']:.4f}"
    assert temporaryFiles() == []


def test_without_live_grading_an_edit_changes_nothing(host, panel, phantom) -> None:
    run(host, panel)
    before = shownCells(panel._parameterNode)
    growTumor(phantom[1], phantom[0])
    settle(host, panel)
    assert shownCells(panel._parameterNode) == before


def test_an_edit_that_leaves_every_voxel_as_it_was_asks_nobody(host, panel, phantom) -> None:
    run(host, panel)
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents()
    requests = panel.panel.bar.worker._lastNumber
    phantom[1].GetSegmentation().GetSegment("tumor").SetColor(1, 0, 0)
    settle(host, panel)
    assert panel.panel.bar.worker._lastNumber == requests


def test_an_edit_during_a_live_grade_is_graded_afterwards(host, panel, phantom) -> None:
    run(host, panel)
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents()
    growTumor(phantom[1], phantom[0])
    assert host.processEvents(5, until=lambda: panel.panel.bar.isBusy)
    import slicer

    liver = slicer.util.arrayFromSegmentBinaryLabelmap(phantom[1], "liver", phantom[0])
    slicer.util.updateSegmentBinaryLabelmapFromArray(liver, phantom[1], "tumor", phantom[0])
    host.processEvents(1.5)
    settle(host, panel)
    finding, _ = panel.module.REACTDistillLogic().process(
        *phantom, "liver", ["tumor"], panel.panel.students.entryOf("").path, device="cpu"
    )
    assert shownCells(panel._parameterNode)["Probability of well"] == f"{finding.probabilities['well']:.4f}"


def test_another_class_is_shown_in_the_same_nodes(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    parameters = panel._parameterNode
    ids, before = resultIds(parameters), shownCells(parameters)
    heat = slicer.util.arrayFromVolume(parameters.resultAttention).copy()
    other = next(name for name in ("well", "moderate", "poor") if name != before["Predicted class"])
    panel.ui.shownClassComboBox.currentIndex = panel.ui.shownClassComboBox.findData(other)
    settle(host, panel)
    after = shownCells(parameters)
    assert resultIds(parameters) == ids
    assert (after["Shown class"], after["Predicted class"]) == (other, before["Predicted class"])
    assert after["Probability of well"] == before["Probability of well"]
    assert not np.array_equal(slicer.util.arrayFromVolume(parameters.resultAttention), heat)
    assert panel.ui.shownClassComboBox.itemData(panel.ui.shownClassComboBox.currentIndex) == other


def test_a_second_apply_makes_new_nodes_and_hides_the_older_graph(host, panel, phantom) -> None:
    run(host, panel)
    parameters = panel._parameterNode
    first, graph = resultIds(parameters), parameters.resultGraph
    run(host, panel)
    assert not set(first) & set(resultIds(parameters))
    assert not graph.GetDisplayNode().GetVisibility()
    assert parameters.resultGraph.GetDisplayNode().GetVisibility()


def test_a_deleted_result_node_is_made_again_by_the_next_edit(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    parameters = panel._parameterNode
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents()
    table = parameters.resultTable.GetID()
    slicer.mrmlScene.RemoveNode(parameters.resultGraph)
    growTumor(phantom[1], phantom[0])
    settle(host, panel)
    assert parameters.resultGraph is not None
    assert parameters.resultTable.GetID() == table


def test_an_error_of_a_live_grade_is_told_in_the_status_without_a_dialog(host, panel, phantom, monkeypatch) -> None:
    import slicer

    run(host, panel)
    dialogs: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: dialogs.append(text))
    panel.ui.liveGradingCheckBox.checked = True
    host.processEvents()
    empty = slicer.util.arrayFromSegmentBinaryLabelmap(phantom[1], "tumor", phantom[0]) * 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, phantom[1], "tumor", phantom[0])
    settle(host, panel)
    assert panel.panel.bar.status.startswith('Segment "tumor" is empty')
    assert dialogs == []


def test_draw_makes_two_segments_and_opens_the_editor_on_them(host, panel) -> None:
    import slicer
    from hosteditor import paintBall

    ctVolume, segmentation = panel.module._phantomNodes(seed=3)
    slicer.mrmlScene.RemoveNode(segmentation)
    host.processEvents()
    panel.ui.drawButton.click()
    host.processEvents()
    parameters = panel._parameterNode
    drawn = parameters.segmentation.GetSegmentation()
    assert [drawn.GetSegment(i).GetName() for i in drawn.GetSegmentIDs()] == ["liver", "tumor"]
    assert (parameters.liverSegmentID, parameters.tumorSegmentIDs) == ("liver", '["tumor"]')
    assert panel.ui.drawButton.text == "Done drawing"
    editor = panel.panel.regions.draw._editor
    bounds = [0.0] * 6
    ctVolume.GetRASBounds(bounds)
    center = [(bounds[0] + bounds[1]) / 2, (bounds[2] + bounds[3]) / 2, (bounds[4] + bounds[5]) / 2]
    paintBall(editor, center, 45.0)
    editor.setCurrentSegmentID("tumor")
    paintBall(editor, center, 15.0)
    host.processEvents(0.5)
    assert panel.ui.regionsLabel.text.startswith("Liver 3")  # 4/3 pi 4.5^3 = 382 ml
    panel.ui.drawButton.click()
    assert (panel.ui.drawButton.text, panel.panel.regions.draw.isDrawing) == ("Draw", False)


@pytest.mark.parametrize(("most", "atRest"), [(10**9, "Liver 336 ml"), (10, "")])
def test_volumes_are_counted_in_the_rest_of_a_stroke_or_when_that_would_be_felt_in_the_pause(
    host, panel, monkeypatch, most, atRest
) -> None:
    from REACTDistillLib.volume import Volume
    from REACTDistillScene import regionvolumes
    from REACTDistillScene.segments import segmentationFromMasks
    from REACTDistillScene.volumes import nodeFromVolume

    monkeypatch.setattr(regionvolumes, "_UNFELT", most)
    grid = np.diag([10.0, 10, 10, 1])
    ctVolume = nodeFromVolume(Volume.from_array(np.zeros((6, 7, 8), np.float32), grid), "CT")
    segmentation = segmentationFromMasks({"liver": Volume.from_array(np.ones((6, 7, 8), bool), grid)}, ctVolume)
    host.processEvents()
    parameters, regions = panel._parameterNode, panel.panel.regions
    parameters.ctVolume, parameters.segmentation, parameters.liverSegmentID = ctVolume, segmentation, "liver"
    parameters.tumorSegmentIDs = ""
    panel.ui.regionsLabel.text = ""
    regions._onRest()
    assert panel.ui.regionsLabel.text == atRest
    regions._onPause()
    assert panel.ui.regionsLabel.text == "Liver 336 ml"  # 6 * 7 * 8 voxels of 1 ml


def test_an_imported_label_map_becomes_the_chosen_segmentation(host, panel, phantom) -> None:
    import slicer

    ctVolume, segmentation = phantom
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    labels.CopyOrientation(ctVolume)
    liver = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", ctVolume)
    tumor = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "tumor", ctVolume)
    slicer.util.updateVolumeFromArray(labels, np.where(tumor > 0, 2, liver).astype(np.uint8))
    panel.panel.regions.importFrom(labels)
    settle(host, panel)
    imported = panel._parameterNode.segmentation
    assert imported is not segmentation
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2
    assert imported.GetSegmentation().GetNumberOfSegments() == 2


def test_a_file_of_regions_is_read_in_the_worker(host, panel, phantom, tmp_path) -> None:
    import slicer
    from REACTDistillLib.files import write_volume
    from REACTDistillScene.segmentmasks import maskFromSegment

    ctVolume, segmentation = phantom
    (tmp_path / "masks").mkdir()
    for name in ("liver", "tumor"):
        write_volume(maskFromSegment(segmentation, name), tmp_path / "masks" / f"{name}.nrrd")
    panel.panel.regions.importFrom(tmp_path / "masks")
    settle(host, panel)
    imported = panel._parameterNode.segmentation
    assert imported is not segmentation
    assert (panel._parameterNode.liverSegmentID, panel._parameterNode.tumorSegmentIDs) == ("liver", '["tumor"]')
    for name in ("liver", "tumor"):
        arrays = [slicer.util.arrayFromSegmentBinaryLabelmap(s, name, ctVolume) for s in (segmentation, imported)]
        assert np.array_equal(arrays[0] > 0, arrays[1] > 0)
    assert panel.panel.bar.status.startswith("The regions were imported")
    assert temporaryFiles() == []


def test_a_file_that_holds_no_regions_is_one_sentence(host, panel, phantom, tmp_path) -> None:
    panel.panel.regions.importFrom(tmp_path / "no_such_file.nrrd")
    settle(host, panel)
    assert panel.panel.bar.status.endswith("does not exist.")


def test_an_added_student_can_be_chosen_and_grades(host, panel, phantom, tmp_path) -> None:
    saveUntrainedStudent(tmp_path / "other.safetensors", name="Other student", seed=1)
    panel.panel.studentList._store.folder = tmp_path / "students"
    panel.panel.studentList.add(tmp_path / "other.safetensors")
    panel.ui.studentComboBox.currentIndex = panel.ui.studentComboBox.count - 1
    host.processEvents()
    assert len(panel._parameterNode.student) == 64
    run(host, panel)
    assert shownCells(panel._parameterNode)["Student"] == "Other student"
    assert "Other student 0.1.0" in panel.panel.result.header.reliability


def test_a_pet_that_the_student_does_not_use_is_told(host, panel, phantom) -> None:
    import slicer

    pet = slicer.modules.volumes.logic().CloneVolume(phantom[0], "PET") if hasattr(slicer.modules, "volumes") else None
    if pet is None:
        from REACTDistillScene.volumes import nodeFromVolume, volumeFromNode

        pet = nodeFromVolume(volumeFromNode(phantom[0]), "PET")
    panel._parameterNode.petVolume = pet
    host.processEvents()
    run(host, panel)
    assert '"pet_fdg" was given but "Untrained student" does not use it.' in panel.panel.result.header.notices.replace(
        "&quot;", '"'
    )


def test_the_worker_stays_warm_between_two_runs(host, panel, phantom) -> None:
    run(host, panel)
    pid = panel.panel.bar.worker.processGroup
    run(host, panel)
    assert panel.panel.bar.worker.processGroup == pid


def _nodeCount() -> int:
    import slicer

    return slicer.mrmlScene.GetNumberOfNodes()


def test_a_batch_of_cases_becomes_a_table(host, panel, tmp_path) -> None:
    import slicer
    from REACTDistillLib.files import write_volume
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillScene.tables import cells

    batch = panel.panel.batch
    assert not batch.ui.batchButton.enabled
    for name in ("a", "b"):
        case = phantom_case(1)
        (tmp_path / "cases" / name).mkdir(parents=True)
        write_volume(case.sequences["ct"], tmp_path / "cases" / name / "ct.nrrd")
        if name == "a":
            write_volume(case.regions["liver"], tmp_path / "cases" / name / "liver.nrrd")
    batch.ui.batchSourceEdit.currentPath = str(tmp_path / "cases")
    batch.ui.batchOutputEdit.currentPath = str(tmp_path / "out")
    assert batch.ui.batchButton.enabled
    batch.ui.batchButton.click()
    assert panel.panel.bar.isBusy
    settle(host, panel)
    assert panel.panel.bar.status == "1 cases graded, 1 failed; the table in the scene says why."
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    rows = cells(table)
    assert [row[0] for row in rows] == ["a", "b"]
    assert 'holds no "liver"' in rows[1][-1]
    assert (tmp_path / "out" / "case_0001" / "finding.json").is_file()
