"""Sections that several panels share, each from its own .ui file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

_FOLDER = Path(__file__).resolve().parents[1] / "Resources" / "UI"


def loadSection(fileName: str, place: Any) -> Any:
    """Load a .ui file into ``place``, a widget with a layout; returns its widgets by name."""
    section = slicer.util.loadUI(str(_FOLDER / fileName))
    place.layout().addWidget(section)
    return slicer.util.childWidgetVariables(section)
