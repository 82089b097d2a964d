"""Descent over couplings: exchanges of mass between cells that lower a quadratic objective, many in each round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .swaps import LEAST_GAIN, span, swap_order

if TYPE_CHECKING:
    from torch import Tensor

_KINDS = 3


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The objective F(U) = -2 <S U T, U> - 4 <bonus, U> of a plan U (B, N, M).

    ``source`` S (B, N, N) and ``target`` T (B, M, M) are symmetric, ``bonus`` is (B, N, M) or None for zero.
    """

    source: Tensor
    target: Tensor
    bonus: Tensor | None = None

    def slope(self, plan: Tensor) -> Tensor:
        """S U T + bonus, (B, N, M): the gradient of F divided by -4."""
        product = self.source @ plan @ self.target
        return product if self.bonus is None else product + self.bonus

    def only(self, chosen: Tensor) -> Quadratic:
        """The objective of some pairs of the batch."""
        bonus = None if self.bonus is None else self.bonus[chosen]
        return Quadratic(self.source[chosen], self.target[chosen], bonus)

    def transposed(self) -> Quadratic:
        """The same objective of the plan turned over, (B, M, N)."""
        return Quadratic(self.target, self.source, None if self.bonus is None else self.bonus.mT)

    def at(self, plan: Tensor, slope: Tensor) -> Tensor:
        """F, (B,)."""
        total = slope if self.bonus is None else slope + self.bonus
        return -2.0 * (total * plan).sum((1, 2))


def swapped(units: Tensor, objective: Quadratic, rounds: int) -> Tensor:
    """The plan (B, N, M) after swaps of source nodes, then of target nodes, that lower F; ``rounds`` of each."""
    for here, there in ((objective.source, objective.target), (objective.target, objective.source)):
        bonus = None if objective.bonus is None else objective.bonus @ units.mT
        order = swap_order(here, units @ there @ units.mT, units.sum(2) > 0, rounds, bonus)
        units = units.gather(1, order[:, :, None].expand_as(units)).mT
        objective = objective.transposed()
    return units.contiguous()


def exchanged(units: Tensor, objective: Quadratic, rounds: int) -> Tensor:
    """The vertex (B, N, M) after exchanges between pairs of cells that lower F.

    In a round each row offers its best exchange, and all that share no row and no column are made at once; together
    they may do worse than the best alone, which is then made instead. F falls in every round and marginals stay. Pairs
    of graphs that no round of any kind improved are set aside.
    """
    import torch

    state, plans = _Vertex.of(units, objective), units.clone()
    active = torch.arange(len(plans), device=plans.device)
    idle = torch.zeros_like(active)
    for turn in range(rounds):
        state, better = state.improved(turn % _KINDS)
        idle = (idle + 1).masked_fill(better, 0)
        going = idle < _KINDS
        if bool(going.all()):
            continue
        plans[active] = state.plan
        active, idle, state = active[going], idle[going], state.only(going)
        if not len(active):
            return plans
    plans[active] = state.plan
    return plans


@dataclass(frozen=True, eq=False)
class _Vertex:
    """Vertices on their way down: plan in units and slope (B, N, M), objective (B,), spans of the distances."""

    objective: Quadratic
    spans: tuple[Tensor, Tensor]
    plan: Tensor
    slope: Tensor
    value: Tensor

    @classmethod
    def of(cls, units: Tensor, objective: Quadratic) -> _Vertex:
        slope = objective.slope(units)
        spans = span(objective.source), span(objective.target)
        return cls(objective, spans, units, slope, objective.at(units, slope))

    def only(self, chosen: Tensor) -> _Vertex:
        """The state of some pairs of the batch."""
        spans = self.spans[0][chosen], self.spans[1][chosen]
        return _Vertex(self.objective.only(chosen), spans, self.plan[chosen], self.slope[chosen], self.value[chosen])

    def improved(self, kind: int) -> tuple[_Vertex, Tensor]:
        """The state after one round, and which pairs (B,) are better for it."""
        import torch

        moves = _offers(self.plan, self.slope, self.spans, kind)
        good = moves.gain < -LEAST_GAIN / self.plan.shape[1] * self.value.abs()[:, None]
        units = moves.applied(self.plan, _apart(moves, self.plan.shape[2]) & good)
        slope = self.objective.slope(units)
        value = self.objective.at(units, slope)
        first = torch.zeros_like(good).scatter(1, moves.gain.argmin(1, keepdim=True), True) & good
        worse = value > self.value + (moves.gain * first).sum(1)
        if bool(worse.any()):
            units = torch.where(worse[:, None, None], moves.applied(self.plan, first), units)
            slope = self.objective.slope(units)
            value = self.objective.at(units, slope)
        return _Vertex(self.objective, self.spans, units, slope, value), good.any(1)


