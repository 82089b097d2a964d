"""Which student is judged on which cases, and whether it has been trained on them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .card import Card
from .cohort import Cohort, CohortEntry

ALL = "all"


@dataclass(frozen=True)
class Subject:
    """What is judged: a student file, and the run that made it when a run folder was named."""

    student: Path
    run: Path | None = None
    fold: int | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """The cases that a student is judged on; ``name`` says which they are, ``warnings`` what speaks against it."""

    name: str
    entries: tuple[CohortEntry, ...]
    fold: int | None
    held_out: bool
    warnings: tuple[str, ...] = ()


def subject_of(source: Path | str) -> Subject:
    """The student file ``source``, or the student of the finished run in the folder ``source``."""
    path = Path(source)
    if not path.is_dir():
        return Subject(path)
    config = _run_config(path)
    if not (path / "student.safetensors").is_file():
        raise ValueError(f'"{path.name}" is a run without student.safetensors; let it finish first.')
    return Subject(path / "student.safetensors", path, config["fold"])


def _run_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f'"{folder.name}" is no run folder: it holds no config.json.')
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f'"{folder.name}" is no run folder: its config.json is not JSON.') from error
    if not isinstance(config, dict) or type(config.get("fold")) is not int:
        raise ValueError(f'"{folder.name}" is no run folder: its config.json names no held-out "fold".')
    return config


def part_of(cohort: Cohort, card: Card, subject: Subject, fold: int | str | None) -> Part:
    """The cases of a cohort that the student is judged on.

    ``fold`` None: the held-out fold of the run, or of the card, when this is the cohort it was trained on; else all
    cases with a label. A number: that fold. "all": all cases with a label. Raises ValueError when the classes are not
    those of the student, the fold does not exist, or a class has no case.
    """
    if set(cohort.classes) != set(card.classes):
        raise ValueError(
            f"The student knows the classes {', '.join(card.classes)}; the cohort has {', '.join(cohort.classes)}."
        )
    trained_on = card.training["cohort_sha256"] == cohort.sha256
    own_fold: int | None = subject.fold if subject.fold is not None else card.training.get("fold")
    chosen = _chosen(fold, own_fold if trained_on else None)
    entries = cohort.entries if chosen is None else tuple(cohort.split(chosen)[1])
    labelled = tuple(entry for entry in entries if entry.label is not None)
    _check_classes(labelled, card)
    held_out = not trained_on or (chosen is not None and chosen == own_fold)
    return Part(_name(cohort, chosen, held_out, trained_on), labelled, chosen, held_out, _warnings(entries, held_out))


def _chosen(fold: int | str | None, own_fold: int | None) -> int | None:
    if isinstance(fold, int):
        return fold
    if fold not in (None, ALL):
        raise ValueError(f'The fold is "{fold}", expected a number or "{ALL}".')
    return own_fold if fold is None else None


def _check_classes(entries: tuple[CohortEntry, ...], card: Card) -> None:
    count = Counter(entry.label for entry in entries)
    missing = [name for name in card.classes if not count[name]]
    if missing:
        raise ValueError(
            f'No case of class "{missing[0]}" is among the {len(entries)} labelled cases, so no AUC is defined; '
            "choose another fold or a larger cohort."
        )


def _name(cohort: Cohort, fold: int | None, held_out: bool, trained_on: bool) -> str:
    which = "all cases with a label" if fold is None else f"fold {fold}"
    if not trained_on:
        return f'{which} of "{cohort.name}", another cohort than the one trained on'
    return f'{which} of "{cohort.name}", ' + ("held out from training" if held_out else "seen in training")


def _warnings(entries: tuple[CohortEntry, ...], held_out: bool) -> tuple[str, ...]:
    warnings = []
    if not held_out:
        warnings.append(
            "The student was trained on this cohort, and the cases are not its held-out fold: these scores do not "
            "say how it does on cases it has not seen."
        )
    left_out = sum(entry.label is None for entry in entries)
    if left_out:
        warnings.append(f"{left_out} cases without a label were left out.")
    return tuple(warnings)
