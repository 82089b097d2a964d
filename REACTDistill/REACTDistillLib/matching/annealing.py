"""Plans of pairs of graphs by annealing: Sinkhorn's plan of the slope while the temperature falls, all pairs at once.

Graphs this small take less time than the calls that compute with them, so that a step for a batch costs a fraction of
one exact linear problem for each of its pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Warm at the end: an exact step sharpens the last plan better than more cooling does.
_TEMPERATURES = tuple(0.2 * 0.75**step for step in range(7))
_ITERATIONS = 4
_TINY = 1e-30


def annealed(source: Array, target: Array, linear: Array, a: Array, b: Array, slope: Array) -> Array:
    """Half the gradient (B, N, M) of F(U) = -<S U T, U> + 2 <linear, U> at blurred plans where F is low.

    ``source`` is -S (B, N, N), ``target`` is T (B, M, M), both symmetric; ``linear`` is (B, N, M), ``a`` (B, N) and
    ``b`` (B, M) are the marginals, 0 in padding, where the others are 0 too. ``slope`` (B, N, M) stands for the
    gradient at the first plan; it is overwritten. The weighted means of ``linear`` and ``slope`` are 0, as are those of
    the rows of S and T but for what their diagonals lost.
    """
    half = np.empty_like(slope)
    for temperature in _TEMPERATURES:
        np.matmul(source, blurred(slope, a, b, temperature), out=half)
        np.matmul(half, target, out=slope)
        slope += linear
    return slope


def blurred(cost: Array, a: Array, b: Array, temperature: float) -> Array:
    """About the entropic plans (R14) of a cost (B, N, M) whose weighted mean is at most 0, in its place.

    The unit of the temperature is how far the least cost lies below 0, so that nothing overflows. Row sums are ``a``
    exactly, column sums are ``b`` as far as few iterations bring them.
    """
    each = cost.reshape(len(cost), -1)  # a view
    each /= temperature * each.min(1, keepdims=True, initial=0.0) - _TINY
    plan = np.exp(cost, out=cost)
    u = a
    for _ in range(_ITERATIONS):
        v = b / ((u[:, None, :] @ plan)[:, 0] + _TINY)
        u = a / ((plan @ v[:, :, None])[:, :, 0] + _TINY)
    plan *= v[:, None, :]
    plan *= u[:, :, None]
    return plan