@dataclass(frozen=True, eq=False)
class _Moves:
    """One exchange per row i: units go from (i, l) and (k, j) to (i, j) and (k, l). All (B, N), indices but for two."""

    j: Tensor
    k: Tensor
    l: Tensor
    amount: Tensor
    gain: Tensor

    def applied(self, units: Tensor, chosen: Tensor) -> Tensor:
        """The units (B, N, M) after the chosen exchanges (B, N), which share no row and no column."""
        import torch

        amount = self.amount * chosen
        columns = units.shape[2]
        row = torch.arange(units.shape[1], device=units.device) * columns
        flat = units.flatten(1)
        for cell, signed in (
            (row + self.j, amount),
            (row + self.l, -amount),
            (self.k * columns + self.j, -amount),
            (self.k * columns + self.l, amount),
        ):
            flat = flat.scatter_add(1, cell, signed)
        return flat.view_as(units)


def _offers(units: Tensor, slope: Tensor, spans: tuple[Tensor, Tensor], kind: int) -> _Moves:
    """The best exchange of every row when l is one cell of each row and k one of each column, chosen in three ways."""
    import torch

    rows, columns = units.shape[1:]
    # Of cells with equal units the lower slope decides, not the order of the nodes.
    tie = 0.4 * slope / slope.abs().amax((1, 2), keepdim=True).clamp(min=1e-30)
    key = (tie, tie - units, tie + units)[kind]
    held = torch.where(units > 0, key, torch.inf)
    l, k = held.argmin(2), held.argmin(1)  # (B, N), (B, M)
    amount = torch.minimum(units.gather(2, l[:, :, None]), units.gather(1, k[:, None, :]))  # (B, N, M)
    corner = slope.gather(1, k[:, :, None].expand(-1, -1, columns))  # (B, M, M): rows k of the slope
    corner = corner.gather(2, l[:, None, :].expand(-1, columns, -1)).mT  # (B, N, M): slope at (k, l)
    change = slope + corner - slope.gather(2, l[:, :, None]) - slope.gather(1, k[:, None, :])
    span_source = spans[0].gather(2, k[:, None, :].expand(-1, rows, -1))
    span_target = spans[1].gather(1, l[:, :, None].expand(-1, -1, columns))
    gain = -4.0 * amount * (change + 2.0 * amount * span_source * span_target)
    best, j = gain.min(2)
    return _Moves(j, k.gather(1, j), l, amount.gather(2, j[:, :, None])[:, :, 0], best)


def _apart(moves: _Moves, columns: int) -> Tensor:
    """Which rows (B, N) may move at once: the best of all that touch their rows and columns."""
    import torch

    rank = moves.gain.argsort(1).argsort(1)
    rows = rank.scatter_reduce(1, moves.k, rank, "amin")
    reached = torch.full((len(rank), columns), rank.shape[1], device=rank.device)
    for column in (moves.j, moves.l):
        reached = reached.scatter_reduce(1, column, rank, "amin")
    best_rows = torch.minimum(rows, rows.gather(1, moves.k))
    best_columns = torch.minimum(reached.gather(1, moves.j), reached.gather(1, moves.l))
    return (rank <= best_rows) & (rank <= best_columns)
