"""A mask cut into parts of equal volume by parallel planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .boxedmask import BoxedMask
from .volume import Box


def slabs(mask: BoxedMask, direction_kji: Sequence[float] | NDArray[np.float64], parts: int) -> list[BoxedMask]:
    """The voxels of a mask in parts of equal number (to one voxel), one after the other along a direction.

    A voxel with index (k, j, i) lies at k * d_k + j * d_j + i * d_i along ``direction_kji``; the first part holds the
    lowest. The mask must have at least as many voxels as there are parts.
    """
    steps = np.asarray(direction_kji, dtype=np.float64)
    axis = int(np.abs(steps).argmax())
    rises = steps[axis] > 0
    ranks = [mask.count * part // parts for part in range(1, parts)]
    if not rises:  # the same cuts, counted from the other end
        steps, ranks = -steps, [mask.count - rank for rank in reversed(ranks)]
    cuts = [_cut(mask, steps, axis, rank) for rank in ranks]
    found = [_between(mask, axis, below, above) for below, above in zip([None, *cuts], [*cuts, None], strict=True)]
    return found if rises else found[::-1]


class _Cut:
    """All planes before ``first`` are below it, all from ``last`` on above; in between ``below`` (P, ., .) are."""

    def __init__(self, first: int, below: NDArray[np.bool_]) -> None:
        self.first, self.last, self.below = first, first + len(below), below


def _cut(mask: BoxedMask, steps_kji: NDArray[np.float64], axis: int, rank: int) -> _Cut:
    """The cut across an axis along which places rise, below which ``rank`` voxels lie."""
    before = np.concatenate([[0], np.cumsum(mask.profiles_kji[axis])])  # voxels in the planes before each one
    middle = int(np.searchsorted(before, rank, side="right")) - 1
    others = [other for other in range(3) if other != axis]
    aside = np.add.outer(*(steps_kji[other] * np.arange(mask.array_kji.shape[other]) for other in others))  # (., .)
    # Voxels of so many planes on either side can be at the same place as those of the middle one.
    reach = int(np.ptp(aside) / steps_kji[axis]) + 1
    first = max(0, middle - reach)
    planes = np.moveaxis(mask.array_kji, axis, 0)[first : middle + reach + 1]  # (P, ., .)
    p, a, b = np.nonzero(planes)
    wanted = rank - int(before[first])
    lowest = np.argpartition(p * steps_kji[axis] + aside[a, b], wanted)[:wanted]
    below = np.zeros(planes.shape, dtype=bool)
    below[p[lowest], a[lowest], b[lowest]] = True
    return _Cut(first, below)


def _between(mask: BoxedMask, axis: int, below: _Cut | None, above: _Cut | None) -> BoxedMask:
    """The voxels of the mask from one cut to the next; None is the end of the mask."""
    first = 0 if below is None else below.first
    last = mask.array_kji.shape[axis] if above is None else above.last
    lower, upper = list(mask.box.lower_kji), list(mask.box.upper_kji)
    lower[axis], upper[axis] = lower[axis] + first, lower[axis] + last
    box = Box(tuple(lower), tuple(upper))  # type: ignore[arg-type]
    part = BoxedMask(box, mask.within(box).copy())
    planes = np.moveaxis(part.array_kji, axis, 0)  # a view
    if below is not None:
        planes[: below.last - first] &= ~below.below
    if above is not None:
        planes[above.first - first :] &= above.below
    return part
