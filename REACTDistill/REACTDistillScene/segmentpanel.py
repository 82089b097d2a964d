"""The segment choice of a panel: one combo box for the liver, one checkable list for the tumors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .segmentchoice import chosenLiver, chosenTumors, segmentsOf


class SegmentPanel:
    """Fills the widgets from a segmentation node and reports what the user chooses.

    ``onChoice(liverSegmentId, tumorSegmentIds)`` is called with the IDs of the tumors as JSON list.
    """

    def __init__(self, liverComboBox: Any, tumorsList: Any, onChoice: Callable[[str, str], None]) -> None:
        self._liverComboBox, self._tumorsList, self._onChoice = liverComboBox, tumorsList, onChoice
        self._shown: tuple[dict[str, str], str, list[str]] | None = None
        self._reported: tuple[Any, str, str] | None = None  # segmentation and choice
        liverComboBox.connect("currentIndexChanged(int)", self._onWidgetChanged)
        tumorsList.connect("itemChanged(QListWidgetItem*)", self._onWidgetChanged)

    def show(self, segmentationNode: Any, liverSegmentId: str, tumorSegmentIds: str) -> None:
        """Show the remembered choice, completed by a guess from the names, and report it if it is new.

        A choice that was made for another segmentation says nothing of this one, though it may have the same IDs.
        """
        if self._reported is not None and segmentationNode is not self._reported[0]:
            if self._reported[1:] == (liverSegmentId, tumorSegmentIds):
                liverSegmentId = tumorSegmentIds = ""
            self._reported = None
        segments = segmentsOf(segmentationNode)
        liver = chosenLiver(segments, liverSegmentId)
        others = {segmentId: name for segmentId, name in segments.items() if segmentId != liver}
        tumors = chosenTumors(others, tumorSegmentIds)
        if (segments, liver, tumors) != self._shown:
            self._shown = (segments, liver, tumors)
            self._fill(segments, liver, tumors)
        if segments:
            # No tumor found is not the choice that there is none: one may be drawn or imported yet.
            self._report(segmentationNode, liver, json.dumps(tumors) if tumors else tumorSegmentIds)

    def forget(self) -> None:
        """The choice that is shown next may be that of another scene."""
        self._reported = None

    def _report(self, segmentationNode: Any, liver: str, tumors: str) -> None:
        self._reported = (segmentationNode, liver, tumors)
        self._onChoice(liver, tumors)

    def _fill(self, segments: dict[str, str], liver: str, tumors: list[str]) -> None:
        import qt

        controls = (self._liverComboBox, self._tumorsList)
        for control in controls:
            control.blockSignals(True)
            control.clear()
        for segmentId, name in segments.items():
            self._liverComboBox.addItem(name, segmentId)
            if segmentId == liver:  # no tumor can be the liver
                continue
            item = qt.QListWidgetItem(name)
            item.setData(qt.Qt.UserRole, segmentId)
            item.setCheckState(qt.Qt.Checked if segmentId in tumors else qt.Qt.Unchecked)
            self._tumorsList.addItem(item)
        self._liverComboBox.currentIndex = self._liverComboBox.findData(liver)
        for control in controls:
            control.blockSignals(False)

    def _onWidgetChanged(self, changed: Any = None) -> None:
        import qt

        items = [self._tumorsList.item(row) for row in range(self._tumorsList.count)]
        checked = [item.data(qt.Qt.UserRole) for item in items if item.checkState() == qt.Qt.Checked]
        node = None if self._reported is None else self._reported[0]
        self._report(node, self._liverComboBox.currentData or "", json.dumps(checked))
