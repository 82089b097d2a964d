"""The outline of the brain or the head in each image: where it lies and whether two images show the same one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...volume import Volume
from .brainmask import background_value, head_of

_COARSE_MM = 2.5
_MANY_POINTS = 50_000  # more would not change the percentage


@dataclass(frozen=True, eq=False)
class Outline:
    """What an image shows, as a mask on coarse voxels: the brain when it is skull-stripped, else the head."""

    mask: Volume
    is_brain: bool

    @property
    def center_ras(self) -> NDArray[np.float64]:
        """Center of mass in RAS mm; that of the image when the outline is empty."""
        points_ras = self.points_ras
        return points_ras.mean(axis=0) if len(points_ras) else self.mask.grid.center_ras

    @cached_property
    def points_ras(self) -> NDArray[np.float64]:
        """The centers of its voxels (V, 3) in RAS mm."""
        return self.mask.grid.to_ras(np.argwhere(self.mask.array_kji)[:, ::-1])


def outline_of(volume: Volume) -> Outline:
    """The outline of a sequence: all but the background of a stripped image, all that is brighter than air in another.

    Its voxels are voxels of the image, about 2.5 mm apart in a stripped image and 5 mm in another.
    """
    value = background_value(volume)
    if value is None:
        return Outline(head_of(volume), is_brain=False)
    stride_kji = [max(1, round(_COARSE_MM / mm)) for mm in volume.grid.spacing_ijk_mm[::-1]]
    k, j, i = stride_kji
    return Outline(Volume(volume.array_kji[::k, ::j, ::i] != value, volume.grid.strided(stride_kji)), is_brain=True)


def agreement(one: Outline, other: Outline) -> float:
    """How much of each outline lies inside the other, 0 to 1, where both images reach; the smaller of the two shares.

    Of a brain and a head only the brain can lie inside the other. 1 when the images have no place in common.
    """
    if one.is_brain == other.is_brain:
        return min(_share_inside(one, other), _share_inside(other, one))
    return _share_inside(one, other) if one.is_brain else _share_inside(other, one)


def _share_inside(inner: Outline, outer: Outline) -> float:
    some_ras = inner.points_ras[:: max(1, len(inner.points_ras) // _MANY_POINTS)]
    at_ijk = np.rint(outer.mask.grid.to_ijk(some_ras)).astype(int)
    at_ijk = at_ijk[((at_ijk >= 0) & (at_ijk < outer.mask.grid.shape_kji[::-1])).all(axis=1)]
    if not len(at_ijk):
        return 1.0
    i, j, k = at_ijk.T
    return float(outer.mask.array_kji[k, j, i].mean())
