import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from node_cases import caseFromNodes
from REACTDistillLib.volume import Box, Volume
from REACTDistillScene.segmentmasks import maskFromSegment, unionOfMasks
from REACTDistillScene.segments import segmentationFromMasks
from REACTDistillScene.volumes import nodeFromVolume

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.2, 0.0, 0.9, -3.0], [-0.4, 0.0, 2.7, 7.0], [0, 0, 0, 1]])
SHAPE_KJI = (6, 7, 8)


pytestmark = pytest.mark.usefixtures("empty_scene")


def shift(r_mm):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"Shift {r_mm}")
    matrix = np.eye(4)
    matrix[0, 3] = r_mm
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def box_mask(lower_kji, upper_kji, matrix=None):
    array = np.zeros(SHAPE_KJI, dtype=bool)
    array[tuple(slice(l, u) for l, u in zip(lower_kji, upper_kji, strict=True))] = True
    return Volume.from_array(array, np.eye(4) if matrix is None else matrix)


def ct_node(matrix=None, transform=None):
    volume = Volume.from_array(np.zeros(SHAPE_KJI, dtype=np.float32), np.eye(4) if matrix is None else matrix)
    return nodeFromVolume(volume, "CT", transformNode=transform)


def world_points(mask):
    """Sorted RAS of all true voxels."""
    ras = mask.grid.to_ras(np.argwhere(mask.array_kji)[:, ::-1])
    return np.round(ras[np.lexsort(ras.T)], 6)


LIVER = ((1, 1, 1), (5, 6, 7))
TUMOR = ((2, 2, 2), (4, 4, 5))


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE, np.diag([-1.0, -1.0, 3.0, 1.0])])
@pytest.mark.parametrize("r_mm", [None, 30.0])
def test_segments_come_back_voxel_by_voxel_where_they_were(matrix, r_mm):
    transform = None if r_mm is None else shift(r_mm)
    masks = {"Liver": box_mask(*LIVER, matrix), "Tumor": box_mask(*TUMOR, matrix)}
    node = segmentationFromMasks(masks, ct_node(matrix, transform))
    for segmentId, mask in masks.items():
        assert np.array_equal(world_points(maskFromSegment(node, segmentId)), world_points(mask))


def test_the_application_sees_a_segment_at_its_world_place_under_a_moved_volume():
    """A voxel count cannot tell a segment that was shifted twice; its center in the world can."""
    node = segmentationFromMasks({"Tumor": box_mask(*TUMOR)}, ct_node(None, shift(30.0)))
    assert np.allclose(node.GetSegmentCenterRAS("Tumor"), (3.0, 2.5, 2.5), atol=0.6)
    node.SetAndObserveTransformNodeID(shift(50.0).GetID())
    assert np.allclose(node.GetSegmentCenterRAS("Tumor"), (23.0, 2.5, 2.5), atol=0.6)
    # i 2..4 at local r = i - 30, now under +50.
    assert sorted(set(world_points(maskFromSegment(node, "Tumor"))[:, 0])) == [22.0, 23.0, 24.0]


def test_a_mask_is_cropped_to_its_segment():
    node = segmentationFromMasks({"Tumor": box_mask(*TUMOR)}, ct_node())
    mask = maskFromSegment(node, "Tumor")
    assert mask.array_kji.shape == (2, 2, 3)
    assert mask.array_kji.all()
    assert mask.grid.ijk_to_ras[:3, 3].tolist() == [2.0, 2.0, 2.0]


def test_a_labelmap_that_does_not_begin_at_zero_is_where_its_first_voxel_is():
    import vtk

    image = slicer.vtkOrientedImageData()
    image.SetExtent(3, 4, 2, 2, 5, 6)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(OBLIQUE))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Regions")
    node.AddSegmentFromBinaryLabelmapRepresentation(image, "Tumor", (1, 0, 0), "Tumor")
    mask = maskFromSegment(node, "Tumor")
    assert mask.array_kji.shape == (2, 1, 2)
    assert np.allclose(mask.grid.to_ras((0, 0, 0)), (OBLIQUE @ (3, 2, 5, 1))[:3])


