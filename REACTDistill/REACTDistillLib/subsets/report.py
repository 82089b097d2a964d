"""The report of a segmenting student: one folder with numbers, figures and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figures import draw_training
from ..reportpage import figure, figures_of, interval, report_page, section, table, write_report_folder
from ..segmentationscores import empty_rule
from ..traininglog import training_lines
from . import figures
from .scores import AURC_DEFINITION, mean_of_cases, subset_name
from .tables import write_tables

if TYPE_CHECKING:
    from ..bootstrap import Scored
    from .evaluation import SubsetEvaluation

_CAPTIONS = {
    "levels": "Mean Dice over the number of sequences; each subset of one size counts alike.",
    "aurc": "AURC by region.",
    "subsets": "Mean Dice of each subset; a filled dot is a sequence that is there.",
    "training": "Training: loss terms and validation score; dotted lines part the stages.",
}
_OVERLAY_CAPTION = "Truth and prediction on the slice with most of the first region: all sequences, then each alone."


def write_subset_report(evaluation: SubsetEvaluation, folder: Path | str) -> Path:
    """Write the report of a segmenting student; see ``reportpage.write_report_folder``."""
    return write_report_folder(evaluation, folder, write_tables=write_tables, draw_figures=draw_figures, page=page)


def draw_figures(evaluation: SubsetEvaluation, folder: Path) -> dict[str, Path]:
    """Return the path of each figure by name."""
    note, readings = evaluation.figure_note, evaluation.readings
    students = {evaluation.title: evaluation.summary, **evaluation.beside}
    drawn = {
        "levels": figures.draw_levels(_levels(students), folder / "levels.png", note),
        "aurc": figures.draw_aurc(_areas(students), folder / "aurc.png", note),
        "subsets": figures.draw_subsets(readings.table, folder / "subsets.png", note),
    }
    for number, overlay in enumerate(readings.overlays, start=1):
        path = folder / f"overlay_{number}.png"
        drawn[path.stem] = figures.draw_overlay(overlay, figures.shown_subsets(overlay), path, note)
    lines = training_lines(evaluation.subject.run) if evaluation.subject.run else []
    if lines:
        drawn["training"] = draw_training(lines, folder / "training.png", note)
    return drawn


def _levels(students: Mapping[str, Mapping[str, Scored]]) -> dict[str, list[Scored]]:
    return {
        title: [one for name, one in scores.items() if name.removeprefix("dice_").isdigit()]
        for title, scores in students.items()
    }


def _areas(students: Mapping[str, Mapping[str, Scored]]) -> dict[str, dict[str, Scored]]:
    return {
        title: {
            name.removeprefix("aurc_") if name != "aurc" else "mean": one
            for name, one in scores.items()
            if name.startswith("aurc")
        }
        for title, scores in students.items()
    }


def page(evaluation: SubsetEvaluation, drawn: Mapping[str, Path]) -> str:
    """Return the HTML page of an evaluation with its figures inside."""
    overlays = [figure(path, _OVERLAY_CAPTION) for name, path in drawn.items() if name.startswith("overlay_")]
    rules = [empty_rule(evaluation.config.missed), AURC_DEFINITION]
    parts = [
        _facts(evaluation),
        section("In one number", _summary(evaluation), figures_of(drawn, _CAPTIONS, "levels", "aurc")),
        section("By subset", _subsets(evaluation), *(f"<p>{escape(rule)}</p>" for rule in rules)),
        section("Subsets in colors", figures_of(drawn, _CAPTIONS, "subsets")),
        section("Other students", _beside(evaluation)),
        section("Slices", *overlays),
        section("Training", figures_of(drawn, _CAPTIONS, "training")),
    ]
    return report_page(evaluation, parts)


def _facts(evaluation: SubsetEvaluation) -> str:
    card, readings, config = evaluation.card, evaluation.readings, evaluation.config
    cases = len(readings.table.cases)
    seen = ", ".join(f"{name} in {count}" for name, count in readings.sequences.items())
    truths = ", ".join(f'{name}: "{region}"' for name, region in evaluation.targets.items())
    empty = ", ".join(f"{name} in {count}" for name, count in readings.empty_truths.items())
    rows = [
        ("Student", f"{evaluation.title}, recipe {card.recipe}"),
        ("Card, SHA-256", card.sha256),
        ("Cases", evaluation.part.name),
        ("Cohort, SHA-256", evaluation.cohort.sha256),
        ("Number", f"{cases} cases of {len(set(readings.table.patients))} patients"),
        ("Sequences", f"{seen} of {cases} cases"),
        ("Truth", truths),
        ("Empty truth", f"{empty} of {cases} cases"),
        ("Intervals", f"{config.level:.0%}, {config.samples} bootstrap samples by patient"),
        ("Made", f"on {evaluation.device} in {evaluation.seconds:.1f} s, seed {config.seed}"),
        ("Command", config.command),
    ]
    return table([], [(name, escape(text)) for name, text in rows if text])


def _summary(evaluation: SubsetEvaluation) -> str:
    rows = [[escape(shown_name(name)), interval(one)] for name, one in evaluation.summary.items()]
    return table(["score", "value (interval)"], rows)


def shown_name(name: str) -> str:
    """A score of ``scores.summary_scores`` for the reader."""
    kind, _, of = name.partition("_")
    if of.isdigit():
        return f"mean Dice with {of} sequence{'' if of == '1' else 's'}"
    shown = {"aurc": "AURC", "dice": "mean Dice over all subsets"}[kind]
    return f"{shown}, {of or 'mean of regions'}"


def _subsets(evaluation: SubsetEvaluation) -> str:
    scores = evaluation.readings.table
    dice, hd95, regions = mean_of_cases(scores.dice), mean_of_cases(scores.hd95_mm), scores.regions
    head = ["subset", *(f"Dice {name}" for name in regions), *(f"HD95 {name} (mm)" for name in regions)]
    rows = []
    for subset, overlaps, distances in zip(scores.subsets, dice, hd95, strict=True):
        numbers = [*(_number(x, 3) for x in overlaps), *(_number(x, 1) for x in distances)]
        rows.append([escape(subset_name(subset)), *numbers])
    return table(head, rows)


def _number(value: float, decimals: int) -> str:
    return "" if np.isnan(value) else f"{value:.{decimals}f}"


def _beside(evaluation: SubsetEvaluation) -> str:
    if not evaluation.beside:
        return ""
    names = ["dice", "aurc"]
    students = {evaluation.title: evaluation.summary, **evaluation.beside}
    rows = [[escape(title), *(interval(scores[name]) for name in names)] for title, scores in students.items()]
    return table(["student", *(shown_name(name) for name in names)], rows)
