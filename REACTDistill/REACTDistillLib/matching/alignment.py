"""Alignment of two graphs by their distances alone: the lower of an annealed plan and a descent from the even one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .annealing import annealed
from .descent import Coupling, Found, at, coupling_of, descended

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_SOFTENED_SHARE = 0.5  # of the mean eigenvalue
_POWER_STEPS = 4  # of the square
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Graphs:
    """Graphs whose nodes come first and padding last: what of their distances can tell plans apart.

    ``weight`` (B, N) of nodes, 0 in padding, and ``counts`` (B,) of them; ``centered`` distances (B, N, N) less the
    means of rows and columns, 0 in padding; ``remote`` (B, N), the mean distance of each node less the mean of all;
    ``axis`` (B, N), about the strongest eigenvector.
    """

    weight: Array
    counts: Array
    centered: Array
    remote: Array
    axis: Array

    def ranks(self) -> Array:
        """The nodes (B, N) by their mean distance, padding last."""
        return np.where(self.weight > 0, self.remote, np.inf).argsort(1, kind="stable")

    def softened(self) -> Array:
        """Centered distances (B, N, N) that have lost a multiple of the identity.

        The objective is concave, so that its slope at a plan speaks for that plan. With a shift of the mean eigenvalue
        it hardly does; for graphs of one size the value at a vertex changes by a constant only.
        """
        softened, nodes = self.centered.copy(), np.arange(self.centered.shape[1])
        level = self.centered.trace(axis1=1, axis2=2) / np.maximum(self.counts - 1, 1)
        softened[:, nodes, nodes] -= (self.weight > 0) * (_SOFTENED_SHARE * level[:, None])
        return softened


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of graphs: distances (B, N, N) and (B, M, M), weights (B, N) and (B, M) that are 0 in padding.

    ``bonus`` (B, N, M) or None is what a pair of nodes is worth beyond its distances: the plans sought make
    <S U T, U> + 2 <bonus, U> large.
    """

    source: Array
    target: Array
    a: Array
    b: Array
    bonus: Array | None


def aligned(pairs: Pairs) -> Array:
    """Plans (B, N, M) of low objective, vertices of the polytope of all plans of the given marginals.

    One of the starts is the even plan. Where distances are conditionally negative definite, as cosine and Euclidean
    ones are, the value at a plan is rarely above that of conditional gradient from there: only where such a descent was
    given up that would have gained more in its late steps than it promised.
    """
    # Nodes first, padding last.
    rows, columns = ((weight <= 0).argsort(1, kind="stable") for weight in (pairs.a, pairs.b))
    source, target = _graphs(pairs.source, pairs.a, rows), _graphs(pairs.target, pairs.b, columns)
    bonus = None if pairs.bonus is None else _reordered(pairs.bonus, rows, columns)
    linear, along = _linear(source, target, bonus), _slopes_along_axes(source, target)
    warm = annealed(-source.softened(), target.softened(), linear, source.weight, target.weight, along)
    plans = np.zeros_like(linear)
    for index, (coupling, start) in enumerate(_ranked_plans(source, target, linear)):
        n, m = coupling.linear.shape
        there = at(coupling, coupling.best(warm[index, :n, :m]))
        if bonus is not None:
            # Ranks know nothing of it.
            start = at(coupling, coupling.best(coupling.linear))
        found = descended(coupling, start, there.value)
        plans[index, :n, :m] = min(found, there, key=lambda one: one.value).plan
    return _reordered(plans, rows.argsort(1), columns.argsort(1))


def _ranked_plans(source: Graphs, target: Graphs, linear: Array) -> Iterator[tuple[Coupling, Found]]:
    """The couplings of each pair and its plan by ranks of mean distances.

    Without a bonus the slope at the even plan is a product of mean distances, and that plan the best one of it.
    """
    minus = -source.centered
    plans = ranked(source.ranks(), target.ranks(), source.counts, target.counts).astype(linear.dtype)
    slopes = np.matmul(minus @ plans, target.centered)
    slopes += linear
    values = (plans * (slopes + linear)).sum((1, 2)).tolist()
    for index, (n, m) in enumerate(zip(source.counts.tolist(), target.counts.tolist(), strict=True)):
        coupling = coupling_of(minus[index, :n, :n], target.centered[index, :m, :m], linear[index, :n, :m])
        yield coupling, Found(plans[index, :n, :m], slopes[index, :n, :m], values[index])


