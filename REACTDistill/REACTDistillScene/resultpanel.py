"""The result section of a panel: probabilities, notices, heat map and region graph of the latest result."""

from __future__ import annotations

import html
from typing import Any

from slicer.i18n import tr as _

from .layers import Layers, restoreFills, restoreSlices, showInSlices, showOutlinesOnly
from .results import FindingNodes
from .tables import cells

_PROBABILITY = "Probability of "
_NOTICE = "Notice"
_BAR_STEPS = 1000


class ResultPanel:
    """Shows the nodes of one result in the widgets ``ui`` of a panel.

    While the heat map is shown it keeps what the slice views showed before, and brings that back at the end.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._userLayers: dict[str, Layers] = {}
        self._userFills: list[str] = []
        self._shownAttention: Any = None
        self._shownTable: Any = None

    def showTable(self, tableNode: Any) -> None:
        """Fill in class, probabilities and notices from a table node; hide the section without one."""
        self._ui.resultButton.visible = tableNode is not None
        if tableNode is None or tableNode is self._shownTable:
            self._shownTable = tableNode
            return
        self._shownTable = tableNode
        rows = dict(cells(tableNode))
        notices = [html.escape(value) for item, value in rows.items() if item.startswith(_NOTICE)]
        self._ui.predictionLabel.text = _("Most probable grade: {grade}").format(
            grade=f"<b>{html.escape(rows.get('Predicted class', ''))}</b>"
        )
        self._ui.noticesLabel.text = "<br>".join(notices)
        probabilities = {key: value for key, value in rows.items() if key.startswith(_PROBABILITY)}
        self._fillProbabilities({key[len(_PROBABILITY) :]: float(value) for key, value in probabilities.items()})

    def showAttention(self, attentionNode: Any, ctVolume: Any, segmentation: Any, *, opacity: float) -> None:
        """Show the heat map over the CT in the slice views, or, without a heat map, what was there before.

        While it is shown the segmentation is drawn as outlines, because its fill would cover the heat map.
        """
        if attentionNode is not self._shownAttention:
            restoreSlices(self._userLayers)
            restoreFills(self._userFills)
            self._userLayers, self._userFills = {}, []
            if attentionNode is not None:
                nodes = FindingNodes(table=None, attention=attentionNode)
                self._userLayers = showInSlices(nodes, ctVolume, opacity=opacity)
                self._userFills = showOutlinesOnly(segmentation) if self._userLayers else []
            self._shownAttention = attentionNode
        elif attentionNode is not None:
            for name, composite in _compositesWith(attentionNode).items():
                if name in self._userLayers:
                    composite.SetForegroundOpacity(opacity)

    def forget(self) -> None:
        """Nothing is shown any more, for instance because the scene is closed."""
        self._userLayers, self._userFills, self._shownAttention, self._shownTable = {}, [], None, None

    def _fillProbabilities(self, probabilities: dict[str, float]) -> None:
        import qt

        table = self._ui.probabilityTable
        table.clearContents()
        table.rowCount = len(probabilities)
        for row, (label, probability) in enumerate(probabilities.items()):
            table.setItem(row, 0, qt.QTableWidgetItem(label))
            bar = qt.QProgressBar()
            bar.setRange(0, _BAR_STEPS)
            bar.value = round(_BAR_STEPS * probability)
            bar.format = f"{100 * probability:.1f} %"
            table.setCellWidget(row, 1, bar)
        table.resizeColumnToContents(0)
        height = sum(table.rowHeight(row) for row in range(len(probabilities)))
        table.setFixedHeight(height + 2 * table.frameWidth)


def _compositesWith(attentionNode: Any) -> dict[str, Any]:
    import slicer

    manager = slicer.app.layoutManager()
    names = () if manager is None else manager.sliceViewNames()
    composites = {name: manager.sliceWidget(name).mrmlSliceCompositeNode() for name in names}
    return {name: one for name, one in composites.items() if one.GetForegroundVolumeID() == attentionNode.GetID()}
