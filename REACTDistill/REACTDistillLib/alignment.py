"""Alignment of two graphs by their distances alone: conditional gradient from two starts, the second one softened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .descent import Assignments, Couplings, Transports, descended, lowest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Descent ends by itself, mostly after 2 to 6 steps.
_MOST_STEPS = 100
_SOFTENED_STEPS = 3
_SOFTENED_SHARE = 0.5  # of the mean eigenvalue
_POWER_STEPS = 8
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Graphs:
    """Graphs whose nodes come first and padding last: what of their distances can tell plans apart.

    ``centered`` distances (B, N, N) less the means of rows and columns, 0 in padding, their mean eigenvalues ``level``
    (B,); ``remote`` (B, N), the mean distance of each node less the mean of all; ``axis`` (B, N), about the strongest
    eigenvector; ``counts`` (B,) of nodes.
    """

    centered: Array
    remote: Array
    axis: Array
    level: Array
    counts: Array

    def of(self, some: Array) -> Graphs:
        """Some of the graphs, by number, without padding that all of them have."""
        most = int(self.counts[some].max())
        centered, remote, axis = self.centered[some], self.remote[some], self.axis[some]
        kept = centered[:, :most, :most], remote[:, :most], axis[:, :most]
        return Graphs(*kept, self.level[some], self.counts[some])

    def order(self, values: Array) -> Array:
        """The nodes (B, N) by a value (B, N), padding last."""
        here = np.arange(values.shape[1]) < self.counts[:, None]
        return np.where(here, values, np.inf).argsort(1, kind="stable")


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
    sources, targets = _graphs(pairs.source, pairs.a, rows), _graphs(pairs.target, pairs.b, columns)
    bonus = None if pairs.bonus is None else _reordered(pairs.bonus, rows, columns)
    plans = np.zeros((*pairs.a.shape, pairs.b.shape[1]), pairs.source.dtype)
    one_size = sources.counts == targets.counts
    for kind, here in ((Assignments, one_size), (Transports, ~one_size)):
        some = here.nonzero()[0]
        if len(some):
            source, target = sources.of(some), targets.of(some)
            n, m = source.remote.shape[1], target.remote.shape[1]
            plans[some, :n, :m] = _align(kind, source, target, None if bonus is None else bonus[some, :n, :m])
    return _reordered(plans, rows.argsort(1), columns.argsort(1))


def _align(kind: type[Couplings], source: Graphs, target: Graphs, bonus: Array | None) -> Array:
    """The masses (B, N, M) of plans: the lower of a descent and a softened one, from starts of their own."""
    couplings = _couplings(kind, source, target, bonus)
    # The slope at the even plan is a product of mean distances, so that its best plan goes by their ranks.
    even = couplings.ranked(source.order(source.remote), target.order(target.remote))
    if bonus is not None:
        even = couplings.best(couplings.linear)
    order = source.order(source.axis)
    # The sign of an eigenvector is not known.
    along = [couplings.ranked(order, target.order(axis)) for axis in (target.axis, -target.axis)]
    softened = couplings.softened(_SOFTENED_SHARE * source.level, _SOFTENED_SHARE * target.level)
    there = lowest(couplings, [descended(softened, lowest(softened, along), _SOFTENED_STEPS).plans])
    found = descended(couplings, lowest(couplings, [even]), _MOST_STEPS, there.values)
    return couplings.masses(found.or_lower(there).plans)


def _couplings(kind: type[Couplings], source: Graphs, target: Graphs, bonus: Array | None) -> Couplings:
    units = source.counts[:, None, None] if kind is Assignments else 1  # of the plans
    linear = (-source.remote)[:, :, None] * target.remote[:, None, :]
    if bonus is not None:
        linear -= bonus
    linear *= units
    graphs = (-source.centered, target.centered, linear)
    wide = source.centered.dtype if kind is Assignments else np.float64  # the network simplex takes double only
    first, second, third = (values.astype(wide, copy=False) for values in graphs)
    return kind(first, second, third, source.counts, target.counts)


def _reordered(values: Array, rows: Array, columns: Array) -> Array:
    """Values (B, N, M) with rows (B, N) and columns (B, M) in an order."""
    if all((order == np.arange(order.shape[1])).all() for order in (rows, columns)):
        return values
    return values[np.arange(len(values))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _graphs(distance: Array, weight: Array, order: Array) -> Graphs:
    """The graphs of a batch from distances (B, N, N) and weights (B, N) of nodes in an order (B, N)."""
    distance, weight = _reordered(distance, order, order), np.take_along_axis(weight, order, 1)
    here = weight > 0
    mean = (distance @ weight[:, :, None])[:, :, 0]
    remote = (mean - (mean * weight).sum(1, keepdims=True)) * here
    centered = distance - mean[:, None, :]
    centered -= remote[:, :, None]
    centered *= here[:, :, None]
    centered *= here[:, None, :]
    axis = _strongest_axis(centered, remote.argmax(1))
    counts = here.sum(1)
    level = np.trace(centered, axis1=1, axis2=2) / np.maximum(counts - 1, 1)
    return Graphs(centered, remote, axis, level.astype(distance.dtype), counts)


def _strongest_axis(centered: Array, first: Array) -> Array:
    """About the eigenvector of the largest eigenvalue, times that, (B, N): powers from the row of one node, (B,)."""
    axis = centered[np.arange(len(centered)), first][:, :, None]
    for _ in range(_POWER_STEPS):
        axis = centered @ axis
        axis /= np.abs(axis).max(1, keepdims=True) + _TINY
    return axis[:, :, 0]
