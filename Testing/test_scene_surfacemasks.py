"""Closed surfaces to voxels, against the conversion of the application, on real MRML nodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from REACTDistillLib.volume import Grid
from REACTDistillScene.segmentmasks import maskFromSegment, maskFromSegmentInSteps
from vtk.util.numpy_support import vtk_to_numpy

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.2, 0.0, 0.9, -3.0], [-0.4, 0.0, 2.7, 7.0], [0, 0, 0, 1]])
ANISOTROPIC = np.diag([-0.7, -0.7, 2.5, 1.0])
SHAPE_KJI = (40, 50, 60)

pytestmark = pytest.mark.usefixtures("empty_scene")


def sphere(center, radius=12.3):
    source = vtk.vtkSphereSource()
    source.SetCenter(*center)
    source.SetRadius(radius)
    source.SetThetaResolution(31)
    source.SetPhiResolution(23)
    source.Update()
    return source.GetOutput()


def star(center):
    """A wound surface: a ball pushed in and out."""
    mesh = vtk.vtkPolyData()
    mesh.DeepCopy(sphere(center))
    points = vtk_to_numpy(mesh.GetPoints().GetData())
    away = points - np.array(center)
    points[:] = center + away * (1 + 0.4 * np.sin(away[:, :1]) * np.cos(away[:, 1:2]))
    return mesh


def in_strips(mesh):
    stripper = vtk.vtkStripper()
    stripper.SetInputData(mesh)
    stripper.Update()
    assert stripper.GetOutput().GetNumberOfStrips() > 0
    return stripper.GetOutput()


def surface_node(mesh, matrix=None):
    """A segmentation whose one segment is only a surface, drawn on an image with this matrix, or on none."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surfaces")
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName("Closed surface")
    if matrix is not None:
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*SHAPE_KJI[::-1])
        image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
        geometry = slicer.vtkSegmentationConverter.SerializeImageGeometry(image)
        segmentation.SetConversionParameter("Reference image geometry", geometry)
    segment = slicer.vtkSegment()
    segment.SetName("Liver")
    segment.AddRepresentation("Closed surface", mesh)
    segmentation.AddSegment(segment, "Liver")
    return node


def world_points(mask):
    ras = mask.grid.to_ras(np.argwhere(mask.array_kji)[:, ::-1])
    return np.round(ras[np.lexsort(np.round(ras, 3).T)], 3)


def converted_by_the_application(node):
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Copy")
    copy.GetSegmentation().DeepCopy(node.GetSegmentation())
    copy.GetSegmentation().CopyConversionParameters(node.GetSegmentation())
    copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    assert copy.CreateBinaryLabelmapRepresentation()
    return maskFromSegment(copy, "Liver")


def assert_same_voxels(node):
    ours, expected = maskFromSegment(node, "Liver"), converted_by_the_application(node)
    assert expected.array_kji.sum() > 100
    assert ours.array_kji.shape == expected.array_kji.shape
    assert np.array_equal(world_points(ours), world_points(expected))


@pytest.mark.parametrize("matrix", [np.eye(4), ANISOTROPIC, OBLIQUE])
@pytest.mark.parametrize("shape", [sphere, star])
def test_the_voxels_are_those_of_the_application(matrix, shape):
    center = Grid(SHAPE_KJI, matrix).to_ras((29.6, 24.7, 19.8))
    assert_same_voxels(surface_node(shape(center), matrix))


def test_a_surface_of_strips_beyond_the_image_is_whole():
    node = surface_node(in_strips(star((0.3, 0.2, 0.1))), ANISOTROPIC)  # around a corner of the image
    assert_same_voxels(node)
    assert maskFromSegment(node, "Liver").grid.to_ras((0, 0, 0))[2] < 0


@pytest.mark.parametrize("oversampling", ["0.5", "2"])
def test_oversampling_is_that_of_the_application(oversampling):
    node = surface_node(sphere((20.1, 20.2, 20.3)), np.eye(4))
    node.GetSegmentation().SetConversionParameter("Oversampling factor", oversampling)
    assert_same_voxels(node)


def test_a_surface_drawn_on_no_image_is_as_fine_as_the_application_makes_it():
    node = surface_node(star((20.1, 20.2, 20.3)))
    ours, expected = maskFromSegment(node, "Liver"), converted_by_the_application(node)
    assert np.allclose(ours.grid.ijk_to_ras, expected.grid.ijk_to_ras, atol=1e-5)
    assert np.count_nonzero(ours.array_kji != expected.array_kji) <= 1e-5 * ours.array_kji.size


def test_a_parent_transform_moves_the_voxels():
    node = surface_node(sphere((20.1, 20.2, 20.3)), np.eye(4))
    before = maskFromSegment(node, "Liver")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turn")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(OBLIQUE))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert np.allclose(maskFromSegment(node, "Liver").grid.ijk_to_ras, OBLIQUE @ before.grid.ijk_to_ras)
    assert_same_voxels(node)


def test_the_work_is_done_in_many_steps_and_leaves_the_node_as_it_is():
    node = surface_node(sphere((100.0, 100.0, 100.0), radius=95.0), np.eye(4))
    steps = list(maskFromSegmentInSteps(node, "Liver"))
    assert len(steps) > 5  # 6.9 million voxels
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_a_surface_with_a_hole_is_named():
    mesh = vtk.vtkPolyData()
    mesh.DeepCopy(sphere((20.1, 20.2, 20.3)))
    mesh.BuildCells()
    for cell in range(300, 340):
        mesh.DeleteCell(cell)
    mesh.RemoveDeletedCells()
    node = surface_node(mesh, np.eye(4))
    with pytest.raises(ValueError, match='The surface of segment "Liver" has a hole; convert it to a binary labelmap'):
        maskFromSegment(node, "Liver")


@pytest.mark.parametrize("mesh", [vtk.vtkPolyData(), sphere((20.5, 20.5, 20.5), radius=0.1)])
def test_a_surface_that_holds_no_voxel_is_an_empty_segment(mesh):
    with pytest.raises(ValueError, match='Segment "Liver" is empty'):
        maskFromSegment(surface_node(mesh, np.eye(4)), "Liver")
