"""The result section of a panel: probabilities, notices, heat map and region graph of the latest result."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from .layers import Replaced, jumpToStrongest, restoreFills, restoreSlices, showInSlices, showOutlinesOnly
from .resultheader import ResultHeader
from .tables import NOTICE, PREDICTED_CLASS, PROBABILITY, STUDENT, STUDENT_SHA256, STUDENT_VERSION, cells
from .translation import tr as _

_BAR_STEPS = 1000


class ResultPanel:
    """Shows the nodes of one result in the widgets ``ui`` of a panel.

    While the heat map is shown it keeps what the slice views showed before, and brings that back at the end.
    """

    def __init__(self, ui: Any, onShownClass: Callable[[str], None], reliabilityOf: Callable[[str], str]) -> None:
        """``onShownClass`` is called with a class, or "" for the predicted one, when the user chooses it.

        ``reliabilityOf`` returns rich text for the SHA-256 of a student's tensors.
        """
        self._ui, self._onShownClass, self._reliabilityOf = ui, onShownClass, reliabilityOf
        self.header = ResultHeader(ui.resultHeaderPlace)
        self._replaced: dict[str, Replaced] = {}
        self._shownAttention: Any = None
        self._shown: tuple[dict[str, str], str] = ({}, "")
        ui.probabilityTable.columnCount = 2
        ui.shownClassComboBox.connect("currentIndexChanged(int)", self._onClassChosen)
        ui.strongestButton.connect("clicked()", self._onStrongest)

    def showTable(self, tableNode: Any, shownClass: str, *, warning: str = "") -> None:
        """Fill in class, probabilities and notices from a table node, ``warning`` first; hide the section without."""
        self._ui.resultButton.visible = tableNode is not None
        rows = {} if tableNode is None else dict(cells(tableNode))
        if rows and (rows, warning) != self._shown:
            self._fill(rows, warning)
        self._shown = (rows, warning)
        if rows:
            self._selectClass(shownClass)

    def _fill(self, rows: dict[str, str], warning: str) -> None:
        predicted = html.escape(rows.get(PREDICTED_CLASS, ""))
        student = _("{name} {version}").format(name=rows.get(STUDENT, ""), version=rows.get(STUDENT_VERSION, ""))
        reliability = self._reliabilityOf(rows.get(STUDENT_SHA256, ""))
        self.header.show(
            headline=_("Most probable grade: {grade}").format(grade=f"<b>{predicted}</b>"),
            notices=[warning] * bool(warning) + [value for item, value in rows.items() if item.startswith(NOTICE)],
            reliability=f"<i>{html.escape(student)}</i><br>{reliability}",
        )
        probabilities = _probabilitiesIn(rows)
        self._fillProbabilities(probabilities)
        self._fillClasses([*probabilities], rows.get(PREDICTED_CLASS, ""))

    def _fillClasses(self, classes: list[str], predicted: str) -> None:
        comboBox = self._ui.shownClassComboBox
        comboBox.blockSignals(True)
        comboBox.clear()
        comboBox.addItem(_("{grade} (most probable)").format(grade=predicted), "")
        for name in classes:
            comboBox.addItem(name, name)
        comboBox.blockSignals(False)

    def _selectClass(self, shownClass: str) -> None:
        comboBox = self._ui.shownClassComboBox
        comboBox.blockSignals(True)
        comboBox.currentIndex = max(0, comboBox.findData(shownClass))
        comboBox.blockSignals(False)

    def _onClassChosen(self, index: int) -> None:
        self._onShownClass(self._ui.shownClassComboBox.itemData(index) or "")

    def _onStrongest(self) -> None:
        if self._shownAttention is not None:
            jumpToStrongest(self._shownAttention)

    def showAttention(self, attentionNode: Any, ctVolume: Any, segmentation: Any, *, opacity: float) -> None:
        """Show the heat map over the CT in the slice views, or, without a heat map, what was there before.

        While it is shown the segmentation is drawn as outlines, because its fill would cover the heat map.
        """
        if attentionNode is not self._shownAttention:
            if attentionNode is None:
                restoreSlices(self._replaced)
                restoreFills()
                self._replaced = {}
            else:
                self._replaced = showInSlices(attentionNode, ctVolume, opacity=opacity, earlier=self._replaced)
                if self._replaced:
                    showOutlinesOnly(segmentation)
            self._shownAttention = attentionNode
            self._ui.strongestButton.enabled = attentionNode is not None
        elif attentionNode is not None:
            for name, composite in _compositesWith(attentionNode).items():
                if name in self._replaced:
                    composite.SetForegroundOpacity(opacity)

    def forget(self) -> None:
        """Nothing is shown any more, for instance because the scene is closed."""
        self._replaced, self._shownAttention, self._shown = {}, None, ({}, "")

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


def _probabilitiesIn(rows: dict[str, str]) -> dict[str, float]:
    return {key[len(PROBABILITY) :]: float(value) for key, value in rows.items() if key.startswith(PROBABILITY)}


def _compositesWith(attentionNode: Any) -> dict[str, Any]:
    import slicer

    manager = slicer.app.layoutManager()
    names = () if manager is None else manager.sliceViewNames()
    composites = {name: manager.sliceWidget(name).mrmlSliceCompositeNode() for name in names}
    return {name: one for name, one in composites.items() if one.GetForegroundVolumeID() == attentionNode.GetID()}
