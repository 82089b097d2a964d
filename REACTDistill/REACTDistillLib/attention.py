"""What a grade rests on: class evidence per voxel, the heat map and the importance of regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def class_evidence(features: Tensor, pools: Tensor, weight: Tensor) -> Tensor:
    """Share of every voxel in every logit: the logits are exactly the bias plus the sum of the map over all voxels.

    For a head that is linear in features pooled over soft regions, z_k = b_k + sum_r w_kr . (sum_v M_r(v) F(v) /
    sum_v M_r(v)), the share of voxel v is e_k(v) = sum_r M_r(v) / sum M_r * w_kr . F(v): a class activation map
    (Zhou et al., CVPR 2016) that adds up, region-wise pooling included.

    ``features`` (C, D, H, W), ``pools`` (R, D, H, W) soft masks of which some may be empty, ``weight`` (K, R * C);
    returns (K, D, H, W).
    """
    total = pools.flatten(1).sum(dim=1).clamp(min=1e-6)  # (R,)
    share = pools / total[:, None, None, None]  # (R, D, H, W)
    per_pool = weight.reshape(weight.shape[0], pools.shape[0], features.shape[0])  # (K, R, C)
    channels, voxels = features.shape[0], features.flatten(1)  # (C, V)
    voices = per_pool.reshape(-1, channels) @ voxels  # (K * R, V)
    evidence = voices.reshape(weight.shape[0], pools.shape[0], -1) * share.flatten(1)  # (K, R, V)
    return evidence.sum(dim=1).reshape(weight.shape[0], *features.shape[1:])  # (K, D, H, W)


def class_margin(evidence: Tensor, class_index: int) -> Tensor:
    """Evidence for one class against the mean of the others, e_c(v) - mean_{k != c} e_k(v), shape (D, H, W)."""
    others = [k for k in range(evidence.shape[0]) if k != class_index]
    return evidence[class_index] - evidence[others].mean(dim=0)


def heat_map(margin: Tensor) -> Tensor:
    """The map shown in the viewer, values from 0 to 1, shape as ``margin`` (D, H, W).

    What it means: the voxel's share in the margin of the class shown over the others, where it speaks for that
    class; 1 is the strongest voxel of this case, 0 is no voice or a voice against. It explains this network's answer
    for this image. It is no probability, no tumor detector, and heights of two cases cannot be compared.
    """
    positive = margin.clamp(min=0.0)
    return positive / positive.max().clamp(min=1e-12)


def region_importance(margin: Tensor, masks: Tensor) -> Tensor:
    """Signed share of each region in all evidence, sum_v M_i(v) m(v) / sum_v |m(v)|, shape (N,), from -1 to 1.

    Positive: the region speaks for the class shown; negative: against it. ``margin`` (D, H, W) from
    ``class_margin``, ``masks`` (N, D, H, W) soft regions on the same grid. Regions may overlap, so the shares need not
    add up to 1. All zeros when there is no evidence at all.
    """
    flat = margin.flatten()  # (V,)
    return masks.flatten(1).to(flat.dtype) @ flat / flat.abs().sum().clamp(min=1e-12)
