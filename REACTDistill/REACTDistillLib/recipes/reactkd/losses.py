"""Losses of REACT-KD: focal loss, region-graph distillation, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ...graph import cosine_distance, cosine_similarity, unit_features
from ...gromov import Solver, gromov_wasserstein, sinkhorn, surrogate_value
from .networks import pool

ALIGNMENTS = ("identity", "sinkhorn")
TOPOLOGIES = ("gw", "entropic", "fused", "surrogate", "pot")
_LEAST_WEIGHT = 1e-3  # in feature voxels; a region with less has no feature of its own


class Nodes(NamedTuple):
    """Node features (B, N, C) of R10, and which nodes a graph has, (B, N)."""

    features: Tensor
    mask: Tensor


@dataclass(frozen=True)
class GraphWeights:
    """R18: weights of the node, edge and topological terms; how nodes are matched; which topological term.

    ``alignment`` "identity" (default: both graphs have the same regions, so each node has its own counterpart) or
    "sinkhorn" (R14). ``topology`` "gw" (true Gromov-Wasserstein), "entropic", "fused", "surrogate" (the published
    code's quantity, renormalized) or "pot" (the solver of POT). ``epsilon``: entropy of R14 and of "entropic".
    """

    node: float = 1.0
    edge: float = 1.0
    gw: float = 1.0
    alignment: str = "identity"
    topology: str = "gw"
    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if min(self.node, self.edge, self.gw) < 0 or not self.epsilon > 0:
            raise ValueError(f"weights of the graph terms must be 0 or above and epsilon above 0, got {self}.")
        if self.alignment not in ALIGNMENTS or self.topology not in TOPOLOGIES:
            raise ValueError(
                f"alignment must be one of {', '.join(ALIGNMENTS)} and topology one of {', '.join(TOPOLOGIES)}, "
                f'got "{self.alignment}" and "{self.topology}".'
            )


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, weights: Sequence[float] = ()) -> Tensor:
    """Mean of -w_y (1 - p_y)^gamma log p_y (Lin et al. 2017; the classification term of R20).

    ``logits`` (B, K), ``target`` (B,) class numbers; a case without a label (-1) counts 0. gamma = 0 is the
    cross-entropy. ``weights`` are the K factors w, Lin's alpha; without them all are 1.
    """
    log_p = functional.log_softmax(logits, dim=1).gather(1, target.clamp(min=0)[:, None]).squeeze(1)  # (B,)
    missing = 1 - log_p.exp()
    if gamma < 1:  # its slope has no end at 0
        missing = missing.clamp(min=1e-6)
    losses = -(missing**gamma) * log_p
    if weights:
        losses = losses * torch.as_tensor(weights, dtype=losses.dtype, device=losses.device)[target.clamp(min=0)]
    return (losses * (target >= 0)).mean()


def region_nodes(features: Tensor, masks: Tensor) -> Nodes:
    """R10 in a batch: features (B, C, d, h, w) and soft regions (B, N, d, h, w) -> nodes.

    A region that is padding, or too small for the feature grid (R10 would divide by nearly nothing), is no node.
    """
    return Nodes(pool(features, masks), masks.flatten(2).sum(dim=2) >= _LEAST_WEIGHT)


def node_loss(student: Tensor, teacher: Tensor, mask: Tensor, plan: Tensor) -> Tensor:
    """R15: mean over nodes and channels of (u_s - diag(1 / pi 1) pi u_t)^2, then over graphs.

    Node features (B, N, C) of R10 with equal width, ``mask`` (B, N) the nodes of both graphs, ``plan`` (B, N, N) with
    the student's nodes as rows (R14, or ``identity_plan``). Graphs without a node count 0.
    """
    matched = _row_normalized(plan) @ unit_features(teacher)
    squared = ((unit_features(student) - matched) ** 2).mean(dim=2)  # (B, N)
    return _masked_mean(squared, mask)


def edge_loss(student: Tensor, teacher: Tensor, mask: Tensor, plan: Tensor) -> Tensor:
    """R16: mean over node pairs of (S_s - S~)^2, S~ = P S_t P^T with its diagonal 1, then over graphs.

    P is the plan with rows that sum to 1. The published code takes the plan itself, which shrinks S_t by about N^-2.
    """
    rows = _row_normalized(plan)
    expected = rows @ cosine_similarity(teacher) @ rows.transpose(1, 2)
    expected = _with_diagonal_of_ones(expected)
    squared = (cosine_similarity(student) - expected) ** 2  # (B, N, N)
    return _masked_mean(squared.flatten(1), (mask[:, :, None] & mask[:, None, :]).flatten(1))


def topology_loss(student: Tensor, teacher: Tensor, mask: Tensor, weights: GraphWeights) -> Tensor:
    """R17: mean over graphs of the Gromov-Wasserstein discrepancy of node distances D (R12), uniform marginals (R13).

    L_GW = sum_{i,k,j,l} (D_s,ik - D_t,jl)^2 pi_ij pi_kl. ``weights.topology`` chooses solver or surrogate. Graphs
    without a node count 0. The solver of "gw" may end in a local minimum; where each node is known to have its own
    counterpart, the plan that couples these is one of all plans, and the lower value counts.
    """
    usable = mask.any(dim=1)  # (B,)
    if not bool(usable.any()):
        return student.sum() * 0.0
    student, teacher, nodes = student[usable], teacher[usable], mask[usable]
    source, target = cosine_distance(student), cosine_distance(teacher)
    if weights.topology == "surrogate":
        values = surrogate_value(source, target, _row_normalized(alignment_plan(student, teacher, nodes, weights)))
    else:
        fused = {"cost": _feature_cost(student, teacher)} if weights.topology == "fused" else {}
        solver = Solver(weights.topology, epsilon=weights.epsilon)  # type: ignore[arg-type]
        values = gromov_wasserstein(source, target, nodes, nodes, solver=solver, **fused).value
        if (weights.topology, weights.alignment) == ("gw", "identity"):
            values = torch.minimum(values, _identity_value(source, target, nodes))
    return values.sum() / len(mask)


def _identity_value(source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """R17 at the plan that couples each node with its own counterpart, (B,): mean over i, k of (Ds_ik - Dt_ik)^2."""
    plan = mask / mask.sum(dim=1, keepdim=True)  # (B, N), the diagonal
    return (plan[:, :, None] * (source - target).square() * plan[:, None, :]).sum(dim=(1, 2))


def graph_terms(student: Nodes, teacher: Nodes, weights: GraphWeights) -> dict[str, Tensor]:
    """R18: the weighted terms "node", "edge" and "gw" between graphs of the same regions; those of weight 0 are absent.

    Gradients reach the student only. Graphs of fewer than 2 nodes have no edge and no topology.
    """
    mask = student.mask & teacher.mask  # (B, N)
    own, other = student.features.float(), teacher.features.detach().float()
    # Distances of nodes that agree are small differences of products near 1: bfloat16 would leave nothing of them.
    with torch.autocast(own.device.type, enabled=False):
        return _weighted_terms(own, other, mask, weights)


def _weighted_terms(own: Tensor, other: Tensor, mask: Tensor, weights: GraphWeights) -> dict[str, Tensor]:
    terms: dict[str, Tensor] = {}
    if weights.node or weights.edge:
        plan = alignment_plan(own, other, mask, weights)
    if weights.node:
        terms["node"] = weights.node * node_loss(own, other, mask, plan)
    if weights.edge:
        terms["edge"] = weights.edge * edge_loss(own, other, mask, plan)
    if weights.gw:
        terms["gw"] = weights.gw * topology_loss(own, other, mask, weights)
    return terms


def alignment_plan(student: Tensor, teacher: Tensor, mask: Tensor, weights: GraphWeights) -> Tensor:
    """The plan (B, N, N) that matches nodes: the identity, or R14; no gradient goes through it."""
    if weights.alignment == "identity":
        return identity_plan(mask).to(student.dtype)
    with torch.no_grad():
        marginal = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)  # R13
        return sinkhorn(marginal, marginal, _feature_cost(student, teacher), epsilon=weights.epsilon)


def identity_plan(mask: Tensor) -> Tensor:
    """Each node to its own counterpart, with the marginals of R13: diag(1 / N) on the nodes of ``mask`` (B, N)."""
    return torch.diag_embed(mask / mask.sum(dim=1, keepdim=True).clamp(min=1))


def total_loss(
    focal: Tensor,
    distillation: Tensor | None,
    graph: Mapping[str, Tensor],
    alpha: float,
    weight: float,
    focal_weight: float | None = None,
) -> dict[str, Tensor]:
    """R20: (1 - alpha) L_focal + alpha L_KD + lambda_g L_RGD, as named terms; their sum is the loss.

    Without a distillation term the focal loss has weight 1: there is nothing to share it with. A ``focal_weight``
    stands in place of both; with 1 for it, ``alpha`` and ``weight`` this is the published code's sum. ``graph`` has the
    terms of R18.
    """
    if focal_weight is None:
        focal_weight = 1.0 if distillation is None else 1 - alpha
    terms = {"focal": focal_weight * focal}
    if distillation is not None:
        terms["logits"] = alpha * distillation
    return {**terms, **{name: weight * term for name, term in graph.items()}}


def _feature_cost(student: Tensor, teacher: Tensor) -> Tensor:
    """C of R14: 1 - u_s . u_t, (B, N, N)."""
    return 1.0 - unit_features(student) @ unit_features(teacher).transpose(1, 2)


def _row_normalized(plan: Tensor) -> Tensor:
    return plan / plan.sum(dim=2, keepdim=True).clamp(min=1e-12)


def _with_diagonal_of_ones(matrix: Tensor) -> Tensor:
    eye = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return torch.where(eye, torch.ones_like(matrix), matrix)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the true entries of each row (B, V), then over rows."""
    per_graph = (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return per_graph.mean()
