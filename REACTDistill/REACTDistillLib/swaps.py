"""Swaps of two nodes of a graph, which exchange all that they are coupled to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def span(distance: Tensor) -> Tensor:
    """d_ik - (d_ii + d_kk) / 2: what exchanging nodes i and k costs, whether or not the diagonal is zero."""
    diagonal = distance.diagonal(dim1=1, dim2=2)
    return distance - (diagonal[:, :, None] + diagonal[:, None, :]) / 2


@dataclass(frozen=True, eq=False)
class Swaps:
    """For each node i the best node to swap with, all (B, N): score (the objective falls by 4 times it), rank by it."""

    score: Tensor
    other: Tensor
    rank: Tensor

    @classmethod
    def of(cls, slope: Tensor, span_here: Tensor, span_there: Tensor, pairs: Tensor) -> Swaps:
        """From the slope (B, N, N) at (i, what k has) and the spans of both graphs; False in ``pairs`` is padding."""
        diagonal = slope.diagonal(dim1=1, dim2=2)
        score = slope + slope.mT - diagonal[:, :, None] - diagonal[:, None, :] + 2.0 * span_here * span_there
        best, other = score.masked_fill_(~pairs, 0.0).max(2)
        return cls(best, other, best.argsort(1, descending=True).argsort(1))

    def apart(self, good: Tensor) -> Tensor:
        """Which good swaps (B, N) can be made at once."""
        import torch

        touched = self.rank.scatter_reduce(1, self.other, self.rank, "amin")
        return good & (self.rank <= torch.minimum(touched, touched.gather(1, self.other)))


def reordered_graph(target: Tensor, order: Tensor) -> Tensor:
    """Distances (B, N, N) with rows and columns in an order (B, N)."""
    count = order.shape[1]
    rows = target.gather(1, order[:, :, None].expand(-1, -1, count))
    return rows.gather(2, order[:, None, :].expand(-1, count, -1))


def swap_order(other: Tensor, chosen: Tensor) -> Tensor:
    """The order (B, N) in which each chosen node i and node other[i] changed places; no node is in two swaps."""
    import torch

    place = torch.arange(other.shape[1], device=other.device).expand_as(other)
    order = torch.where(chosen, other, place)
    spare = torch.cat([order, order[:, :1]], dim=1)  # one more column takes what is not chosen
    return spare.scatter(1, torch.where(chosen, other, other.shape[1]), place)[:, :-1]
