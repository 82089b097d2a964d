"""The Recipe protocol and the recipes by name: one recipe is one paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ..preparation import Preparation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor
    from torch.nn import Module, Parameter

    from ..card import Card
    from ..case import Case
    from ..finding import Finding
    from ..loadedstudent import Student
    from ..memory import Memory
    from ..progress import ProgressCallback

Batch = dict[str, "Tensor"]
Networks = Mapping[str, "Module"]

_MODULES = {"reactkd": ".reactkd.recipe", "ccsd": ".ccsd.recipe"}


@dataclass(frozen=True)
class Update:
    """One kind of optimizer step: whose parameters, which loss, how often.

    ``loss(networks, batch)`` returns named scalar terms; their sum is minimized. ``batch["progress"]`` () is the part
    of the stage that is done, 0 to 1. ``every`` = 5: at each fifth step. ``rate`` is a factor of the learning rate.
    """

    name: str
    parameters: Callable[[Networks], Iterable[Parameter]]
    loss: Callable[[Networks, Batch], dict[str, Tensor]]
    every: int = 1
    rate: float = 1.0


@dataclass(frozen=True)
class Stage:
    """A part of a training run: its updates in order, and the share of all epochs it takes.

    ``network`` names the network that the stage trains: its score on the validation part picks its best weights, which
    it has again when the stage ends. Other networks are frozen in eval mode. ``begin`` runs once before the first
    step, for what a network takes over from another. Only an ``unlabeled`` stage is given cases without a label (-1).
    ``taught`` gives what frozen networks say of one sample: computed once per sample before the first step, and put
    into it.
    """

    name: str
    updates: Sequence[Update]
    share: float = 1.0
    network: str = "student"
    begin: Callable[[Networks], None] | None = None
    unlabeled: bool = False
    taught: Callable[[Networks, Batch], Batch] | None = None


@dataclass(frozen=True, eq=False)
class Readout:
    """What a network says of N cases: ``logits`` (N, K), pooled ``features`` (N, F), ``labels`` (N,); on the CPU."""

    logits: NDArray[np.float64]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Judgment:
    """What a card tells of a trained student: numbers by name for each subset of sequences, calibration, memory."""

    metrics: Mapping[str, Mapping[str, float]]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictOptions:
    """What may be asked of a prediction; each recipe reads what concerns its task.

    A student that grades: heat map and importance are for ``shown_class``, None for the predicted one; the heat map has
    voxels of the source that lie at most ``heat_map_mm`` apart, or all. A student that segments: masks are on the grid
    of the sequence ``reference``, None for the one with the smallest voxels; ``with_probabilities`` adds its
    probability maps.
    """

    shown_class: str | None = None
    heat_map_mm: float = 0.0
    reference: str | None = None
    with_probabilities: bool = False


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
        """The tensors of one case, without batch axis; deterministic. "image" is what the student sees."""

    def augment(self, sample: Batch, generator: Generator, preparation: Preparation) -> Batch:
        """A randomly changed copy of one sample, without batch axis; everything random comes from ``generator``."""

    def stages(self, preparation: Preparation) -> Sequence[Stage]:
        """The training stages in order."""

    def read(self, network: Module, samples: Iterable[Batch]) -> Readout:
        """What a network that a stage trains, or a student, says of prepared samples; labels are -1 where unknown.

        A student is shown the required sequences only, whatever else a sample has: that is what it will always get.
        """

    def evaluate(self, network: Module, samples: Iterable[Batch], *, temperature: float = 1.0) -> dict[str, float]:
        """Scores of a network on prepared samples with labels; "score" is the one that picks the best weights.

        ``temperature`` is what logits are divided by.
        """

    def judge(
        self, network: Module, preparation: Preparation, validation: Sequence[Batch], held_out: Sequence[Batch]
    ) -> Judgment:
        """What the card tells of a trained student: fitted on the validation samples, scored on the held-out ones."""

    def predict(
        self, student: Student, case: Case, options: PredictOptions, *, progress: ProgressCallback, memory: Memory
    ) -> Finding:
        """What the student says of the case; what is slow to make and rests on few things goes through ``memory``."""

    def get_ready(self, student: Student, case: Case, *, progress: ProgressCallback, memory: Memory) -> None:
        """Put into the ``memory`` what ``predict`` of this case makes before its network is asked."""


def recipe_names() -> list[str]:
    """Names of the recipes that this version knows."""
    return sorted(_MODULES)


def recipe_named(name: str) -> Recipe:
    """The recipe of that name; ValueError for an unknown one."""
    if name not in _MODULES:
        raise ValueError(f'There is no recipe "{name}"; this version knows: {", ".join(recipe_names())}.')
    recipe: Recipe = import_module(_MODULES[name], __name__).RECIPE
    return recipe
