"""What an evaluation of a segmenting student is: the choices of the user and everything that the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..bootstrap import Scored
from ..evaluation import StudentEvaluation
from ..segmentationscores import MissedRule
from .readings import SubsetReadings


@dataclass(frozen=True)
class SubsetConfig:
    """What the user may choose; ``fold`` as in ``heldout.part_of``, ``command`` is for the report.

    ``targets``: the region of a case that is the truth of a class, for classes whose truth is not named as they are.
    ``missed``: the HD95 of a region that was missed, see ``segmentationscores``. ``beside``: folders of reports of
    other students on the same cases, which stand beside this one in the figures.
    """

    fold: int | str | None = None
    device: str = "cpu"
    targets: Mapping[str, str] = field(default_factory=dict)
    missed: MissedRule = "image_diagonal"
    samples: int = 1000
    level: float = 0.95
    seed: int = 0
    overlays: int = 2
    beside: tuple[Path, ...] = ()
    command: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class SubsetEvaluation(StudentEvaluation):
    """Everything that the report of a segmenting student shows.

    ``summary``: see ``scores.summary_scores``, with intervals; ``beside`` has the same of other students, by
    title. ``targets``: the region of a case that was the truth of each class.
    """

    config: SubsetConfig
    targets: Mapping[str, str]
    readings: SubsetReadings
    summary: Mapping[str, Scored]
    beside: Mapping[str, Mapping[str, Scored]]
