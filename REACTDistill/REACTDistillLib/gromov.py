"""Gromov-Wasserstein distance of region graphs (R17), batched and masked: what distills topology without node names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .errors import missing_package
from .matching.alignment import Pairs, aligned
from .matching.coupling import feasible, sinkhorn

if TYPE_CHECKING:
    from torch import Tensor, dtype

__all__ = ["GromovWasserstein", "Solver", "gromov_wasserstein", "sinkhorn", "surrogate_value"]


@dataclass(frozen=True)
class Solver:
    """How the plan is sought.

    ``name``: "gw" (true Gromov-Wasserstein, default), "fused" (with a cost between nodes), "entropic" (smooth plan),
    "pot" (the package POT, one graph after the other: the reference), "best" (the lower of POT's plan and POT's
    continuation of the plan of "gw": slow, never above "pot"). ``epsilon``: entropy of "entropic", in units of
    squared distance. ``alpha``: weight of structure in "fused", 1 - alpha that of the cost. ``iterations``: outer steps
    of "entropic".
    """

    name: Literal["gw", "fused", "entropic", "pot", "best"] = "gw"
    epsilon: float = 0.05
    alpha: float = 0.5
    iterations: int = 50

    def __post_init__(self) -> None:
        if self.name not in _PLANS:
            raise ValueError(f"solver {self.name!r} is unknown; choose one of {', '.join(_PLANS)}.")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha weighs structure against cost and lies in 0 to 1, got {self.alpha}.")
        if not self.epsilon > 0:
            raise ValueError(f"a solver needs epsilon > 0, got {self.epsilon}.")


@dataclass(frozen=True, eq=False)
class GromovWasserstein:
    """Of each pair of graphs: ``value`` (B,), differentiable, and the ``plan`` (B, N, M) it was found with, detached.

    For "fused" the value is alpha times Gromov-Wasserstein plus 1 - alpha times the mean cost under the plan.
    """

    value: Tensor
    plan: Tensor


def gromov_wasserstein(
    source: Tensor,
    target: Tensor,
    source_mask: Tensor | None = None,
    target_mask: Tensor | None = None,
    *,
    solver: str | Solver = "gw",
    cost: Tensor | None = None,
) -> GromovWasserstein:
    """R17: min over plans of sum_ikjl (Ds_ik - Dt_jl)^2 pi_ij pi_kl with uniform marginals (R13), for a batch of pairs.

    ``source`` (B, N, N) and ``target`` (B, M, M) are symmetric distances within graphs; nodes whose mask (B, N) or
    (B, M) is False are padding. ``cost`` (B, N, M) is needed by the solver "fused" and by no other. The plan is found
    without gradient; by the envelope theorem the gradient of the value at that plan is the gradient of the minimum, in
    O(N^2 M + N M^2). The problem is not convex: a lower minimum may exist. The result does not depend on the order of
    the nodes, apart from ties. Raises ValueError when shapes disagree, values are not finite or a graph has no node.
    """
    import torch

    solver = Solver(solver) if isinstance(solver, str) else solver  # type: ignore[arg-type]
    source, source_mask = _checked(source, source_mask, "source")
    target, target_mask = _checked(target, target_mask, "target")
    _check_pair(source, target, cost, solver)
    with torch.autocast(source.device.type, enabled=False):
        kind = torch.promote_types(torch.promote_types(source.dtype, target.dtype), torch.float32)
        ds, dt = source.to(kind), target.to(kind)
        a, b = _uniform(source_mask, kind), _uniform(target_mask, kind)
        extra = None if cost is None else torch.where(_pairs(source_mask, target_mask), cost.to(kind), 0.0)
        with torch.no_grad():
            plan = _PLANS[solver.name](ds, dt, a, b, extra, solver)
        return GromovWasserstein(_value(ds, dt, plan, extra, solver), plan)


def surrogate_value(source: Tensor, target: Tensor, plan: Tensor) -> Tensor:
    """The quantity of the published code in place of R17, (B,): mean over i, k of (Ds - pi Dt pi^T)^2.

    Rows of ``plan`` (B, N, M) are first scaled to sum 1, or D^t would shrink by N^-2; rows without mass are padding
    and do not count. Differentiable in all three. It is not a Gromov-Wasserstein distance: it can be 0 for graphs that
    differ and above 0 at a best plan of equal ones.
    """
    import torch

    mass = plan.sum(2)  # (B, N)
    here = mass > 0
    if not bool(here.any(1).all()):
        raise ValueError("a plan without mass aligns nothing; every graph needs a node.")
    rows = plan / torch.where(here, mass, 1.0)[:, :, None]
    counted = _pairs(here, here)
    squared = torch.where(counted, source - rows @ target @ rows.mT, 0.0) ** 2
    return squared.sum((1, 2)) / counted.sum((1, 2))


def _checked(distance: Tensor, mask: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """Distances of one graph batch with zeros in padding, and the mask of valid nodes (B, N)."""
    import torch

    if distance.ndim != 3 or distance.shape[1] != distance.shape[2] or not distance.is_floating_point():
        raise ValueError(f"{name} distances must be floating and (B, N, N), got {tuple(distance.shape)}.")
    if mask is None:
        mask = torch.ones(distance.shape[:2], dtype=torch.bool, device=distance.device)
    if mask.shape != distance.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(f"the {name} mask must be bool {tuple(distance.shape[:2])}, got {tuple(mask.shape)}.")
    if not bool(mask.any(1).all()):
        raise ValueError(f"{name} graph {int((~mask.any(1)).nonzero()[0])} of the batch has no node.")
    distance = torch.where(_pairs(mask, mask), distance, 0.0)
    valid = distance.detach()
    largest, lopsided = valid.abs().amax(), (valid - valid.mT).amax()
    if not bool(largest.isfinite()):
        raise ValueError(f"{name} distances hold NaN or infinity; check the features that they come from.")
    if bool(lopsided > 1e-3 * largest):
        raise ValueError(f"{name} distances are not symmetric; Gromov-Wasserstein here is between undirected graphs.")
    return distance, mask


def _check_pair(source: Tensor, target: Tensor, cost: Tensor | None, solver: Solver) -> None:
    if len(source) != len(target):
        raise ValueError(f"{len(source)} source graphs cannot be paired with {len(target)} target graphs.")
    if (cost is not None) != (solver.name == "fused"):
        raise ValueError(f'a cost between nodes belongs to the solver "fused", the solver is {solver.name!r}.')
    if cost is not None and cost.shape != (len(source), source.shape[1], target.shape[1]):
        expected = (len(source), source.shape[1], target.shape[1])
        raise ValueError(f"the cost between nodes must be {expected}, got {tuple(cost.shape)}.")
    if cost is not None and not bool(cost.isfinite().all()):
        raise ValueError("the cost between nodes holds NaN or infinity; check the features that it comes from.")


def _pairs(rows: Tensor, columns: Tensor) -> Tensor:
    # One of them laid out in memory: twice as fast as with both broadcast.
    return rows[:, :, None].expand(-1, -1, columns.shape[1]).contiguous() & columns[:, None, :]


def _uniform(mask: Tensor, kind: dtype) -> Tensor:
    """R13: equal weights of the valid nodes, (B, N)."""
    return mask.to(kind) / mask.sum(1, keepdim=True)


def _value(ds: Tensor, dt: Tensor, plan: Tensor, cost: Tensor | None, solver: Solver) -> Tensor:
    """The objective (B,) at a plan."""
    mass, partner = plan.max(2)
    matched = bool((mass == plan.sum(2)).all())
    value = _matched_value(ds, dt, mass, partner) if matched else _split_value(ds, dt, plan)
    if cost is not None:
        value = solver.alpha * value + (1.0 - solver.alpha) * (cost * plan).sum((1, 2))
    return value


def _matched_value(ds: Tensor, dt: Tensor, mass: Tensor, partner: Tensor) -> Tensor:
    """The objective (B,) where each source node gives all its mass (B, N) to one target node (B, N), as R17 reads."""
    matched = dt.gather(1, partner[:, :, None].expand(-1, -1, dt.shape[2]))
    matched = matched.gather(2, partner[:, None, :].expand(-1, partner.shape[1], -1))
    return (mass[:, None, :] @ (ds - matched).square() @ mass[:, :, None])[:, 0, 0]


def _split_value(ds: Tensor, dt: Tensor, plan: Tensor) -> Tensor:
    """The objective (B,) at any plan, by R17's split in a constant and a linear part, in double where there is one."""
    import torch

    wide = torch.float32 if ds.device.type == "mps" else torch.float64
    ds_wide, dt_wide, plan_wide = ds.to(wide), dt.to(wide), plan.to(wide)
    a, b = plan_wide.sum(2, keepdim=True), plan_wide.sum(1, keepdim=True).mT
    squares = a.mT @ ds_wide.square() @ a + b.mT @ dt_wide.square() @ b  # (B, 1, 1)
    value = squares[:, 0, 0] - 2.0 * (ds_wide @ plan_wide @ dt_wide * plan_wide).sum((1, 2))
    return value.clamp(min=0.0).to(ds.dtype)  # rounding alone goes below


