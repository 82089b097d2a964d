"""Conditional gradient over the couplings of two graphs: each step takes the best plan of the slope, solved exactly.

Between graphs of one size that is an assignment, between graphs of two sizes a transport of equal masses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

# Pivots of a transport of 48 nodes are some hundreds.
_MOST_PIVOTS = 1_000_000


@dataclass(frozen=True, eq=False)
class Couplings:
    """Plans of two graphs, with the objective F(U) = -<S U T, U> + 2 <linear, U> that is to fall.

    ``source`` is -S (N, N), ``target`` is T (M, M), both symmetric; ``linear`` is (N, M).
    """

    source: Array
    target: Array
    linear: Array

    def slope(self, plan: Array) -> Array:
        """Half the gradient of F at a plan, (N, M)."""
        raise NotImplementedError

    def best(self, cost: Array) -> Array:
        """The plan of the least <cost, U>."""
        raise NotImplementedError

    def value(self, plan: Array, slope: Array) -> float:
        """F of a plan from the slope at it."""
        raise NotImplementedError

    def ranked(self, source_order: Array, target_order: Array) -> Array:
        """The plan that couples the first nodes of one order (N,) with the first of the other (M,), and so on."""
        raise NotImplementedError

    def fill(self, masses: Array, plan: Array) -> None:
        """Write the plan into zeros (N, M), as masses of sum 1."""
        raise NotImplementedError

    def softened(self, source_shift: float, target_shift: float) -> Couplings:
        """The same plans, where S and T have lost a multiple of the identity each.

        F is concave, so that its slope at a plan speaks for that plan. With shifts of the mean eigenvalue it hardly
        does; for graphs of one size F changes by a constant only, as an assignment keeps the norm of T.
        """
        source, target = self.source.copy(), self.target.copy()
        source.reshape(-1)[:: len(source) + 1] += source_shift
        target.reshape(-1)[:: len(target) + 1] -= target_shift
        return type(self)(source, target, self.linear)


class Assignments(Couplings):
    """Couplings of graphs of one size, in units of 1 / N: a plan (N,) holds the target node of each source node."""

    @cached_property
    def _row(self) -> Array:
        return np.arange(0, self.linear.size, len(self.linear))

    @cached_property
    def _ones(self) -> Array:
        return np.ones_like(self.linear[0])

    def slope(self, plan: Array) -> Array:
        slope = self.source @ self.target[plan]
        slope += self.linear
        return slope

    def best(self, cost: Array) -> Array:
        return _assignment()(cost)[1]

    def value(self, plan: Array, slope: Array) -> float:
        cells = self._row + plan
        # A product with ones is faster than a sum.
        return float((slope.take(cells) + self.linear.take(cells)) @ self._ones)

    def ranked(self, source_order: Array, target_order: Array) -> Array:
        plan = np.empty_like(target_order)
        plan[source_order] = target_order
        return plan

    def fill(self, masses: Array, plan: Array) -> None:
        masses[np.arange(len(plan)), plan] = 1.0 / len(plan)


class Transports(Couplings):
    """Couplings of graphs of two sizes, as masses (N, M) of sum 1."""

    def slope(self, plan: Array) -> Array:
        slope = self.source @ plan @ self.target
        slope += self.linear
        return slope

    def best(self, cost: Array) -> Array:
        masses = (np.full(count, 1.0 / count) for count in cost.shape)
        return _transport()(*masses, np.ascontiguousarray(cost, np.float64), _MOST_PIVOTS, 1)[0]

    def value(self, plan: Array, slope: Array) -> float:
        return float(np.vdot(slope, plan) + np.vdot(self.linear, plan))

    def ranked(self, source_order: Array, target_order: Array) -> Array:
        n, m = len(source_order), len(target_order)
        # In units of 1 / (n m), every source node ends at a multiple of m and every target node at one of n.
        first = np.unique(np.concatenate([np.arange(n) * m, np.arange(m) * n]))
        plan = np.zeros((n, m))
        plan[source_order[first // m], target_order[first // n]] = np.diff(first, append=n * m) / (n * m)
        return plan

    def fill(self, masses: Array, plan: Array) -> None:
        masses[:] = plan


def descended(couplings: Couplings, starts: list[Array], most_steps: int) -> tuple[Array, float]:
    """A plan reached from the lowest of the starts by at most so many steps that all lower F, and F there."""
    plan, slope, value = min((_at(couplings, start) for start in starts), key=lambda found: found[2])
    least = 16 * np.finfo(slope.dtype).eps  # a smaller gain is rounding
    for _ in range(most_steps):
        following = couplings.best(slope)
        if following.tobytes() == plan.tobytes():
            break
        following, slope, next_value = _at(couplings, following)
        if next_value >= value - least * abs(value):
            break
        plan, value = following, next_value
    return plan, value


def found_value(found: tuple[Array, float]) -> float:
    """F of what ``descended`` returns."""
    return found[1]


def _at(couplings: Couplings, plan: Array) -> tuple[Array, Array, float]:
    slope = couplings.slope(plan)
    return plan, slope, couplings.value(plan, slope)


def _assignment() -> Callable[..., Any]:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ValueError("Gromov-Wasserstein needs the package scipy; install reactdistill[train].") from None
    return linear_sum_assignment


def _transport() -> Callable[..., Any]:
    """POT's network simplex without the checks of ``ot.emd``, which take as long as the solution."""
    try:
        from ot.lp.emd_wrap import emd_c
    except ImportError:
        raise ValueError("graphs of two sizes need the package POT; install reactdistill[train].") from None
    return emd_c
