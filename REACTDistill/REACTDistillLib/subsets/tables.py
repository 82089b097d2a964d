"""The numbers of a segmenting student over subsets: scores.json and CSV tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..csvtable import Row, cell, csv_table
from ..segmentationscores import empty_rule
from .scores import AURC_DEFINITION, SubsetTable, card_metrics, mean_of_cases, subset_name

if TYPE_CHECKING:
    from .evaluation import SubsetEvaluation


def write_tables(evaluation: SubsetEvaluation, folder: Path) -> None:
    """Write ``scores.json``, ``cases.csv`` (each case, subset and region) and ``subsets.csv`` (means over cases)."""
    content = json.dumps(scores_of(evaluation), indent=1, allow_nan=False)
    (folder / "scores.json").write_text(content + "\n", encoding="utf-8")
    scores, notice = evaluation.readings.table, evaluation.figure_note
    columns = ("case", "subset", "sequences", "region", "dice", "hd95_mm")
    (folder / "cases.csv").write_bytes(csv_table(columns, _cases(scores), notice))
    columns = ("subset", "sequences", "region", "cases", "dice", "hd95_mm")
    (folder / "subsets.csv").write_bytes(csv_table(columns, _subsets(scores), notice))


def scores_of(evaluation: SubsetEvaluation) -> dict[str, Any]:
    """Return all scores with what they were made of, as JSON values; null stands where nothing was measured."""
    part, readings, config = evaluation.part, evaluation.readings, evaluation.config
    return {
        **evaluation.described(),
        "task": "segment",
        "part": {"name": part.name, "fold": part.fold, "held_out": part.held_out},
        "cases": list(readings.table.cases),
        "patients": len(set(readings.table.patients)),
        "cases_with_sequence": dict(readings.sequences),
        "cases_with_empty_truth": dict(readings.empty_truths),
        "targets": dict(evaluation.targets),
        "intervals": {"level": config.level, "samples": config.samples, "seed": config.seed, "drawn_by": "patient"},
        "definitions": {"empty_regions": empty_rule(config.missed), "aurc": AURC_DEFINITION},
        "command": config.command,
        "summary": {
            name: dict(zip(("value", "low", "high"), map(_or_none, one), strict=True))
            for name, one in evaluation.summary.items()
        },
        "subsets": card_metrics(readings.table),
        "hd95_mm": _distances(readings.table),
        "software_version": __version__,
        "device": evaluation.device,
        "seconds": round(evaluation.seconds, 2),
    }


def _distances(scores: SubsetTable) -> dict[str, dict[str, float | None]]:
    """Mean HD95 in mm over cases by subset and region."""
    means = mean_of_cases(scores.hd95_mm)
    return {
        subset_name(subset): dict(zip(scores.regions, map(_or_none, row.tolist()), strict=True))
        for subset, row in zip(scores.subsets, means, strict=True)
    }


def _cases(scores: SubsetTable) -> Iterator[Row]:
    for case, subset, region in np.argwhere(np.isfinite(scores.dice)).tolist():
        names, place = scores.subsets[subset], (case, subset, region)
        what = scores.cases[case], subset_name(names), len(names), scores.regions[region]
        yield *what, cell(float(scores.dice[place])), cell(float(scores.hd95_mm[place]))


def _subsets(scores: SubsetTable) -> Iterator[Row]:
    counts = np.isfinite(scores.dice).sum(axis=0)
    dice, hd95 = mean_of_cases(scores.dice), mean_of_cases(scores.hd95_mm)
    for s, r in np.argwhere(counts).tolist():
        names, place = scores.subsets[s], (s, r)
        numbers = [cell(dice[place].item()), cell(hd95[place].item())]
        yield subset_name(names), len(names), scores.regions[r], int(counts[place]), *numbers


def _or_none(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
