"""Runs through the panel and the logic of MissingModalitySeg, with the real child process."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent / "host"))

from hostdriver import layers, run, startRun, temporaryFiles, waitUntilIdle
from hosttumorpanel import SEQUENCES, host, mainWindow, panel, phantom, student  # noqa: F401

REGIONS = ("WT", "TC", "ET")


def masksOf(segmentation):
    """Voxels of each segment that has any, as world centers, so that two segmentations can be compared."""
    from REACTDistillScene.segmentmasks import maskFromSegment

    found = {}
    for region in segmentation.GetSegmentation().GetSegmentIDs():
        mask = maskFromSegment(segmentation, region)
        found[region] = (mask.array_kji.sum(), mask.grid.ijk_to_ras.round(6).tolist(), mask.array_kji.tobytes())
    return found


def segmentations():
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_apply_shows_what_the_logic_says_in_any_order_and_leaves_no_file(host, panel, phantom, student) -> None:
    import slicer
    from REACTDistillScene.tables import cells

    before = {name: slicer.util.arrayFromVolume(node).copy() for name, node in phantom.items()}
    panel._parameterNode.t1ceVolume = None
    run(host, panel)
    parameters = panel._parameterNode
    assert panel.panel.bar.status.startswith("Done in ")
    given = {name: phantom[name] for name in ("flair", "t2", "t1")}
    finding, nodes = panel.module.MissingModalitySegLogic().process(given, str(student), device="cpu")
    assert nodes.segmentation is not parameters.resultSegmentation
    assert masksOf(nodes.segmentation) == masksOf(parameters.resultSegmentation)
    rows = dict(cells(parameters.resultTable))
    for region in REGIONS:
        assert float(rows[f"Volume in ml of {region}"]) == pytest.approx(finding.segmentation.volumes_ml[region])
    table = panel.ui.regionTable
    assert [table.item(row, 0).text() for row in range(3)] == [
        "Whole tumor (WT)",
        "Tumor core (TC)",
        "Enhancing tumor (ET)",
    ]
    assert table.item(2, 2).text() == "expected Dice 0.31"
    assert "not a medical device" in panel.panel.result.header.notices
    assert panel.ui.guessLabel.text == ""
    for name, array in before.items():
        assert np.array_equal(slicer.util.arrayFromVolume(phantom[name]), array)
    assert temporaryFiles() == []


def test_probability_maps_come_on_demand_and_are_shown_over_the_image(host, panel, phantom) -> None:
    import slicer

    panel._parameterNode.referenceSequence = "flair"
    run(host, panel)
    assert not panel.ui.shownMapComboBox.enabled
    shownBefore = layers()
    panel.ui.withProbabilitiesCheckBox.click()
    host.processEvents()
    run(host, panel)
    parameters = panel._parameterNode
    assert len(segmentations()) == 1  # an untouched result is replaced
    heat = slicer.util.arrayFromVolume(parameters.resultTCProbability)
    assert 0.0 <= heat.min() < heat.max() <= 1.0
    panel.ui.shownMapComboBox.currentIndex = panel.ui.shownMapComboBox.findData("TC")
    host.processEvents()
    assert layers() == [(phantom["flair"].GetID(), parameters.resultTCProbability.GetID())] * 3
    assert not parameters.resultSegmentation.GetDisplayNode().GetVisibility2DFill()
    panel.ui.shownMapComboBox.currentIndex = 0
    host.processEvents()
    assert layers() == shownBefore
    assert parameters.resultSegmentation.GetDisplayNode().GetVisibility2DFill()


def test_a_shown_map_goes_with_its_result_when_the_next_one_has_none(host, panel, phantom) -> None:
    import slicer

    panel._parameterNode.withProbabilities = True
    run(host, panel)
    panel._parameterNode.shownMap = "WT"
    host.processEvents()
    panel._parameterNode.withProbabilities = False
    run(host, panel)
    assert panel.panel.bar.status.startswith("Done in ")
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == [
        node.GetName() for node in phantom.values()
    ]
    assert all(foreground is None for _background, foreground in layers())
    assert segmentations()[0].GetDisplayNode().GetVisibility2DFill()


def test_an_edited_result_is_kept_and_the_next_one_is_a_new_segmentation(host, panel, phantom) -> None:
    from vtk.util.numpy_support import vtk_to_numpy

    run(host, panel)
    edited = panel._parameterNode.resultSegmentation
    image = edited.GetSegmentation().GetSegment("WT").GetRepresentation("Binary labelmap")
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 1
    image.Modified()
    kept = masksOf(edited)
    run(host, panel)
    assert panel.panel.bar.status.endswith("The chosen segmentation holds other work, so the result is in a new one.")
    assert len(segmentations()) == 2
    assert panel._parameterNode.outputSegmentation is not edited
    assert masksOf(edited) == kept


def test_the_result_of_one_patient_is_not_replaced_by_that_of_the_next(host, panel, phantom) -> None:
    run(host, panel)
    first = panel._parameterNode.resultSegmentation
    kept = masksOf(first)
    for name, node in panel.module._phantomNodes(seed=4).items():
        setattr(panel._parameterNode, f"{name}Volume", node)
    host.processEvents()
    assert panel.panel.result.header.notices.startswith("Other sequences or another student are chosen now")
    run(host, panel)
    assert len(segmentations()) == 2
    assert panel._parameterNode.resultSegmentation is not first
    assert masksOf(first) == kept


def test_a_segmentation_of_the_user_that_is_chosen_as_output_stays_as_it_is(host, panel, phantom) -> None:
    import slicer

    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    mine.GetSegmentation().AddEmptySegment("a", "a")
    panel._parameterNode.outputSegmentation = mine
    run(host, panel)
    assert list(mine.GetSegmentation().GetSegmentIDs()) == ["a"]
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    panel._parameterNode.outputSegmentation = empty
    run(host, panel)
    assert list(empty.GetSegmentation().GetSegmentIDs()) == list(REGIONS)
    assert panel._parameterNode.resultSegmentation is empty


def test_different_grids_under_a_parent_transform_give_one_answer_in_the_world(host, panel, student) -> None:
    import slicer
    from REACTDistillLib.brain import draw_brain, sample_brain
    from REACTDistillLib.volume import Grid
    from REACTDistillScene.volumes import nodeFromVolume

    patient = draw_brain(3)
    fine = Grid.centered(patient.center_ras, shape_kji=(40, 44, 48), spacing_kji_mm=(4.5, 4.2, 4.0))
    turn = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    turn[:3, 3] = np.array(patient.center_ras) - turn[:3, :3] @ np.array(patient.center_ras)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turned")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turn))
    coarse = Grid.centered(patient.center_ras, shape_kji=(30, 36, 36), spacing_kji_mm=(6.0, 5.5, 5.5))
    moved = Grid(coarse.shape_kji, turn @ coarse.ijk_to_ras)
    t1 = nodeFromVolume(sample_brain(patient, fine, noise_scale=0.0).sequences["t1"], "T1")
    flair = sample_brain(patient, moved, noise_scale=0.0).sequences["flair"]
    plain = nodeFromVolume(flair, "FLAIR")
    under = nodeFromVolume(flair, "FLAIR under a transform", transformNode=transform)
    process = panel.module.MissingModalitySegLogic().process
    finding, nodes = process({"flair": under, "t1": t1}, student, reference="flair", device="cpu")
    other, otherNodes = process({"t1": t1, "flair": plain}, student, reference="flair", device="cpu")
    assert nodes.segmentation.GetTransformNodeID() == transform.GetID()
    assert otherNodes.segmentation.GetTransformNodeID() is None
    assert finding.segmentation.volumes_ml == pytest.approx(other.segmentation.volumes_ml, rel=1e-3)
    for region in REGIONS:
        (count, _place, _voxels), (otherCount, *_rest) = (
            masksOf(one.segmentation)[region] for one in (nodes, otherNodes)
        )
        assert count == pytest.approx(otherCount, rel=1e-3)
    assert finding.grid.same_as(other.grid)


def test_a_moved_patient_gets_the_same_answer_at_the_new_place(host, panel, phantom, student) -> None:
    import slicer

    process = panel.module.MissingModalitySegLogic().process
    given = {name: phantom[name] for name in ("t1", "flair")}
    _finding, before = process(given, student, device="cpu")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.eye(4)
    matrix[:3, 3] = (32.0, -16.0, 8.0)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in given.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    _finding, after = process(given, student, device="cpu")
    here, there = masksOf(before.segmentation), masksOf(after.segmentation)
    for region in REGIONS:
        assert here[region][2] == there[region][2]
        shift = np.array(there[region][1])[:3, 3] - np.array(here[region][1])[:3, 3]
        assert shift == pytest.approx((32.0, -16.0, 8.0))


@pytest.mark.parametrize("fault", ["constant", "nan", "duplicate"])
def test_a_sequence_that_cannot_be_right_ends_in_one_sentence(host, panel, phantom, fault) -> None:
    import slicer

    array = slicer.util.arrayFromVolume(phantom["t2"])
    array[:] = slicer.util.arrayFromVolume(phantom["t1"]) if fault == "duplicate" else 7.0
    if fault == "nan":
        array[5, 5, 5] = np.nan
    slicer.util.arrayFromVolumeModified(phantom["t2"])
    run(host, panel)
    status = panel.panel.bar.status
    assert "T2" in status or "t2" in status
    assert status.endswith(".")
    assert not status.startswith("Done")
    assert panel.panel.bar.applyButton.enabled
    assert segmentations() == []


def test_progress_goes_on_and_not_back(host, panel, phantom) -> None:
    bar = panel.panel.bar
    hear, progress = bar.job.onEvent, []

    def hearAndKeep(event) -> None:
        hear(event)
        if event.get("stage") in ("check", "prepare", "student", "write"):
            progress.append((event["done"], event["total"]))

    bar.job.onEvent = hearAndKeep
    run(host, panel)
    assert len(progress) > 3
    assert progress == sorted(progress)
    assert all(0 <= done <= total for done, total in progress)


def test_closing_the_scene_in_a_run_leaves_no_word_of_the_guesses(host, panel, phantom) -> None:
    import slicer

    startRun(host, panel)
    slicer.mrmlScene.Clear(0)
    waitUntilIdle(host, panel, seconds=5)
    assert panel.ui.guessLabel.text == ""


def test_the_logic_refuses_with_one_sentence_and_leaves_no_process(host, panel, phantom, student) -> None:
    from hostorphans import childProcesses

    process = panel.module.MissingModalitySegLogic().process
    before = set(childProcesses())
    for given, words in (
        ({}, "No sequence is given"),
        ({"t1": phantom["t1"], "t2": phantom["t1"]}, "T1 and T2 are the same volume"),
        ({"T1": phantom["t1"]}, 'There is no sequence "T1"'),
    ):
        with pytest.raises(ValueError, match=words):
            process(given, student)
    with pytest.raises(ValueError, match="cannot have the grid of T2"):
        process({"t1": phantom["t1"]}, student, reference="t2")

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process({"t1": phantom["t1"]}, student, progress=stop)
    assert set(childProcesses()) == before
    assert segmentations() == []
