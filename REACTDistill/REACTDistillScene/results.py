"""Finding to nodes, and their removal."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from numpy.typing import NDArray

from .colors import addAttentionColors, addGraphColors
from .graphmodel import addGraphModel, graphPolyData
from .hierarchy import placeBeside, removeItem
from .layers import takeOutOfSlices
from .tables import addFindingTable, addRegionTable
from .transforms import transformToWorld
from .volumes import localIjkToRas, setDisplay

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding

ATTENTION_ATTRIBUTE = "REACTDistill.Attention"
RESULT_ATTRIBUTE = "REACTDistill.Result"


@dataclass(frozen=True)
class FindingNodes:
    """The nodes that show one Finding; None where the Finding has no heat map or no region graph."""

    table: Any
    regionTable: Any = None
    attention: Any = None
    attentionColors: Any = None
    graph: Any = None
    graphColors: Any = None

    def present(self) -> list[Any]:
        """The nodes that exist, without None."""
        return [node for node in (getattr(self, field.name) for field in fields(self)) if node is not None]


def showFinding(finding: Finding, ctVolume: Any, *, name: str | None = None) -> FindingNodes:
    """New nodes that show a Finding beside the CT: in its study, under its parent transform.

    Names begin with ``name`` (default "<CT name> grade"): the table has it as it is, the others add "regions",
    "attention", "graph" and, for the color tables, "attention colors" and "graph colors". An existing name gets a
    number, "... 1", "... 2": no node is ever overwritten. If the CT was moved after it was graded, the results are at
    the new place, on the same anatomy.
    Raises ValueError when the heat map does not have the voxels of the CT.
    """
    worldToLocal = _worldToLocal(finding, ctVolume)
    name = _freeName(name or f"{ctVolume.GetName()} grade")
    nodes = FindingNodes(
        table=addFindingTable(finding, name, when=datetime.now()),
        **_attentionNodes(finding, ctVolume, name),
        **_graphNodes(finding, ctVolume, name, worldToLocal),
    )
    for node in nodes.present():
        _mark(node, finding)
        if not node.IsA("vtkMRMLColorNode"):
            placeBeside(node, ctVolume)
    return nodes


def removeFinding(nodes: FindingNodes) -> None:
    """Remove the nodes of a Finding with their display, color and storage nodes; nodes already gone are no error."""
    present = [node for node in nodes.present() if slicer.mrmlScene.IsNodePresent(node)]
    if nodes.attention in present:
        # A shown foreground is taken out first: the application would put another volume in its place.
        takeOutOfSlices(nodes.attention)
    for node in present:
        removeItem(node)
        for owned in [*_displayNodes(node), *_storageNodes(node), node]:
            slicer.mrmlScene.RemoveNode(owned)


def _worldToLocal(finding: Finding, ctVolume: Any) -> NDArray[np.floating]:
    """From the world as it was when the case was graded to the CT's own RAS mm.

    The heat map's grid tells where the CT lay then; without one the CT is taken to lie still.
    """
    if finding.attention is None:
        return np.linalg.inv(transformToWorld(ctVolume))
    shapeKji = ctVolume.GetImageData().GetDimensions()[::-1]
    if finding.attention.grid.shape_kji != shapeKji:
        raise ValueError(
            "the result does not belong to this volume: its heat map has "
            f"{finding.attention.grid.shape_kji} voxels (K, J, I), the volume {shapeKji}; grade this volume first."
        )
    return localIjkToRas(ctVolume) @ np.linalg.inv(finding.attention.grid.ijk_to_ras)


def _attentionNodes(finding: Finding, ctVolume: Any, name: str) -> dict[str, Any]:
    if finding.attention is None:
        return {}
    colors = addAttentionColors(f"{name} attention colors")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} attention")
    node.SetAndObserveTransformNodeID(ctVolume.GetTransformNodeID())
    node.CopyOrientation(ctVolume)
    slicer.util.updateVolumeFromArray(node, finding.attention.array_kji.astype(np.float32, copy=False))
    setDisplay(node, displayRange=(0.0, 1.0), colorNodeId=colors.GetID())
    node.SetAttribute(ATTENTION_ATTRIBUTE, "1")
    return {"attention": node, "attentionColors": colors}


def _graphNodes(finding: Finding, ctVolume: Any, name: str, worldToLocal: NDArray[np.floating]) -> dict[str, Any]:
    if finding.graph is None:
        return {}
    colors = addGraphColors(f"{name} graph colors")
    polyData = graphPolyData(finding.graph, worldToLocal)
    node = addGraphModel(polyData, f"{name} graph", colors, transformNode=ctVolume.GetParentTransformNode())
    return {
        "regionTable": addRegionTable(finding.graph, f"{name} regions"),
        "graph": node,
        "graphColors": colors,
    }


def _mark(node: Any, finding: Finding) -> None:
    node.SetAttribute(RESULT_ATTRIBUTE, "1")
    node.SetAttribute("REACTDistill.Student", finding.provenance.student)
    node.SetAttribute("REACTDistill.StudentVersion", finding.provenance.student_version)
    node.SetAttribute("REACTDistill.Class", finding.predicted_class)
    node.SetDescription(" ".join(finding.notices()))


def _freeName(wanted: str) -> str:
    name, number = wanted, 0
    while slicer.mrmlScene.GetFirstNodeByName(name) is not None:
        number += 1
        name = f"{wanted} {number}"
    return name


def _displayNodes(node: Any) -> list[Any]:
    if not node.IsA("vtkMRMLDisplayableNode"):
        return []
    shown = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    return [display for display in shown if display is not None]


def _storageNodes(node: Any) -> list[Any]:
    stored = [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    return [storage for storage in stored if storage is not None]
