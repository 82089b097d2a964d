"""Alignment of two graphs by their distances alone: start by distance profiles, proximal steps, descent to a vertex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .coupling import balanced, vertex
from .descent import Quadratic, exchanged, swapped

if TYPE_CHECKING:
    from torch import Tensor

# The starting plans and the steps are this sharp against the spread of their cost.
_START_SHARPNESS = 3.0
_STEP_SHARPNESS = 1.0
_QUANTILES = 24


@dataclass(frozen=True)
class Effort:
    """How hard a plan is sought: ``starts`` plans, ``steps`` proximal steps of each, at most ``rounds`` exchanges."""

    starts: int = 4
    steps: int = 4
    rounds: int = 40


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of graphs: distances (B, N, N) and (B, M, M) up to about 1, weights (B, N) and (B, M).

    ``bonus`` (B, N, M) or None is what a pair of nodes is worth beyond its distances, as in ``Quadratic``.
    """

    source: Tensor
    target: Tensor
    a: Tensor
    b: Tensor
    bonus: Tensor | None

    def only(self, chosen: Tensor) -> Pairs:
        """Some pairs of the batch, without the padding that none of them needs."""
        n, m = (int((weights[chosen] > 0).any(0).nonzero().max()) + 1 for weights in (self.a, self.b))
        bonus = None if self.bonus is None else self.bonus[chosen, :n, :m]
        graphs = self.source[chosen, :n, :n], self.target[chosen, :m, :m]
        return Pairs(*graphs, self.a[chosen, :n], self.b[chosen, :m], bonus)

    def repeated(self, times: int) -> Pairs:
        """All pairs, ``times`` over."""
        if times == 1:
            return self
        bonus = None if self.bonus is None else self.bonus.repeat(times, 1, 1)
        source, target = self.source.repeat(times, 1, 1), self.target.repeat(times, 1, 1)
        return Pairs(source, target, self.a.repeat(times, 1), self.b.repeat(times, 1), bonus)


def aligned(pairs: Pairs, effort: Effort) -> Tensor:
    """Plans (B, N, M) of low objective: from several starts to a vertex that no exchange improves; the best of them."""
    rows, columns = (pairs.a > 0).sum(1), (pairs.b > 0).sum(1)
    plan = pairs.source.new_zeros(len(pairs.a), pairs.a.shape[1], pairs.b.shape[1])
    for group, descend in ((rows == columns, _by_swaps), (rows != columns, _by_exchanges)):
        if bool(group.any()):
            part = pairs.only(group)
            found = part.a.new_zeros(len(part.a), *plan.shape[1:])
            found[:, : part.a.shape[1], : part.b.shape[1]] = _best(part, descend, effort)
            plan[group] = found
    return plan


def _best(pairs: Pairs, descend: Callable[[Pairs, Tensor, int], tuple[Tensor, Tensor]], effort: Effort) -> Tensor:
    import torch

    every, count = pairs.repeated(effort.starts), len(pairs.a)
    plans, values = descend(every, _proximal(every, _starts(pairs, effort.starts), effort.steps), effort.rounds)
    best = values.view(effort.starts, count).argmin(0)
    return plans[best * count + torch.arange(count, device=plans.device)]


