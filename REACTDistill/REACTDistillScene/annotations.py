"""What is written into the pictures: notice, labels, color bars, orientation letters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

NOTICE = "Research use only - not a medical device"
SYNTHETIC = "synthetic image"
Color = tuple[float, float, float]
WHITE: Color = (0.96, 0.96, 0.96)
GRAY: Color = (0.70, 0.72, 0.76)
_NOTICE_COLOR: Color = (1.0, 0.80, 0.36)
_MARGIN = 16
# VTK takes words with these signs for formulas and tables.
_PLAIN = str.maketrans("|$", "/ ")
_BAR_WIDTH, _BAR_HEIGHT = 14, 180


def text(
    words: str,
    at: tuple[float, float],
    *,
    size: int = 16,
    color: Color = WHITE,
    align: str = "left",
    up: str = "bottom",
) -> Any:
    """Text at pixels ``at`` from the lower left; ``align`` is left, center or right, ``up`` bottom, center or top."""
    actor = vtk.vtkTextActor()
    actor.SetInput(words.translate(_PLAIN))
    actor.SetPosition(*at)
    properties = actor.GetTextProperty()
    properties.SetFontFamilyToArial()
    properties.SetFontSize(size)
    properties.SetColor(*color)
    properties.ShadowOn()  # readable on bright bone as well
    properties.SetShadowOffset(1, -1)
    {"left": properties.SetJustificationToLeft, "right": properties.SetJustificationToRight}.get(
        align, properties.SetJustificationToCentered
    )()
    {"bottom": properties.SetVerticalJustificationToBottom, "top": properties.SetVerticalJustificationToTop}.get(
        up, properties.SetVerticalJustificationToCentered
    )()
    return actor


def footer(sizePixels: tuple[int, int], *, isSynthetic: bool) -> list[Any]:
    """The notice that every picture carries."""
    words = f"{NOTICE}   \u2022   {SYNTHETIC}" if isSynthetic else NOTICE
    return [text(words, (sizePixels[0] / 2, _MARGIN - 4), size=17, color=_NOTICE_COLOR, align="center")]


def heading(sizePixels: tuple[int, int], title: str, subtitle: str) -> list[Any]:
    """Title and a smaller line under it, upper left."""
    top = sizePixels[1] - _MARGIN
    return [
        text(title, (_MARGIN, top), size=24, up="top"),
        text(subtitle, (_MARGIN, top - 32), size=16, color=GRAY, up="top"),
    ]


def legend(entries: Sequence[tuple[str, Color]], *, bottom: float = 48.0) -> list[Any]:
    """Names in their colors, lower left, the first one on top."""
    lines = []
    for row, (name, color) in enumerate(reversed(entries)):
        lines.append(text(f"\u2014  {name}", (_MARGIN, bottom + 23 * row), size=17, color=color))
    return lines


def colorBar(sizePixels: tuple[int, int], colors: NDArray[np.uint8], *, title: str, low: str, high: str) -> list[Any]:
    """Vertical bar upper right: ``colors`` (N, 3) from low to high."""
    right, top = sizePixels[0] - _MARGIN, sizePixels[1] - _MARGIN
    bottom = top - 34 - _BAR_HEIGHT
    rows = colors[np.linspace(0, len(colors) - 1, _BAR_HEIGHT).round().astype(int)]
    bar = _picture(np.repeat(rows[:, None], _BAR_WIDTH, axis=1), (right - _BAR_WIDTH, bottom))
    words = right - _BAR_WIDTH - 8
    return [
        bar,
        text(title, (right, top), size=17, align="right", up="top"),
        text(high, (words, bottom + _BAR_HEIGHT), size=15, color=GRAY, align="right", up="top"),
        text(low, (words, bottom), size=15, color=GRAY, align="right"),
    ]


def _picture(rgb: NDArray[np.uint8], at: tuple[float, float]) -> Any:
    """Image (rows from the bottom up, columns, 3) at pixels ``at``."""
    image = vtk.vtkImageData()
    image.SetDimensions(rgb.shape[1], rgb.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(rgb).reshape(-1, 3), deep=True))
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputData(image)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.SetPosition(*at)
    return actor


def orientationLetters(sizePixels: tuple[int, int], sliceToRas: NDArray[np.float64]) -> list[Any]:
    """R, L, A, P, S or I at the four edges, from the 4x4 matrix of the slice (x to the right, y up)."""
    width, height = sizePixels
    right, up = sliceToRas[:3, 0], sliceToRas[:3, 1]
    places = (
        (-right, (_MARGIN, height / 2), "left", "center"),
        (right, (width - _MARGIN, height / 2), "right", "center"),
        (up, (width / 2, height - _MARGIN), "center", "top"),
        (-up, (width / 2, 44), "center", "bottom"),
    )
    return [text(_letter(toward), at, size=22, align=align, up=edge) for toward, at, align, edge in places]


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.abs(direction).argmax())
    return ("RL", "AP", "SI")[axis][0 if direction[axis] > 0 else 1]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved up as little as needed to lie at least ``gap`` apart, in the order given."""
    placed = list(heights)
    order = np.argsort(heights, kind="stable")
    for below, above in pairwise(order):
        placed[above] = max(placed[above], placed[below] + gap)
    return placed