def _vertex_plan(ds: Tensor, dt: Tensor, a: Tensor, b: Tensor, cost: Tensor | None, solver: Solver) -> Tensor:
    """A vertex of low objective, found on the CPU."""
    import torch

    # The solver of linear problems has an absolute tolerance.
    largest = torch.maximum(ds.abs().amax((1, 2)), dt.abs().amax((1, 2)))[:, None, None]
    scale, bonus = torch.where(largest > 0, 1.0 / largest, 1.0), None
    if cost is not None:
        # alpha GW + (1 - alpha) <cost, U>, as distances and a bonus.
        bonus = ((solver.alpha - 1.0) / 4.0 * cost * scale**2).cpu().numpy()
        scale = scale * solver.alpha**0.5
    source, target, a_cpu, b_cpu = (values.cpu().numpy() for values in (ds * scale, dt * scale, a, b))
    plan = aligned(Pairs(source, target, a_cpu, b_cpu, bonus))
    return torch.from_numpy(plan).to(ds.device)


def _entropic_plan(ds: Tensor, dt: Tensor, a: Tensor, b: Tensor, cost: Tensor | None, solver: Solver) -> Tensor:
    """Projected mirror descent: each step is a Sinkhorn plan (R14) of the linearized objective."""
    plan = a[:, :, None] * b[:, None, :]
    for _ in range(solver.iterations):
        plan = sinkhorn(a, b, -4.0 * (ds @ plan @ dt), solver.epsilon, iterations=20)
    return feasible(plan, a, b)


