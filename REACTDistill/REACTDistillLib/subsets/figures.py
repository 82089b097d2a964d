"""Figures of scores over subsets: Dice by number of sequences, AURC of students, truth and prediction on a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..figures import COLORS, GRAY, draw
from .overlays import Overlay
from .scores import Subset, SubsetTable, mean_of_cases, subset_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..bootstrap import Scored

_MARKERS = ("o", "s", "^", "D", "v", "P")
_PANEL_INCH = 2.1


def draw_levels(students: Mapping[str, Sequence[Scored]], path: Path, note: str) -> Path:
    """Mean Dice of each student over the number of sequences 1 to N, with intervals (value, low, high)."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for index, (name, levels) in enumerate(students.items()):
            value, low, high = np.array(levels).T
            places = np.arange(1, len(levels) + 1) + 0.03 * (index - (len(students) - 1) / 2)
            axes.errorbar(places, value, yerr=_reach(value, low, high), capsize=2, color=_color(index), label=name)
            axes.plot(places, value, _MARKERS[index % len(_MARKERS)], color=_color(index))
        axes.set_xticks(range(1, max(map(len, students.values())) + 1))
        axes.set(xlabel="number of sequences", ylabel="mean Dice", ylim=(None, 1.02))
        axes.legend(loc="lower right")

    return draw(paint, path, width=4.6, height=3.6, note=note)


def draw_aurc(students: Mapping[str, Mapping[str, Scored]], path: Path, note: str) -> Path:
    """AURC of each student by region with its interval (value, low, high), as bars side by side."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        names = list(dict.fromkeys(name for scores in students.values() for name in scores))
        width = 0.8 / len(students)
        for index, (student, scores) in enumerate(students.items()):
            there = [name for name in names if name in scores]
            value, low, high = np.array([scores[name] for name in there]).reshape(-1, 3).T
            places = np.array([names.index(name) for name in there]) + width * (index - (len(students) - 1) / 2)
            reach = _reach(value, low, high)
            axes.bar(places, value, 0.92 * width, yerr=reach, capsize=2, color=_color(index), label=student)
        axes.set_xticks(range(len(names)), names)
        axes.set(ylabel="AURC (scale of Dice)", ylim=(0, 1))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3)

    return draw(paint, path, width=4.6, height=3.6, note=note)


def draw_subsets(table: SubsetTable, path: Path, note: str) -> Path:
    """Mean Dice of each subset (rows) and region (columns) as a shaded table; a dot marks each sequence present."""

    def paint(figure: Figure) -> None:
        dots, cells = figure.subplots(1, 2, sharey=True, width_ratios=(len(table.sequences), 1.6 * len(table.regions)))
        means = mean_of_cases(table.dice)  # (S, R)
        shown = cells.imshow(means, cmap="viridis", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(means):
            text = "" if np.isnan(value) else f"{value:.3f}"
            cells.text(column, row, text, ha="center", va="center", color="black" if value > 0.6 else "white")
        for column, name in enumerate(table.sequences):
            for row, subset in enumerate(table.subsets):
                filled = name in subset
                face = "black" if filled else "white"
                dots.plot(column, row, "o", markersize=6, markerfacecolor=face, markeredgecolor=GRAY)
        dots.set_xticks(range(len(table.sequences)), table.sequences, rotation=60)
        dots.set_xlim(-0.5, len(table.sequences) - 0.5)
        dots.set_yticks([])
        cells.set_xticks(range(len(table.regions)), table.regions)
        for axes in (dots, cells):
            axes.grid(visible=False)
        figure.colorbar(shown, ax=cells, label="mean Dice", shrink=0.6)

    return draw(paint, path, width=4.8, height=1.2 + 0.28 * len(table.subsets), note=note)


def draw_overlay(overlay: Overlay, subsets: Sequence[Subset], path: Path, note: str) -> Path:
    """Truth (white, dashed) and prediction (colors by region) of some subsets on one slice, each subset named.

    Behind them is the last sequence of the subset, in the order of the card.
    """

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(subsets), squeeze=False)[0]
        for axes, subset in zip(panels, subsets, strict=True):
            _paint_slice(axes, overlay, subset)
        regions = ", ".join(f"{name} {color}" for name, color in zip(overlay.truth, _COLOR_NAMES, strict=False))
        figure.suptitle(f"{overlay.case}: truth white and dashed; predicted {regions}", fontsize=8)

    return draw(paint, path, width=_PANEL_INCH * len(subsets), height=_PANEL_INCH + 0.8, note=note)


_COLOR_NAMES = ("blue", "orange", "red")
_REGION_COLORS = ("#56B4E9", "#E69F00", "#FF4A3D")  # of the names above, bright enough for a dark image


def shown_subsets(overlay: Overlay) -> list[Subset]:
    """All sequences together, then each alone: what a figure has room for."""
    largest = max(overlay.predicted, key=len)
    return [largest, *(subset for subset in overlay.predicted if len(subset) == 1 and subset != largest)]


def _paint_slice(axes: Axes, overlay: Overlay, subset: Subset) -> None:
    image = overlay.images[subset[-1]]
    row_mm, column_mm = overlay.spacing_ji_mm
    low, high = np.percentile(image, (1, 99.5))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=row_mm / column_mm)
    for color, name in zip(_REGION_COLORS, overlay.truth, strict=False):
        _outline(axes, overlay.predicted[subset][name], color, "solid")
        _outline(axes, overlay.truth[name], "white", "dashed")
    (top, bottom), (left, right) = _shown_box(image)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    axes.set_title(subset_name(subset), fontsize=8)


def _shown_box(image: NDArray[np.float32]) -> list[tuple[float, float]]:
    """First and last row and column that hold more than background, with two voxels around."""
    bright = image > image.min() + 0.05 * np.ptp(image)
    ends = [np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0)]
    return [(float(one[0]) - 2.5, float(one[-1]) + 2.5) if one.size else (-0.5, 0.5) for one in ends]


def _outline(axes: Axes, mask: NDArray[np.bool_], color: str, style: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), levels=[0.5], colors=[color], linewidths=0.9, linestyles=style)


def _reach(value: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum([value - low, high - value], 0.0)


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]
