"""Place in the subject hierarchy."""

from __future__ import annotations

from typing import Any

import slicer


def itemOf(node: Any) -> int:
    """Subject hierarchy item of a node; made under the scene where the node has none, as outside the application."""
    hierarchy = _hierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    return item


def placeBeside(node: Any, sibling: Any) -> None:
    """Put ``node`` under the parent (study) of ``sibling``."""
    hierarchy = _hierarchyNode()
    hierarchy.SetItemParent(itemOf(node), hierarchy.GetItemParent(itemOf(sibling)))


def removeItem(node: Any) -> None:
    """Remove the item of a node, not the node itself."""
    hierarchy = _hierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        hierarchy.RemoveItem(item, False, False)


def _hierarchyNode() -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
