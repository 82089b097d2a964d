"""Volume node to Volume and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from REACTDistillLib.volume import Grid, Volume

from .transforms import transformToWorld
from .translation import tr as _

DisplayRange = tuple[float, float]


def volumeFromNode(volumeNode: Any) -> Volume:
    """The voxels of a scalar volume node as float32 (a copy), with their matrix to world RAS mm.

    The linear parent transform is part of the matrix. Raises ValueError for a node without image data, for a volume
    with several values per voxel and for a non-linear parent transform.
    """
    return Volume(scalarArray(volumeNode).astype(np.float32), worldGrid(volumeNode))


def scalarArray(volumeNode: Any) -> NDArray[np.number]:
    """The voxels of a scalar volume node (K, J, I) as they are, not copied; ValueError as ``volumeFromNode``."""
    image = volumeNode.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        raise ValueError(_("The volume holds no voxels; choose one that is loaded."))
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        text = _("The volume has {count} values per voxel; choose a scalar volume, such as a CT.")
        raise ValueError(text.format(count=components))
    arrayKji: NDArray[np.number] = slicer.util.arrayFromVolume(volumeNode)
    return arrayKji


def worldGrid(volumeNode: Any) -> Grid:
    """Grid of a volume node in world RAS mm. Raises ValueError for a non-linear parent transform."""
    shapeKji = volumeNode.GetImageData().GetDimensions()[::-1]
    return Grid(shapeKji, transformToWorld(volumeNode) @ localIjkToRas(volumeNode))


def localIjkToRas(volumeNode: Any) -> NDArray[np.float64]:
    """4x4 matrix of a volume node without its parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def nodeFromVolume(
    volume: Volume,
    name: str,
    *,
    transformNode: Any = None,
    displayRange: DisplayRange = (-160.0, 240.0),
    colorNodeId: str = "vtkMRMLColorTableNodeGrey",
) -> Any:
    """New scalar volume node that shows ``volume`` where it lies in the world.

    Under ``transformNode`` (linear) the node's own matrix is such that the world place stays the same. ``displayRange``
    are the values shown darkest and brightest; the default suits the liver in HU. A mask becomes 0 and 1.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    if transformNode is not None:
        node.SetAndObserveTransformNodeID(transformNode.GetID())
    matrix = np.linalg.inv(transformToWorld(node)) @ volume.grid.ijk_to_ras
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    arrayKji = volume.array_kji.astype(np.uint8) if volume.is_mask else volume.array_kji
    slicer.util.updateVolumeFromArray(node, arrayKji)
    setDisplay(node, displayRange=(0.0, 1.0) if volume.is_mask else displayRange, colorNodeId=colorNodeId)
    return node


def setDisplay(volumeNode: Any, *, displayRange: DisplayRange, colorNodeId: str) -> Any:
    """New display node of ``volumeNode`` with a fixed range.

    Made by hand because the default one searches the whole volume for a good range, which on a large CT takes as long
    as loading it.
    """
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*displayRange)
    display.SetAndObserveColorNodeID(colorNodeId)
    slicer.mrmlScene.AddNode(display)
    volumeNode.SetAndObserveDisplayNodeID(display.GetID())
    return display
