"""Regions as soft masks on a feature grid, from as few passes over their voxels as the regions need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxedmask import union
from .geometry import area_average
from .regions import LiverRegions, Region
from .volume import Grid

# Shares are sums and differences of float32 numbers; what is less is their rounding and not a piece of a voxel.
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class SoftMasks:
    """Share of each voxel of a grid that a region covers, float32 from 0 to 1.

    ``nodes`` (N, d, h, w) holds each region by itself, ``pools`` (3, d, h, w) the whole liver, all tumors, all shells.
    """

    nodes: NDArray[np.float32]
    pools: NDArray[np.float32]

    @classmethod
    def of(cls, regions: LiverRegions, grid: Grid) -> SoftMasks:
        """The soft masks of regions by area averaging.

        Only tumors, shells and sectors are averaged. The rest follows: sectors and tumors make up the liver, and the
        parenchyma is what tumors and shells leave of it.
        """
        by_kind = {kind: [one for one in regions.regions if one.kind == kind] for kind in regions.kinds}
        known = {one.name: _averaged(one, regions.image, grid) for one in regions.regions if one.kind != "parenchyma"}

        def added(kind: str) -> NDArray[np.float32]:
            parts = [known[one.name] for one in by_kind.get(kind, [])]  # type: ignore[call-overload]
            return np.sum(parts, axis=0, dtype=np.float32) if parts else np.zeros(grid.shape_kji, np.float32)

        tumor, shells = added("tumor"), by_kind.get("shell", [])
        shell = added("shell")
        if len(shells) > 1:  # they may overlap
            shell = area_average(union([one.mask for one in shells]).on(regions.image), grid)
        liver = added("sector")
        if sum(one.mask.count for one in by_kind["sector"]) < np.count_nonzero(regions.liver.array_kji):
            liver += tumor
        rest = liver - tumor - shell
        rest[rest < _ROUNDING] = 0.0
        nodes = [known.get(name, rest) for name in regions.names]
        return cls(np.stack(nodes), np.minimum(np.stack([liver, tumor, shell]), 1.0))


def _averaged(region: Region, image: Grid, grid: Grid) -> NDArray[np.float32]:
    return area_average(region.mask.on(image), grid)
