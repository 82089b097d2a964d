"""Balls, rings and rods of a region graph as one vtkPolyData, made of arrays: many times faster than by VTK sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

_BALL_ROWS, _BALL_SIDES = 24, 32
_RING_ROWS, _TUBE_SIDES = 65, 12


class Shape(NamedTuple):
    """One surface: points (P, 3) in RAS mm, outward normals (P, 3), triangles (T, 3) of point numbers."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    triangles: NDArray[np.int64]


def ball(center: NDArray[np.float64], radiusMm: float) -> Shape:
    """A ball."""
    normals = _ballNormals()
    return Shape(center + radiusMm * normals, normals, _triangles(_BALL_ROWS, _BALL_SIDES))


def ring(center: NDArray[np.float64], axis: int, radiusMm: float, tubeMm: float) -> Shape:
    """A ring around an axis (0 to 2: R, A, S); ``tubeMm`` is the radius of its tube."""
    radial, normals = _ringNormals(axis)
    return Shape(center + radiusMm * radial + tubeMm * normals, normals, _triangles(_RING_ROWS, _TUBE_SIDES))


def rod(endsRas: NDArray[np.float64], radiusMm: float) -> Shape:
    """A straight tube, open at both ends (2, 3), which must be apart."""
    around = _circle(_TUBE_SIDES) @ _across(endsRas[1] - endsRas[0])
    normals = np.concatenate([around, around])
    points = np.repeat(endsRas, _TUBE_SIDES, axis=0) + radiusMm * normals
    return Shape(points, normals, _triangles(2, _TUBE_SIDES))


def polyDataOf(shapes: Sequence[Shape], values: Mapping[str, Sequence[float]]) -> Any:
    """All shapes as one vtkPolyData; ``values`` has one number per shape by name of a point array."""
    counts = [len(shape.points) for shape in shapes]
    starts = np.cumsum([0, *counts[:-1]])
    triangles = np.concatenate([shape.triangles + start for shape, start in zip(shapes, starts, strict=True)])
    points, cells, polyData = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetData(_vtkArray(np.concatenate([shape.points for shape in shapes])))
    cells.SetData(3, numpy_to_vtkIdTypeArray(triangles.ravel(), deep=True))
    polyData.SetPoints(points)
    polyData.SetPolys(cells)
    normals = _vtkArray(np.concatenate([shape.normals for shape in shapes]))
    normals.SetName("Normals")
    polyData.GetPointData().SetNormals(normals)
    for name, numbers in values.items():
        array = _vtkArray(np.repeat(np.array(numbers, dtype=float), counts))
        array.SetName(name)
        polyData.GetPointData().AddArray(array)
    return polyData


def _vtkArray(values: NDArray[np.float64]) -> Any:
    return numpy_to_vtk(values.astype(np.float32), deep=True)


def _circle(count: int) -> NDArray[np.float64]:
    """Points around the unit circle, (count, 2)."""
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _across(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two unit vectors at right angles to a way and to each other, (2, 3); the three are right-handed."""
    unit = way / np.sqrt(way @ way)
    side = 1.0 if unit[2] >= 0 else -1.0
    # The mirror image of the axes that puts the third one on the way; numpy's cross product takes ten times as long.
    mirror = unit + np.array((0.0, 0.0, side))
    axes = np.eye(3) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
    return axes[:2] * [[1.0], [side]]


@lru_cache(maxsize=1)
def _ballNormals() -> NDArray[np.float64]:
    """Rows from pole to pole, (rows * sides, 3)."""
    heights = np.linspace(-np.pi / 2, np.pi / 2, _BALL_ROWS)
    around = np.tile(_circle(_BALL_SIDES), (_BALL_ROWS, 1)) * np.repeat(np.cos(heights), _BALL_SIDES)[:, None]
    return np.column_stack([around, np.repeat(np.sin(heights), _BALL_SIDES)])


@lru_cache(maxsize=3)
def _ringNormals(axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions from the center of a ring and from the middle of its tube, (rows * sides, 3) each."""
    turn = np.eye(3)[[(axis + 1) % 3, (axis + 2) % 3, axis]]
    radial = np.repeat(
        _circle(_RING_ROWS - 1)[np.arange(_RING_ROWS) % (_RING_ROWS - 1)] @ turn[:2], _TUBE_SIDES, axis=0
    )
    around = np.tile(_circle(_TUBE_SIDES), (_RING_ROWS, 1))
    return radial, around[:, :1] * radial - around[:, 1:] * turn[2]


@lru_cache(maxsize=3)
def _triangles(rows: int, sides: int) -> NDArray[np.int64]:
    """Two triangles between four neighbors of a sheet of points (rows, sides) that is closed along its sides."""
    row, side = np.indices((rows - 1, sides)).reshape(2, -1)
    here, beside = row * sides + side, row * sides + (side + 1) % sides
    halves = (here, beside, beside + sides), (here, beside + sides, here + sides)
    return np.concatenate([np.stack(half, axis=1) for half in halves])
