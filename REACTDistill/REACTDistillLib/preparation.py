"""How the cases of a student become tensors: the settings that its card repeats, checked when they are made."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .card import shown
from .cardrules import RULES

if TYPE_CHECKING:
    from .case import Case
    from .volume import Volume


@dataclass(frozen=True)
class Preparation:
    """How a case becomes tensors; written into the card, so that prediction repeats training to the bit.

    ``training`` is what only training knows (privileged sequences, teachers, weights of losses): it is in the
    configuration of the run, in the card only to be read, and empty for a student that is used. Raises ValueError for
    a value that cannot be.
    """

    grid_shape_kji: tuple[int, int, int]
    grid_spacing_kji_mm: tuple[float, float, float]
    intensity: Mapping[str, Any]
    classes: tuple[str, ...]
    network: Mapping[str, Any]
    regions: Mapping[str, Any]
    sequences: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self._fields_of_card().items():
            expected, is_that = RULES[name]
            if not is_that(value):
                raise ValueError(f'"{name}" of the settings is {shown(value)}, expected {expected}.')
        for name in ("network", "training"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f'"{name}" of the settings is {shown(getattr(self, name))}, expected an object.')
        for name in self.sequence_names:
            if name not in self.intensity:
                raise ValueError(f'"intensity" of the settings has no rule for the sequence "{name}"; add one.')

    def _fields_of_card(self) -> dict[str, Any]:
        """What the card has of it too, in plain JSON values, by the names of the rules of a card."""
        found: dict[str, Any] = {
            "grid.shape_kji": self.grid_shape_kji,
            "grid.spacing_kji_mm": self.grid_spacing_kji_mm,
            "intensity": self.intensity,
        }
        for section in ("sequences", "regions"):
            content = getattr(self, section)
            if not isinstance(content, Mapping):
                raise ValueError(f'"{section}" of the settings is {shown(content)}, expected an object.')
            found |= {f"{section}.{kind}": content.get(kind) for kind in ("required", "optional")}
        plain: dict[str, Any] = json.loads(json.dumps(found))
        return plain

    def check_case(self, sequences: Collection[str], regions: Collection[str]) -> None:
        """Raise ValueError for a case that lacks a required sequence or region."""
        for kind, needed, given in (
            ("sequence", self.sequences["required"], sequences),
            ("region", self.regions["required"], regions),
        ):
            for name in needed:
                _check_there(kind, name, given)

    @property
    def sequence_names(self) -> tuple[str, ...]:
        """The S sequences in the order in which a student takes them: required, then optional ones."""
        return (*self.sequences["required"], *self.sequences["optional"])

    @property
    def takes_tumor(self) -> bool:
        """True when tumors are regions of their own to the student."""
        return "tumor" in (*self.regions["required"], *self.regions["optional"])

    def main_of(self, case: Case) -> Volume:
        """The sequence on whose voxels the regions of a case are; ValueError when it is absent."""
        name = self.sequences["required"][0]
        _check_there("sequence", name, case.sequences)
        return case.sequences[name]

    def organ_of(self, case: Case) -> Volume:
        """The mask in which all happens; ValueError when it is absent."""
        _check_there("region", self.organ, case.regions)
        return case.regions[self.organ]

    def tumor_of(self, case: Case) -> Volume | None:
        """The mask of the tumors; None when the case has none or the student takes none."""
        return case.regions.get("tumor") if self.takes_tumor else None

    @property
    def sequences_in_training(self) -> tuple[str, ...]:
        """Those of the student and the privileged ones, which only its teachers see."""
        return (*self.sequence_names, *self.training.get("privileged", {}))

    @property
    def organ(self) -> str:
        """Name of the region that every case has and in which all happens."""
        name: str = self.regions["required"][0]
        return name


def _check_there(kind: str, name: str, given: Collection[str]) -> None:
    if name not in given:
        there = ", ".join(f'"{one}"' for one in given) or "none"
        raise ValueError(f'there is no {kind} "{name}", which the student needs; there are {there}.')
