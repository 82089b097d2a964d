"""A cohort in three parts by patient: training, validation, held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .cohort import Cohort, CohortEntry
from .trainingconfig import TrainingConfig


@dataclass(frozen=True)
class CohortParts:
    """The cases that train, the cases that pick the best weights, and the cases that give the scores of the card."""

    training: list[CohortEntry]
    validation: list[CohortEntry]
    held_out: list[CohortEntry]

    def by_name(self) -> dict[str, list[CohortEntry]]:
        """The cases of each part by its name."""
        return dict(vars(self))

    def identifiers(self) -> dict[str, list[str]]:
        """The case identifiers of each part by its name."""
        return {name: [entry.id for entry in entries] for name, entries in self.by_name().items()}


def split_cohort(cohort: Cohort, config: TrainingConfig, *, unlabeled_train: bool = False) -> CohortParts:
    """The parts of a run: fold ``config.fold`` is held out, a share of the other patients of each class validates.

    The validation patients are drawn by ``config.seed``, and at least one of each class is drawn. Every part holds
    every class. Cases without a label can only train, and only when ``unlabeled_train``: those of held-out patients are
    left out. Raises ValueError for fewer than 2 folds, an absent fold, a case without label where each needs one, a
    patient in two folds and a class that a part lacks: found now, not after hours of training.
    """
    folds = cohort.folds
    if len(folds) < 2 or config.fold not in folds:
        raise ValueError(
            f"Training needs at least 2 folds and holds out fold {config.fold}; the cohort has the folds {folds}."
        )
    _check_patients(cohort.entries)
    if not unlabeled_train:
        _check_all_labeled(cohort.entries)
    others, held_out = cohort.split(config.fold)
    chosen = _validation_patients([entry for entry in others if entry.label is not None], config)
    parts = CohortParts(
        training=[entry for entry in others if entry.patient not in chosen],
        validation=[entry for entry in others if entry.patient in chosen and entry.label is not None],
        held_out=[entry for entry in held_out if entry.label is not None],
    )
    for name, entries in parts.by_name().items():
        _check_classes(name.replace("_", " "), entries, cohort.classes)
    return parts


def _check_patients(entries: Sequence[CohortEntry]) -> None:
    folds: dict[str, int] = {}
    for entry in entries:
        if folds.setdefault(entry.patient, entry.fold) != entry.fold:
            found = sorted((folds[entry.patient], entry.fold))
            raise ValueError(f'Patient "{entry.patient}" is in folds {found[0]} and {found[1]}; one is allowed.')


def _check_all_labeled(entries: Sequence[CohortEntry]) -> None:
    for entry in entries:
        if entry.label is None:
            raise ValueError(f'Case "{entry.id}" has no label; supervised training needs one for every case.')


def _validation_patients(entries: Sequence[CohortEntry], config: TrainingConfig) -> set[str]:
    """A share of the patients of each class; a patient with several labels counts for the first in the alphabet."""
    label_of: dict[str, str] = {}
    for entry in entries:
        label_of[entry.patient] = min(label_of.get(entry.patient, str(entry.label)), str(entry.label))
    chosen: set[str] = set()
    for label in sorted(set(label_of.values())):
        patients = sorted(patient for patient, found in label_of.items() if found == label)
        random.Random(f"{config.seed}/{label}").shuffle(patients)
        chosen.update(patients[: max(1, round(config.validation_share * len(patients)))])
    return chosen


def _check_classes(name: str, entries: Sequence[CohortEntry], classes: Sequence[str]) -> None:
    missing = sorted(set(classes) - {str(entry.label) for entry in entries})
    if missing:
        raise ValueError(f'The {name} part has no case of class "{missing[0]}"; use fewer folds or more cases.')