def test_a_label_map_imported_by_the_application_is_read_where_it_lies():
    labels = ct_node(OBLIQUE, shift(30.0))
    array = np.zeros(SHAPE_KJI, dtype=np.int16)
    array[2:4, 2:4, 2:5] = 7
    label_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    label_node.CopyOrientation(labels)
    label_node.SetAndObserveTransformNodeID(labels.GetTransformNodeID())
    slicer.util.updateVolumeFromArray(label_node, array)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Regions")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_node, node)
    mask = maskFromSegment(node, node.GetSegmentation().GetNthSegmentID(0))
    assert np.array_equal(world_points(mask), world_points(box_mask(*TUMOR, OBLIQUE)))


def test_overlapping_segments_do_not_cut_each_other_in_shared_layers_or_apart():
    masks = {"Liver": box_mask(*LIVER), "Tumor": box_mask(*TUMOR), "Far": box_mask((0, 0, 0), (1, 1, 1))}
    node = segmentationFromMasks(masks, ct_node())
    for collapse in (False, True):
        if collapse:
            node.GetSegmentation().CollapseBinaryLabelmaps(False)
            assert node.GetSegmentation().GetNumberOfLayers() == 2
        counts = {name: int(maskFromSegment(node, name).array_kji.sum()) for name in masks}
        assert counts == {"Liver": 4 * 5 * 6, "Tumor": 2 * 2 * 3, "Far": 1}


def test_an_unknown_segment_is_named_with_those_that_exist():
    node = segmentationFromMasks({"Liver": box_mask(*LIVER)}, ct_node(), name="Regions")
    with pytest.raises(ValueError, match=r'The segmentation has no segment "tumour"; it has "Liver"'):
        maskFromSegment(node, "tumour")


def test_an_empty_segment_is_named():
    node = segmentationFromMasks({"Liver": box_mask((0, 0, 0), (0, 0, 0))}, ct_node())
    with pytest.raises(ValueError, match='Segment "Liver" is empty'):
        maskFromSegment(node, "Liver")
    node.GetSegmentation().AddEmptySegment("fresh", "New one")
    with pytest.raises(ValueError, match='Segment "New one" is empty'):
        maskFromSegment(node, "fresh")


def exported(node, reference):
    """Label map of all segments on the voxels of a volume node, as the application exports them."""
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    ids = vtk.vtkStringArray()
    for segmentId in node.GetSegmentation().GetSegmentIDs():
        ids.InsertNextValue(segmentId)
    wholeReference = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    logic = slicer.modules.segmentations.logic()
    assert logic.ExportSegmentsToLabelmapNode(node, ids, labels, reference, wholeReference)
    return slicer.util.arrayFromVolume(labels)


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE])
def test_an_empty_segment_on_a_part_of_the_image_does_not_keep_the_others_from_being_exported(matrix):
    part = Box((1, 1, 1), (6, 6, 7))
    masks = {name: box_mask(*box, matrix).cropped(part) for name, box in {"Liver": LIVER, "Tumor": TUMOR}.items()}
    masks["Nothing"] = Volume(np.zeros_like(masks["Liver"].array_kji), masks["Liver"].grid)
    reference = ct_node(matrix)
    labels = exported(segmentationFromMasks(masks, reference), reference)
    assert labels.shape == SHAPE_KJI
    assert np.bincount(labels.ravel()).tolist() == [6 * 7 * 8 - 4 * 5 * 6, 4 * 5 * 6 - 2 * 2 * 3, 2 * 2 * 3]


def test_a_closed_surface_becomes_voxels_and_the_node_stays_as_it_is():
    node = segmentationFromMasks({"Liver": box_mask(*LIVER)}, ct_node())
    segmentation = node.GetSegmentation()
    segmentation.SetConversionParameter("Smoothing factor", "0.0")
    assert node.CreateClosedSurfaceRepresentation()
    segmentation.SetSourceRepresentationName("Closed surface")
    segmentation.RemoveRepresentation("Binary labelmap")
    mask = maskFromSegment(node, "Liver")
    assert not segmentation.ContainsRepresentation("Binary labelmap")
    assert int(mask.array_kji.sum()) == pytest.approx(4 * 5 * 6, rel=0.15)
    assert np.allclose(world_points(mask).mean(axis=0), (3.5, 3.0, 2.5), atol=0.3)


