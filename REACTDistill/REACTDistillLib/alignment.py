"""Alignment of two graphs by their distances alone: proximal steps to a vertex, then swaps and exchanges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .coupling import balanced, vertex
from .descent import Quadratic, exchanged, swapped
from .swaps import reordered_graph, swap_order

if TYPE_CHECKING:
    from torch import Tensor

# The first and the last step are this sharp against the spread of their slope.
_SHARPNESS = (0.5, 2.0)
_START_SHARPNESS = 3.0
# Graphs of fewer nodes are so cheap that further starts cost little, and so few that one start may miss the minimum.
_FEW_NODES = 12
_FEW_NODES_STARTS = 4
# Graphs of two sizes: proximal steps at least, swaps of each graph and exchanges in a cycle.
_STEPS, _SWAPS, _EXCHANGES = 12, 3, 3
_GOLDEN_RATIO = 0.6180339887


@dataclass(frozen=True)
class Effort:
    """How hard a plan is sought; the default is the fast search of training, ``THOROUGH`` the one of lower values.

    ``starts``: plans to start from, 4 times as many for graphs of fewer than 12 nodes. ``steps``: proximal steps from
    each, beyond those that graphs of two sizes need; graphs of one size without any start from the ranks of their
    nodes. ``rounds``: rounds of swaps; graphs of two sizes get cycles of swaps and exchanges, one
    for 8 rounds.
    """

    starts: int = 1
    steps: int = 0
    rounds: int = 8


THOROUGH = Effort(starts=4, steps=8, rounds=40)


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
        if bool(chosen.all()):
            return self
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
    """Plans (B, N, M) of low objective: from each start to a vertex that is then improved; the best of them."""
    rows, columns = (pairs.a > 0).sum(1), (pairs.b > 0).sum(1)
    few, same = rows.maximum(columns) < _FEW_NODES, rows == columns
    plan = pairs.source.new_zeros(len(pairs.a), pairs.a.shape[1], pairs.b.shape[1])
    for group, search, starts in (
        (few & same, _by_swaps, effort.starts * _FEW_NODES_STARTS),
        (few & ~same, _by_exchanges, effort.starts * _FEW_NODES_STARTS),
        (~few & same, _by_swaps, effort.starts),
        (~few & ~same, _by_exchanges, effort.starts),
    ):
        if bool(group.any()):
            part = pairs.only(group)
            found = _best(part.repeated(starts), search(part, starts, effort), starts)
            plan[group, : found.shape[1], : found.shape[2]] = found
    return plan


def _best(every: Pairs, plans: Tensor, starts: int) -> Tensor:
    import torch

    if starts == 1:
        return plans
    objective, count = Quadratic(every.source, every.target, every.bonus), len(plans) // starts
    best = objective.at(plans, objective.slope(plans)).view(starts, count).argmin(0)
    return plans[best * count + torch.arange(count, device=plans.device)]


def _by_swaps(pairs: Pairs, starts: int, effort: Effort) -> Tensor:
    """Plans (starts B, N, N) of graphs of one size: each node has one partner."""
    import torch

    every = pairs.repeated(starts)
    valid, reached = every.a > 0, every.b > 0
    if effort.steps:
        plan = _proximal(every, _starts(pairs, starts), effort.steps)
        partner = vertex(plan, valid.to(plan.dtype), reached.to(plan.dtype)).argmax(2)  # (B, N)
    else:
        partner = _partners_of_rank(pairs, starts)
    bonus = every.bonus
    if bonus is not None:
        bonus = (bonus * valid.sum(1)[:, None, None]).gather(2, partner[:, None, :].expand_as(bonus))
    order = swap_order(every.source, reordered_graph(every.target, partner), valid, effort.rounds, bonus)
    plan = torch.zeros_like(every.source)
    return plan.scatter_(2, partner.gather(1, order)[:, :, None], every.a[:, :, None])


def _partners_of_rank(pairs: Pairs, starts: int) -> Tensor:
    """For each source node a target node, (starts B, N): first that of the same rank of mean distance.

    The further starts shuffle the ranks by Kronecker sequences, so that they depend on no order of nodes.
    """
    import torch

    remote_source = torch.bmm(pairs.source, pairs.a[:, :, None])[:, :, 0].masked_fill_(pairs.a <= 0, torch.inf)
    remote_target = torch.bmm(pairs.target, pairs.b[:, :, None])[:, :, 0].masked_fill_(pairs.b <= 0, torch.inf)
    rank, ranked = remote_source.argsort(1).argsort(1), remote_target.argsort(1)
    if starts == 1:
        return ranked.gather(1, rank)
    place = torch.arange(rank.shape[1], device=rank.device)
    stride = torch.arange(1, starts, device=rank.device) * _GOLDEN_RATIO % 1.0
    keys = torch.cat([place[None].to(stride.dtype), place * stride[:, None] % 1.0])  # (starts, N)
    padding = torch.where(place < (pairs.a > 0).sum(1, keepdim=True), 0.0, 2.0 * len(place) + place)  # (B, N)
    shuffled = (keys[:, None, :] + padding).flatten(0, 1).argsort(1)  # (starts B, N)
    ranked, rank = ranked.repeat(starts, 1), rank.repeat(starts, 1)
    return ranked.gather(1, shuffled.gather(1, rank))


def _by_exchanges(pairs: Pairs, starts: int, effort: Effort) -> Tensor:
    """Plans (starts B, N, M) of graphs of two sizes."""
    every = pairs.repeated(starts)
    valid, reached = every.a > 0, every.b > 0
    supply, demand = valid * reached.sum(1, keepdim=True), reached * valid.sum(1, keepdim=True)  # whole units
    plan = _proximal(every, _starts(pairs, starts), _STEPS + effort.steps)
    total = supply.sum(1)[:, None, None].to(plan.dtype)
    units = vertex(plan, supply.to(plan.dtype), demand.to(plan.dtype))
    objective = Quadratic(every.source, every.target, None if every.bonus is None else every.bonus * total)
    for _ in range(max(1, effort.rounds // 8)):
        units = exchanged(swapped(units, objective, _SWAPS), objective, _EXCHANGES)
    return units / total


def _proximal(pairs: Pairs, plan: Tensor, steps: int) -> Tensor:
    """Plans (B, N, M) after mirror steps that keep the last plan as kernel, each sharper than the one before.

    All is centered first: what is one number for a row or a column of the slope changes no plan of given marginals,
    but it would fill the spread that the sharpness is relative to. ``plan`` is used up.
    """
    import torch

    even, source, target = _centered_slope(pairs)
    product, slope = torch.empty_like(plan), torch.empty_like(plan)
    first, last = _SHARPNESS
    for step in range(steps):
        torch.baddbmm(even, torch.bmm(source, plan, out=product), target, out=slope)
        sharpness = first * (last / first) ** (step / max(1, steps - 1))
        balanced(plan.mul_(_sharpened(slope, pairs.a, pairs.b, sharpness)), pairs.a, pairs.b, 1)
    return plan


def _centered_slope(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """E (B, N, M), S and T with E + S U T the slope at a plan U of the right marginals, centered.

    E is the slope at the even plan, S and T are the distances centered.
    """
    import torch

    source, target = pairs.source, pairs.target
    even = torch.bmm(torch.bmm(source, pairs.a[:, :, None]), torch.bmm(pairs.b[:, None, :], target))
    if pairs.bonus is not None:
        even.add_(pairs.bonus)
    a, b = pairs.a, pairs.b
    return _centered(even, a, b), _centered(source, a, a), _centered(target, b, b)


def _centered(values: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Values (B, N, M) less the means of rows and columns over the nodes of weight > 0; zero in padding."""
    import torch

    rows, columns = torch.bmm(values, b[:, :, None]), torch.bmm(a[:, None, :], values)  # (B, N, 1), (B, 1, M)
    centered = (values - rows).sub_(columns).add_(torch.bmm(columns, b[:, :, None]))
    return centered.mul_(a[:, :, None] > 0).mul_(b[:, None, :] > 0)


