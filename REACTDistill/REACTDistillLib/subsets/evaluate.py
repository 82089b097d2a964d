"""Evaluation of a segmenting student: Dice and HD95 of every subset of sequences, in one report."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bootstrap import Scored
from ..cohort import Cohort, CohortEntry
from ..evaluation import check_packages
from ..heldout import Subject, part_of, subject_of
from ..progress import ProgressCallback, silent
from ..segmentationscores import MISSED_RULES
from .evaluation import SubsetConfig, SubsetEvaluation
from .readings import ReadingConfig, read_subsets
from .scores import summary_intervals

if TYPE_CHECKING:
    from ..card import Card

_PACKAGES = ("matplotlib", "scipy")


def evaluate_subsets(
    source: Path | str,
    cohort: Cohort,
    out_folder: Path | str,
    config: SubsetConfig | None = None,
    *,
    progress: ProgressCallback = silent,
) -> SubsetEvaluation:
    """Judge the segmenting student in the file or run folder ``source``; write the report into a new folder.

    The cases are those of ``heldout.part_of`` that have a truth; ``report.write_subset_report`` says what the
    folder holds. Raises ValueError with one sentence when student and cohort do not fit each other, a case cannot be
    read, or the folder is in use.
    """
    from ..reportpage import check_report_folder
    from ..student import load_student
    from .report import write_subset_report

    config, started = config or SubsetConfig(), time.perf_counter()
    _check(config)
    check_report_folder(out_folder)
    subject = subject_of(source)
    student = load_student(subject.student, device=config.device)
    targets = targets_of(student.card, subject, config.targets)
    part = part_of(cohort, student.card, subject, config.fold, truths=tuple(targets.values()))
    beside = {title: scores for folder in config.beside for title, scores in [_other_report(folder, part.entries)]}
    reading = ReadingConfig(targets, config.missed, config.overlays)
    readings = read_subsets(student, part.entries, reading, progress=progress)
    evaluation = SubsetEvaluation(
        card=student.card,
        cohort=cohort,
        subject=subject,
        part=part,
        config=config,
        targets=targets,
        readings=readings,
        summary=summary_intervals(readings.table, samples=config.samples, level=config.level, seed=config.seed),
        beside=beside,
        device=student.device,
        seconds=time.perf_counter() - started,
    )
    write_subset_report(evaluation, out_folder)
    return evaluation


def targets_of(card: Card, subject: Subject, chosen: Mapping[str, str]) -> dict[str, str]:
    """The region of a case that is the truth of each class.

    As ``chosen``; else as the run was trained; else the name of the class in small letters. ValueError for a class that
    the student does not have.
    """
    unknown = sorted(set(chosen) - set(card.classes))
    if unknown:
        raise ValueError(f'"{card.name}" has no class "{unknown[0]}"; its classes are {", ".join(card.classes)}.')
    trained = _targets_in_training(subject)
    return {name: chosen.get(name) or trained.get(name) or name.lower() for name in card.classes}


def _targets_in_training(subject: Subject) -> Mapping[str, str]:
    if subject.run is None:
        return {}
    config = json.loads((subject.run / "config.json").read_text(encoding="utf-8"))
    targets = config.get("settings", {}).get("training", {}).get("targets", {})
    return targets if isinstance(targets, dict) else {}


def _check(config: SubsetConfig) -> None:
    """What can be refused before the cases are read."""
    check_packages(_PACKAGES)
    if config.missed not in MISSED_RULES:
        raise ValueError(f'There is no rule "{config.missed}" for missed regions; there are {", ".join(MISSED_RULES)}.')


def _other_report(folder: Path, entries: Sequence[CohortEntry]) -> tuple[str, dict[str, Scored]]:
    """Title and summary of a student that was judged before; ValueError when that was on other cases."""
    path = Path(folder) / "scores.json"
    if not path.is_file():
        raise ValueError(f'"{Path(folder).name}" holds no scores.json: it is no report of an evaluation.')
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content.get("task") != "segment":
        raise ValueError(f'"{Path(folder).name}" is no report of a segmenting student.')
    if content["cases"] != [entry.id for entry in entries]:
        raise ValueError(f'"{Path(folder).name}" is of other cases, so its scores cannot stand beside these.')
    summary = {name: (one["value"], one["low"], one["high"]) for name, one in content["summary"].items()}
    return f"{content['student']['name']} {content['student']['version']} ({Path(folder).name})", summary
