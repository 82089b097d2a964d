"""The layers of the slice views: show a result, put back what was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import slicer

from .volumes import worldGrid

ATTENTION_ATTRIBUTE = "REACTDistill.Attention"
# Saved with the scene, so that a fill can be brought back after loading it.
_FILL_ATTRIBUTE = "REACTDistill.FillIsOff"


class Layers(NamedTuple):
    """What one slice view shows: node IDs, None for nothing, and the opacity of the foreground."""

    background: str | None
    foreground: str | None
    foregroundOpacity: float
    label: str | None


class Replaced(NamedTuple):
    """The layers of one slice view before a heat map was shown in it, and with it."""

    before: Layers
    shown: Layers


def showInSlices(
    attentionNode: Any, ctVolume: Any, *, opacity: float = 0.6, earlier: Mapping[str, Replaced] | None = None
) -> dict[str, Replaced]:
    """Show the CT with the heat map over it in all slice views; return what was replaced, by view.

    ``earlier`` is the answer for a heat map that is shown until now: views that still show it keep what it replaced.
    Without a layout manager (no main window) nothing is shown and the answer is empty.
    """
    composites = _compositeNodes()
    now = {name: _layersOf(composite) for name, composite in composites.items()}
    if composites:
        slicer.util.setSliceViewerLayers(
            background=ctVolume, foreground=attentionNode, foregroundOpacity=opacity, label=None
        )
    kept = {
        name: one.before for name, one in (earlier or {}).items() if name in now and _stillShows(now[name], one.shown)
    }
    before = {name: kept.get(name, _withoutHeatMap(layers)) for name, layers in now.items()}
    return {name: Replaced(before[name], _layersOf(composite)) for name, composite in composites.items()}


def jumpToStrongest(attentionNode: Any) -> None:
    """Bring all slice views to the strongest place of a heat map."""
    arrayKji = slicer.util.arrayFromVolume(attentionNode)
    k, j, i = np.unravel_index(int(arrayKji.argmax()), arrayKji.shape)
    placeRas = worldGrid(attentionNode).to_ras((i, j, k))
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, *placeRas.tolist(), slicer.vtkMRMLSliceNode.CenteredJumpSlice
    )


def restoreSlices(replaced: dict[str, Replaced]) -> None:
    """Put back what ``showInSlices`` replaced; a layer that the user has changed meanwhile stays as it is.

    Volumes that are gone by now become empty layers.
    """
    for name, composite in _compositeNodes().items():
        if name not in replaced:
            continue
        now, (before, shown) = _layersOf(composite), replaced[name]
        if _isUnchanged(now.background, shown.background):
            composite.SetBackgroundVolumeID(_idIfPresent(before.background))
        if _isUnchanged(now.foreground, shown.foreground):
            composite.SetForegroundVolumeID(_idIfPresent(before.foreground))
            composite.SetForegroundOpacity(before.foregroundOpacity)
        if _isUnchanged(now.label, shown.label):
            composite.SetLabelVolumeID(_idIfPresent(before.label))


def showOutlinesOnly(segmentation: Any) -> None:
    """Turn off the fill of a segmentation in slice views, which would cover a heat map; its outlines stay.

    ``restoreFills`` brings it back. ``segmentation`` may be None.
    """
    count = 0 if segmentation is None else segmentation.GetNumberOfDisplayNodes()
    displays = [segmentation.GetNthDisplayNode(index) for index in range(count)]
    for display in displays:
        if display is not None and display.GetVisibility2DFill():
            display.SetAttribute(_FILL_ATTRIBUTE, "1")
            display.SetVisibility2DFill(False)


def restoreFills() -> None:
    """Turn the fills on again that ``showOutlinesOnly`` turned off, also before the scene was saved and loaded."""
    for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode"):
        if display.GetAttribute(_FILL_ATTRIBUTE):
            display.RemoveAttribute(_FILL_ATTRIBUTE)
            display.SetVisibility2DFill(True)


def takeOutOfSlices(volumeNode: Any) -> None:
    """Empty every layer of the scene's slice views that shows this volume."""
    identifier = volumeNode.GetID()
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        for layer in ("Background", "Foreground", "Label"):
            if getattr(composite, f"Get{layer}VolumeID")() == identifier:
                getattr(composite, f"Set{layer}VolumeID")(None)


def _compositeNodes() -> dict[str, Any]:
    manager = slicer.app.layoutManager()
    if manager is None:
        return {}
    return {name: manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()}


def _layersOf(composite: Any) -> Layers:
    return Layers(
        composite.GetBackgroundVolumeID(),
        composite.GetForegroundVolumeID(),
        composite.GetForegroundOpacity(),
        composite.GetLabelVolumeID(),
    )


def _withoutHeatMap(layers: Layers) -> Layers:
    """A heat map, of this panel or of another, is nothing to come back to."""
    foreground = slicer.mrmlScene.GetNodeByID(layers.foreground or "")
    isHeatMap = foreground is not None and foreground.GetAttribute(ATTENTION_ATTRIBUTE)
    return layers._replace(foreground=None) if isHeatMap else layers


def _stillShows(now: Layers, shown: Layers) -> bool:
    """True when the volumes are those that were shown; the opacity may be another."""
    layers = ("background", "foreground", "label")
    return all(_isUnchanged(getattr(now, layer), getattr(shown, layer)) for layer in layers)


def _isUnchanged(now: Any, shown: Any) -> bool:
    """True for a layer that nobody but the scene has changed, which empties the layers of a volume that goes."""
    return now == shown or (now is None and _idIfPresent(shown) is None)


def _idIfPresent(identifier: str | None) -> str | None:
    return identifier if identifier and slicer.mrmlScene.GetNodeByID(identifier) is not None else None
