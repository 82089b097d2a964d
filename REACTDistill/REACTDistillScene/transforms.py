"""Where a node lies in the world: its linear parent transform, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from .translation import tr as _


def transformToWorld(node: Any) -> NDArray[np.float64]:
    """4x4 matrix from the node's own RAS mm to world RAS mm; the identity without a parent transform.

    Raises ValueError for a non-linear parent transform: no matrix says what it does. No sentence of this package holds
    a node's name: it may be a patient's, and the application logs what it shows.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        text = _(
            "The {kind} lies under a non-linear transform; harden the transform on it in the Transforms module and try "
            "again."
        )
        raise ValueError(text.format(kind=node.GetNodeTagName().lower()))
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def mapPoints(matrix: NDArray[np.floating], pointsRas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 3) in mm, moved by a 4x4 matrix."""
    return np.asarray(pointsRas, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
