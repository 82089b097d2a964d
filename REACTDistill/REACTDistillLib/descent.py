"""Descent over couplings: exchanges of mass between cells that lower a quadratic objective, many in each round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .swaps import Swaps, reordered_graph, span, swap_order

if TYPE_CHECKING:
    from torch import Tensor

# A gain below this share of the objective is rounding.
_LEAST_GAIN = 1e-6
_KINDS = 5


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

    def at(self, plan: Tensor, slope: Tensor) -> Tensor:
        """F, (B,)."""
        total = slope if self.bonus is None else slope + self.bonus
        return -2.0 * (total * plan).sum((1, 2))


def exchanged(units: Tensor, objective: Quadratic, rounds: int) -> Tensor:
    """The vertex (B, N, M) after swaps of rows, swaps of columns and exchanges between pairs of cells that lower F.

    In a round each row offers its best exchange, and all that share no row and no column are made at once; together
    they may do worse than the best alone, which is then made instead. F falls in every round and marginals stay.
    """
    return _descended(_Vertex.of(units, objective), rounds, patience=_KINDS)


def swapped(partner: Tensor, objective: Quadratic, valid: Tensor, rounds: int) -> Tensor:
    """Like ``exchanged`` for graphs of one size: the plan sends node i (B, N) to node ``partner`` (B, N) of the target.

    An exchange is then a swap of two partners, and all pairs of nodes are tried in each round. ``valid`` (B, N) tells
    nodes from padding, where distances are zero. The objective is in units of one node.
    """
    pairs = valid[:, :, None] & valid[:, None, :]
    start = _Alignment.of(partner, reordered_graph(objective.target, partner), objective, pairs)
    return _descended(start, rounds, patience=1)


def _descended(state: _Vertex | _Alignment, rounds: int, patience: int) -> Tensor:
    """The plans at the end; pairs of graphs that did not improve for ``patience`` rounds are set aside."""
    import torch

    plans = state.plan.clone()
    active = torch.arange(len(plans), device=plans.device)
    idle = torch.zeros_like(active)
    for turn in range(rounds):
        state, better = state.improved(turn)
        idle = (idle + 1).masked_fill(better, 0)
        going = idle < patience
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

    def improved(self, turn: int) -> tuple[_Vertex, Tensor]:
        """The state after one round, and which pairs (B,) are better for it."""
        import torch

        proposals = (
            self._swaps(("rows", "columns")[turn % _KINDS]) if turn % _KINDS < 2 else self._exchanges(turn % _KINDS - 2)
        )
        units = proposals.together()
        slope = self.objective.slope(units)
        value = self.objective.at(units, slope)
        worse = value > self.value + proposals.gain
        if bool(worse.any()):
            units = torch.where(worse[:, None, None], proposals.single(), units)
            slope = self.objective.slope(units)
            value = self.objective.at(units, slope)
        return _Vertex(self.objective, self.spans, units, slope, value), proposals.good

    def _exchanges(self, kind: int) -> _Proposals:
        """Exchanges between pairs of cells."""
        import torch

        moves = _offers(self.plan, self.slope, self.spans, kind)
        good = moves.gain < -_LEAST_GAIN / self.plan.shape[1] * self.value.abs()[:, None]
        best = moves.gain.argmin(1, keepdim=True)
        first = torch.zeros_like(good).scatter(1, best, True) & good
        apart = _apart(moves, self.plan.shape[2]) & good
        return _Proposals(
            lambda: moves.applied(self.plan, apart),
            lambda: moves.applied(self.plan, first),
            (moves.gain * first).sum(1),
            good.any(1),
        )

    def _swaps(self, axis: str) -> _Proposals:
        """Swaps of whole rows, or of whole columns: two nodes of one graph exchange all that they are coupled to."""
        here, there = self.objective.source, self.objective.target
        plan, slope = self.plan, self.slope
        if axis == "columns":
            here, there, plan, slope = there, here, plan.mT, slope.mT
        held = plan.sum(2) > 0
        offered = Swaps.of(
            slope @ plan.mT, span(here), span(plan @ there @ plan.mT), held[:, :, None] & held[:, None, :]
        )
        good = offered.score > _LEAST_GAIN / plan.shape[1] * self.value.abs()[:, None]

        def applied(chosen: Tensor) -> Tensor:
            order = swap_order(offered.other, chosen)[:, :, None].expand_as(plan)
            return plan.gather(1, order).mT if axis == "columns" else plan.gather(1, order)

        apart, first = offered.apart(good), (offered.rank == 0) & good
        gain = -4.0 * (offered.score * first).sum(1)
        return _Proposals(lambda: applied(apart), lambda: applied(first), gain, good.any(1))


@dataclass(frozen=True, eq=False)
class _Proposals:
    """Changes of a plan: many made together, or the best alone with its ``gain`` (B,); ``good`` (B,): is there any."""

    together: Callable[[], Tensor]
    single: Callable[[], Tensor]
    gain: Tensor
    good: Tensor


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


@dataclass(frozen=True, eq=False)
class _Alignment:
    """Partners of the source nodes (B, N) on their way down.

    ``target`` (B, N, N) is in the order of the partners, ``pairs`` (B, N, N) tells pairs of nodes from padding, the
    slope (B, N, N) is at (i, partner of k), ``value`` (B,) is -F / 2.
    """

    objective: Quadratic
    pairs: Tensor
    plan: Tensor
    target: Tensor
    slope: Tensor
    value: Tensor

    @classmethod
    def of(cls, partner: Tensor, target: Tensor, objective: Quadratic, pairs: Tensor) -> _Alignment:
        slope = objective.source @ target
        value = slope.diagonal(dim1=1, dim2=2).sum(1)
        if objective.bonus is not None:
            bonus = objective.bonus.gather(2, partner[:, None, :].expand_as(target))
            slope, value = slope + bonus, value + 2.0 * bonus.diagonal(dim1=1, dim2=2).sum(1)
        return cls(objective, pairs, partner, target, slope, value)

    def only(self, chosen: Tensor) -> _Alignment:
        """The alignment of some pairs of the batch."""
        tensors = self.pairs, self.plan, self.target, self.slope, self.value
        return _Alignment(self.objective.only(chosen), *(tensor[chosen] for tensor in tensors))

    def reordered(self, order: Tensor) -> _Alignment:
        """The alignment after node i took over the partner of node order[i] (B, N)."""
        return _Alignment.of(
            self.plan.gather(1, order), reordered_graph(self.target, order), self.objective, self.pairs
        )

    def improved(self, turn: int) -> tuple[_Alignment, Tensor]:
        """The alignment after one round, and which pairs of graphs (B,) are better for it."""
        import torch

        offered = Swaps.of(self.slope, span(self.objective.source), span(self.target), self.pairs)
        good = offered.score > _LEAST_GAIN / self.plan.shape[1] * self.value.abs()[:, None]
        apart, first = offered.apart(good), (offered.rank == 0) & good
        together = self.reordered(swap_order(offered.other, apart))
        worse = together.value < self.value + 2.0 * (offered.score * first).sum(1)
        if bool(worse.any()):
            order = torch.where(worse[:, None], swap_order(offered.other, first), swap_order(offered.other, apart))
            together = self.reordered(order)
        return together, good.any(1)
