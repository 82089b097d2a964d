"""Finding to nodes, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from numpy.typing import NDArray
from REACTDistillLib.steps import result_of

from .colors import addAttentionColors, addGraphColors, showInOwnColors
from .graphmodel import addGraphModel, graphPolyData
from .hierarchy import placeBeside
from .layers import ATTENTION_ATTRIBUTE
from .resultnodes import markResult, removeWithOwned
from .tables import fillFindingTable, fillRegionTable
from .transforms import mapPoints
from .translation import tr as _
from .volumes import localIjkToRas, setDisplay

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding

Make = Callable[[str, Mapping[str, Any]], Any]
Update = Callable[[Any, "Finding", Any, NDArray[np.floating]], None]


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

    def inScene(self) -> dict[str, Any]:
        """The nodes that are in the scene, by field."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: one for name, one in named.items() if one is not None and slicer.mrmlScene.IsNodePresent(one)}


def showFinding(finding: Finding, ctVolume: Any, *, name: str | None = None) -> FindingNodes:
    """New nodes that show a Finding beside the CT: in its study, under its parent transform.

    Names begin with ``name`` (default "<CT name> grade"): the table has it as it is, the others add "regions",
    "attention", "graph" and, for the color tables, "attention colors" and "graph colors". An existing name gets a
    number, "... 1", "... 2": no node is ever overwritten. If the CT was moved after it was graded, the results are at
    the new place, on the same anatomy.
    Raises ValueError when the Finding is one of an image with other voxels than the CT.
    """
    return result_of(showFindingInSteps(finding, ctVolume, name=name))


def showFindingInSteps(
    finding: Finding, ctVolume: Any, *, name: str | None = None, earlier: FindingNodes | None = None
) -> Generator[None, None, FindingNodes]:
    """Like ``showFinding``, pausing between the nodes; closed half-way, it removes the nodes it has made.

    With ``earlier``, the nodes of an earlier Finding of the same CT are brought up to date instead, which is quicker
    and keeps how they are shown; those that are no longer in the scene are made anew.
    """
    worldToLocal = _worldToLocal(finding, ctVolume)
    kept = {} if earlier is None else earlier.inScene()
    name = kept["table"].GetName() if "table" in kept else _freeName(name or f"{ctVolume.GetName()} grade")
    nodes = dict(kept)
    isDone = False
    try:
        for field, suffix, make, update in _PARTS:
            if _isPartOf(finding, field) and not _isReplaced(field, kept):
                if field not in nodes:
                    nodes[field] = make(f"{name}{suffix}", nodes)
                update(nodes[field], finding, ctVolume, worldToLocal)
                markResult(nodes[field], finding)
                nodes[field].SetAttribute("REACTDistill.Class", finding.predicted_class)
                if field not in kept and not nodes[field].IsA("vtkMRMLColorNode"):
                    placeBeside(nodes[field], ctVolume)
                if not kept:  # nodes that are shown already must never tell of two Findings
                    yield
                    _checkPresent(ctVolume)
        isDone = True
    finally:
        if not isDone:
            removeFinding(FindingNodes(**{"table": None, **{k: node for k, node in nodes.items() if k not in kept}}))
    return FindingNodes(**nodes)


def _checkPresent(ctVolume: Any) -> None:
    if not slicer.mrmlScene.IsNodePresent(ctVolume):
        raise ValueError(_("The CT was removed while its result was shown, so the result was dropped."))


def removeFinding(nodes: FindingNodes) -> None:
    """Remove the nodes of a Finding with their display, color and storage nodes; nodes already gone are no error."""
    for node in nodes.present():
        removeWithOwned(node)


def _worldToLocal(finding: Finding, ctVolume: Any) -> NDArray[np.floating]:
    """From the world as it was when the case was graded to the CT's own RAS mm.

    The grid of the Finding tells where the CT lay then.
    """
    shapeKji = ctVolume.GetImageData().GetDimensions()[::-1]
    if finding.grid.shape_kji != shapeKji:
        text = _(
            "The result does not belong to this volume: it is of an image with {found} voxels (K, J, I), the volume "
            "has {expected}; grade this volume first."
        )
        raise ValueError(text.format(found=finding.grid.shape_kji, expected=shapeKji))
    return localIjkToRas(ctVolume) @ np.linalg.inv(finding.grid.ijk_to_ras)