def ranked(source_order: Array, target_order: Array, n: Array, m: Array) -> Array:
    """The masses (B, N, M) that couple the first nodes of one order (B, N) with the first of the other (B, M), and on.

    Pair b has ``n[b]`` and ``m[b]`` nodes, which come first in the orders.
    """
    count, most, others = *source_order.shape, target_order.shape[1]
    n, m = n[:, None], m[:, None]
    # In units of 1 / (n m), every source node ends at a multiple of m and every target node at one of n.
    marks = np.concatenate([np.minimum(np.arange(most) * m, n * m), np.minimum(np.arange(others) * n, n * m)], 1)
    marks.sort(1)
    masses = np.diff(marks, append=n * m) / (n * m)  # 0 where both end, and in padding
    rows = np.take_along_axis(source_order, np.minimum(marks // m, most - 1), 1)
    columns = np.take_along_axis(target_order, np.minimum(marks // n, others - 1), 1)
    cells = (np.arange(count)[:, None] * most + rows) * others + columns
    return np.bincount(cells.ravel(), masses.ravel(), count * most * others).reshape(count, most, others)


def _linear(source: Graphs, target: Graphs, bonus: Array | None) -> Array:
    """The linear part (B, N, M) of half the objective, with weighted means of 0 in rows and columns."""
    linear: Array = -source.remote[:, :, None] * target.remote[:, None, :]
    if bonus is not None:
        a, b = source.weight[:, :, None], target.weight[:, :, None]
        here = (a > 0) & (b.transpose(0, 2, 1) > 0)
        bonus = bonus - bonus @ b
        linear -= (bonus - a.transpose(0, 2, 1) @ bonus) * here
    return linear


def _slopes_along_axes(source: Graphs, target: Graphs) -> Array:
    """Slopes (B, N, M) that couple nodes by their places on the strongest axes, turned as the linear part wants it."""
    # The sign of an eigenvector is not known.
    signs = (source.axis * source.remote).sum(1) * (target.axis * target.remote).sum(1)
    axis = np.where(signs[:, None] < 0, source.axis, -source.axis)
    slopes: Array = axis[:, :, None] * target.axis[:, None, :]
    return slopes


def _reordered(values: Array, rows: Array, columns: Array) -> Array:
    """Values (B, N, M) with rows (B, N) and columns (B, M) in an order."""
    if all((order == np.arange(order.shape[1])).all() for order in (rows, columns)):
        return values
    return values[np.arange(len(values))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _graphs(distance: Array, weight: Array, order: Array) -> Graphs:
    """The graphs of a batch from distances (B, N, N) and weights (B, N) of nodes in an order (B, N)."""
    distance, weight = _reordered(distance, order, order), np.take_along_axis(weight, order, 1)
    here = (weight > 0).astype(distance.dtype)
    mean = (distance @ weight[:, :, None])[:, :, 0]
    remote = (mean - (mean * weight).sum(1, keepdims=True)) * here
    # The means of columns and what rows have beyond them, without a pass over the distances for each.
    centered = distance - np.stack([here, remote], 2) @ np.stack([mean, here], 1)
    return Graphs(weight, (weight > 0).sum(1), centered, remote, _strongest_axis(centered, remote.argmax(1)))


def _strongest_axis(centered: Array, first: Array) -> Array:
    """About the eigenvector of the largest eigenvalue, (B, N): powers from the row of one node, (B,)."""
    axis = centered[np.arange(len(centered)), first][:, :, None]
    for _ in range(_POWER_STEPS):
        axis = centered @ (centered @ axis)
        axis /= np.abs(axis).max(1, keepdims=True) + _TINY
    return axis[:, :, 0]
