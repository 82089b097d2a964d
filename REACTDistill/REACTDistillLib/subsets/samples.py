"""Dice of a network on prepared samples, for every subset of the sequences they have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..recipes import Batch
from ..segmentationscores import dice
from .scores import SubsetScore, SubsetTable, all_subsets, subset_table

if TYPE_CHECKING:
    from torch import Tensor


class DecodesSubsets(Protocol):
    """A network that encodes a case once and decodes any subset of its sequences."""

    def encode(self, images: Tensor, present: Tensor) -> Any:
        """What the encoders say of ``images`` (B, M, D, H, W); ``present`` (B, M) bool."""

    def decode(self, encoded: Any, subset: Tensor) -> Tensor:
        """Logits (B, R, D, H, W) of the sequences of ``subset`` (B, M) bool."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a prepared sample: masks of the regions inside the ``brain``, and which of them are ``known``.

    ``masks`` (R, D, H, W) and ``brain`` (D, H, W) bool.
    """

    masks: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    known: tuple[bool, ...]

    @classmethod
    def of(cls, sample: Batch) -> Truth:
        """The truth of a sample as ``sample_table`` takes it."""
        brain = sample["brain"].cpu().numpy()
        return cls((sample["target"].cpu().numpy() > 0.5) & brain, brain, tuple(sample["known"].tolist()))

    def dice(self, logits: Tensor) -> list[float]:
        """The Dice of each region by logits (R, D, H, W), voxels of the brain only; NaN where there is no truth."""
        said = (logits > 0).cpu().numpy() & self.brain
        rows = zip(said, self.masks, self.known, strict=True)
        return [dice(mask, truth) if known else math.nan for mask, truth, known in rows]


def sample_table(
    network: DecodesSubsets, samples: Iterable[Batch], sequences: Sequence[str], regions: Sequence[str]
) -> SubsetTable:
    """The Dice of each sample, subset and known region, on the grid that the network sees; no HD95.

    Samples as a recipe of the task "segment" prepares them, without batch axis: "image" (M, D, H, W) and "present" (M,)
    in the order of ``sequences``, "target" (R, D, H, W) and "known" (R,) in that of ``regions``, "brain" (D, H, W). A
    voxel of the brain is in a region when its probability is above 0.5. The network must be in eval mode. Each sample
    counts as a patient of its own.
    """
    return subset_table(_scores(network, samples, sequences, regions), regions)


def logits_by_subset(
    network: DecodesSubsets, image: Tensor, present: Tensor, sequences: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Each subset of the present sequences with its logits (R, D, H, W); the encoders run once.

    ``image`` (M, D, H, W) and ``present`` (M,) in the order of ``sequences``.
    """
    import torch

    with torch.inference_mode():
        encoded = network.encode(image[None], present[None])
        there = [name for name, is_there in zip(sequences, present.tolist(), strict=True) if is_there]
        for subset in all_subsets(there):
            chosen = torch.tensor([[name in subset for name in sequences]], device=present.device)
            yield subset, network.decode(encoded, chosen)[0]


def _scores(
    network: DecodesSubsets, samples: Iterable[Batch], sequences: Sequence[str], regions: Sequence[str]
) -> Iterator[SubsetScore]:
    for number, sample in enumerate(samples):
        case, truth = str(number), Truth.of(sample)
        for subset, logits in logits_by_subset(network, sample["image"], sample["present"], sequences):
            for region, value in zip(regions, truth.dice(logits), strict=True):
                if not math.isnan(value):
                    yield SubsetScore(case, case, subset, region, value)
