"""Conditional gradient over the couplings of a pair of graphs: each step takes the best plan of the slope, exactly.

Between graphs of one size that is an assignment, between graphs of two sizes a transport of equal masses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import missing_package

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Pivots of a transport of 48 nodes are some hundreds.
_MOST_PIVOTS = 1_000_000
# Descent ends by itself, mostly after 2 to 6 steps.
_MOST_STEPS = 100
# Transports fall in more and smaller steps.
_HOPE_OF_ASSIGNMENTS, _HOPE_OF_TRANSPORTS = 4.0, 12.0


@dataclass(frozen=True, eq=False)
class Coupling:
    """Plans of a pair of graphs, with the objective F(U) = -<S U T, U> + 2 <linear, U> that is to fall.

    A plan U holds masses (N, M) of sum 1. ``source`` is -S (N, N), ``target`` is T (M, M), both symmetric; ``linear``
    is (N, M). ``best`` gives the plan of the least <cost, U> for a cost (N, M). ``hope`` is what all later steps of a
    descent may gain, in units of the last one.
    """

    source: Array
    target: Array
    linear: Array
    best: Callable[[Array], Array]
    hope: float


@dataclass(frozen=True, eq=False)
class Found:
    """A plan, the slope at it and F."""

    plan: Array
    slope: Array
    value: float


def coupling_of(source: Array, target: Array, linear: Array) -> Coupling:
    """The couplings of a pair with -S (N, N), T (M, M) and ``linear`` (N, M)."""
    nodes, others = linear.shape
    if nodes == others:
        return Coupling(source, target, linear, _assignment(nodes), _HOPE_OF_ASSIGNMENTS)
    # The network simplex takes double only.
    first, second, third = (values.astype(np.float64) for values in (source, target, linear))
    return Coupling(first, second, third, _transport(nodes, others), _HOPE_OF_TRANSPORTS)


def at(coupling: Coupling, plan: Array) -> Found:
    """A plan with half the gradient of F at it and F."""
    slope = coupling.source @ plan @ coupling.target
    slope += coupling.linear
    return Found(plan, slope, float(np.vdot(plan, slope + coupling.linear)))


def descended(coupling: Coupling, start: Found, rival: float) -> Found:
    """What is reached by steps that all lower F, or where there is little hope to get below a ``rival`` value."""
    found = start
    least = 16 * float(np.finfo(coupling.source.dtype).eps)  # a smaller gain is rounding
    for _ in range(_MOST_STEPS):
        following = at(coupling, coupling.best(found.slope))
        gain = found.value - following.value
        if not gain > least * abs(found.value):
            break
        found = following
        if found.value - coupling.hope * gain >= rival:  # the steps that follow gain less and less
            break
    return found


def _assignment(nodes: int) -> Callable[[Array], Array]:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ValueError(missing_package("scipy")) from None

    def best(cost: Array) -> Array:
        plan = np.zeros(cost.shape, cost.dtype)
        plan[linear_sum_assignment(cost)] = 1.0 / nodes
        return plan

    return best


def _transport(nodes: int, others: int) -> Callable[[Array], Array]:
    """POT's network simplex without the checks of ``ot.emd``, which take as long as the solution."""
    try:
        from ot.lp.emd_wrap import emd_c
    except ImportError:
        raise ValueError(missing_package("ot")) from None
    a, b = np.full(nodes, 1.0 / nodes), np.full(others, 1.0 / others)

    def best(cost: Array) -> Array:
        plan: Array = emd_c(a, b, np.ascontiguousarray(cost, np.float64), _MOST_PIVOTS, 1)[0]
        return plan

    return best
