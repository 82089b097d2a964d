"""What the application does to the scene by itself, and what its user does to it."""

from __future__ import annotations

import slicer
import vtk

# Nodes of these classes get an item in the subject hierarchy when they are added.
_WITH_ITEM = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTableNode",
    "vtkMRMLModelNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLTextNode",
    "vtkMRMLTransformNode",
    "vtkMRMLMarkupsNode",
)


def hierarchyNode():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


class SubjectHierarchyItems:
    """Makes and removes the items of data nodes, as the application's plugins do."""

    def __init__(self, scene):
        self._scene = scene
        self._tags = [
            scene.AddObserver(scene.NodeAddedEvent, self._onAdded),
            scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onRemoved),
            scene.AddObserver(scene.EndImportEvent, self._onImported),
        ]

    def stop(self):
        for tag in self._tags:
            self._scene.RemoveObserver(tag)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onAdded(self, caller, event, node):
        if not self._scene.IsImporting():  # items that come with a file are read with it
            _addItem(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onRemoved(self, caller, event, node):
        if self._scene.IsClosing():
            return
        hierarchy = hierarchyNode()
        item = hierarchy.GetItemByDataNode(node)
        if item != hierarchy.GetInvalidItemID():
            hierarchy.RemoveItem(item, False, False)

    def _onImported(self, caller, event):
        for index in range(self._scene.GetNumberOfNodes()):
            _addItem(self._scene.GetNthNode(index))


def _addItem(node):
    if node.GetHideFromEditors() or not any(node.IsA(name) for name in _WITH_ITEM):
        return
    hierarchy = hierarchyNode()
    if hierarchy.GetItemByDataNode(node) == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


# What a user does, each as one action.


def renameNode(node, name):
    node.SetName(name)


def deleteNode(node):
    slicer.mrmlScene.RemoveNode(node)


def translateNode(node, offsetRasMm):
    """Put the node under a new linear transform, moved by ``offsetRasMm``; returns the transform node."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = vtk.vtkMatrix4x4()
    for axis, offset in enumerate(offsetRasMm):
        matrix.SetElement(axis, 3, offset)
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def untransformNode(node):
    node.SetAndObserveTransformNodeID(None)


def closeScene():
    slicer.mrmlScene.Clear(0)


def saveScene(path):
    """Write the scene as .mrb. Raises OSError when it could not be written."""
    if not slicer.mrmlScene.WriteToMRB(str(path)):
        raise OSError(f"{path} could not be written.")


def loadScene(path):
    """Close the scene and read a .mrb. Raises OSError when it could not be read."""
    if not slicer.mrmlScene.ReadFromMRB(str(path), True):
        raise OSError(f"{path} could not be read.")
