"""What a run of CCSD may choose: the truth of each class, the method, subsets, weights of the losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ...errors import check_names
from .losses import TEACHERS
from .subsets import SAMPLINGS

SHARES = ("one", "all")
CRITICALITIES = ("running", "exact")
BRAIN_TARGETS = {"WT": "wt", "TC": "tc", "ET": "et"}

# The baselines in the same code: what they change in the defaults, which are those of CCSD.
_ALONE = {"full_set": False, "hmsd": 0.0, "dmcd": 0.0}
METHODS: dict[str, dict[str, Any]] = {
    "ccsd": {},
    "modality_dropout": _ALONE,
    "shaspec": {**_ALONE, "alignment": 0.1, "classification": 0.02},
    "one_model_per_subset": _ALONE,
}

# For computers without a GPU: a whole brain on few voxels, few channels.
SMALL_NETWORK: dict[str, Any] = {"channels": [8, 16, 32]}
SMALL_SETTINGS: dict[str, Any] = {"grid_shape_kji": [32, 32, 32], "grid_spacing_kji_mm": [4.5, 5.5, 5.0]}


@dataclass(frozen=True)
class Curriculum:
    """Settings of training; ``from_json`` reads them from ``Preparation.training``.

    ``targets``: the region of a case that is the truth of each class. ``method``: "ccsd", or a baseline, which changes
    the defaults of what follows; "one_model_per_subset" needs ``only``, the names of the sequences it sees.
    ``full_set``: C4 on all sequences of a case at every step, beside the sampled subset; without it distillation has
    no teacher worth the name. ``sampling``: how that subset is drawn ("sizes" or "subsets"). ``hmsd``, ``dmcd``:
    lambda_1 and lambda_2 of C7, 0 leaves the term out; ``temperature``: tau; ``ramp``: share of the steps over which
    they come in. Their values are design choices: at tau = 4 and a short ramp the spread of sure answers about the
    background outweighed the truth, and early training stood still. ``teacher``: of C5, "full" or "adjacent";
    ``subsets``: "one" of each level per step or "all".
    ``criticality``: of C6, "running" (an estimate over training with ``momentum``, one decoder pass more per step) or
    "exact" (for each case at each step, 9 more for 4 sequences). ``alignment``, ``classification``: weights of the
    terms of ShaSpec.
    """

    targets: Mapping[str, str] = field(default_factory=lambda: dict(BRAIN_TARGETS))
    method: str = "ccsd"
    only: tuple[str, ...] = ()
    full_set: bool = True
    sampling: str = "sizes"
    hmsd: float = 0.5
    dmcd: float = 0.5
    temperature: float = 1.0
    ramp: float = 0.3
    teacher: str = "full"
    subsets: str = "one"
    criticality: str = "running"
    momentum: float = 0.9
    alignment: float = 0.0
    classification: float = 0.0

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f'"{name}" must be one of {", ".join(known)}, got "{getattr(self, name)}".')
        for name in ("hmsd", "dmcd", "alignment", "classification"):
            if not getattr(self, name) >= 0:
                raise ValueError(f'the weight "{name}" must be 0 or above, got {getattr(self, name)}.')
        if not self.temperature > 0 or not 0 <= self.ramp <= 1 or not 0 <= self.momentum < 1:
            raise ValueError(
                '"temperature" must be above 0, "ramp" from 0 to 1 and "momentum" from 0 to below 1, got '
                f"{self.temperature}, {self.ramp} and {self.momentum}."
            )
        if self.distills and not self.full_set:
            raise ValueError('self-distillation needs "full_set": an untrained full set would teach noise.')
        if (self.method == "one_model_per_subset") != bool(self.only):
            raise ValueError(f'"only" names the sequences of one_model_per_subset, got {self.only} for {self.method}.')

    @property
    def distills(self) -> bool:
        """True when richer sets teach poorer ones."""
        return self.hmsd > 0 or self.dmcd > 0

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Curriculum:
        """The settings in plain JSON values; ValueError names a field that is unknown or not what it should be."""
        check_names("training", content, [one.name for one in fields(cls)])
        chosen: dict[str, Any] = {**METHODS.get(str(content.get("method", "ccsd")), {}), **content}
        if isinstance(chosen.get("only"), list):
            chosen["only"] = tuple(chosen["only"])
        try:
            return cls(**chosen)
        except TypeError as error:
            raise ValueError(f'"training" holds a value of the wrong kind: {error}.') from error


_CHOICES = {
    "method": tuple(METHODS),
    "sampling": SAMPLINGS,
    "teacher": TEACHERS,
    "subsets": SHARES,
    "criticality": CRITICALITIES,
}
