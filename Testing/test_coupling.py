"""R14 and the couplings that a descent starts from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from REACTDistillLib.matching.coupling import feasible, sinkhorn


def test_r14_of_two_by_two_worked_out_by_hand() -> None:
    half = torch.full((1, 2), 0.5)
    plan = sinkhorn(half, half, torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]), epsilon=1.0)
    # By symmetry pi = [[x, 1/2 - x], [1/2 - x, x]] with x / (1/2 - x) = exp(1).
    x = 0.5 * np.e / (1 + np.e)
    assert plan[0].flatten().tolist() == pytest.approx([x, 0.5 - x, 0.5 - x, x])


def test_r14_has_its_marginals_and_leaves_padding_empty() -> None:
    a = torch.tensor([[0.5, 0.3, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[0.25, 0.75, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    cost = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    plan = sinkhorn(a, b, cost, epsilon=0.05, iterations=500)
    assert torch.allclose(plan.sum(2), a, atol=1e-6)
    assert torch.allclose(plan.sum(1), b, atol=1e-12)
    (plan * cost).sum().backward()
    assert cost.grad is not None
    assert cost.grad.isfinite().all()
    assert cost.grad[0, 3].abs().max().item() == 0.0


def test_r14_stays_finite_where_the_kernel_would_underflow() -> None:
    half = torch.full((1, 2), 0.5)
    plan = sinkhorn(half, half, torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]) * 1e4, epsilon=1e-3)
    assert plan[0].flatten().tolist() == pytest.approx([0.5, 0.0, 0.0, 0.5])


def test_r14_agrees_with_pot() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed")
    cost = torch.rand(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sixth = torch.full((1, 6), 1 / 6, dtype=torch.float64)
    expected = ot.sinkhorn(ot.unif(6), ot.unif(6), cost.numpy(), 0.05, numItermax=5000, stopThr=1e-9)
    plan = sinkhorn(sixth, sixth, cost[None], epsilon=0.05, iterations=5000)
    assert np.allclose(plan[0].numpy(), expected, atol=1e-7)


def test_sinkhorn_refuses_what_it_cannot_use() -> None:
    half = torch.full((1, 2), 0.5)
    with pytest.raises(ValueError, match=r"epsilon > 0 and at least 1 iteration, got 0.0 and 100"):
        sinkhorn(half, half, torch.zeros(1, 2, 2), epsilon=0.0)
    with pytest.raises(ValueError, match=r"was expected, got \(1, 2, 3\)"):
        sinkhorn(half, half, torch.zeros(1, 2, 3))


def test_a_plan_is_made_feasible_by_cutting_and_spreading() -> None:
    half = torch.full((1, 2), 0.5)
    plan = feasible(torch.tensor([[[1.0, 0.0], [0.0, 0.25]]]), half, half)
    # The first row is cut to 1/2; a quarter is missing in the second row and in the second column.
    assert plan[0].tolist() == [[0.5, 0.0], [0.0, 0.5]]
