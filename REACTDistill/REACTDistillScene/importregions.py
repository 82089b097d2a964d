"""Import of regions, from files or from a label map in the scene, as works that a job runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from REACTDistillLib.exchange import volume_from_file
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Grid, Volume

from .hierarchy import placeBeside
from .labelmaps import labelName, masksInSteps
from .segments import segmentationInSteps
from .transforms import transformToWorld
from .translation import tr as _
from .volumes import localIjkToRas, worldGrid

Steps = Generator[None, None, Any]


class ImportWork:
    """Reads region masks of any format of ``read_masks`` in the worker and makes a new segmentation of them.

    The voxels of the file lie where the scanner put them, as those of the CT do; so the segmentation follows the CT
    under its parent transform. ``onSegmentation(node)`` is called with the new node. Raises ValueError without a CT,
    for a CT under a non-linear transform, and when no region meets it.
    """

    def __init__(self, path: Path | str, ctVolume: Any, onSegmentation: Callable[[Any], None]) -> None:
        _checkCT(ctVolume)
        self._path, self._ctVolume, self._onSegmentation = Path(path), ctVolume, onSegmentation

    def prepare(self, folder: Path, held: frozenset[str]) -> Steps:
        """Request for the task "masks"."""
        yield
        shapeKji = self._ctVolume.GetImageData().GetDimensions()[::-1]
        grid = {"shape_kji": list(shapeKji), "ijk_to_ras": localIjkToRas(self._ctVolume).tolist()}
        return {"task": "masks", "path": str(self._path), "grid": grid}

    def finish(self, answer: Mapping[str, Any], folder: Path) -> Steps:
        """Make the segmentation of the regions of the answer."""
        _checkCT(self._ctVolume)
        toWorld = transformToWorld(self._ctVolume)
        regions = ((one["name"], _moved(volume_from_file(one["volume"], folder), toWorld)) for one in answer["regions"])
        self._onSegmentation((yield from _segmentationBeside(self._ctVolume, regions)))


class LabelmapImportWork:
    """Makes a new segmentation of a label map node, without the worker; otherwise as ``ImportWork``."""

    def __init__(self, labelmapNode: Any, ctVolume: Any, onSegmentation: Callable[[Any], None]) -> None:
        _checkCT(ctVolume)
        self._labelmapNode, self._ctVolume, self._onSegmentation = labelmapNode, ctVolume, onSegmentation

    def prepare(self, folder: Path, held: frozenset[str]) -> Steps:
        """Does everything; None, for there is nothing to ask the worker for."""
        self._onSegmentation((yield from segmentationFromLabelmapInSteps(self._labelmapNode, self._ctVolume)))

    def finish(self, answer: Mapping[str, Any], folder: Path) -> Steps:
        """Nothing is left to do."""
        yield from ()


def importWork(
    source: Path | str | Any, ctVolume: Any, onSegmentation: Callable[[Any], None]
) -> ImportWork | LabelmapImportWork:
    """The work that imports ``source``, a path or a label map node, beside ``ctVolume``."""
    kind = ImportWork if isinstance(source, (str, Path)) else LabelmapImportWork
    return kind(source, ctVolume, onSegmentation)


def segmentationFromLabelmapNode(labelmapNode: Any, ctVolume: Any) -> Any:
    """New segmentation node with one segment per label, named by the color table, where the labels lie in the world.

    It lies under the transform of the CT and beside it, whatever the transform of the label map. Raises ValueError
    when the values are no labels, when there are none, and when none of them meets the CT.
    """
    return result_of(segmentationFromLabelmapInSteps(labelmapNode, ctVolume))


def segmentationFromLabelmapInSteps(labelmapNode: Any, ctVolume: Any) -> Steps:
    """Like ``segmentationFromLabelmapNode``, pausing every few milliseconds."""
    masks = yield from masksInSteps(labelmapNode)
    _checkCT(ctVolume)
    named = ((labelName(labelmapNode, value), mask) for value, mask in masks.items())
    return (yield from _segmentationBeside(ctVolume, named))


def _checkCT(ctVolume: Any) -> None:
    if ctVolume is None or ctVolume.GetImageData() is None or not slicer.mrmlScene.IsNodePresent(ctVolume):
        raise ValueError(_("There is no CT that the regions could belong to; choose a CT volume and import again."))
    transformToWorld(ctVolume)  # refuses a warp before anything is read


def _segmentationBeside(ctVolume: Any, regions: Iterator[tuple[str, Volume]]) -> Steps:
    node = yield from segmentationInSteps(_belonging(regions, ctVolume), ctVolume, name=_("Imported regions"))
    placeBeside(node, ctVolume)
    return node


def _belonging(regions: Iterator[tuple[str, Volume]], ctVolume: Any) -> Iterator[tuple[str, Volume]]:
    """``regions`` one by one; ValueError at their end if there were none, or none that meets the CT."""
    ctGrid = worldGrid(ctVolume)
    isFound = meets = False
    for name, mask in regions:
        isFound, meets = True, meets or _meet(mask.grid, ctGrid)
        yield name, mask
    if not isFound:
        raise ValueError(_("No region is marked there; choose another file or label map."))
    if not meets:
        raise ValueError(_("All regions lie outside the CT; choose a file or label map that belongs to this CT."))
    _checkCT(ctVolume)


def _meet(grid: Grid, other: Grid) -> bool:
    """Whether the boxes of two grids have a point in common, as seen along the axes of ``other``."""
    ijk = other.to_ijk(grid.corners_ras())
    upper = np.array(other.shape_kji[::-1]) - 0.5
    return bool((ijk.max(axis=0) > -0.5).all() and (ijk.min(axis=0) < upper).all())


def _moved(mask: Volume, matrix: Any) -> Volume:
    return Volume(mask.array_kji, Grid(mask.grid.shape_kji, matrix @ mask.grid.ijk_to_ras))
