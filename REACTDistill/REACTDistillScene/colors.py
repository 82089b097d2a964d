"""Colors: one ramp for heat (attention), one for importance for and against, as tables and as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray

from .resultnodes import RESULT_ATTRIBUTE

_ROLE = "REACTDistill.Colors"
COLOR_COUNT = 256
# Values below this share of the heat map are invisible, so that the CT is seen where the network saw nothing.
_SILENT_BELOW = 0.10
_FULL_FROM = 0.45

_HEAT_STOPS = (
    (0.0, (64, 20, 92)),
    (0.35, (168, 34, 96)),
    (0.6, (229, 92, 48)),
    (0.8, (251, 165, 10)),
    (1.0, (252, 250, 164)),
)
_IMPORTANCE_STOPS = ((-1.0, (58, 110, 210)), (0.0, (225, 225, 225)), (0.45, (246, 160, 60)), (1.0, (214, 40, 40)))
_SIMILARITY_STOPS = ((0.0, (90, 96, 110)), (1.0, (240, 244, 250)))


def heatColors() -> NDArray[np.uint8]:
    """RGB (256, 3) of the heat map as it looks over black, from 0 to 1."""
    share = np.linspace(0.0, 1.0, COLOR_COUNT)
    return np.round(_ramp(_HEAT_STOPS, share) * _heatAlpha(share)[:, None]).astype(np.uint8)


def importanceColors() -> NDArray[np.uint8]:
    """RGB (256, 3) of importance from -1 (blue: against the predicted class) over gray to 1 (red: for it)."""
    return _ramp(_IMPORTANCE_STOPS, np.linspace(-1.0, 1.0, COLOR_COUNT))


def importanceShade(share: ArrayLike) -> NDArray[np.float64]:
    """Place in the graph's color table, 0 to 1, of importance shares from -1 to 1: the lower half of the table."""
    return np.round((np.asarray(share) + 1) / 2 * (COLOR_COUNT - 1)) / (2 * COLOR_COUNT - 1)


def similarityShade(share: ArrayLike) -> NDArray[np.float64]:
    """Place in the graph's color table, 0 to 1, of similarity shares from 0 to 1: the upper half of the table."""
    return (COLOR_COUNT + np.round(np.asarray(share) * (COLOR_COUNT - 1))) / (2 * COLOR_COUNT - 1)


def addGraphColors(name: str) -> Any:
    """New color table node for region graphs: importance (lower half) and similarity, dark to light (upper half).

    One table for both, because a model has one active scalar. RGB scalars would do without a table, but slice views
    then report an error for each model.
    """
    similarity = _ramp(_SIMILARITY_STOPS, np.linspace(0.0, 1.0, COLOR_COUNT))
    names = [f"importance {share:+.2f}" for share in np.linspace(-1.0, 1.0, COLOR_COUNT)]
    names += [f"similarity {share:.2f}" for share in np.linspace(0.0, 1.0, COLOR_COUNT)]
    rgb = np.concatenate([importanceColors(), similarity])
    return _addTable(name, names, rgb, np.ones(len(rgb)))


def addAttentionColors(name: str) -> Any:
    """New color table node for values from 0 to 1, transparent where they are low.

    A table and not a continuous color function: slice views honor opacity in tables only.
    """
    share = np.linspace(0.0, 1.0, COLOR_COUNT)
    return _addTable(name, [f"{value:.2f}" for value in share], _ramp(_HEAT_STOPS, share), _heatAlpha(share))


def showInOwnColors(node: Any, colors: Any) -> None:
    """Show a node with a display node in a table made for it; it remembers which that is, also in a saved scene."""
    node.SetNodeReferenceID(_ROLE, colors.GetID())
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())


def ownColors(node: Any) -> Any:
    """The table that was made for a node, or None where it is gone; the user may show the node in another one."""
    return None if node is None else node.GetNodeReference(_ROLE)


def _addTable(name: str, names: list[str], rgb: NDArray[np.uint8], alpha: NDArray[np.float64]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    node.SetAttribute(RESULT_ATTRIBUTE, "1")
    wasModifying = node.StartModify()  # one event instead of one per color
    node.SetTypeToUser()
    node.SetNumberOfColors(len(names))
    for index, (entry, color, opacity) in enumerate(zip(names, (rgb / 255).tolist(), alpha.tolist(), strict=True)):
        node.SetColor(index, entry, *color, opacity)
    node.GetLookupTable().SetRange(0, len(names) - 1)
    node.EndModify(wasModifying)
    return node


def _heatAlpha(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((share - _SILENT_BELOW) / (_FULL_FROM - _SILENT_BELOW), 0.0, 1.0)


def _ramp(stops: tuple, share: ArrayLike) -> NDArray[np.uint8]:
    places, colors = zip(*stops, strict=True)
    channels = [np.interp(np.asarray(share), places, [color[c] for color in colors]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)
