"""What a student says of the cases of a cohort, as they are and under conditions that make it harder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .calibration import softmax
from .case import Case
from .cohort import CohortEntry
from .deletion import deletion_curves
from .progress import ProgressCallback
from .recipes import Batch, Preparation, Readout, Recipe, preparation_of, recipe_named

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from .card import Card
    from .loadedstudent import Student
    from .lowdose import DoseModel
    from .volume import Volume

AS_MEASURED, REQUIRED_ONLY = "as measured", "required sequences only"


@runtime_checkable
class Explains(Recipe, Protocol):
    """A recipe whose student can say which voxels its logits rest on."""

    def evidence(self, network: Module, sample: Batch) -> Tensor:
        """Share of each voxel of the feature grid in each logit, (K, d, h, w), of one sample without batch axis."""


@dataclass(frozen=True)
class Conditions:
    """Under which conditions each case is read, and of how many cases deletion curves are made.

    ``doses`` in the unit of ``lowdose.low_dose_series``, simulated by its ``dose_model``; ``seed`` draws the noise.
    """

    doses: tuple[float, ...] = ()
    dose_model: DoseModel = "line_integrals"
    seed: int = 0
    deletion_cases: int = 60


@dataclass(frozen=True, eq=False)
class Readings:
    """What a student says of N cases.

    ``logits`` (N, K) by condition, "as measured" first; ``features`` (N, F) and ``labels`` (N,) of the cases as
    measured; ``deletion`` are curves (M, S) by order of the first M cases, empty when the recipe gives no evidence.
    ``sequences`` counts the cases that have each sequence the student can use.
    """

    identifiers: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: Mapping[str, NDArray[np.float64]]
    features: NDArray[np.float32]
    deletion: Mapping[str, NDArray[np.float64]]
    sequences: Mapping[str, int]


def read_cases(
    student: Student, entries: Sequence[CohortEntry], conditions: Conditions, *, progress: ProgressCallback
) -> Readings:
    """Return what the student says of labeled cases, read one after the other so that memory does not grow.

    A case that cannot be read ends it with a ValueError that names the case: scores without it would be of another
    cohort.
    """
    reader = _Reader(student, entries, conditions)
    for number, entry in enumerate(entries):
        progress("evaluate", number, len(entries))
        try:
            reader.add(entry, number)
        except ValueError as error:
            raise ValueError(f'case "{entry.id}" cannot be evaluated: {error}') from error
    progress("evaluate", len(entries), len(entries))
    return reader.readings()


def _as_in_use(card: Card) -> Preparation:
    """The preparation in which every sequence counts as required, so that the student is shown all that a case has."""
    names = [*card.sequences["required"], *card.sequences["optional"]]
    return replace(preparation_of(card), sequences={"required": names, "optional": []})


def dose_name(dose: float) -> str:
    """The condition of a simulated dose."""
    return f"dose {dose:g}"


class _Reader:
    """Reads case after case and keeps the numbers, not the images."""

    def __init__(self, student: Student, entries: Sequence[CohortEntry], conditions: Conditions) -> None:
        self._student, self._entries, self._conditions = student, entries, conditions
        self._recipe, self._preparation = recipe_named(student.card.recipe), _as_in_use(student.card)
        seen = {name for entry in entries for name in entry.sequences}
        self._optional = seen & set(student.card.sequences["optional"])
        self._as_measured: list[Readout] = []
        self._logits: dict[str, list[NDArray[np.float64]]] = {AS_MEASURED: []}
        self._deletion: dict[str, list[NDArray[np.float64]]] = {}

    def add(self, entry: CohortEntry, number: int) -> None:
        case = entry.load()
        sample = self._sample(case)
        readout = self._recipe.read(self._student.network, [sample])
        self._as_measured.append(readout)
        self._logits[AS_MEASURED].append(readout.logits[0])
        for name, other in self._under_conditions(case, number).items():
            logits = self._recipe.read(self._student.network, [self._sample(other)]).logits[0]
            self._logits.setdefault(name, []).append(logits)
        if number < self._conditions.deletion_cases and isinstance(self._recipe, Explains):
            rng = np.random.default_rng(self._conditions.seed + number)
            for name, curve in _deletion(self._recipe, self._student, sample, readout, rng).items():
                self._deletion.setdefault(name, []).append(curve)

    def readings(self) -> Readings:
        sequences = self._student.card.sequences
        names = (*sequences["required"], *sequences["optional"])
        return Readings(
            identifiers=tuple(entry.id for entry in self._entries),
            patients=tuple(entry.patient for entry in self._entries),
            labels=np.concatenate([one.labels for one in self._as_measured]),
            logits={name: np.array(logits) for name, logits in self._logits.items()},
            features=np.concatenate([one.features for one in self._as_measured]),
            deletion={name: np.array(curves) for name, curves in self._deletion.items()},
            sequences={name: sum(name in entry.sequences for entry in self._entries) for name in names},
        )

    def _sample(self, case: Case) -> Batch:
        sample = self._recipe.prepare(case, self._preparation)
        return {name: tensor.to(self._student.device) for name, tensor in sample.items()}

    def _under_conditions(self, case: Case, number: int) -> dict[str, Case]:
        """The case under each condition, by name; the names are the same for each case."""
        cases, doses = {}, self._conditions.doses
        if self._optional:
            kept = {name: one for name, one in case.sequences.items() if name not in self._optional}
            cases[REQUIRED_ONLY] = replace(case, sequences=kept)
        if doses:
            for dose, ct in zip(doses, self._low_doses(case, number), strict=True):
                cases[dose_name(dose)] = replace(case, sequences={**case.sequences, "ct": ct})
        return cases

    def _low_doses(self, case: Case, number: int) -> Sequence[Volume]:
        from .lowdose import low_dose_series

        if "ct" not in case.sequences:
            raise ValueError('a simulated dose needs the sequence "ct".')
        plan = self._conditions
        return low_dose_series(case.sequences["ct"], plan.doses, model=plan.dose_model, seed=plan.seed + number)


def _deletion(
    recipe: Explains, student: Student, sample: Batch, readout: Readout, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Deletion curves of the predicted class of one sample."""
    evidence, image = recipe.evidence(student.network, sample), sample["image"]
    predicted = int(readout.logits[0].argmax())

    def read(images: Sequence[Tensor]) -> NDArray[np.float64]:
        logits = recipe.read(student.network, ({**sample, "image": one} for one in images)).logits
        return softmax(logits, student.card.temperature)[:, predicted]

    sizes = zip(student.card.grid_spacing_kji_mm, image.shape[1:], evidence.shape[1:], strict=True)
    spacing_kji_mm = [mm * round(size / count) for mm, size, count in sizes]
    return deletion_curves(read, image, evidence, predicted, spacing_kji_mm, rng)