def _by_swaps(pairs: Pairs, plan: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """Plans (B, N, N) of graphs of one size, and their objective (B,): each node has one partner."""
    import torch

    valid, reached = pairs.a > 0, pairs.b > 0
    partner = vertex(plan, valid.to(plan.dtype), reached.to(plan.dtype)).argmax(2)  # (B, N)
    count = valid.sum(1)[:, None, None]
    bonus = None if pairs.bonus is None else pairs.bonus * count
    partner = swapped(partner, Quadratic(pairs.source, pairs.target, bonus), valid, rounds)
    found = torch.zeros_like(plan).scatter_(2, partner[:, :, None], pairs.a[:, :, None])
    objective = Quadratic(pairs.source, pairs.target, pairs.bonus)
    return found, objective.at(found, objective.slope(found))


def _by_exchanges(pairs: Pairs, plan: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """Plans (B, N, M) of graphs of two sizes, and their objective (B,)."""
    valid, reached = pairs.a > 0, pairs.b > 0
    supply, demand = valid * reached.sum(1, keepdim=True), reached * valid.sum(1, keepdim=True)  # whole units
    total = supply.sum(1)[:, None, None].to(plan.dtype)
    bonus = None if pairs.bonus is None else pairs.bonus * total
    objective = Quadratic(pairs.source, pairs.target, bonus)
    units = exchanged(vertex(plan, supply.to(plan.dtype), demand.to(plan.dtype)), objective, rounds)
    return units / total, objective.at(units, objective.slope(units)) / total.flatten() ** 2


def _proximal(pairs: Pairs, plan: Tensor, steps: int) -> Tensor:
    """Plans (B, N, M) after mirror steps that keep the last plan as kernel."""
    objective = Quadratic(pairs.source, pairs.target, pairs.bonus)
    cells = ((pairs.a > 0).sum(1) * (pairs.b > 0).sum(1))[:, None, None].to(plan.dtype)
    for _ in range(steps):
        slope = objective.slope(plan)
        mean = slope.sum((1, 2), keepdim=True) / cells
        spread = ((slope * slope).sum((1, 2), keepdim=True) / cells - mean * mean).clamp_(min=1e-14).sqrt_()
        kernel = slope.sub_(mean).mul_(_STEP_SHARPNESS / spread).clamp_(-60.0, 60.0).exp_()
        plan = balanced(kernel.mul_(plan), pairs.a, pairs.b, 2)
    return plan


def _starts(pairs: Pairs, count: int) -> Tensor:
    """Plans (count B, N, M) that follow the nodes when their order changes: by distance profiles, and anchored.

    An anchored plan also likes equal distances to a pair of anchors: the most remote node of the source and, from one
    plan to the next, nodes of the target from remote to central.
    """
    import torch

    ds, dt, a, b = pairs.source, pairs.target, pairs.a, pairs.b
    profile = _profile_cost(_profiles(ds, a > 0), _profiles(dt, b > 0))  # (B, N, M)
    remote_source = torch.where(a > 0, (ds @ a[:, :, None])[:, :, 0], -1.0).argmax(1)
    remote_target = torch.where(b > 0, (dt @ b[:, :, None])[:, :, 0], -1.0).argsort(1, descending=True)
    batch = torch.arange(len(ds), device=ds.device)
    costs = [profile]
    for number in range(count - 1):
        anchor = number * (b > 0).sum(1) // (count - 1)
        near_source, near_target = ds[batch, remote_source], dt[batch, remote_target[batch, anchor]]
        costs.append(profile + (near_source[:, :, None] - near_target[:, None, :]).square())
    cost = torch.cat(costs)
    weight = (a[:, :, None] * b[:, None, :]).repeat(count, 1, 1)
    mean = (cost * weight).sum((1, 2), keepdim=True)
    spread = ((cost - mean).square() * weight).sum((1, 2), keepdim=True).sqrt().clamp(min=1e-12)
    kernel = ((mean - cost) * _START_SHARPNESS / spread).clamp(-60.0, 60.0).exp() * weight
    return balanced(kernel, a.repeat(count, 1), b.repeat(count, 1), 4)


def _profiles(distance: Tensor, mask: Tensor) -> Tensor:
    """Quantiles of the distances of each node to all nodes, (B, N, Q): alike in a graph and its permuted copy."""
    import torch

    ordered = torch.where(mask[:, None, :], distance, torch.inf).sort(2).values
    at = (torch.arange(_QUANTILES, device=distance.device) + 0.5) / _QUANTILES
    index = (at * mask.sum(1, keepdim=True)).long()  # (B, Q)
    profiles = ordered.gather(2, index[:, None, :].expand(-1, distance.shape[1], -1))
    return torch.where(mask[:, :, None], profiles, 0.0)


def _profile_cost(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance between quantiles, (B, N, M)."""
    squares = source.square().mean(2)[:, :, None] + target.square().mean(2)[:, None, :]
    return (squares - 2.0 * source @ target.mT / _QUANTILES).clamp(min=0.0)
