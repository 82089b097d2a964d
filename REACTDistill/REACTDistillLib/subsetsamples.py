"""Dice of a network on prepared samples, for every subset of the sequences they have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .recipes import Batch
from .segmentationscores import dice
from .subsetscores import SubsetScore, SubsetTable, all_subsets, subset_table

if TYPE_CHECKING:
    from torch import Tensor


class DecodesSubsets(Protocol):
    """A network that encodes a case once and decodes any subset of its sequences."""

    def encode(self, images: Tensor, present: Tensor) -> Any:
        """What the encoders say of ``images`` (B, M, D, H, W); ``present`` (B, M) bool."""

    def decode(self, encoded: Any, subset: Tensor) -> Tensor:
        """Logits (B, R, D, H, W) of the sequences of ``subset`` (B, M) bool."""


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
        case, brain = str(number), sample["brain"].cpu().numpy()
        truths, known = sample["target"].cpu().numpy() > 0.5, sample["known"].tolist()
        for subset, logits in logits_by_subset(network, sample["image"], sample["present"], sequences):
            masks = (logits > 0).cpu().numpy() & brain
            for index, region in enumerate(regions):
                if known[index]:
                    yield SubsetScore(case, case, subset, region, dice(masks[index], truths[index] & brain))
