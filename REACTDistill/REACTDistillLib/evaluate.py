"""Evaluation: what a student is worth on cases it has not seen, as numbers, figures and one report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import bootstrap_intervals
from .calibration import brier_score, expected_calibration_error, reliability, softmax
from .cohort import Cohort
from .decision import decision_curve
from .evaluation import ConditionScores, Evaluation, EvaluationConfig, check_packages
from .heldout import Part, Subject, part_of, subject_of
from .metrics import Labels, Probabilities, class_scores, classification_scores, confusion_table, roc_points
from .progress import ProgressCallback, silent
from .readings import AS_MEASURED, Readings, read_cases
from .traininglog import training_lines

if TYPE_CHECKING:
    from .card import Card
    from .loadedstudent import Student

CALIBRATED, UNCALIBRATED = "with the temperature of the card", "temperature 1"
LEAST_CASES_FOR_TSNE = 10
_LARGEST_PERPLEXITY = 30.0
_PACKAGES = ("matplotlib", "sklearn", "scipy")


def evaluate(
    source: Path | str,
    cohort: Cohort,
    out_folder: Path | str,
    config: EvaluationConfig | None = None,
    *,
    progress: ProgressCallback = silent,
) -> Evaluation:
    """Judge the student in the file or run folder ``source`` on a cohort; write the report into a new folder.

    The cases are those of ``heldout.part_of``; ``report.write_report`` says what the folder holds. Probabilities are
    those the student gives in use: its logits divided by the temperature of its card. Raises ValueError with one
    sentence when student and cohort do not fit each other, a case cannot be read, or the folder is in use.
    """
    from .report import check_report_folder, write_report
    from .student import load_student

    config, started = config or EvaluationConfig(), time.perf_counter()
    check_packages(_PACKAGES)
    check_report_folder(out_folder)
    subject = subject_of(source)
    student = load_student(subject.student, device=config.device)
    part = part_of(cohort, student.card, subject, config.fold)
    readings = read_cases(student, part.entries, config.conditions, progress=progress)
    judged = _judged(student, cohort, subject, part, config, readings)
    evaluation = replace(judged, seconds=time.perf_counter() - started)
    write_report(evaluation, out_folder)
    return evaluation


def _judged(
    student: Student,
    cohort: Cohort,
    subject: Subject,
    part: Part,
    config: EvaluationConfig,
    readings: Readings,
) -> Evaluation:
    card, labels, temperature = student.card, readings.labels, student.card.temperature
    probabilities = softmax(readings.logits[AS_MEASURED], temperature)
    diagrams = {UNCALIBRATED: reliability(softmax(readings.logits[AS_MEASURED]), labels, config.bins)}
    if temperature != 1.0:
        diagrams[CALIBRATED] = reliability(probabilities, labels, config.bins)
    tsne = tsne_map(readings.features, config.conditions.seed) if len(labels) >= LEAST_CASES_FOR_TSNE else None
    training = training_lines(subject.run) if subject.run else []
    return Evaluation(
        card=card,
        cohort=cohort,
        subject=subject,
        part=part,
        config=config,
        readings=readings,
        conditions={
            name: _scored(softmax(logits, temperature), readings, card.classes, config)
            for name, logits in readings.logits.items()
        },
        curves={name: roc_points(probabilities[:, k], labels == k) for k, name in enumerate(card.classes)},
        decisions={name: decision_curve(probabilities[:, k], labels == k) for k, name in enumerate(card.classes)},
        diagrams=diagrams,
        tsne=tsne,
        training=training,
        omitted=_omitted(card, subject, readings, tsne, training),
        device=student.device,
    )


def _scored(
    probabilities: Probabilities, readings: Readings, classes: Sequence[str], config: EvaluationConfig
) -> ConditionScores:
    labels = readings.labels

    def all_scores(chosen: Probabilities, of_labels: Labels) -> dict[str, float]:
        flat = {f"{k} {name}": v for k, row in enumerate(class_scores(chosen, of_labels)) for name, v in row.items()}
        return {**classification_scores(chosen, of_labels), **flat}

    intervals = bootstrap_intervals(
        probabilities,
        labels,
        patients=readings.patients,
        statistic=all_scores,
        samples=config.samples,
        level=config.level,
        seed=config.conditions.seed,
    )
    of_classes = class_scores(probabilities, labels)
    return ConditionScores(
        probabilities=probabilities,
        overall={name: (v, *intervals[name]) for name, v in classification_scores(probabilities, labels).items()},
        classes={
            name: {score: (v, *intervals[f"{k} {score}"]) for score, v in of_classes[k].items()}
            for k, name in enumerate(classes)
        },
        confusion=confusion_table(probabilities, labels),
        calibration_error=expected_calibration_error(probabilities, labels, config.bins),
        brier=brier_score(probabilities, labels),
    )


def tsne_map(features: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Return a map (N, 2) of features (N, F) by t-SNE, each feature scaled to sd 1 first.

    The perplexity is 30, or a third of the cases when they are few.
    """
    from sklearn.manifold import TSNE

    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    perplexity = min(_LARGEST_PERPLEXITY, (len(features) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init="pca" if features.shape[1] > 1 else "random", random_state=seed)
    return np.asarray(method.fit_transform(scaled), dtype=np.float64)


def _omitted(
    card: Card,
    subject: Subject,
    readings: Readings,
    tsne: NDArray[np.float64] | None,
    training: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Why a part of the report is not there, by its name."""
    reasons = {}
    if tsne is None:
        reasons["t-SNE"] = f"{len(readings.labels)} cases are too few, {LEAST_CASES_FOR_TSNE} are needed"
    if not readings.deletion:
        reasons["deletion curve"] = f'the recipe "{card.recipe}" gives no evidence per voxel, or no case was chosen'
    if not training:
        reasons["training curves"] = "the run has no log" if subject.run else "a student file was judged, not a run"
    if len(readings.logits) == 1:
        reasons["other conditions"] = "no simulated dose was asked for, and no optional sequence is there to leave out"
    return reasons
