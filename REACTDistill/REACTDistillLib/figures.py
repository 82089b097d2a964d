"""Figures of an evaluation and of a training run, as PNG files."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .calibration import ReliabilityBin
from .decision import DecisionCurve
from .deletion import FRACTIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .bootstrap import Scored

# Okabe & Ito's colors: they stay apart for eyes that do not tell red from green.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
GRAY = "#777777"
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DOTS_PER_INCH = 150
_NOTE_LETTERS_PER_INCH = 19
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}

Array = NDArray[np.float64]


def draw(paint: Callable[[Figure], None], path: Path, *, width: float, height: float, note: str) -> Path:
    """Return ``path`` after a figure of that size in inches was painted into it; ``note`` stands small below."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    with matplotlib.rc_context(_STYLE):
        figure = NewFigure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        figure.supxlabel(textwrap.fill(note, int(width * _NOTE_LETTERS_PER_INCH)), fontsize=6.5, color=GRAY)
        figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})  # equal numbers make equal bytes
    return path


def draw_roc(curves: Mapping[str, tuple[Array, Array, float]], path: Path, note: str) -> Path:
    """ROC of each class against the rest: false and true positive rate (P,) and the area."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1)
        for color, (name, (false, true, area)) in zip(_cycle(len(curves)), curves.items(), strict=True):
            axes.plot(false, true, color=color, label=f"{name}, AUC {area:.3f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.set(xlabel="1 − specificity", ylabel="sensitivity")
        axes.legend(loc="lower right")

    return draw(paint, path, width=4.2, height=4.2, note=note)


def draw_decision(curves: Mapping[str, DecisionCurve], path: Path, note: str) -> Path:
    """Net benefit of each class against the rest over the threshold, beside treating all and treating none."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
        top = max(float(max(one.student.max(), one.treat_all.max())) for one in curves.values())
        for axes, (name, curve) in zip(panels, curves.items(), strict=True):
            axes.plot(curve.thresholds, curve.treat_all, color=GRAY, linestyle="--", linewidth=1, label="treat all")
            axes.plot(curve.thresholds, curve.treat_none, color="black", linewidth=1, label="treat none")
            axes.plot(curve.thresholds, curve.student, color=COLORS[0], label="student")
            axes.set(xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top), xlabel="threshold probability")
            axes.set_xticks([0, 0.25, 0.5, 0.75], ["0", "0.25", "0.5", "0.75"])
            axes.set_title(name, fontsize=9)
        panels[0].set_ylabel("net benefit per case")
        panels[-1].legend(loc="upper right")

    return draw(paint, path, width=2.6 * len(curves) + 0.6, height=3.2, note=note)


def draw_reliability(diagrams: Mapping[str, Sequence[ReliabilityBin]], path: Path, note: str) -> Path:
    """Accuracy over confidence of each diagram, and below it how many cases are in each bin."""

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1)
        width = 0.8 / len(diagrams)
        for index, (name, bins) in enumerate(diagrams.items()):
            filled, size = [one for one in bins if one.cases], 1 / len(bins)
            places = [one.lower + size * (0.1 + width * (index + 0.5)) for one in filled]
            x, y = [one.confidence for one in filled], [one.accuracy for one in filled]
            upper.plot(x, y, color=COLORS[index], marker=_MARKERS[index], label=name, clip_on=False)
            lower.bar(places, [one.cases for one in filled], size * width, color=COLORS[index])
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        upper.legend(loc="upper left")
        lower.set(xlabel="confidence (highest probability)", ylabel="cases")

    return draw(paint, path, width=4.2, height=5.2, note=note)


