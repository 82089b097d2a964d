"""The loss of one training step of CCSD and of its baselines: one pass of the encoders, many of the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...distill import ramp_up
from .. import Batch, Networks
from .curriculum import Curriculum
from .losses import (
    Answer,
    Softening,
    alignment_loss,
    criticality,
    dmcd_loss,
    hmsd_loss,
    losses_without_each,
    running_criticality,
    segmentation_loss,
    sequence_classification_loss,
    total_loss,
    without_most_critical,
)
from .networks import CompositionalNet, Encoded
from .subsets import levels_of


def training_loss(curriculum: Curriculum, networks: Networks, batch: Batch) -> dict[str, Tensor]:
    """C7 and the terms of the baselines as the curriculum asks, named; their sum is the loss.

    ``batch`` is of augmented samples. With "running" criticality the buffer of the network is brought up to date.
    """
    network = networks["student"]
    assert isinstance(network, CompositionalNet)
    step = _Step(network, network.encode(batch["image"], batch["present"]), batch)
    terms = {"sampled": step.loss(network.decode(step.encoded, batch["sampled"]))}
    if curriculum.alignment:
        terms["alignment"] = curriculum.alignment * alignment_loss(step.encoded.shared[-1], batch["present"])
    if curriculum.classification:
        said = networks["classifier"](step.encoded.specific)  # (B, M, M)
        terms["classification"] = curriculum.classification * sequence_classification_loss(said, batch["present"])
    if not curriculum.full_set:
        return total_loss(terms, None, None, (0.0, 0.0))
    full = network.decode(step.encoded, batch["present"])
    terms["full"] = step.loss(full)
    ramp = ramp_up(float(batch["progress"]), curriculum.ramp)
    softening = Softening(curriculum.temperature, batch["brain"])
    hmsd = _hierarchical(step, full, softening, curriculum) if curriculum.hmsd else None
    dmcd = dmcd_loss(_path(step, full, curriculum), softening) if curriculum.dmcd else None
    return total_loss(terms, hmsd, dmcd, (ramp * curriculum.hmsd, ramp * curriculum.dmcd))


class _Step:
    """One batch, encoded once."""

    def __init__(self, network: CompositionalNet, encoded: Encoded, batch: Batch) -> None:
        self.network, self.encoded, self.batch = network, encoded, batch
        self.present = batch["present"]

    def loss(self, logits: Tensor) -> Tensor:
        """C4 of each case, (B,)."""
        return segmentation_loss(logits, self.batch["target"], self.batch["known"])

    @torch.no_grad()
    def loss_of(self, subset: Tensor) -> Tensor:
        """C4 of each case for a subset (B, M), without gradient."""
        return self.loss(self.network.decode(self.encoded, subset))

    def answer(self, subset: Tensor) -> Answer:
        """What the network says for a subset (B, M); it counts for the cases for which the subset is not empty."""
        counts = subset.any(dim=1)
        shown = torch.where(counts[:, None], subset, self.present)
        return Answer(self.network.decode(self.encoded, shown), counts)


def _hierarchical(step: _Step, full: Tensor, softening: Softening, curriculum: Curriculum) -> Tensor:
    """C5 over all subsets of every level, or over one of each that was drawn."""
    levels: Sequence[Sequence[Tensor]]
    if curriculum.subsets == "all":
        levels = list(levels_of(step.present))
    else:
        levels = [[one] for one in step.batch["levels"].unbind(dim=1)]
    answers = [[step.answer(subset) for subset in level] for level in levels]
    return hmsd_loss(full, answers, softening, teacher=curriculum.teacher)


def _path(step: _Step, full: Tensor, curriculum: Curriculum) -> list[Answer]:
    """The answers along the path of C6, from the full set down to one sequence."""
    if curriculum.criticality == "running":
        _observe(step, full, curriculum.momentum)
    subset = step.present
    path = [Answer(full, torch.ones_like(subset[:, 0]))]
    for _ in range(subset.shape[1] - 1):
        subset, counts = without_most_critical(subset, _critical(step, subset, path[-1].logits, curriculum))
        path.append(Answer(step.network.decode(step.encoded, subset), counts))
    return path


def _critical(step: _Step, subset: Tensor, logits: Tensor, curriculum: Curriculum) -> Tensor:
    if curriculum.criticality == "running":
        return step.network.criticality.expand(subset.shape)
    richer = step.loss(logits.detach())
    return criticality(losses_without_each(subset, step.loss_of), richer, subset)


@torch.no_grad()
def _observe(step: _Step, full: Tensor, momentum: float) -> None:
    """Bring the running criticality up to date with one sequence left out per case, over all processes."""
    count = step.present.sum(dim=1)  # (B,)
    levels = step.batch["levels"]  # (B, M - 1, M)
    if levels.shape[1] == 0:
        return
    poorer = (count > 1)[:, None]  # (B, 1)
    last = levels[torch.arange(len(levels), device=levels.device), (count - 2).clamp(min=0)]  # (B, M): all but one
    kept = torch.where(poorer, last, step.present)
    observed = step.loss_of(kept) - step.loss(full)
    gone = step.present & ~kept
    sums = torch.stack([(observed[:, None] * gone).sum(dim=0), gone.sum(dim=0).float()])  # (2, M)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    buffer = step.network.criticality
    buffer.copy_(running_criticality(buffer, sums[0], sums[1], momentum))
