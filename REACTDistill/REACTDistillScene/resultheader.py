"""The head of every result: the answer, the words that must stand beside it, and who said it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from .uifiles import loadSection

_NARROWEST_PIXELS = 320


class ResultHeader:
    """Labels in ``place`` (a widget with a vertical layout)."""

    def __init__(self, place: Any) -> None:
        self._ui = loadSection("REACTDistillResultHeader.ui", place)

    @property
    def headline(self) -> str:
        """Rich text that is shown."""
        return str(self._ui.headlineLabel.text)

    @property
    def notices(self) -> str:
        """Rich text that is shown."""
        return str(self._ui.noticesLabel.text)

    @property
    def reliability(self) -> str:
        """Rich text that is shown."""
        return str(self._ui.reliabilityLabel.text)

    def show(self, *, headline: str, notices: Sequence[str], reliability: str) -> None:
        """``headline`` and ``reliability`` are rich text, ``notices`` plain sentences."""
        self._ui.headlineLabel.text = headline
        self._ui.noticesLabel.text = "<br>".join(html.escape(notice) for notice in notices)
        self._ui.reliabilityLabel.text = reliability
        for label in (self._ui.headlineLabel, self._ui.noticesLabel, self._ui.reliabilityLabel):
            # The panel keeps an old height when it is entered again, and would cut the notices off.
            label.minimumHeight = max(0, label.heightForWidth(max(label.width, _NARROWEST_PIXELS)))
