"""Finding of a segmentation to nodes: segmentation, table, probability maps; and their removal."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from numpy.typing import NDArray
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Grid, Volume

from .colors import addAttentionColors, ownColors, showInOwnColors
from .hierarchy import placeBeside
from .layers import ATTENTION_ATTRIBUTE
from .resultnodes import RESULT_ATTRIBUTE, markResult, removeWithOwned
from .sequenceguess import SEQUENCES, labelsOf
from .tables import fillTable, provenanceRows
from .transforms import transformToWorld
from .translation import tr as _
from .tumorsegments import isUntouchedResult, replaceSegments, tumorSegmentationInSteps
from .volumes import localIjkToRas, setDisplay

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding

GIVEN = "Sequences given"
MISSING = "Sequences missing"
VOLUME = "Volume in ml of "
EXPECTED = "Expected Dice of "
EXPECTATION = "Expectation"


@dataclass(frozen=True)
class SegmentationNodes:
    """The nodes that show one Finding; probability maps by region, none unless they were asked for."""

    segmentation: Any = None
    table: Any = None
    probabilityMaps: Mapping[str, Any] = field(default_factory=dict)


def showSegmentation(finding: Finding, referenceNode: Any, *, given: tuple[str, ...], output: Any = None) -> Any:
    """Nodes that show a Finding beside the volume whose grid it has: in its study, under its parent transform.

    ``given`` are the sequences that the student had. The segmentation is ``output`` when that holds nothing but
    an earlier result that nobody has edited, or nothing at all; else a new one, so that no work of the user is lost.
    If the volume was moved meanwhile, the result is at the new place, on the same anatomy. Raises ValueError when the
    Finding is one of an image with other voxels, holds no segmentation, or the parent transform is not linear.
    """
    return result_of(showSegmentationInSteps(finding, referenceNode, given=given, output=output))


def showSegmentationInSteps(
    finding: Finding,
    referenceNode: Any,
    *,
    given: tuple[str, ...],
    output: Any = None,
    earlier: SegmentationNodes | None = None,
) -> Generator[None, None, SegmentationNodes]:
    """Like ``showSegmentation``, pausing between the nodes; closed half-way, it leaves the scene as it was.

    The table and the maps of an ``earlier`` result are replaced together with its segmentation, and only then.
    """
    said = finding.segmentation
    if said is None:
        raise ValueError(_("The student made no segmentation; choose one that segments brain tumors."))
    moved = _moved(finding, referenceNode)
    name = _("{volume} tumor segmentation").format(volume=referenceNode.GetName())
    fresh: Any = None
    maps: dict[str, Any] = {}
    isDone = False
    try:
        masks = {region: _movedVolume(mask, moved) for region, mask in said.masks.items()}
        fresh = yield from tumorSegmentationInSteps(masks, referenceNode, name=name)
        for region, volume in (said.probability_maps or {}).items():
            shown = output if _isReplaced(output) else fresh
            maps[region] = _mapNode(f"{shown.GetName()} {region}", _movedVolume(volume, moved), referenceNode)
            yield
        # From here on without a pause: nobody sees a segmentation of one result beside the numbers of another.
        nodes = _settled(finding, referenceNode, fresh, maps, given, output, earlier or SegmentationNodes())
        isDone = True
    finally:
        if not isDone:
            _removeMaps(maps)
            if fresh is not None:
                removeWithOwned(fresh)
    return nodes


def _settled(
    finding: Finding,
    referenceNode: Any,
    fresh: Any,
    maps: Mapping[str, Any],
    given: tuple[str, ...],
    output: Any,
    earlier: SegmentationNodes,
) -> SegmentationNodes:
    isReplaced, table = _isReplaced(output), None
    if isReplaced:
        wasEmpty = output.GetSegmentation().GetNumberOfSegments() == 0
        replaceSegments(output, fresh)
        if wasEmpty:
            placeBeside(output, referenceNode)
        if output is earlier.segmentation:
            _removeMaps(earlier.probabilityMaps)
            table = earlier.table if earlier.table and slicer.mrmlScene.IsNodePresent(earlier.table) else None
    else:
        placeBeside(fresh, referenceNode)
    segmentation = output if isReplaced else fresh
    if table is None:
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", f"{segmentation.GetName()} result")
        placeBeside(table, referenceNode)
    fillTable(table, _columns(finding, given, when=datetime.now()))
    for node in (segmentation, table, *maps.values()):
        markResult(node, finding)
    return SegmentationNodes(segmentation, table, dict(maps))


def _isReplaced(output: Any) -> bool:
    return output is not None and slicer.mrmlScene.IsNodePresent(output) and isUntouchedResult(output)


def _columns(finding: Finding, given: tuple[str, ...], *, when: datetime) -> dict[str, list[str]]:
    """Item and Value: what was given, volumes, expected Dice, provenance, then every notice."""
    said = finding.segmentation
    assert said is not None  # the caller has refused a Finding without one
    expected = said.expectation or {}
    rows = [(GIVEN, labelsOf(given)), (MISSING, labelsOf([name for name in SEQUENCES if name not in given]) or "none")]
    rows += [(f"{VOLUME}{region}", f"{volume:.3f}") for region, volume in said.volumes_ml.items()]
    rows += [(f"{EXPECTED}{region}", f"{dice:.3f}") for region, dice in expected.get("dice", {}).items()]
    rows += [(EXPECTATION, str(expected["sentence"]))] * bool(expected.get("sentence"))
    rows += provenanceRows(finding, when=when)
    return {"Item": [row[0] for row in rows], "Value": [row[1] for row in rows]}


def _moved(finding: Finding, referenceNode: Any) -> NDArray[np.floating]:
    """From the world as it was when the case was segmented to the world as it is now."""
    shapeKji = referenceNode.GetImageData().GetDimensions()[::-1]
    if finding.grid.shape_kji != shapeKji:
        text = _(
            "The result does not belong to this volume: it is of an image with {found} voxels (K, J, I), the volume "
            "has {expected}; segment this volume first."
        )
        raise ValueError(text.format(found=finding.grid.shape_kji, expected=shapeKji))
    now = transformToWorld(referenceNode) @ localIjkToRas(referenceNode)
    isSame = np.allclose(now, finding.grid.ijk_to_ras, rtol=0.0, atol=1e-9)
    return np.eye(4) if isSame else now @ np.linalg.inv(finding.grid.ijk_to_ras)


def _movedVolume(volume: Volume, moved: NDArray[np.floating]) -> Volume:
    return Volume(volume.array_kji, Grid(volume.grid.shape_kji, moved @ volume.grid.ijk_to_ras))


def _mapNode(name: str, volume: Volume, referenceNode: Any) -> Any:
    colors = addAttentionColors(f"{name} probability colors")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} probability")
    for attribute in (ATTENTION_ATTRIBUTE, RESULT_ATTRIBUTE):
        node.SetAttribute(attribute, "1")
    setDisplay(node, displayRange=(0.0, 1.0), colorNodeId=colors.GetID())
    showInOwnColors(node, colors)
    node.SetAndObserveTransformNodeID(referenceNode.GetTransformNodeID())
    worldToLocal = np.linalg.inv(transformToWorld(referenceNode))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(worldToLocal @ volume.grid.ijk_to_ras))
    slicer.util.updateVolumeFromArray(node, volume.array_kji.astype(np.float32, copy=False))
    placeBeside(node, referenceNode)
    return node


def _removeMaps(maps: Mapping[str, Any]) -> None:
    """Remove probability maps, as far as they are still there, each with the color table made for it."""
    for node in maps.values():
        if node is not None and slicer.mrmlScene.IsNodePresent(node):
            colors = ownColors(node)
            removeWithOwned(node)
            if colors is not None:
                removeWithOwned(colors)
