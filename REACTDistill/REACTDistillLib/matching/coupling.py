"""Couplings of two distributions: Sinkhorn's, and exactly feasible ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Kept finite: minus infinity would turn the gradient of an empty row into NaN.
_NEVER = -1e30


def sinkhorn(a: Tensor, b: Tensor, cost: Tensor, epsilon: float = 0.05, iterations: int = 100) -> Tensor:
    """R14: the entropic plan of a batch, (B, N, M), for ``a`` (B, N), ``b`` (B, M) and ``cost`` (B, N, M).

    Computed in logarithms, so a small ``epsilon`` (in units of the cost) does not underflow. A node of weight zero is
    padding and gets no mass. Column sums are ``b`` exactly, row sums are ``a`` as far as the iterations converged.
    Gradients reach the cost. Raises ValueError when epsilon is not positive or the shapes disagree.
    """
    import torch

    if not epsilon > 0 or iterations < 1:
        raise ValueError(f"Sinkhorn needs epsilon > 0 and at least 1 iteration, got {epsilon} and {iterations}.")
    if cost.shape != (*a.shape, b.shape[-1]) or a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"a cost for {tuple(a.shape)} and {tuple(b.shape)} was expected, got {tuple(cost.shape)}.")
    here = (a > 0)[:, :, None] & (b > 0)[:, None, :]  # (B, N, M)
    kernel = torch.where(here, -cost / epsilon, _NEVER)
    log_a, log_b = (torch.where(x > 0, x, 1.0).log() for x in (a, b))
    v = torch.zeros_like(b)
    for _ in range(iterations):
        u = torch.where(a > 0, log_a - (kernel + v[:, None, :]).logsumexp(2), 0.0)  # (B, N)
        v = torch.where(b > 0, log_b - (kernel + u[:, :, None]).logsumexp(1), 0.0)  # (B, M)
    return torch.where(here, (kernel + u[:, :, None] + v[:, None, :]).exp(), 0.0)


def feasible(plan: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The plan (B, N, M) with row sums a and column sums b exactly: what is too much is cut, the rest spread evenly."""
    tiny = 1e-30
    plan = plan * (a / plan.sum(2).clamp(min=tiny)).clamp(max=1.0)[:, :, None]
    plan = plan * (b / plan.sum(1).clamp(min=tiny)).clamp(max=1.0)[:, None, :]
    missing_rows, missing_columns = (a - plan.sum(2)).clamp(min=0), (b - plan.sum(1)).clamp(min=0)
    total = missing_rows.sum(1).clamp(min=tiny)[:, None, None]
    return plan + missing_rows[:, :, None] * missing_columns[:, None, :] / total
