"""What an evaluation is, of a grading student and of any: the choices of the user and all that the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Scored
from .calibration import ReliabilityBin
from .cohort import Cohort
from .decision import DecisionCurve
from .finding import NOT_A_MEDICAL_DEVICE
from .heldout import Part, Subject
from .metrics import Probabilities
from .readings import Conditions, Readings

if TYPE_CHECKING:
    from .card import Card


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentEvaluation:
    """What every evaluation knows: the student, the cohort, the cases it is judged on, where and how long it ran."""

    card: Card
    cohort: Cohort
    subject: Subject
    part: Part
    device: str
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """Name and version of the student."""
        return f"{self.card.name} {self.card.version}"

    @property
    def is_synthetic(self) -> bool:
        """True when the cases, or those the student was trained on, are no patients."""
        return self.cohort.synthetic or self.card.is_synthetic

    @property
    def figure_note(self) -> str:
        """What stands in small print below each figure."""
        return f"{'Synthetic patients. ' if self.cohort.synthetic else ''}{NOT_A_MEDICAL_DEVICE}"

    def described(self) -> dict[str, Any]:
        """What was judged on what, as JSON values: the head of ``scores.json``."""
        card, cohort = self.card, self.cohort
        student = ("name", "version", "recipe", "tensors_sha256")
        return {
            "format": 1,
            "notices": self.notices(),
            "synthetic": self.is_synthetic,
            "student": {**{name: getattr(card, name) for name in student}, "card_sha256": card.sha256},
            "cohort": {"name": cohort.name, "sha256": cohort.sha256, "synthetic": cohort.synthetic},
        }

    def notices(self) -> list[str]:
        """Every sentence that must stand beside the numbers."""
        synthetic = ["The cases are synthetic patients: no patient was examined."] if self.cohort.synthetic else []
        return [NOT_A_MEDICAL_DEVICE, *synthetic, self.card.limitations, *self.part.warnings]


@dataclass(frozen=True)
class EvaluationConfig:
    """What the user may choose of an evaluation; ``fold`` as in ``heldout.part_of``, ``command`` is for the report."""

    fold: int | str | None = None
    device: str = "cpu"
    conditions: Conditions = field(default_factory=Conditions)
    samples: int = 1000
    level: float = 0.95
    bins: int = 10
    command: str = ""


@dataclass(frozen=True, eq=False)
class ConditionScores:
    """Scores under one condition: ``probabilities`` (N, K), scores overall and by class, confusion table (K, K)."""

    probabilities: Probabilities
    overall: Mapping[str, Scored]
    classes: Mapping[str, Mapping[str, Scored]]
    confusion: NDArray[np.int64]
    calibration_error: float
    brier: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(StudentEvaluation):
    """Everything that the report of a grading student shows.

    ``conditions`` by name, "as measured" first; ``curves`` and ``decisions`` by class and ``diagrams`` by temperature
    are of the cases as measured; ``tsne`` (N, 2) is None and ``training`` is empty where ``omitted`` says why.
    """

    config: EvaluationConfig
    readings: Readings
    conditions: Mapping[str, ConditionScores]
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]
    decisions: Mapping[str, DecisionCurve]
    diagrams: Mapping[str, Sequence[ReliabilityBin]]
    tsne: NDArray[np.float64] | None
    training: Sequence[Mapping[str, Any]]
    omitted: Mapping[str, str]


def check_packages(names: Sequence[str]) -> None:
    """ValueError for the first package that scores and figures need and is missing, before the cases are read."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ValueError(
            f'An evaluation needs the Python package "{missing[0]}"; install it with the extra "train" of reactdistill.'
        )