def test_masks_of_one_lattice_join_exactly_whatever_their_extent():
    first = Volume.from_array(np.ones((1, 2, 3), bool), OBLIQUE)
    moved = OBLIQUE.copy()
    moved[:3, 3] += OBLIQUE[:3, :3] @ (2, -1, 4)  # begins at i 2, j -1, k 4 of the first
    joined = unionOfMasks([first, Volume.from_array(np.ones((2, 2, 2), bool), moved)])
    assert joined.array_kji.shape == (6, 3, 4)
    assert int(joined.array_kji.sum()) == 6 + 8
    assert np.allclose(joined.grid.to_ras((0, 1, 0)), OBLIQUE[:3, 3])


def test_masks_of_two_lattices_join_on_the_finer_one():
    coarse = Volume.from_array(np.ones((1, 1, 1), bool), np.diag([2.0, 2.0, 2.0, 1.0]))  # covers -1 to 1 mm
    fine_matrix = np.eye(4)
    fine_matrix[:3, 3] = (4.5, 0.5, 0.5)
    joined = unionOfMasks([coarse, Volume.from_array(np.ones((1, 1, 1), bool), fine_matrix)])
    assert joined.grid.voxel_ml == pytest.approx(0.001)
    assert int(joined.array_kji.sum()) == 8 + 1


def test_terminology_and_color_follow_the_name():
    node = segmentationFromMasks({"Liver": box_mask(*LIVER), "Tumor 2": box_mask(*TUMOR)}, ct_node())
    liver, tumor = (node.GetSegmentation().GetSegment(name) for name in ("Liver", "Tumor 2"))
    assert np.round(np.array(liver.GetColor()) * 255).tolist() == [221, 130, 101]
    tag = vtk_tag(tumor)
    assert "SCT^4147007^Mass" in tag
    assert "SCT^10200004^Liver" in tag
    assert "SCT^10200004^Liver" in vtk_tag(liver)


def vtk_tag(segment):
    import vtk

    value = vtk.reference("")
    assert segment.GetTag(segment.GetTerminologyEntryTagName(), value)
    return str(value)


def test_a_case_takes_segments_of_any_name_and_order():
    ct = ct_node()
    masks = {"B": box_mask(*TUMOR), "x": box_mask((0, 0, 0), (1, 1, 1)), "A": box_mask(*LIVER)}
    segmentation = segmentationFromMasks(masks, ct)
    case = caseFromNodes(ct, segmentation, "A", ["x", "B"])
    assert case.identifier == "case"
    assert set(case.sequences) == {"ct"}
    assert int(case.regions["liver"].array_kji.sum()) == 4 * 5 * 6
    assert int(case.regions["tumor"].array_kji.sum()) == 2 * 2 * 3 + 1
    assert set(caseFromNodes(ct, segmentation, "A").regions) == {"liver"}
    assert int(caseFromNodes(ct, segmentation, "A", "B").regions["tumor"].array_kji.sum()) == 12


def test_ct_and_segmentation_may_lie_under_different_transforms():
    ct = ct_node(None, shift(30.0))
    segmentation = segmentationFromMasks({"Liver": box_mask(*LIVER)}, ct_node())
    segmentation.SetAndObserveTransformNodeID(shift(-7.0).GetID())
    case = caseFromNodes(ct, segmentation, "Liver")
    assert case.sequences["ct"].grid.to_ras((0, 0, 0)).tolist() == [0.0, 0.0, 0.0]
    assert world_points(case.regions["liver"])[:, 0].min() == 1.0 - 7.0


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [((None, "s", "Liver"), "No CT volume"), (("c", None, "Liver"), "No segmentation"), (("c", "s", ""), "no segment")],
)
def test_what_is_not_chosen_is_said(chosen, sentence):
    ct = ct_node()
    nodes = {"c": ct, "s": segmentationFromMasks({"Liver": box_mask(*LIVER)}, ct), None: None}
    with pytest.raises(ValueError, match=sentence):
        caseFromNodes(nodes[chosen[0]], nodes[chosen[1]], chosen[2])


def test_one_segment_cannot_be_liver_and_tumor():
    ct = ct_node()
    with pytest.raises(ValueError, match="as liver and as tumor"):
        caseFromNodes(ct, segmentationFromMasks({"Liver": box_mask(*LIVER)}, ct), "Liver", ["Liver"])
