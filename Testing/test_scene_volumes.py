import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from REACTDistillLib.volume import Volume
from REACTDistillScene.volumes import nodeFromVolume, volumeFromNode

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.2, 0.0, 0.9, -3.0], [-0.4, 0.0, 2.7, 7.0], [0, 0, 0, 1]])
FLIPPED = np.array([[-0.8, 0, 0, 100.0], [0, -0.8, 0, 90.0], [0, 0, -5.0, 40.0], [0, 0, 0, 1]])
QUARTER_TURN = np.array([[0, -1.0, 0, 30.0], [1.0, 0, 0, 0], [0, 0, 1.0, -10.0], [0, 0, 0, 1]])


pytestmark = pytest.mark.usefixtures("empty_scene")


def linear_transform(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Table shift")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def grid_transform():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    bspline = vtk.vtkThinPlateSplineTransform()
    points = [vtk.vtkPoints(), vtk.vtkPoints()]
    for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (40, 40, 40)):
        points[0].InsertNextPoint(*corner)
        points[1].InsertNextPoint(corner[0] + corner[1] ** 2 / 100, corner[1], corner[2])
    bspline.SetSourceLandmarks(points[0])
    bspline.SetTargetLandmarks(points[1])
    bspline.SetBasisToR()
    node.SetAndObserveTransformToParent(bspline)
    return node


def ramp(matrix):
    return Volume.from_array(np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4), matrix)


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE, FLIPPED], ids=["identity", "oblique", "flipped"])
def test_a_volume_goes_to_a_node_and_back_unchanged(matrix):
    volume = ramp(matrix)
    back = volumeFromNode(nodeFromVolume(volume, "CT"))
    assert np.array_equal(back.array_kji, volume.array_kji)
    assert back.grid.same_as(volume.grid)


def test_a_voxel_is_where_the_application_says_under_a_turned_parent_transform():
    node = nodeFromVolume(ramp(np.diag([2.0, 3.0, 4.0, 1.0])), "CT")
    node.SetAndObserveTransformNodeID(linear_transform(QUARTER_TURN).GetID())
    # Voxel (i, j, k) = (1, 2, 1): local (2, 6, 4), turned by 90 degrees (-6, 2, 4), moved by (30, 0, -10).
    assert volumeFromNode(node).grid.to_ras((1, 2, 1)).tolist() == [24.0, 2.0, -6.0]
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    corners = volumeFromNode(node).grid.corners_ras()
    assert np.allclose(bounds[::2], corners.min(axis=0))
    assert np.allclose(bounds[1::2], corners.max(axis=0))


def test_parents_of_parents_count_too():
    outer, inner = linear_transform(QUARTER_TURN), linear_transform(np.diag([1.0, 1.0, 2.0, 1.0]))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node = nodeFromVolume(ramp(np.eye(4)), "CT")
    node.SetAndObserveTransformNodeID(inner.GetID())
    assert volumeFromNode(node).grid.to_ras((1, 0, 1)).tolist() == [30.0, 1.0, -8.0]


def test_a_node_made_under_a_transform_keeps_the_volume_where_it_is():
    volume = ramp(OBLIQUE)
    node = nodeFromVolume(volume, "CT", transformNode=linear_transform(QUARTER_TURN))
    assert np.allclose(volumeFromNode(node).grid.ijk_to_ras, volume.grid.ijk_to_ras, atol=1e-9)


def test_the_voxels_are_a_copy():
    node = nodeFromVolume(ramp(np.eye(4)), "CT")
    volume = volumeFromNode(node)
    slicer.util.arrayFromVolume(node)[:] = -1
    assert volume.array_kji[1, 2, 3] == 23.0


def test_whole_numbers_become_float32():
    node = nodeFromVolume(ramp(np.eye(4)), "CT")
    slicer.util.updateVolumeFromArray(node, np.full((2, 3, 4), -1024, dtype=np.int16))
    volume = volumeFromNode(node)
    assert volume.array_kji.dtype == np.float32
    assert volume.array_kji.min() == -1024.0


def test_a_non_linear_transform_is_refused_with_what_to_do_and_without_the_name_of_the_node():
    node = nodeFromVolume(ramp(np.eye(4)), "Doe, Jane")
    node.SetAndObserveTransformNodeID(grid_transform().GetID())
    with pytest.raises(ValueError, match=r"^The volume lies under a non-linear transform; harden") as refusal:
        volumeFromNode(node)
    assert "Jane" not in str(refusal.value)


def test_a_node_without_voxels_is_refused():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Not loaded")
    with pytest.raises(ValueError, match=r"The volume holds no voxels"):
        volumeFromNode(node)


def test_a_color_picture_is_refused():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((1, 4, 5, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"The volume has 3 values per voxel"):
        volumeFromNode(node)