def _isReplaced(field: str, kept: Mapping[str, Any]) -> bool:
    """True for the colors of a node that the user shows in others: it needs none of ours."""
    owner = kept.get(_SHOWN_IN.get(field, ""))
    display = None if owner is None else owner.GetDisplayNode()
    hasLostTable = display is not None and display.GetColorNode() is None
    return owner is not None and field not in kept and not hasLostTable


def _isPartOf(finding: Finding, field: str) -> bool:
    if field in ("attention", "attentionColors"):
        return finding.attention is not None
    return field == "table" or finding.graph is not None


def _makeNode(className: str) -> Make:
    return lambda name, nodes: slicer.mrmlScene.AddNewNodeByClass(className, name)


def _makeColors(field: str, add: Callable[[str], Any]) -> Make:
    def make(name: str, nodes: Mapping[str, Any]) -> Any:
        colors, owner = add(name), nodes.get(_SHOWN_IN[field])
        if owner is not None:  # it has lost its table
            showInOwnColors(owner, colors)
        return colors

    return make


def _makeAttention(name: str, nodes: Mapping[str, Any]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAttribute(ATTENTION_ATTRIBUTE, "1")
    colors = nodes["attentionColors"]
    setDisplay(node, displayRange=(0.0, 1.0), colorNodeId=colors.GetID())
    showInOwnColors(node, colors)
    return node


def _makeGraph(name: str, nodes: Mapping[str, Any]) -> Any:
    node = addGraphModel(name, nodes["graphColors"])
    showInOwnColors(node, nodes["graphColors"])
    return node


def _updateAttention(node: Any, finding: Finding, ctVolume: Any, worldToLocal: NDArray[np.floating]) -> None:
    assert finding.attention is not None
    wasModifying = node.StartModify()
    node.SetAndObserveTransformNodeID(ctVolume.GetTransformNodeID())
    if finding.attention_box is None:  # it leaves voxels of the CT out
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(worldToLocal @ finding.attention.grid.ijk_to_ras))
    else:
        node.CopyOrientation(ctVolume)
        lowerIjk = np.array(finding.attention_box.lower_kji[::-1])
        node.SetOrigin(mapPoints(localIjkToRas(ctVolume), lowerIjk).tolist())
    slicer.util.updateVolumeFromArray(node, finding.attention.array_kji)
    node.EndModify(wasModifying)


def _updateGraph(node: Any, finding: Finding, ctVolume: Any, worldToLocal: NDArray[np.floating]) -> None:
    assert finding.graph is not None
    node.SetAndObserveTransformNodeID(ctVolume.GetTransformNodeID())
    node.SetAndObservePolyData(graphPolyData(finding.graph, worldToLocal))


def _updateTable(node: Any, finding: Finding, *others: Any) -> None:
    fillFindingTable(node, finding, when=datetime.now())


def _updateRegionTable(node: Any, finding: Finding, *others: Any) -> None:
    assert finding.graph is not None
    fillRegionTable(node, finding.graph)


def _leave(*anything: Any) -> None:
    """Colors do not depend on the Finding."""


# Which node a table of colors is made for.
_SHOWN_IN = {"attentionColors": "attention", "graphColors": "graph"}
# Field of FindingNodes, ending of the name, how the node is made and how it is brought up to date, in this order.
_PARTS: tuple[tuple[str, str, Make, Update], ...] = (
    ("attentionColors", " attention colors", _makeColors("attentionColors", addAttentionColors), _leave),
    ("attention", " attention", _makeAttention, _updateAttention),
    ("graphColors", " graph colors", _makeColors("graphColors", addGraphColors), _leave),
    ("graph", " graph", _makeGraph, _updateGraph),
    ("regionTable", " regions", _makeNode("vtkMRMLTableNode"), _updateRegionTable),
    ("table", "", _makeNode("vtkMRMLTableNode"), _updateTable),
)


def _freeName(wanted: str) -> str:
    name, number = wanted, 0
    while slicer.mrmlScene.GetFirstNodeByName(name) is not None:
        number += 1
        name = f"{wanted} {number}"
    return name
