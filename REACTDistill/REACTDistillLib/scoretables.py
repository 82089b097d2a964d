"""The numbers of an evaluation: scores.json and one CSV table for each figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .csvtable import Row, cell, csv_table
from .deletion import FRACTIONS, MOST, RANDOM, area_under

if TYPE_CHECKING:
    from .bootstrap import Scored
    from .evaluation import ConditionScores, Evaluation


def write_tables(evaluation: Evaluation, folder: Path) -> None:
    """Write ``scores.json`` and the CSV tables; a table without rows is not written."""
    content = json.dumps(scores_of(evaluation), indent=1, allow_nan=False)
    (folder / "scores.json").write_text(content + "\n", encoding="utf-8")
    for name, (head, rows) in _tables(evaluation).items():
        listed = list(rows)
        if listed:
            (folder / f"{name}.csv").write_bytes(csv_table(head, listed, evaluation.figure_note))


def scores_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return all scores with what they were made of, as JSON values."""
    card, part, readings, about = evaluation.card, evaluation.part, evaluation.readings, evaluation.described()
    return {
        **about,
        "student": {**about["student"], "temperature": card.temperature},
        "part": {
            "name": part.name,
            "fold": part.fold,
            "held_out": part.held_out,
            "cases": len(readings.labels),
            "patients": len(set(readings.patients)),
            "cases_of_class": {name: int((readings.labels == k).sum()) for k, name in enumerate(card.classes)},
            "cases_with_sequence": dict(readings.sequences),
        },
        "config": asdict(evaluation.config),
        "conditions": {name: _condition(one) for name, one in evaluation.conditions.items()},
        "deletion": deletion_summary(evaluation),
        "omitted": dict(evaluation.omitted),
        "software_version": __version__,
        "device": evaluation.device,
        "seconds": round(evaluation.seconds, 2),
    }


def deletion_summary(evaluation: Evaluation) -> dict[str, Any]:
    """Mean and sd of the area under the deletion curve by order, and whether it is smallest for the most important.

    "p" is of the two-sided Wilcoxon test between the most important voxels and a random place, over cases; None when
    there is no case in which they differ.
    """
    curves = evaluation.readings.deletion
    if not curves:
        return {}
    areas = {name: np.array([area_under(row) for row in rows]) for name, rows in curves.items()}
    difference = areas[RANDOM] - areas[MOST]
    spread = {name: float(area.std(ddof=1)) if len(area) > 1 else 0.0 for name, area in areas.items()}
    return {
        "cases": len(difference),
        "area": {name: {"mean": float(area.mean()), "sd": spread[name]} for name, area in areas.items()},
        "most_below_random": float((difference > 0).mean()),
        "p": _wilcoxon(difference),
    }


def _wilcoxon(difference: np.ndarray) -> float | None:
    from scipy.stats import wilcoxon

    return float(wilcoxon(difference).pvalue) if difference.any() else None


def _condition(scores: ConditionScores) -> dict[str, Any]:
    return {
        "overall": {name: _scored(one) for name, one in scores.overall.items()},
        "classes": {name: {score: _scored(one) for score, one in row.items()} for name, row in scores.classes.items()},
        "confusion": scores.confusion.tolist(),
        "expected_calibration_error": scores.calibration_error,
        "brier": scores.brier,
    }


def _scored(one: Scored) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), one, strict=True))


def _tables(evaluation: Evaluation) -> dict[str, tuple[Row, Iterable[Row]]]:
    classes, orders = evaluation.card.classes, list(evaluation.readings.deletion)
    return {
        "scores": (("condition", "class", "score", "value", "low", "high"), _score_rows(evaluation)),
        "predictions": (
            ("condition", "case", "label", "predicted_class", *classes),
            _prediction_rows(evaluation),
        ),
        "roc": (("class", "false_positive_rate", "true_positive_rate", "threshold"), _roc_rows(evaluation)),
        "decision": (("class", "threshold", "student", "treat_all", "treat_none"), _decision_rows(evaluation)),
        "reliability": (("temperature", "lower", "upper", "cases", "confidence", "accuracy"), _bins(evaluation)),
        "deletion": (("case", "taken_out", *orders), _deletion_rows(evaluation)),
        "tsne": (("case", "label", "tsne_1", "tsne_2"), _tsne_rows(evaluation)),
    }


def _score_rows(evaluation: Evaluation) -> Iterator[Row]:
    for condition, scores in evaluation.conditions.items():
        for score, one in scores.overall.items():
            yield condition, "", score, *_rounded(one)
        for name, row in scores.classes.items():
            for score, one in row.items():
                yield condition, name, score, *_rounded(one)
        yield condition, "", "expected_calibration_error", *_rounded([scores.calibration_error]), "", ""
        yield condition, "", "brier", *_rounded([scores.brier]), "", ""


def _prediction_rows(evaluation: Evaluation) -> Iterator[Row]:
    classes, readings = evaluation.card.classes, evaluation.readings
    for condition, scores in evaluation.conditions.items():
        for case, label, row in zip(readings.identifiers, readings.labels, scores.probabilities, strict=True):
            yield condition, case, classes[label], classes[row.argmax()], *_rounded(row)


def _roc_rows(evaluation: Evaluation) -> Iterator[Row]:
    for name, points in evaluation.curves.items():
        for point in zip(*points, strict=True):
            yield name, *_rounded(point)


def _decision_rows(evaluation: Evaluation) -> Iterator[Row]:
    for name, one in evaluation.decisions.items():
        for point in zip(one.thresholds, one.student, one.treat_all, one.treat_none, strict=True):
            yield name, *_rounded(point)


def _bins(evaluation: Evaluation) -> Iterator[Row]:
    for name, diagram in evaluation.diagrams.items():
        for one in diagram:
            means = _rounded([one.confidence, one.accuracy])
            yield name, *_rounded([one.lower, one.upper]), one.cases, *means


def _deletion_rows(evaluation: Evaluation) -> Iterator[Row]:
    readings = evaluation.readings
    for number, rows in enumerate(zip(*readings.deletion.values(), strict=True)):
        for share, *values in zip(FRACTIONS, *rows, strict=True):
            yield readings.identifiers[number], share, *_rounded(values)


def _tsne_rows(evaluation: Evaluation) -> Iterator[Row]:
    readings, classes = evaluation.readings, evaluation.card.classes
    if evaluation.tsne is not None:
        for case, label, point in zip(readings.identifiers, readings.labels, evaluation.tsne, strict=True):
            yield case, classes[label], *_rounded(point)


def _rounded(values: Iterable[float]) -> list[float | str]:
    return [cell(value) for value in values]
