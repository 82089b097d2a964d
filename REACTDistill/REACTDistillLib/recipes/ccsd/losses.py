"""Losses of CCSD: segmentation, hierarchical and criticality-guided self-distillation, and their sum.

All but the last are per case, (B,): cases that have different sequences meet in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ...distill import bernoulli_divergence, softened

TEACHERS = ("full", "adjacent")
_SMOOTH = 1.0  # voxels


class Answer(NamedTuple):
    """Logits (B, R, D, H, W) for one subset, and for which cases they count, (B,) bool."""

    logits: Tensor
    counts: Tensor


class Softening(NamedTuple):
    """The temperature tau of C5 and C6, and the voxels that they compare, ``inside`` (B, D, H, W) bool."""

    temperature: float
    inside: Tensor


def segmentation_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """C4: L_seg = Dice + BCE, the mean over the known regions of each case, (B,).

    ``logits`` and ``target`` (B, R, D, H, W), ``known`` (B, R) bool; a case without a known region counts 0. The Dice
    term is 1 - (2 sum pg + 1) / (sum p + sum g + 1) of each region, so an empty region that stays empty costs nothing.
    """
    logits, voxels = logits.float(), (2, 3, 4)
    p = logits.sigmoid()
    overlap = 2 * (p * target).sum(voxels) + _SMOOTH  # (B, R)
    dice = 1 - overlap / (p.sum(voxels) + target.sum(voxels) + _SMOOTH)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(voxels)  # (B, R)
    return ((dice + entropy) * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)


def divergence(student: Tensor, teacher: Tensor, softening: Softening) -> Tensor:
    """tau^2 KL of Bernoulli outputs, the mean over regions and the voxels inside, (B,).

    ``student`` logits, ``teacher`` probabilities at the temperature, both (B, R, D, H, W).
    """
    each = bernoulli_divergence(student, teacher, softening.temperature).mean(dim=1)  # (B, D, H, W)
    inside = softening.inside
    return (each * inside).sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3)).clamp(min=1)


def hmsd_loss(
    full: Tensor,
    levels: Sequence[Sequence[Answer]],
    softening: Softening,
    *,
    teacher: str = "full",
    weights: Sequence[float] | None = None,
) -> Tensor:
    """C5: L_HMSD = sum_n w_n mean_{S of n sequences} tau^2 KL(sg(p_full) || p_S), n = 1..N-1, (B,).

    ``levels[n - 1]`` are the answers for subsets of n sequences, all or some of them. ``teacher`` "adjacent": that of
    level n is the mean of p_S over level n + 1, and the full set's where a case has no such subset. No gradient goes
    to a teacher.
    """
    factors = [1.0] * len(levels) if weights is None else list(weights)
    if len(factors) != len(levels):
        raise ValueError(f"{len(levels)} levels need as many weights, got {factors}.")
    of_all = above = softened(full, softening.temperature)
    total = of_all.new_zeros(len(full))
    for answers, factor in zip(reversed(levels), reversed(factors), strict=True):
        said = above if teacher == "adjacent" else of_all
        terms = [divergence(one.logits, said, softening) * one.counts for one in answers]
        total = total + factor * torch.stack(terms).sum(dim=0) / _counted(answers).clamp(min=1)
        if teacher == "adjacent":
            above = _mean_answer(answers, of_all, softening.temperature)
    return total


def dmcd_loss(path: Sequence[Answer], softening: Softening) -> Tensor:
    """C6: L_DMCD = sum_t tau^2 KL(sg(p_{T_t}) || p_{T_t+1}) along a path of ever poorer subsets, (B,).

    A step counts for the cases for which the poorer answer does.
    """
    total = path[0].logits.new_zeros(len(path[0].logits), dtype=torch.float32)
    for richer, poorer in pairwise(path):
        taught = softened(richer.logits, softening.temperature)
        total = total + divergence(poorer.logits, taught, softening) * poorer.counts
    return total


def criticality(without: Tensor, richer: Tensor, subset: Tensor) -> Tensor:
    """C6: c_t(m) = L_seg(T_t minus m) - L_seg(T_t), (B, M); minus infinity where m is not in T_t.

    ``without`` (B, M) are the losses without each sequence, ``richer`` (B,) those of T_t, ``subset`` (B, M).
    """
    return torch.where(subset, without - richer[:, None], -torch.inf)


def without_most_critical(subset: Tensor, critical: Tensor) -> tuple[Tensor, Tensor]:
    """C6: T_t+1 = T_t minus argmax_m c_t(m), (B, M), and for which cases there is one, (B,): those with 2 or more.

    Of equally critical sequences the first goes. Other cases keep what they have.
    """
    poorer = subset.sum(dim=1) > 1
    most = torch.where(subset, critical, -torch.inf).argmax(dim=1)
    gone = functional.one_hot(most, subset.shape[1]).bool() & poorer[:, None]
    return subset & ~gone, poorer


def losses_without_each(subset: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
    """L_seg(S minus m) for each m in S, (B, M), 0 elsewhere, in as many calls of ``loss_of`` as the largest S has.

    ``loss_of`` maps subsets (B, M) to losses (B,). A case whose S has one member is asked for S itself.
    """
    losses = torch.zeros(subset.shape, device=subset.device)
    place = subset.cumsum(dim=1) * subset  # 1 for the first member of each case, 2 for the next ...
    for number in range(1, int(place.max()) + 1):
        member = place == number
        poorer = subset & ~member
        asked = torch.where(poorer.any(dim=1, keepdim=True), poorer, subset)
        losses = torch.where(member, loss_of(asked)[:, None], losses)
    return losses


def running_criticality(previous: Tensor, sums: Tensor, counts: Tensor, momentum: float) -> Tensor:
    """C6, cheap variant: momentum c(m) + (1 - momentum) mean of the values observed for m, (M,).

    ``sums`` and ``counts`` (M,) are of L_seg(full minus m) - L_seg(full) over the cases where m was left out. A
    sequence that was not observed keeps its value.
    """
    return torch.where(counts > 0, momentum * previous + (1 - momentum) * sums / counts.clamp(min=1), previous)


def total_loss(
    segmentation: Mapping[str, Tensor], hmsd: Tensor | None, dmcd: Tensor | None, weights: tuple[float, float]
) -> dict[str, Tensor]:
    """C7: L = L_seg + lambda_1 L_HMSD + lambda_2 L_DMCD, means over the cases, as named terms; their sum is the loss.

    A distillation term that is None is left out. ``weights`` are the two lambdas.
    """
    terms = {name: one.mean() for name, one in segmentation.items()}
    for name, one, weight in (("hmsd", hmsd, weights[0]), ("dmcd", dmcd, weights[1])):
        if one is not None:
            terms[name] = weight * one.mean()
    return terms


def alignment_loss(shared: Sequence[Tensor | None], present: Tensor) -> Tensor:
    """L1 distance between the shared features of every two present sequences, the mean over pairs, (B,) (ShaSpec).

    M maps (B, C, d, h, w) of one level; a case with one sequence counts 0.
    """
    total = torch.zeros(len(present), device=present.device)
    pairs = torch.zeros_like(total)
    for (m, one), (k, other) in combinations(enumerate(shared), 2):
        if one is not None and other is not None:
            both = present[:, m] & present[:, k]
            total = total + (one.float() - other.float()).abs().mean(dim=(1, 2, 3, 4)) * both
            pairs = pairs + both
    return total / pairs.clamp(min=1)


def sequence_classification_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of telling each sequence by its specific features, the mean over present ones, (B,) (ShaSpec).

    ``logits`` (B, M, M): what is said of each sequence; its own number is the truth.
    """
    truth = torch.arange(present.shape[1], device=present.device).expand(present.shape)
    each = functional.cross_entropy(logits.float().transpose(1, 2), truth, reduction="none")  # (B, M)
    return (each * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _counted(answers: Sequence[Answer]) -> Tensor:
    return torch.stack([one.counts for one in answers]).sum(dim=0)


def _mean_answer(answers: Sequence[Answer], otherwise: Tensor, temperature: float) -> Tensor:
    """The mean of p_S over the answers that count, (B, R, D, H, W); ``otherwise`` for a case without one."""
    weighted = [softened(one.logits, temperature) * _per_case(one.counts) for one in answers]
    count = _per_case(_counted(answers))
    return torch.where(count > 0, torch.stack(weighted).sum(dim=0) / count.clamp(min=1), otherwise)


def _per_case(values: Tensor) -> Tensor:
    return values[:, None, None, None, None]
