"""What the nodes of every result have in common: their mark, and how they leave the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from .hierarchy import removeItem
from .layers import takeOutOfSlices

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding

RESULT_ATTRIBUTE = "REACTDistill.Result"


def markResult(node: Any, finding: Finding) -> None:
    """Write into a node which student it comes from, and into its description that it is no medical device."""
    node.SetAttribute(RESULT_ATTRIBUTE, "1")
    node.SetAttribute("REACTDistill.Student", finding.provenance.student)
    node.SetAttribute("REACTDistill.StudentVersion", finding.provenance.student_version)
    node.SetDescription(" ".join(finding.notices()))


def removeWithOwned(node: Any) -> None:
    """Remove a node with its item, display and storage nodes; one that has gone already is no error.

    A volume first leaves the slice views, where the application would put another one in its place. A color table in
    which something else is shown by now stays.
    """
    if not slicer.mrmlScene.IsNodePresent(node) or _areColorsInUse(node):
        return
    if node.IsA("vtkMRMLVolumeNode"):
        takeOutOfSlices(node)
    # The node first: while it is there, the application looks for its item. It then removes that itself.
    for one in [node, *_displayNodes(node), *_storageNodes(node)]:
        if slicer.mrmlScene.IsNodePresent(one):
            slicer.mrmlScene.RemoveNode(one)
    removeItem(node)


def _areColorsInUse(node: Any) -> bool:
    displays = slicer.util.getNodesByClass("vtkMRMLDisplayNode") if node.IsA("vtkMRMLColorNode") else []
    return any(display.GetColorNodeID() == node.GetID() for display in displays)


def _displayNodes(node: Any) -> list[Any]:
    if not node.IsA("vtkMRMLDisplayableNode"):
        return []
    shown = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    return [display for display in shown if display is not None]


def _storageNodes(node: Any) -> list[Any]:
    stored = [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    return [storage for storage in stored if storage is not None]
