"""Distillation terms that the papers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """R19: T^2 KL(softmax(z_t / T) || softmax(z_s / T)), summed over classes, mean over the batch (Hinton et al. 2015).

    Logits (B, K); no gradient goes to the teacher. Raises ValueError for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature of distillation must be above 0, got {temperature}.")
    log_student = (student / temperature).log_softmax(dim=1)  # (B, K)
    log_teacher = (teacher.detach() / temperature).log_softmax(dim=1)  # (B, K)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1)  # (B,)
    return temperature**2 * divergence.mean()


def squared_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """What the published code has in place of R19: mean of (z_s - z_t)^2 over logits (B, K), teacher detached."""
    return (student - teacher.detach()).square().mean()


def taught_by(
    student: Tensor, teachers: Sequence[Tensor], weights: Sequence[float], term: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """R19 for several teachers: the weighted mean of a ``term`` of student and teacher, such as their divergence.

    ``weights`` are 0 or above, one per teacher.
    """
    if len(weights) != len(teachers) or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"{len(teachers)} teachers need as many weights of 0 or above, got {list(weights)}.")
    terms = [weight * term(student, teacher) for teacher, weight in zip(teachers, weights, strict=True) if weight > 0]
    total: Tensor = sum(terms[1:], terms[0])
    return total / sum(weights)


def ramp_up(progress: float, share: float) -> float:
    """Weight of a distillation term from 0 to 1: a straight line over the first ``share`` of a stage, then 1.

    ``progress`` is the part of the stage that is done, 0 to 1.
    """
    return 1.0 if share <= 0 else min(1.0, progress / share)


def with_sequences_dropped(
    present: Tensor, probability: float, generator: Generator, *, required: Tensor | None = None
) -> Tensor:
    """Modality dropout of one case: each present sequence (S,) is left out with ``probability``, at least one is kept.

    Those that are ``required`` (S,) stay. When all would go, one of the present sequences, each as likely as the
    others, stays. Kept features are not rescaled (as in the published code of REACT-KD).
    """
    import torch

    draws = torch.rand(present.shape, generator=generator)  # (S,)
    stays = draws >= probability if required is None else required | (draws >= probability)
    kept = present & stays
    if bool(kept.any()) or not bool(present.any()):
        return kept
    kept[torch.where(present, draws, -1.0).argmax()] = True
    return kept


def softened(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities sigmoid(z / T) of independent regions, of the shape of ``logits``; no gradient goes through them.

    Raises ValueError for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature of distillation must be above 0, got {temperature}.")
    return (logits.detach().float() / temperature).sigmoid()


def bernoulli_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(p || sigmoid(z_s / T)) of the two outcomes "in the region" and "not", per element.

    ``student`` are logits z_s, ``teacher`` probabilities p at the same temperature (``softened``), of one shape; no
    gradient goes to the teacher. The divergence for overlapping regions, whose outputs are sigmoids and no softmax.
    """
    import torch
    from torch.nn.functional import logsigmoid

    if not temperature > 0:
        raise ValueError(f"the temperature of distillation must be above 0, got {temperature}.")
    scaled, inside = student.float() / temperature, teacher.detach()
    negative_entropy = torch.xlogy(inside, inside) + torch.xlogy(1 - inside, 1 - inside)
    return temperature**2 * (negative_entropy - inside * logsigmoid(scaled) - (1 - inside) * logsigmoid(-scaled))
