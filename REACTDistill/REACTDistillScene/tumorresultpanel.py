"""The result section of a segmentation panel: regions with volumes, notices, and the probability map that is shown."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

from .layers import Replaced, restoreFills, restoreSlices, showInSlices, showOutlinesOnly
from .resultheader import ResultHeader
from .tables import NOTICE, STUDENT, STUDENT_SHA256, STUDENT_VERSION, cells
from .translation import tr as _
from .tumorresults import EXPECTED, GIVEN, MISSING, VOLUME
from .tumorsegments import regionColor, regionTitle


class TumorResultPanel:
    """Shows the nodes of one result in the widgets ``ui`` of a panel.

    While a probability map is shown it keeps what the slice views showed before, and brings that back at the end.
    """

    def __init__(self, ui: Any, onShownMap: Callable[[str], None], reliabilityOf: Callable[[str], str]) -> None:
        """``onShownMap`` is called with a region, or "" for none, when the user chooses which map to see.

        ``reliabilityOf`` returns rich text for the SHA-256 of a student's tensors.
        """
        self._ui, self._onShownMap, self._reliabilityOf = ui, onShownMap, reliabilityOf
        self.header = ResultHeader(ui.resultHeaderPlace)
        self._replaced: dict[str, Replaced] = {}
        self._shownMap: Any = None
        self._shown: tuple[dict[str, str], str] = ({}, "")
        ui.regionTable.columnCount = 3
        ui.shownMapComboBox.connect("currentIndexChanged(int)", self._onMapChosen)

    def showTable(self, tableNode: Any, *, warning: str = "") -> None:
        """Fill in regions and notices from a table node, ``warning`` first; hide the section without one."""
        self._ui.resultButton.visible = tableNode is not None
        rows = {} if tableNode is None else dict(cells(tableNode))
        if rows and (rows, warning) != self._shown:
            self._fill(rows, warning)
        self._shown = (rows, warning)

    def showMap(self, maps: Mapping[str, Any], shown: str, background: Any, segmentation: Any, opacity: float) -> None:
        """Show the probability map of the region ``shown`` over ``background``; "" brings back what was there.

        ``maps`` are the map nodes by region, None where there is none. While one is shown the segmentation is drawn as
        outlines, because its fill would cover the map.
        """
        present = {region: node for region, node in maps.items() if node is not None}
        self._offerMaps([*present], shown)
        node = present.get(shown)
        if node is not self._shownMap:
            if node is None:
                restoreSlices(self._replaced)
                restoreFills()
                self._replaced = {}
            else:
                self._replaced = showInSlices(node, background, opacity=opacity, earlier=self._replaced)
                if self._replaced:
                    showOutlinesOnly(segmentation)
            self._shownMap = node

    def forget(self) -> None:
        """Nothing is shown any more, for instance because the scene is closed."""
        self._replaced, self._shownMap, self._shown = {}, None, ({}, "")

    def _fill(self, rows: Mapping[str, str], warning: str) -> None:
        student = _("{name} {version}").format(name=rows.get(STUDENT, ""), version=rows.get(STUDENT_VERSION, ""))
        given, missing = (html.escape(rows.get(item, "")) for item in (GIVEN, MISSING))
        self.header.show(
            headline=_("Segmented from {given} (missing: {missing})").format(given=f"<b>{given}</b>", missing=missing),
            notices=[warning] * bool(warning) + [value for item, value in rows.items() if item.startswith(NOTICE)],
            reliability=f"<i>{html.escape(student)}</i><br>{self._reliabilityOf(rows.get(STUDENT_SHA256, ''))}",
        )
        self._fillRegions(rows)

    def _fillRegions(self, rows: Mapping[str, str]) -> None:
        import qt

        table = self._ui.regionTable
        volumes = {key[len(VOLUME) :]: float(value) for key, value in rows.items() if key.startswith(VOLUME)}
        expected = {key[len(EXPECTED) :]: float(value) for key, value in rows.items() if key.startswith(EXPECTED)}
        table.clearContents()
        table.rowCount = len(volumes)
        for row, (region, milliliters) in enumerate(volumes.items()):
            title = qt.QTableWidgetItem(regionTitle(region))
            title.setData(qt.Qt.DecorationRole, qt.QColor(*(round(255 * one) for one in regionColor(region))))
            table.setItem(row, 0, title)
            dice = _("expected Dice {dice:.2f}").format(dice=expected[region]) if region in expected else ""
            for column, text in ((1, _("{volume:.1f} ml").format(volume=milliliters)), (2, dice)):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        for column in (0, 1):
            table.resizeColumnToContents(column)
        height = sum(table.rowHeight(row) for row in range(len(volumes)))
        table.setFixedHeight(height + 2 * table.frameWidth)

    def _offerMaps(self, regions: list[str], shown: str) -> None:
        comboBox = self._ui.shownMapComboBox
        offered = ["", *regions]
        comboBox.blockSignals(True)
        if [comboBox.itemData(index) for index in range(comboBox.count)] != offered:
            comboBox.clear()
            for region in offered:
                comboBox.addItem(regionTitle(region) if region else _("None"), region)
        comboBox.currentIndex = offered.index(shown) if shown in offered else 0
        comboBox.enabled = bool(regions)
        comboBox.blockSignals(False)

    def _onMapChosen(self, index: int) -> None:
        self._onShownMap(self._ui.shownMapComboBox.itemData(index) or "")
