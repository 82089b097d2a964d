"""Closed surface of a segmentation to mask Volume."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from REACTDistillLib.geometry import mask_box
from REACTDistillLib.surface import surface_box, surface_mask_in_steps
from REACTDistillLib.volume import Grid, Volume
from vtk.util.numpy_support import vtk_to_numpy

from .transforms import mapPoints

# What the application chooses for a surface that was drawn on no image: so many voxels along a side of its box.
_VOXELS_WITHOUT_IMAGE = 250


def surfaceMaskInSteps(
    segmentation: Any, surface: Any, toWorld: NDArray[np.floating]
) -> Generator[None, None, Volume | None]:
    """The voxels inside a closed surface (vtkPolyData) of a vtkSegmentation, cropped to them; None without any.

    They are those that the application would make of it, which takes it seconds in one piece where this pauses every
    few milliseconds: on the lattice of the image that the segmentation was drawn on or, without one, as fine as the
    application chooses. ``toWorld`` (4x4) leads from the segmentation to world RAS mm. Raises OpenSurfaceError for a
    surface with a hole.
    """
    points, triangles = _mesh(surface)
    if not len(triangles) or min(np.ptp(points, axis=0)) == 0.0:
        return None
    yield
    ijkToRas = _lattice(segmentation, points)
    pointsIjk = mapPoints(np.linalg.inv(ijkToRas), points)
    box = surface_box(pointsIjk)
    yield
    arrayKji = yield from surface_mask_in_steps(pointsIjk, triangles, box)
    found = mask_box(arrayKji)
    if found is None:
        return None
    first = np.eye(4)
    first[:3, 3] = box.lower_kji[::-1]
    return Volume(arrayKji, Grid(box.shape_kji, toWorld @ ijkToRas @ first)).cropped(found)


def _mesh(surface: Any) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Points (P, 3) in mm and triangles (T, 3) of a vtkPolyData of any polygons and strips."""
    triangulate = vtk.vtkTriangleFilter()
    triangulate.PassLinesOff()
    triangulate.PassVertsOff()
    triangulate.SetInputData(surface)
    triangulate.Update()
    mesh = triangulate.GetOutput()
    if mesh.GetNumberOfPolys() == 0:
        return np.empty((0, 3)), np.empty((0, 3), dtype=int)
    corners = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray())
    return vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64), corners.reshape(-1, 3)


def _lattice(segmentation: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """4x4 matrix of the voxels that the application would give a surface with these points."""
    image = slicer.vtkOrientedImageData()
    reference = segmentation.GetConversionParameter("Reference image geometry")
    if reference:
        slicer.vtkSegmentationConverter.DeserializeImageGeometry(reference, image, False)
    else:
        image.SetOrigin(*points.min(axis=0))
        image.SetSpacing(*[np.cbrt(np.prod(np.ptp(points, axis=0), dtype=float)) / _VOXELS_WITHOUT_IMAGE] * 3)
    slicer.vtkCalculateOversamplingFactor.ApplyOversamplingOnImageGeometry(image, _oversampling(segmentation))
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _oversampling(segmentation: Any) -> float:
    factor = segmentation.GetConversionParameter("Oversampling factor")
    return 1.0 if factor == "A" else float(factor)  # automatic, by how winding the surface is: it is fine as it is
