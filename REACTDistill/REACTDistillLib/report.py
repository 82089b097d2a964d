"""The report of an evaluation: one folder with numbers, figures and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from . import figures
from .deletion import ORDERS
from .readings import AS_MEASURED
from .reportpage import check_report_folder, figures_of, interval, report_page, section, table, write_report_folder
from .scoretables import deletion_summary, write_tables

if TYPE_CHECKING:
    from .evaluation import Evaluation

__all__ = ["check_report_folder", "draw_figures", "page", "write_report"]

_SCORE_NAMES = {
    "macro_auc": "macro AUC",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "kappa": "kappa",
    "quadratic_kappa": "quadratic kappa",
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
_CAPTIONS = {
    "roc": "ROC of each class against the rest.",
    "confusion": "Cases by true and predicted class.",
    "decision": "Net benefit of acting on the student's probability, against treating all and treating none.",
    "reliability": "Reliability: what share of cases is right at each confidence.",
    "conditions": "Macro AUC with its interval under each condition.",
    "deletion": "Deletion: the faster the first curve falls below the others, the more the answer rests on the voxels "
    "the student points at.",
    "tsne": "Pooled features of the cases by t-SNE; only neighborhoods mean something, distances and axes do not.",
    "training": "Training: loss terms and validation score; dotted lines part the stages.",
}


def write_report(evaluation: Evaluation, folder: Path | str) -> Path:
    """Write the report of a grading student; see ``reportpage.write_report_folder``."""
    return write_report_folder(evaluation, folder, write_tables=write_tables, draw_figures=draw_figures, page=page)


def draw_figures(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Return the path of each figure that the evaluation has numbers for, by name."""
    measured, classes = evaluation.conditions[AS_MEASURED], evaluation.card.classes
    note = evaluation.figure_note
    paths = {name: folder / f"{name}.png" for name in _CAPTIONS}
    roc = {n: (x, y, measured.classes[n]["auc"][0]) for n, (x, y, _) in evaluation.curves.items()}
    drawn = [
        figures.draw_roc(roc, paths["roc"], note),
        figures.draw_confusion(measured.confusion, classes, paths["confusion"], note),
        figures.draw_decision(evaluation.decisions, paths["decision"], note),
        figures.draw_reliability(evaluation.diagrams, paths["reliability"], note),
    ]
    if len(evaluation.conditions) > 1:
        scores = {name: one.overall["macro_auc"] for name, one in evaluation.conditions.items()}
        drawn.append(figures.draw_conditions(scores, paths["conditions"], note))
    if evaluation.readings.deletion:
        drawn.append(figures.draw_deletion(evaluation.readings.deletion, paths["deletion"], note))
    if evaluation.tsne is not None:
        labels = evaluation.readings.labels
        drawn.append(figures.draw_tsne(evaluation.tsne, labels, classes, paths["tsne"], note))
    if evaluation.training:
        drawn.append(figures.draw_training(evaluation.training, paths["training"], note))
    return {path.stem: path for path in drawn}


def page(evaluation: Evaluation, drawn: Mapping[str, Path]) -> str:
    """Return the HTML page of an evaluation with its figures inside."""
    parts = [
        _facts(evaluation),
        section(
            "Scores",
            _overall(evaluation),
            _classes(evaluation),
            figures_of(drawn, _CAPTIONS, "roc", "confusion", "conditions"),
        ),
        section("Decisions", figures_of(drawn, _CAPTIONS, "decision")),
        section("Calibration", _calibration(evaluation), figures_of(drawn, _CAPTIONS, "reliability")),
        section("Faithfulness", _deletion(evaluation), figures_of(drawn, _CAPTIONS, "deletion")),
        section("Features", figures_of(drawn, _CAPTIONS, "tsne")),
        section("Training", figures_of(drawn, _CAPTIONS, "training")),
        section("Left out", _omitted(evaluation)),
    ]
    return report_page(evaluation, parts)


def _facts(evaluation: Evaluation) -> str:
    card, part, readings, config = evaluation.card, evaluation.part, evaluation.readings, evaluation.config
    counts = ", ".join(f"{name} {int((readings.labels == k).sum())}" for k, name in enumerate(card.classes))
    seen = ", ".join(f"{name} in {count}" for name, count in readings.sequences.items())
    rows = [
        ("Student", f"{card.name} {card.version}, recipe {card.recipe}"),
        ("Card, SHA-256", card.sha256),
        ("Cases", part.name),
        ("Cohort, SHA-256", evaluation.cohort.sha256),
        ("Number", f"{len(readings.labels)} cases of {len(set(readings.patients))} patients: {counts}"),
        ("Sequences", f"{seen} of {len(readings.labels)} cases"),
        ("Intervals", f"{config.level:.0%}, {config.samples} bootstrap samples by patient within classes"),
        ("Doses", _doses(evaluation)),
        ("Made", f"on {evaluation.device} in {evaluation.seconds:.1f} s, seed {config.conditions.seed}"),
        ("Command", config.command),
    ]
    return table([], [(name, escape(text)) for name, text in rows if text])


def _doses(evaluation: Evaluation) -> str:
    conditions = evaluation.config.conditions
    if not conditions.doses:
        return ""
    return f"simulated, model {conditions.dose_model}: {', '.join(f'{dose:g}' for dose in conditions.doses)}"


def _overall(evaluation: Evaluation) -> str:
    names = list(evaluation.conditions[AS_MEASURED].overall)
    rows = [[escape(name), *map(interval, one.overall.values())] for name, one in evaluation.conditions.items()]
    return table(["condition", *(_SCORE_NAMES[name] for name in names)], rows)


def _classes(evaluation: Evaluation) -> str:
    measured = evaluation.conditions[AS_MEASURED].classes
    names = list(next(iter(measured.values())))
    rows = [[escape(name), *map(interval, row.values())] for name, row in measured.items()]
    return table(["class", *(_SCORE_NAMES[name] for name in names)], rows)


def _calibration(evaluation: Evaluation) -> str:
    count = len(evaluation.readings.labels)
    rows = []
    for name, bins in evaluation.diagrams.items():
        error = sum(one.cases * abs(one.accuracy - one.confidence) for one in bins if one.cases) / count
        rows.append([escape(name), f"{error:.4f}"])
    brier = evaluation.conditions[AS_MEASURED].brier
    lead = f"<p>Temperature of the card: {evaluation.card.temperature:.3f}. Brier score: {brier:.4f}.</p>"
    return lead + table(["probabilities", "expected calibration error"], rows)


def _deletion(evaluation: Evaluation) -> str:
    summary = deletion_summary(evaluation)
    if not summary:
        return ""
    rows = [[order, f"{summary['area'][order]['mean']:.4f} ± {summary['area'][order]['sd']:.4f}"] for order in ORDERS]
    test = "no difference in any case" if summary["p"] is None else f"two-sided Wilcoxon p = {summary['p']:.2g}"
    lead = (
        f"<p>The curve of the most important voxels lies below that of a random place in "
        f"{summary['most_below_random']:.0%} of {summary['cases']} cases ({test}).</p>"
    )
    return lead + table(["taken out", "area under the curve, mean ± sd"], rows)


def _omitted(evaluation: Evaluation) -> str:
    items = [f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in evaluation.omitted.items()]
    return f"<ul>{''.join(items)}</ul>" if items else ""
