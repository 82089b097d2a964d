"""Finding of a segmentation to nodes: place, marks, terminology, and what is never overwritten."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from REACTDistillLib.finding import Finding
from REACTDistillLib.segmentation import Segmentation
from REACTDistillLib.volume import Box, Grid, Volume
from scene_samples import PROVENANCE

GIVEN = ("t1", "flair")
# Oblique in the axial plane, anisotropic, flipped along I.
OBLIQUE = np.array([[-0.6, -1.6, 0, 20], [0.8, -1.2, 0, -35], [0, 0, 3.0, 40], [0, 0, 0, 1.0]])


@pytest.fixture
def scene(empty_scene):
    import slicer

    return slicer.mrmlScene


def imageNode(name="FLAIR", *, matrix=OBLIQUE, transform=None):
    from REACTDistillScene.volumes import nodeFromVolume

    grid = Grid((6, 7, 8), matrix)
    array = np.arange(6 * 7 * 8, dtype=np.float32).reshape(grid.shape_kji)
    return nodeFromVolume(Volume(array, grid), name, transformNode=transform)


def finding(node, *, maps=False, wtVoxels=4):
    """WT, TC and ET in a box of voxels (1..4, 2..6, 3..7): ``wtVoxels``, 2 and 1 voxels along I from its corner."""
    from REACTDistillScene.volumes import worldGrid

    whole = worldGrid(node)
    grid = whole.cropped(Box((1, 2, 3), (4, 6, 7)))
    masks = {}
    for region, count in {"WT": wtVoxels, "TC": 2, "ET": 1}.items():
        array = np.zeros(grid.shape_kji, dtype=bool)
        array[0, 0, :count] = True
        masks[region] = Volume(array, grid)
    heat = {name: Volume(np.full(grid.shape_kji, 0.25, np.float32), grid) for name in masks} if maps else None
    volumes = {name: float(mask.array_kji.sum()) * grid.voxel_ml for name, mask in masks.items()}
    expected = {"dice": {"WT": 0.8, "TC": 0.7, "ET": 0.3}, "sentence": "With T1 and FLAIR a lot is expected."}
    said = Segmentation(masks, heat, volumes, expected)
    return Finding("case", "segment", {}, whole, "", None, None, PROVENANCE, ("The field of view is cut.",), said)


def transformNode(matrix):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def voxelCenters(segmentation, region):
    """World RAS of the voxels of a segment, sorted."""
    from REACTDistillScene.segmentmasks import maskFromSegment

    mask = maskFromSegment(segmentation, region)
    centers = mask.grid.to_ras(np.argwhere(mask.array_kji)[:, ::-1].astype(float))
    return centers[np.lexsort(centers.T)]


def expectedCenters(node, count):
    from REACTDistillScene.volumes import worldGrid

    centers = worldGrid(node).to_ras(np.array([[3.0 + i, 2.0, 1.0] for i in range(count)]))
    return centers[np.lexsort(centers.T)]


@pytest.mark.parametrize("isMoved", [False, True], ids=["no transform", "rotated parent transform"])
def test_segments_lie_on_the_voxels_of_the_reference(scene, isMoved) -> None:
    from REACTDistillScene.tumorresults import showSegmentation

    turned = np.array([[0, -1, 0, 100], [1, 0, 0, -20], [0, 0, 1, 5], [0, 0, 0, 1.0]])
    node = imageNode(transform=transformNode(turned) if isMoved else None)
    nodes = showSegmentation(finding(node, maps=True), node, given=GIVEN)
    for region, count in {"WT": 4, "TC": 2, "ET": 1}.items():
        assert np.allclose(voxelCenters(nodes.segmentation, region), expectedCenters(node, count), atol=1e-6)
    assert nodes.segmentation.GetTransformNodeID() == node.GetTransformNodeID()
    role = nodes.segmentation.GetReferenceImageGeometryReferenceRole()
    assert nodes.segmentation.GetNodeReference(role) is node
    from REACTDistillScene.volumes import volumeFromNode

    heat = volumeFromNode(nodes.probabilityMaps["TC"])
    assert heat.grid.same_as(finding(node).segmentation.grid)
    assert np.all(heat.array_kji == np.float32(0.25))


def test_a_volume_moved_while_it_was_segmented_keeps_its_tumor_on_the_same_anatomy(scene) -> None:
    from REACTDistillScene.tumorresults import showSegmentation

    node = imageNode()
    said = finding(node)
    shift = np.eye(4)
    shift[:3, 3] = (11.0, -7.0, 3.0)
    node.SetAndObserveTransformNodeID(transformNode(shift).GetID())
    nodes = showSegmentation(said, node, given=GIVEN)
    assert np.allclose(voxelCenters(nodes.segmentation, "WT"), expectedCenters(node, 4), atol=1e-6)


def test_segments_carry_name_color_and_terminology(scene) -> None:
    import slicer
    import vtk
    from REACTDistillScene.tumorresults import showSegmentation

    node = imageNode()
    segmentation = showSegmentation(finding(node), node, given=GIVEN).segmentation.GetSegmentation()
    types = {}
    for region in segmentation.GetSegmentIDs():
        segment, tag = segmentation.GetSegment(region), vtk.reference("")
        segment.GetTag(segment.GetTerminologyEntryTagName(), tag)
        entry = slicer.vtkSlicerTerminologyEntry()
        assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(tag.get(), entry)
        types[segment.GetName()] = (entry.GetTypeObject().GetCodeValue(), entry.GetRegionObject().GetCodeMeaning())
    assert types == {
        "Whole tumor (WT)": ("52988006", "Brain"),
        "Tumor core (TC)": ("108369006", "Brain"),
        "Enhancing tumor (ET)": ("C113842", "Brain"),
    }
    assert len({segmentation.GetSegment(one).GetColor() for one in segmentation.GetSegmentIDs()}) == 3


def test_the_result_stands_in_the_study_of_the_image_and_its_table_says_what_was_given(scene) -> None:
    import slicer
    from REACTDistillScene.tables import cells
    from REACTDistillScene.tumorresults import showSegmentation

    node = imageNode()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.CreateItem(hierarchy.GetSceneItemID(), node), study)
    nodes = showSegmentation(finding(node, maps=True), node, given=GIVEN)
    for one in (nodes.segmentation, nodes.table, *nodes.probabilityMaps.values()):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(one)) == study
    rows = dict(cells(nodes.table))
    assert (rows["Sequences given"], rows["Sequences missing"]) == ("T1, FLAIR", "T1ce, T2")
    assert rows["Volume in ml of WT"] == "0.024"  # 4 voxels of 1 x 2 x 3 mm
    assert rows["Expected Dice of ET"] == "0.300"
    assert "not a medical device" in rows["Notice 1"]
    assert rows["Notice 3"] == "The field of view is cut."


def test_an_untouched_earlier_result_is_replaced_in_its_place(scene) -> None:
    import slicer
    from REACTDistillLib.steps import result_of
    from REACTDistillScene.tumorresults import showSegmentationInSteps

    node = imageNode()
    first = result_of(showSegmentationInSteps(finding(node, maps=True), node, given=GIVEN))
    first.segmentation.GetSegmentation().GetSegment("WT").SetName("my name for it")
    steps = showSegmentationInSteps(
        finding(node, wtVoxels=3), node, given=GIVEN, output=first.segmentation, earlier=first
    )
    second = result_of(steps)
    assert second.segmentation is first.segmentation
    assert second.table is first.table
    assert len(voxelCenters(second.segmentation, "WT")) == 3
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1  # the maps of the first result are gone
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")) == 1


def test_nothing_of_a_saved_probability_map_stays_when_the_next_result_takes_its_place(scene) -> None:
    from REACTDistillLib.steps import result_of
    from REACTDistillScene.tumorresults import showSegmentationInSteps

    node = imageNode()
    colors = scene.GetNumberOfNodesByClass("vtkMRMLColorNode")
    first = result_of(showSegmentationInSteps(finding(node, maps=True), node, given=GIVEN))
    assert first.probabilityMaps["TC"].AddDefaultStorageNode()  # what saving the scene does
    steps = showSegmentationInSteps(finding(node), node, given=GIVEN, output=first.segmentation, earlier=first)
    result_of(steps)
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeArchetypeStorageNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLColorNode") == colors


@pytest.mark.parametrize("work", ["drawn", "other segment"])
def test_a_segmentation_with_work_of_the_user_is_left_alone(scene, work) -> None:
    import slicer
    from REACTDistillScene.tumorresults import showSegmentation
    from vtk.util.numpy_support import vtk_to_numpy

    node = imageNode()
    first = showSegmentation(finding(node), node, given=GIVEN)
    if work == "drawn":
        image = first.segmentation.GetSegmentation().GetSegment("TC").GetRepresentation("Binary labelmap")
        vtk_to_numpy(image.GetPointData().GetScalars())[:6] = 1
    else:
        first.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
    before = {one: voxels(first.segmentation, one) for one in ("WT", "TC", "ET")}
    second = showSegmentation(finding(node, wtVoxels=3), node, given=GIVEN, output=first.segmentation)
    assert second.segmentation is not first.segmentation
    for region, array in before.items():
        assert np.array_equal(voxels(first.segmentation, region), array)
    assert slicer.mrmlScene.IsNodePresent(first.table)


def voxels(segmentation, region):
    from REACTDistillScene.segmentmasks import maskFromSegment

    return maskFromSegment(segmentation, region).array_kji


def test_a_color_table_that_the_user_chose_for_a_map_stays(scene) -> None:
    import slicer
    from REACTDistillLib.steps import result_of
    from REACTDistillScene.tumorresults import showSegmentation, showSegmentationInSteps

    node = imageNode()
    first = showSegmentation(finding(node, maps=True), node, given=GIVEN)
    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "Viridis")
    first.probabilityMaps["WT"].GetDisplayNode().SetAndObserveColorNodeID(chosen.GetID())
    tables = scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")
    steps = showSegmentationInSteps(finding(node), node, given=GIVEN, output=first.segmentation, earlier=first)
    result_of(steps)
    assert scene.IsNodePresent(chosen)
    assert scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode") == tables - 3  # those that were made are gone


def test_a_table_in_which_the_user_shows_an_image_stays(scene) -> None:
    from REACTDistillLib.steps import result_of
    from REACTDistillScene.tumorresults import showSegmentation, showSegmentationInSteps

    node = imageNode()
    first = showSegmentation(finding(node, maps=True), node, given=GIVEN)
    node.CreateDefaultDisplayNodes()
    own = first.probabilityMaps["WT"].GetDisplayNode().GetColorNode()
    node.GetDisplayNode().SetAndObserveColorNodeID(own.GetID())
    tables = scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")
    said = finding(node, maps=True)
    steps = showSegmentationInSteps(said, node, given=GIVEN, output=first.segmentation, earlier=first)
    again = result_of(steps)
    assert node.GetDisplayNode().GetColorNode() is own
    assert scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode") == tables + 1
    names = [one.GetName() for one in again.probabilityMaps.values()]
    assert names == [f"{first.segmentation.GetName()} {region} probability" for region in again.probabilityMaps]


def test_an_empty_region_is_an_empty_segment_and_counts_as_untouched(scene) -> None:
    from REACTDistillScene.tumorresults import showSegmentation
    from REACTDistillScene.tumorsegments import isUntouchedResult

    node = imageNode()
    said = finding(node)
    said.segmentation.masks["ET"].array_kji[:] = False
    nodes = showSegmentation(said, node, given=GIVEN)
    assert nodes.segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert isUntouchedResult(nodes.segmentation)


@pytest.mark.parametrize("isEmpty", [False, True], ids=["", "without enhancing tumor"])
def test_a_result_that_was_saved_and_loaded_still_counts_as_untouched(scene, tmp_path, isEmpty) -> None:
    import slicer
    from REACTDistillScene.scenefile import saveScene
    from REACTDistillScene.tumorresults import showSegmentation
    from REACTDistillScene.tumorsegments import isUntouchedResult

    node = imageNode()
    said = finding(node)
    if isEmpty:
        said.segmentation.masks["ET"].array_kji[:] = False
    showSegmentation(said, node, given=GIVEN)
    path = saveScene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(path), True)
    (loaded,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert isUntouchedResult(loaded)
    assert [loaded.GetSegmentation().GetSegment(one).GetName() for one in loaded.GetSegmentation().GetSegmentIDs()] == [
        "Whole tumor (WT)",
        "Tumor core (TC)",
        "Enhancing tumor (ET)",
    ]


def test_closing_it_half_way_leaves_the_scene_as_it_was(scene) -> None:
    from REACTDistillScene.tumorresults import showSegmentationInSteps

    node = imageNode()
    before = scene.GetNumberOfNodes()
    total = sum(1 for _ in showSegmentationInSteps(finding(imageNode("other"), maps=True), node, given=GIVEN))
    afterOne = scene.GetNumberOfNodes()
    for pauses in range(1, total + 1):
        steps = showSegmentationInSteps(finding(node, maps=True), node, given=GIVEN)
        for _ in range(pauses):
            next(steps)
        steps.close()
        assert scene.GetNumberOfNodes() == afterOne, pauses
    assert (total, afterOne > before) == (6, True)


def test_a_finding_of_another_image_is_refused(scene) -> None:
    from REACTDistillScene.tumorresults import showSegmentation
    from REACTDistillScene.volumes import nodeFromVolume

    other = nodeFromVolume(Volume(np.zeros((2, 3, 4), np.float32), Grid((2, 3, 4), np.eye(4))), "other")
    with pytest.raises(ValueError, match="does not belong to this volume"):
        showSegmentation(finding(imageNode()), other, given=GIVEN)


def test_tags_come_from_the_dicom_database_of_the_application(scene, monkeypatch) -> None:
    import slicer
    from REACTDistillScene.sequenceguess import guessAmong

    values = {"0008,103e": "AX T1 SE", "0018,0010": "Gadovist", "0008,0060": "MR"}
    database = SimpleNamespace(instanceValue=lambda uid, tag: values.get(tag, "") if uid == "1.2.3" else "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node = imageNode("401: axial")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    ((sequence, (found, guess)),) = guessAmong([node]).items()
    assert (sequence, found, guess.reason) == ("t1ce", node, "by series description and contrast agent")


def test_the_finest_sequence_gives_the_grid_and_equal_ones_go_by_name_not_by_order(scene) -> None:
    from REACTDistillScene.segmentjob import finestSequence

    coarse, one, other = (
        imageNode("t1", matrix=OBLIQUE @ np.diag([2.0, 2.0, 2.0, 1.0])),
        imageNode("t2"),
        imageNode("flair"),
    )
    assert finestSequence({"flair": other, "t1": coarse, "t2": one}) == "t2"
    assert finestSequence({"t1": coarse}) == "t1"
