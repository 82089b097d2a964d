"""The tensors of the cases of a run, made once: what is prepared of a case, and what frozen networks say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .checkpoint import with_prefix
from .cohort import CohortEntry
from .deploy import Trained
from .progress import ProgressCallback
from .recipes import Batch, Preparation, Recipe, Stage
from .student import tensors_sha256

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class Kept:
    """What several runs on one cohort may share; this one keeps nothing, so each run makes everything itself."""

    def sample(self, entry: CohortEntry, preparation: Preparation, make: Callable[[], Batch]) -> Batch:
        """The tensors of a case."""
        return make()

    def taught(self, entry: CohortEntry, weights_sha256: str, make: Callable[[], Batch]) -> Batch:
        """What networks with these weights say of a case."""
        return make()


@dataclass(frozen=True)
class Said:
    """What the networks that a stage does not train say of its samples."""

    stage: Stage
    networks: Mapping[str, Module]
    device: str

    def weights_sha256(self) -> str:
        """The same for the same weights of the networks that say it."""
        frozen: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            if name != self.stage.network:
                frozen |= with_prefix(name, network.state_dict())
        return tensors_sha256(frozen)

    def of(self, sample: Batch) -> Batch:
        """What they say of one sample, on the CPU."""
        import torch

        assert self.stage.taught is not None
        for name, network in self.networks.items():
            network.train(name == self.stage.network)
        with torch.inference_mode():
            said = self.stage.taught(self.networks, {name: one.to(self.device) for name, one in sample.items()})
        # Tensors made in inference mode cannot take part in training; their copies can.
        return {name: tensor.cpu().clone() for name, tensor in said.items()}


def prepared(
    trained: Trained, entries: Sequence[CohortEntry], name: str, kept: Kept, progress: ProgressCallback
) -> list[Batch]:
    """All cases of one part as tensors in memory: prepared once, read in every epoch."""
    recipe, preparation = trained.recipe, trained.preparation
    samples = []
    for number, entry in enumerate(entries, start=1):
        samples.append(kept.sample(entry, preparation, partial(_prepared, recipe, entry, preparation)))
        progress(f"prepare {name.replace('_', ' ')}", number, len(entries))
    return samples


def _prepared(recipe: Recipe, entry: CohortEntry, preparation: Preparation) -> Batch:
    case = entry.load()  # names itself when it cannot be read
    try:
        return recipe.prepare(case, preparation)
    except ValueError as error:
        raise ValueError(f'case "{entry.id}" cannot be prepared: {error}') from error


def taught(
    said: Said, entries: Sequence[CohortEntry], samples: Sequence[Batch], kept: Kept, progress: ProgressCallback
) -> list[Batch]:
    """The samples of the entries, each with what frozen networks say of it."""
    weights = said.weights_sha256()
    result = []
    for number, (entry, sample) in enumerate(zip(entries, samples, strict=True), start=1):
        result.append({**sample, **kept.taught(entry, weights, partial(said.of, sample))})
        progress(f"teach {said.stage.name}", number, len(samples))
    return result
