"""Conditional gradient over the couplings of pairs of graphs: each step takes the best plan of the slope, exactly.

Between graphs of one size that is an assignment, between graphs of two sizes a transport of equal masses. The pairs of
a batch go down together, because on graphs this small a call costs more than what it computes; each ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Pivots of a transport of 48 nodes are some hundreds.
_MOST_PIVOTS = 1_000_000


@dataclass(frozen=True, eq=False)
class Couplings:
    """Plans of pairs of graphs, with the objective F(U) = -<S U T, U> + 2 <linear, U> that is to fall.

    ``source`` is -S (B, N, N), ``target`` is T (B, M, M), all symmetric; ``linear`` is (B, N, M). Pair b has
    ``rows[b]`` source nodes and ``columns[b]`` target nodes, which come first; what is padding holds 0.
    """

    source: Array
    target: Array
    linear: Array
    rows: Array
    columns: Array
    hope: ClassVar[float]  # what all later steps of a descent may gain, in units of the last one

    def slope(self, plans: Array) -> Array:
        """Half the gradient of F at each plan, (B, N, M)."""
        raise NotImplementedError

    def best(self, cost: Array) -> Array:
        """The plan of the least <cost, U> of each pair."""
        raise NotImplementedError

    def value(self, plans: Array, slopes: Array) -> Array:
        """F (B,) of plans from the slopes at them."""
        raise NotImplementedError

    def ranked(self, source_order: Array, target_order: Array) -> Array:
        """The plans that couple the first nodes of one order (B, N) with the first of the other (B, M), and so on.

        Padding stands last in both orders.
        """
        raise NotImplementedError

    def masses(self, plans: Array) -> Array:
        """The plans as masses (B, N, M) of sum 1."""
        raise NotImplementedError

    def of(self, pairs: Array) -> Couplings:
        """Some of the pairs, by number."""
        parts = (self.source, self.target, self.linear, self.rows, self.columns)
        return type(self)(*(part[pairs] for part in parts))

    def softened(self, source_shift: Array, target_shift: Array) -> Couplings:
        """The same plans, where S and T have lost multiples (B,) of the identity.

        F is concave, so that its slope at a plan speaks for that plan. With shifts of the mean eigenvalue it hardly
        does; for graphs of one size F changes by a constant only, as an assignment keeps the norm of T.
        """
        source = _on_diagonal(self.source, self.rows, source_shift)
        target = _on_diagonal(self.target, self.columns, -target_shift)
        return replace(self, source=source, target=target)


class Assignments(Couplings):
    """Couplings of graphs of one size, in units of 1 / N: a plan (N,) holds the target node of each source node.

    A node that is padding has its own number.
    """

    hope = 5.0

    @cached_property
    def _pairs(self) -> Array:
        return np.arange(len(self.source))[:, None]

    def slope(self, plans: Array) -> Array:
        slope = self.source @ self.target[self._pairs, plans]
        slope += self.linear
        return slope

    def best(self, cost: Array) -> Array:
        solve = _assignment()
        plans = np.empty(cost.shape[:2], np.intp)
        plans[:] = np.arange(cost.shape[1])
        for plan, one, nodes in zip(plans, cost, self.rows.tolist(), strict=True):
            plan[:nodes] = solve(one[:nodes, :nodes])[1]
        return plans

    def value(self, plans: Array, slopes: Array) -> Array:
        count, nodes = plans.shape
        cells = plans + np.arange(0, count * nodes * nodes, nodes).reshape(count, nodes)
        return (slopes.take(cells) + self.linear.take(cells)).sum(1)

    def ranked(self, source_order: Array, target_order: Array) -> Array:
        plans = np.empty_like(target_order)
        np.put_along_axis(plans, source_order, target_order, 1)
        return plans

    def masses(self, plans: Array) -> Array:
        masses = np.zeros_like(self.linear)
        here = np.arange(plans.shape[1]) < self.rows[:, None]
        np.put_along_axis(masses, plans[:, :, None], (here / self.rows[:, None])[:, :, None].astype(masses.dtype), 2)
        return masses


class Transports(Couplings):
    """Couplings of graphs of two sizes, as masses (N, M) of sum 1."""

    hope = 30.0

    def slope(self, plans: Array) -> Array:
        slope = self.source @ plans @ self.target
        slope += self.linear
        return slope

    def best(self, cost: Array) -> Array:
        solve = _transport()
        plans = np.zeros(cost.shape)
        for plan, one, (n, m) in zip(plans, cost, self._sizes(), strict=True):
            marginals = (np.full(count, 1.0 / count) for count in (n, m))
            plan[:n, :m] = solve(*marginals, np.ascontiguousarray(one[:n, :m], np.float64), _MOST_PIVOTS, 1)[0]
        return plans

    def value(self, plans: Array, slopes: Array) -> Array:
        return ((slopes + self.linear) * plans).sum((1, 2))

    def ranked(self, source_order: Array, target_order: Array) -> Array:
        plans = np.zeros(self.linear.shape)
        for plan, order, other, (n, m) in zip(plans, source_order, target_order, self._sizes(), strict=True):
            # In units of 1 / (n m), every source node ends at a multiple of m and every target node at one of n.
            first = np.unique(np.concatenate([np.arange(n) * m, np.arange(m) * n]))
            plan[order[first // m], other[first // n]] = np.diff(first, append=n * m) / (n * m)
        return plans

    def masses(self, plans: Array) -> Array:
        return plans

    def _sizes(self) -> list[tuple[int, int]]:
        return list(zip(self.rows.tolist(), self.columns.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Found:
    """Plans, the slopes at them and F (B,)."""

    plans: Array
    slopes: Array
    values: Array

    def or_lower(self, other: Found) -> Found:
        """Pair by pair what has the lower F, this one where both are alike."""
        better = other.values < self.values
        each = ((self.plans, other.plans), (self.slopes, other.slopes), (self.values, other.values))
        return Found(*(np.where(_beside(better, mine), theirs, mine) for mine, theirs in each))


def lowest(couplings: Couplings, starts: Sequence[Array]) -> Found:
    """The lowest of the starts of each pair."""
    found = _at(couplings, starts[0])
    for start in starts[1:]:
        found = found.or_lower(_at(couplings, start))
    return found


def descended(couplings: Couplings, start: Found, most_steps: int, rival: Array | None = None) -> Found:
    """What is reached from plans by at most so many steps that all lower F.

    With the values (B,) of a ``rival``, a descent that has little hope to get below it ends early.
    """
    found = Found(start.plans.copy(), start.slopes.copy(), start.values.copy())
    least = 16 * np.finfo(couplings.source.dtype).eps  # a smaller gain is rounding
    going = np.arange(len(found.values))
    for _ in range(most_steps):
        some = couplings if len(going) == len(found.values) else couplings.of(going)
        following = some.best(found.slopes[going])
        new = (following != found.plans[going]).reshape(len(going), -1).any(1)
        if not new.all():
            some, following, going = some.of(new.nonzero()[0]), following[new], going[new]
        if not len(going):
            break
        reached = _at(some, following)
        before = found.values[going]
        lower = reached.values < before - least * np.abs(before)
        going = going[lower]
        for kept, now in ((found.plans, reached.plans), (found.slopes, reached.slopes), (found.values, reached.values)):
            kept[going] = now[lower]
        if rival is not None:  # the steps that follow gain less and less
            hoped = couplings.hope * (before[lower] - found.values[going])
            going = going[found.values[going] - hoped < rival[going]]
        if not len(going):
            break
    return found


def _at(couplings: Couplings, plans: Array) -> Found:
    slopes = couplings.slope(plans)
    return Found(plans, slopes, couplings.value(plans, slopes))


def _beside(flags: Array, values: Array) -> Array:
    return flags.reshape(-1, *[1] * (values.ndim - 1))


def _on_diagonal(matrices: Array, counts: Array, added: Array) -> Array:
    """Matrices (B, N, N) with numbers (B,) added on the diagonal of the nodes that are no padding."""
    changed, nodes = matrices.copy(), np.arange(matrices.shape[1])
    changed[:, nodes, nodes] += (nodes < counts[:, None]) * added[:, None]
    return changed


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
