"""Which student is judged on which cases, and whether it has been trained on them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .card import Card
from .cohort import Cohort, CohortEntry
from .phantoms.seed import number_of, numbers_named

ALL = "all"


@dataclass(frozen=True)
class Subject:
    """What is judged: a student file, and the run that made it when a run folder was named.

    ``seen`` are the identifiers of the cases that this run trained on or chose its weights by.
    """

    student: Path
    run: Path | None = None
    fold: int | None = None
    seen: frozenset[str] = frozenset()


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
    parts = config.get("parts", {})
    seen = frozenset(one for part in ("training", "validation") for one in parts.get(part, []))
    return Subject(path / "student.safetensors", path, config["fold"], seen)


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


def part_of(
    cohort: Cohort, card: Card, subject: Subject, fold: int | str | None, *, truths: Collection[str] = ()
) -> Part:
    """The cases of a cohort that the student is judged on.

    ``fold`` None: the held-out fold of the run, or of the card, when this is the cohort it was trained on; else all
    cases with a label. A number: that fold. "all": all cases with a label. For a student that segments, ``truths``
    names the regions of which a case must have one, and its label does not matter. Raises ValueError when the classes
    are not those of the student, the fold does not exist, a class has no case or no case has a truth.
    """
    if not truths and set(cohort.classes) != set(card.classes):
        raise ValueError(
            f"The student knows the classes {', '.join(card.classes)}; the cohort has {', '.join(cohort.classes)}."
        )
    trained_on = card.training["cohort_sha256"] == cohort.sha256
    own_fold: int | None = subject.fold if subject.fold is not None else card.training.get("fold")
    chosen = _chosen(fold, own_fold if trained_on else None)
    entries = cohort.entries if chosen is None else tuple(cohort.split(chosen)[1])
    known = "a truth" if truths else "a label"
    judged = _with_truth(entries, truths) if truths else tuple(entry for entry in entries if entry.label is not None)
    if not truths:
        _check_classes(judged, card)
    seen = subject.seen  # of a run; of a student file alone only seeds are known
    if subject.run is None and cohort.synthetic:
        seen = _synthetic_ones_seen(judged, card)
    again = [] if trained_on else [entry.id for entry in judged if entry.id in seen]
    held_out = chosen is not None and chosen == own_fold if trained_on else not again
    name = _name(cohort, chosen, known, held_out=held_out, trained_on=trained_on)
    warnings = _warnings(len(entries) - len(judged), known, held_out=held_out or bool(again))
    if again:
        warnings = (
            f"The cohort file is not that of the training, but {len(again)} of {len(judged)} cases have identifiers "
            f'that the student was trained on ("{again[0]}"): these scores do not say how it does on unseen cases.',
            *warnings,
        )
    return Part(name, judged, chosen, held_out, warnings)


def _synthetic_ones_seen(entries: Sequence[CohortEntry], card: Card) -> frozenset[str]:
    """Identifiers of synthetic patients whose seeds are among those that a student was trained on.

    A seed is one patient on whatever grid, so another cohort may hold the same ones. Those of the fold that was held
    out count too: the card does not say which they were.
    """
    if not card.is_synthetic:
        return frozenset()
    seeds = numbers_named(card.training["cohort"])
    return frozenset(entry.id for entry in entries if number_of(entry.id) in seeds)


def _chosen(fold: int | str | None, own_fold: int | None) -> int | None:
    if isinstance(fold, int):
        return fold
    if fold not in (None, ALL):
        raise ValueError(f'The fold is "{fold}", expected a number or "{ALL}".')
    return own_fold if fold is None else None


def _with_truth(entries: Sequence[CohortEntry], truths: Collection[str]) -> tuple[CohortEntry, ...]:
    judged = tuple(entry for entry in entries if set(truths) & set(entry.regions))
    if not judged:
        found = ", ".join(sorted({name for entry in entries for name in entry.regions})) or "none"
        raise ValueError(
            f"No case has one of the regions {', '.join(truths)} to compare with; the cases have: {found}."
        )
    return judged


def _check_classes(entries: tuple[CohortEntry, ...], card: Card) -> None:
    count = Counter(entry.label for entry in entries)
    missing = [name for name in card.classes if not count[name]]
    if missing:
        raise ValueError(
            f'No case of class "{missing[0]}" is among the {len(entries)} labeled cases, so no AUC is defined; '
            "choose another fold or a larger cohort."
        )


def _name(cohort: Cohort, fold: int | None, known: str, *, held_out: bool, trained_on: bool) -> str:
    which = f"all cases with {known}" if fold is None else f"fold {fold}"
    if not trained_on:
        return f'{which} of "{cohort.name}", another cohort than the one trained on'
    return f'{which} of "{cohort.name}", ' + ("held out from training" if held_out else "seen in training")


def _warnings(left_out: int, known: str, *, held_out: bool) -> tuple[str, ...]:
    warnings = []
    if not held_out:
        warnings.append(
            "The student was trained on this cohort, and the cases are not its held-out fold: these scores do not "
            "say how it does on cases it has not seen."
        )
    if left_out:
        warnings.append(f"{left_out} cases without {known} were left out.")
    return tuple(warnings)