def _starts(pairs: Pairs, count: int) -> Tensor:
    """Plans (count B, N, M) that follow the nodes when their order changes: nodes of like distances, and anchored ones.

    An anchored plan likes equal distances to a pair of anchors: the most remote node of the source and, from one plan
    to the next, nodes of the target from remote to central; once all have been taken, the next remote of the source.
    """
    import torch

    ds, dt, a, b = pairs.source, pairs.target, pairs.a, pairs.b
    means_source, means_target = _power_means(ds, a), _power_means(dt, b)  # (B, N, 2), (B, M, 2)
    slopes = [torch.bmm(means_source, means_target.mT)]
    if count > 1:
        remote_source = torch.where(a > 0, means_source[:, :, 0], -torch.inf).argsort(1, descending=True)
        remote_target = torch.where(b > 0, means_target[:, :, 0], -torch.inf).argsort(1, descending=True)
        batch, nodes, others = torch.arange(len(ds), device=ds.device), (a > 0).sum(1), (b > 0).sum(1)
    for number in range(count - 1):
        enough = others >= count
        anchor_source = remote_source[batch, torch.where(enough, 0, number // others % nodes)]
        anchor_target = remote_target[batch, torch.where(enough, number * others // (count - 1), number % others)]
        slopes.append(slopes[0] + ds[batch, anchor_source][:, :, None] * dt[batch, anchor_target][:, None, :])
    a, b = a.repeat(count, 1), b.repeat(count, 1)
    kernel = _sharpened(_centered(torch.cat(slopes), a, b), a, b, _START_SHARPNESS)
    return balanced(kernel.mul_(a[:, :, None]).mul_(b[:, None, :]), a, b, 2)


def _power_means(distance: Tensor, weight: Tensor) -> Tensor:
    """The mean and the root mean square distance of each node, (B, N, 2), less their means over the nodes."""
    import torch

    mean = torch.bmm(distance, weight[:, :, None])
    square = torch.bmm(distance.square(), weight[:, :, None]).sqrt_()
    means = torch.cat([mean, square], dim=2)
    return means - torch.bmm(weight[:, None, :], means)


def _sharpened(slope: Tensor, a: Tensor, b: Tensor, sharpness: float) -> Tensor:
    """exp of the centered slope (B, N, M), which is used up, scaled to a spread of ``sharpness``."""
    import torch

    root = ((a > 0).sum(1) * (b > 0).sum(1))[:, None, None].to(slope.dtype).sqrt_()
    spread = torch.linalg.vector_norm(slope, dim=(1, 2), keepdim=True).clamp_(min=1e-7)
    return slope.mul_(root * sharpness / spread).clamp_(-60.0, 60.0).exp_()