def _pot_plan(ds: Tensor, dt: Tensor, a: Tensor, b: Tensor, cost: Tensor | None, solver: Solver) -> Tensor:
    """The plans of ``ot.gromov.gromov_wasserstein`` with its defaults."""
    return _pot_plans(ds, dt, a[:, :, None] * b[:, None, :])


def _best_plan(ds: Tensor, dt: Tensor, a: Tensor, b: Tensor, cost: Tensor | None, solver: Solver) -> Tensor:
    import torch

    plans = _pot_plan(ds, dt, a, b, cost, solver), _pot_plans(ds, dt, _vertex_plan(ds, dt, a, b, cost, solver))
    values = [_value(ds, dt, plan, cost, solver) for plan in plans]
    return torch.where((values[0] < values[1])[:, None, None], *plans)


def _pot_plans(ds: Tensor, dt: Tensor, start: Tensor) -> Tensor:
    """Conditional gradient of POT from a plan (B, N, M), pair by pair in double on the CPU."""
    import torch

    try:
        from ot.gromov import gromov_wasserstein as pot
    except ImportError:
        raise ValueError(missing_package("ot")) from None
    plan = torch.zeros_like(start)
    for index in range(len(start)):
        rows, columns = start[index].sum(1) > 0, start[index].sum(0) > 0
        here = rows[:, None] & columns[None, :]
        first = start[index][here].double().view(1, int(rows.sum()), int(columns.sum())).cpu()
        even = [torch.full((1, count), 1 / count, dtype=torch.float64) for count in first.shape[1:]]
        graphs = (ds[index][rows][:, rows], dt[index][columns][:, columns])
        found = pot(*(graph.double().cpu().numpy() for graph in graphs), G0=feasible(first, *even)[0].numpy())
        plan[index][here] = torch.from_numpy(found).to(plan).flatten()
    return plan


_PLANS = {"gw": _vertex_plan, "fused": _vertex_plan, "entropic": _entropic_plan, "pot": _pot_plan, "best": _best_plan}
