"""Region graph: one node per region, features pooled from a feature map, edges by cosine similarity.

R10-R12 are written with tensor methods only, so gradients reach the network that made the feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def node_features(features: Tensor, masks: Tensor) -> Tensor:
    """R10: mean of the feature map over each soft region, h_i = sum_v M_i(v) F(v) / sum_v M_i(v).

    ``features`` (C, D, H, W) and ``masks`` (N, D, H, W) share one grid; returns (N, C). A region without any weight on
    the grid raises ValueError: it has no feature.
    """
    weights = masks.flatten(1).to(features.dtype)  # (N, V)
    total = weights.sum(dim=1, keepdim=True)  # (N, 1)
    if bool((total <= 0).any()):
        empty = [index for index, value in enumerate(total.flatten().tolist()) if value <= 0]
        raise ValueError(f"regions {empty} cover no voxel of the feature grid.")
    return weights @ features.flatten(1).T / total  # (N, C)


def unit_features(nodes: Tensor) -> Tensor:
    """R11: u_i = h_i / ||h_i||_2, shape (..., N, C); a node of zeros stays zero.

    Norms below 1e-4 count as 1e-4: a feature that is nearly nothing has no direction, and the gradient of one would
    outweigh all others.
    """
    return nodes / nodes.norm(dim=-1, keepdim=True).clamp(min=1e-4)


def cosine_similarity(nodes: Tensor) -> Tensor:
    """R12, first part: S_ij = u_i . u_j of nodes (..., N, C), shape (..., N, N)."""
    unit = unit_features(nodes)
    return unit @ unit.transpose(-1, -2)


def cosine_distance(nodes: Tensor) -> Tensor:
    """R12, second part: D_ij = max(0, 1 - S_ij) of nodes (..., N, C), shape (..., N, N)."""
    return (1.0 - cosine_similarity(nodes)).clamp(min=0.0)


@dataclass(frozen=True, eq=False)
class RegionGraph:
    """What a Finding tells of the regions of a case, ready for tables and the scene.

    Arrays have one row per node: ``centroids_ras`` (N, 3) in mm, ``volumes_ml`` (N,), ``features`` (N, C) (R10),
    ``similarity`` (N, N) (S of R12), ``importance`` (N,): see ``attention.region_importance`` for its meaning.
    ``kinds`` are "tumor", "shell", "sector" or "parenchyma".
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    centroids_ras: NDArray[np.float64]
    volumes_ml: NDArray[np.float64]
    features: NDArray[np.float32]
    similarity: NDArray[np.float32]
    importance: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.names)
        shapes = {
            "kinds": ((len(self.kinds),), (count,)),
            "centroids_ras": (self.centroids_ras.shape, (count, 3)),
            "volumes_ml": (self.volumes_ml.shape, (count,)),
            "features": (self.features.shape[:1], (count,)),
            "similarity": (self.similarity.shape, (count, count)),
            "importance": (self.importance.shape, (count,)),
        }
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ValueError(f"region graph: {name} has shape {found}, expected {expected} for {count} nodes.")

    @property
    def distance(self) -> NDArray[np.float32]:
        """D of R12, shape (N, N)."""
        return np.maximum(0.0, 1.0 - self.similarity)

    def edges(self) -> list[tuple[int, int, float]]:
        """Each pair of nodes once, with its similarity."""
        count = len(self.names)
        return [(a, b, float(self.similarity[a, b])) for a in range(count) for b in range(a + 1, count)]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for ``json.dumps``."""
        return {
            "names": list(self.names),
            "kinds": list(self.kinds),
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RegionGraph:
        """The graph that ``to_json`` wrote."""
        names: Sequence[str] = data["names"]
        arrays = {name: np.array(data[name], dtype=kind) for name, kind in _ARRAYS.items()}
        return cls(tuple(names), tuple(data["kinds"]), **arrays)


_ARRAYS = {
    "centroids_ras": np.float64,
    "volumes_ml": np.float64,
    "features": np.float32,
    "similarity": np.float32,
    "importance": np.float32,
}
