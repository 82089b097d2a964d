"""Search by swaps: two nodes of a graph exchange all that they are coupled to, many pairs of nodes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# A gain below this share of the objective is rounding.
LEAST_GAIN = 1e-6


def swap_order(here: Tensor, there: Tensor, valid: Tensor, rounds: int, bonus: Tensor | None = None) -> Tensor:
    """The order (B, N) in which node i takes over what node order[i] had, so that the graphs agree better.

    Seeks the maximum of sum_ik here_ik there_o(i)o(k) + 2 sum_i bonus_i,o(i), for ``here`` and ``there`` (B, N, N)
    symmetric and zero in padding, ``bonus`` (B, N, N) or None. In each of at most ``rounds`` rounds all pairs of nodes
    swap that are each other's best partner. Swaps made together can spoil one another: from then on only those are made
    that gain half as much as the best, then three quarters, and so on. The best order seen is returned, never worse
    than the present one. ``valid`` (B, N) tells nodes from padding, which stays where it is.
    """
    import torch

    nodes = valid.shape[1]
    place = torch.arange(nodes, device=valid.device).expand_as(valid)
    order = best_order = place
    spans_here, padding = 2.0 * span(here), torch.where(valid, 0.0, torch.inf)
    hollow = _hollow(there)
    value = best = _value(here, there, bonus, order)
    least, share = value.abs() * (LEAST_GAIN / nodes), torch.zeros_like(value)
    for _ in range(rounds):
        slope = torch.bmm(here, there)
        if bonus is not None:
            slope.add_(bonus.gather(2, order[:, None, :].expand_as(bonus)))
        spans = spans_here * (there if hollow else span(there))
        other, good = _mutual(slope, spans, padding, least, share)
        if not bool(good.any()):
            break
        step = torch.where(good, other, place)
        there, order = reordered_graph(there, step), order.gather(1, step)
        before, value = value, _value(here, there, bonus, order)
        share = torch.where(value < before, 0.5 + 0.5 * share, share)
        best_order = torch.where(value > best, order, best_order)
        best = torch.maximum(value, best)
    return best_order


def span(distance: Tensor) -> Tensor:
    """d_ik - (d_ii + d_kk) / 2: what exchanging nodes i and k costs, whether or not the diagonal is zero."""
    half = distance.diagonal(dim1=1, dim2=2) / 2
    return (distance - half[:, :, None]).sub_(half[:, None, :])


def reordered_graph(distance: Tensor, order: Tensor) -> Tensor:
    """Distances (B, N, N) with rows and columns in an order (B, N)."""
    import torch

    count, nodes = order.shape
    place = order + nodes * torch.arange(count, device=order.device)[:, None]
    rows = distance.reshape(count * nodes, nodes).index_select(0, place.flatten()).view_as(distance)
    return rows.gather(2, order[:, None, :].expand_as(rows))


def _hollow(distance: Tensor) -> bool:
    """Whether the diagonal is zero but for rounding."""
    return bool(distance.diagonal(dim1=1, dim2=2).abs().amax() <= 1e-5 * distance.abs().amax())


def _value(here: Tensor, there: Tensor, bonus: Tensor | None, order: Tensor) -> Tensor:
    """What ``swap_order`` seeks to raise, (B, 1), where ``there`` is in the order already."""
    value = (here * there).sum((1, 2))[:, None]
    return value if bonus is None else value + 2.0 * bonus.gather(2, order[:, :, None]).sum(1)


def _mutual(slope: Tensor, spans: Tensor, padding: Tensor, least: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """The best partner of each node (B, N), and which nodes are each other's best and gain enough; uses up ``spans``.

    Enough is ``least`` and a ``share`` of the gain of the best swap, both (B, 1).
    """
    import torch

    held = slope.diagonal(dim1=1, dim2=2)
    gain, other = spans.add_(slope).add_(slope.mT).sub_((held + padding)[:, None, :]).max(2)
    gain = gain.sub_(held)
    least = torch.maximum(least, gain.amax(1, keepdim=True) * share)
    place = torch.arange(gain.shape[1], device=gain.device)
    good = (gain >= least) & (other.gather(1, other) == place)
    return other, good & good.gather(1, other)  # rounding may let one of the two pass alone
