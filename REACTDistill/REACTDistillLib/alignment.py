"""Alignment of two graphs by their distances alone: two starts, conditional gradient from each, and from the better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .descent import Assignments, Couplings, Transports, descended, found_value

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
class Graph:
    """One graph without padding: what of its distances can tell plans of given marginals apart.

    ``centered`` distances (N, N) less the means of rows and columns, their mean eigenvalue ``level``; ``remote`` (N,),
    the mean distance of each node less the mean of all; ``axis`` (N,), about the strongest eigenvector.
    """

    centered: Array
    remote: Array
    axis: Array
    level: float


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

    The value at a plan is not above that of conditional gradient from the even plan, which is the first of the starts,
    where distances are conditionally negative definite, as cosine and Euclidean ones are.
    """
    # Nodes first, padding last.
    rows, columns = ((weight <= 0).argsort(1, kind="stable") for weight in (pairs.a, pairs.b))
    sources, targets = _graphs(pairs.source, pairs.a, rows), _graphs(pairs.target, pairs.b, columns)
    bonus = None if pairs.bonus is None else _reordered(pairs.bonus, rows, columns)
    plans = np.zeros((*pairs.a.shape, pairs.b.shape[1]), pairs.source.dtype)
    for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
        n, m = len(source.remote), len(target.remote)
        _align(source, target, None if bonus is None else bonus[index, :n, :m], plans[index, :n, :m])
    return _reordered(plans, rows.argsort(1), columns.argsort(1))


def _align(source: Graph, target: Graph, bonus: Array | None, masses: Array) -> None:
    """Write the masses (N, M) of a plan: the lower of two descents, or where a softened one leads from there."""
    couplings = _couplings(source, target, bonus)
    # The slope at the even plan is a product of mean distances, so that its best plan goes by their ranks.
    even = couplings.ranked(source.remote.argsort(), target.remote.argsort())
    if bonus is not None:
        even = couplings.best(couplings.linear)
    order, other = source.axis.argsort(), target.axis.argsort()
    # The sign of an eigenvector is not known.
    along = [couplings.ranked(order, end) for end in (other, other[::-1])]
    best = min((descended(couplings, starts, _MOST_STEPS) for starts in ([even], along)), key=found_value)
    softened = couplings.softened(_SOFTENED_SHARE * source.level, _SOFTENED_SHARE * target.level)
    plan, _ = descended(softened, [best[0]], _SOFTENED_STEPS)
    couplings.fill(masses, min(best, descended(couplings, [plan], 0), key=found_value)[0])


def _couplings(source: Graph, target: Graph, bonus: Array | None) -> Couplings:
    n, m = len(source.remote), len(target.remote)
    units = n if n == m else 1  # of the plans
    linear = (-units * source.remote)[:, None] * target.remote
    if bonus is not None:
        linear -= units * bonus
    return (Assignments if n == m else Transports)(-source.centered, target.centered, linear)


def _reordered(values: Array, rows: Array, columns: Array) -> Array:
    """Values (B, N, M) with rows (B, N) and columns (B, M) in an order."""
    if all((order == np.arange(order.shape[1])).all() for order in (rows, columns)):
        return values
    return values[np.arange(len(values))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _graphs(distance: Array, weight: Array, order: Array) -> list[Graph]:
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
    return [
        Graph(centered[index, :n, :n], remote[index, :n], axis[index, :n], level[index])
        for index, n in enumerate(counts.tolist())
    ]


def _strongest_axis(centered: Array, first: Array) -> Array:
    """About the eigenvector of the largest eigenvalue, times that, (B, N): powers from the row of one node, (B,)."""
    axis = centered[np.arange(len(centered)), first][:, :, None]
    for _ in range(_POWER_STEPS):
        axis = centered @ axis
        axis /= np.abs(axis).max(1, keepdims=True) + _TINY
    return axis[:, :, 0]
