"""Balls, rings and rods against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("vtk", reason="vtk is not installed")
pytest.importorskip("slicer", reason="slicer-core is not installed")

from REACTDistillScene.graphshapes import ball, polyDataOf, ring, rod
from vtk.util.numpy_support import vtk_to_numpy

CENTER = np.array([3.0, -4.0, 5.0])


def corners(shape):
    return np.moveaxis(shape.points[shape.triangles], 1, 0)  # (3, T, 3)


def volume(shape):
    """Of a closed surface whose triangles turn outward; negative when they turn inward."""
    a, b, c = (corner - CENTER for corner in corners(shape))
    return float((a * np.cross(b, c)).sum() / 6)


def area(shape):
    a, b, c = corners(shape)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_a_ball_has_its_volume_and_turns_outward():
    shape = ball(CENTER, 10.0)
    assert np.allclose(np.linalg.norm(shape.points - CENTER, axis=1), 10.0)
    assert volume(shape) == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ring_has_its_volume_and_lies_around_its_axis(axis):
    shape = ring(CENTER, axis, 10.0, 0.8)
    away = shape.points - CENTER
    assert np.abs(away[:, axis]).max() == pytest.approx(0.8)
    aside = np.linalg.norm(np.delete(away, axis, axis=1), axis=1)
    assert (aside.min(), aside.max()) == pytest.approx((9.2, 10.8))
    assert volume(shape) == pytest.approx(2 * np.pi**2 * 10 * 0.8**2, rel=0.06)


@pytest.mark.parametrize("along", [(0, 0, 20), (0, -7, 0), (3, 4, 12)])
def test_a_rod_has_its_area_and_ends_where_it_should(along):
    ends = np.array([CENTER, CENTER + along])
    shape = rod(ends, 1.5)
    length = float(np.linalg.norm(along))
    assert area(shape) == pytest.approx(2 * np.pi * 1.5 * length, rel=0.02)
    heights = (shape.points - CENTER) @ along / length
    assert np.allclose(np.sort(heights), np.repeat([0, length], 12))
    assert np.allclose(np.linalg.norm(np.cross(shape.points - CENTER, along), axis=1) / length, 1.5)


@pytest.mark.parametrize(
    "shape", [ball(CENTER, 10.0), ring(CENTER, 1, 10.0, 0.8), rod(np.array([CENTER, -CENTER]), 2.0)]
)
def test_normals_and_triangles_point_the_same_way(shape):
    a, b, c = corners(shape)
    facing = np.cross(b - a, c - a)
    isFlat = np.linalg.norm(facing, axis=1) < 1e-9  # at the poles of a ball
    assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1.0)
    assert ((facing * shape.normals[shape.triangles[:, 0]]).sum(axis=1)[~isFlat] > 0).all()


def test_poly_data_joins_the_shapes_and_gives_each_its_numbers():
    shapes = [ball(CENTER, 10.0), rod(np.array([CENTER, -CENTER]), 2.0)]
    polyData = polyDataOf(shapes, {"Radius": [10.0, 2.0]})
    counts = [len(shape.points) for shape in shapes]
    assert polyData.GetNumberOfPoints() == sum(counts)
    assert polyData.GetNumberOfPolys() == sum(len(shape.triangles) for shape in shapes)
    assert polyData.GetCell(polyData.GetNumberOfCells() - 1).GetPointId(0) >= counts[0]
    radii = vtk_to_numpy(polyData.GetPointData().GetArray("Radius"))
    assert radii.tolist() == [10.0] * counts[0] + [2.0] * counts[1]
    assert polyData.GetPointData().GetNormals().GetName() == "Normals"