def draw_confusion(table: NDArray[np.int64], classes: Sequence[str], path: Path, note: str) -> Path:
    """Cases by true class (rows) and predicted class (columns); shaded by the share of the true class."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.grid(visible=False)
        share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(table):
            dark = share[row, column] > 0.5
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted class", ylabel="true class")

    return draw(paint, path, width=3.6, height=3.6, note=note)


def draw_conditions(scores: Mapping[str, Scored], path: Path, note: str) -> Path:
    """Macro AUC with its interval (value, low, high) under each condition."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        value, low, high = np.array(list(scores.values())).T
        places = np.arange(len(scores))
        reach = np.maximum([value - low, high - value], 0.0)
        axes.errorbar(value, places, xerr=reach, fmt="o", color=COLORS[0], capsize=3)
        axes.axvline(0.5, color=GRAY, linestyle=":", linewidth=1)
        axes.set_yticks(places, list(scores))
        axes.invert_yaxis()
        axes.set(xlim=(min(0.45, float(low.min()) - 0.02), 1.01), xlabel="macro AUC, one against the rest")

    return draw(paint, path, width=4.8, height=1.2 + 0.35 * len(scores), note=note)


def draw_deletion(curves: Mapping[str, NDArray[np.float64]], path: Path, note: str) -> Path:
    """Mean over cases of the probability of the predicted class as more is taken out, curves (M, S) by order.

    The shade is one standard error to each side.
    """

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        share = 100 * np.array(FRACTIONS)
        for index, (name, rows) in enumerate(curves.items()):
            mean = rows.mean(axis=0)
            error = rows.std(axis=0, ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else np.zeros_like(mean)
            axes.plot(share, mean, color=COLORS[index], marker=_MARKERS[index], markersize=4, label=name)
            axes.fill_between(share, mean - error, mean + error, color=COLORS[index], alpha=0.2, linewidth=0)
        axes.set(xlabel="taken out of the evidence volume (%)", ylabel="probability of the predicted class")
        axes.set_ylim(0, 1)
        axes.legend()

    return draw(paint, path, width=4.8, height=3.6, note=note)


def draw_tsne(points: Array, labels: NDArray[np.int64], classes: Sequence[str], path: Path, note: str) -> Path:
    """Two-dimensional map (N, 2) of the pooled features of N cases, by true class; its axes have no unit."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for index, name in enumerate(classes):
            x, y = points[labels == index].T
            marker = _MARKERS[index % len(_MARKERS)]
            axes.scatter(x, y, s=22, color=COLORS[index % len(COLORS)], marker=marker, label=name, linewidths=0)
        axes.set(xlabel="t-SNE 1", ylabel="t-SNE 2")
        axes.tick_params(length=0, labelbottom=False, labelleft=False)
        axes.legend()

    return draw(paint, path, width=4.2, height=4.2, note=note)


def draw_training(lines: Sequence[Mapping[str, Any]], path: Path, note: str) -> Path:
    """Loss terms and validation score of each epoch of a run, stages one after the other."""

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        starts = [n for n in range(1, len(lines)) if lines[n]["stage"] != lines[n - 1]["stage"]]
        epochs = np.arange(1, len(lines) + 1)
        places = np.insert(epochs.astype(np.float64), starts, math.nan)  # no line from one stage to the next
        names = list(dict.fromkeys(name for line in lines for name in line["losses"]))
        for color, name in zip(_cycle(len(names)), names, strict=True):
            terms = [line["losses"].get(name, math.nan) for line in lines]
            upper.plot(places, np.insert(terms, starts, math.nan), color=color, label=name)
        lower.plot(places, np.insert([line["score"] for line in lines], starts, math.nan), color=COLORS[0])
        best = [(epoch, line["score"]) for epoch, line in zip(epochs, lines, strict=True) if line["best"]]
        lower.plot(*np.array(best).reshape(-1, 2).T, "o", color=COLORS[5], markersize=4, label="best so far")
        for axes in (upper, lower):
            for start in starts:
                axes.axvline(start + 0.5, color=GRAY, linestyle=":", linewidth=1)
            axes.legend()
        upper.set(ylabel="training loss terms")
        lower.set(xlabel="epoch (all stages)", ylabel="validation score")

    return draw(paint, path, width=5.4, height=4.4, note=note)


def _cycle(count: int) -> list[str]:
    return [COLORS[index % len(COLORS)] for index in range(count)]
