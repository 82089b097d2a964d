"""The Recipe protocol and the recipes by name: one recipe is one paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from ..card import Card
    from ..case import Case
    from ..finding import Finding
    from ..memory import Memory
    from ..progress import ProgressCallback
    from ..student import Student

Batch = dict[str, "Tensor"]
Networks = Mapping[str, "Module"]

_MODULES = {"reactkd": ".reactkd.recipe"}


@dataclass(frozen=True)
class Update:
    """One kind of optimizer step: whose parameters, which loss, how often.

    ``loss(networks, batch)`` returns named scalar terms; their sum is minimized. ``every`` = 5: at each fifth step.
    """

    name: str
    parameters: Callable[[Networks], Iterable[Parameter]]
    loss: Callable[[Networks, Batch], dict[str, Tensor]]
    every: int = 1


@dataclass(frozen=True)
class Stage:
    """A part of a training run: its updates in order, and the share of all epochs it takes."""

    name: str
    updates: Sequence[Update]
    share: float = 1.0


@dataclass(frozen=True)
class Preparation:
    """How a case becomes tensors; written into the card, so that prediction repeats training to the bit."""

    grid_shape_kji: tuple[int, int, int]
    grid_spacing_kji_mm: tuple[float, float, float]
    intensity: Mapping[str, Any]
    classes: tuple[str, ...]
    network: Mapping[str, Any]
    regions: Mapping[str, Any]
    sequences: Mapping[str, Any]


def preparation_of(card: Card) -> Preparation:
    """The preparation that a student was trained with."""
    return Preparation(
        grid_shape_kji=card.grid_shape_kji,
        grid_spacing_kji_mm=card.grid_spacing_kji_mm,
        intensity=card.intensity,
        classes=tuple(card.classes),
        network=card.network["config"],
        regions=card.regions,
        sequences=card.sequences,
    )


class Recipe(Protocol):
    """One paper: its networks, losses, training stages, preparation, prediction and evaluation."""

    name: str
    task: str

    def preparation(self, classes: Sequence[str], **settings: Any) -> Preparation:
        """The preparation that training starts from; ``settings`` replace its defaults by name."""

    def build_network(self, config: Mapping[str, Any]) -> Module:
        """The student network of a card's network config, weights not loaded."""

    def networks(self, preparation: Preparation) -> dict[str, Module]:
        """All networks of a training run by name; "student" is the one that is deployed."""

    def prepare(self, case: Case, preparation: Preparation) -> Batch:
        """The tensors of one case, without batch axis; deterministic."""

    def augment(self, batch: Batch) -> Batch:
        """A randomly changed copy of a batch, drawn from torch's global generator."""

    def stages(self) -> Sequence[Stage]:
        """The training stages in order."""

    def predict(
        self,
        student: Student,
        case: Case,
        *,
        progress: ProgressCallback,
        shown_class: str | None,
        heat_map_mm: float,
        memory: Memory,
    ) -> Finding:
        """What the student says of the case; heat map and importance for ``shown_class``, None for the predicted one.

        The heat map has voxels of the source that lie at most ``heat_map_mm`` apart, or all. What is slow to make and
        rests on few things goes through ``memory``.
        """

    def evaluate(self, network: Module, samples: Iterable[Batch]) -> dict[str, float]:
        """Scores of a network on prepared samples with labels; "score" is the one that picks the best checkpoint."""


def recipe_names() -> list[str]:
    """Names of the recipes that this version knows."""
    return sorted(_MODULES)


def recipe_named(name: str) -> Recipe:
    """The recipe of that name; ValueError for an unknown one."""
    if name not in _MODULES:
        raise ValueError(f'There is no recipe "{name}"; this version knows: {", ".join(recipe_names())}.')
    recipe: Recipe = import_module(_MODULES[name], __name__).RECIPE
    return recipe
