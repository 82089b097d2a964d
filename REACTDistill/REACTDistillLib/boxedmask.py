"""A mask that is kept in a box of an image only, because the rest of the image is empty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .geometry import mask_box
from .volume import Box, Grid, Volume

# So many slices of a mask can be added in one byte per voxel.
_SLICES_PER_BYTE = 255


@dataclass(frozen=True, eq=False)
class BoxedMask:
    """True voxels of an image: bool ``array_kji`` inside ``box``, nothing outside."""

    box: Box
    array_kji: NDArray[np.bool_]

    @cached_property
    def profiles_kji(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Number of true voxels in each slice, row and column of the box: (K,), (J,), (I,)."""
        slices = np.array([np.count_nonzero(one) for one in self.array_kji], dtype=np.int64)
        ones = self.array_kji.view(np.uint8)
        starts = range(0, len(ones), _SLICES_PER_BYTE)
        summed = [ones[k : k + _SLICES_PER_BYTE].sum(axis=0, dtype=np.uint8) for k in starts]
        columns = np.sum(summed, axis=0, dtype=np.int64)  # (J, I)
        return slices, columns.sum(axis=1), columns.sum(axis=0)

    @cached_property
    def count(self) -> int:
        """Number of true voxels."""
        return int(np.count_nonzero(self.array_kji))

    @property
    def center_ijk(self) -> NDArray[np.float64]:
        """Mean index of the true voxels in the image, (3,) in I, J, K order; NaN for an empty mask."""
        first = zip(self.profiles_kji, self.box.lower_kji, strict=True)
        sums = [float(profile @ (low + np.arange(profile.size))) for profile, low in first]
        return np.array(sums[::-1]) / (self.count or np.nan)

    def within(self, box: Box) -> NDArray[np.bool_]:
        """The mask as an array that fills another box of the image; a view where this box holds the other one."""
        shared = overlap(self.box, box)
        if shared == box:
            return self.array_kji[_inside(box, self.box)]
        array = np.zeros(box.shape_kji, dtype=bool)
        if shared is not None:
            array[_inside(shared, box)] = self.array_kji[_inside(shared, self.box)]
        return array

    def without(self, others: Iterable[BoxedMask]) -> BoxedMask:
        """The voxels that are in none of the others."""
        array = self.array_kji.copy()
        for other in others:
            shared = overlap(self.box, other.box)
            if shared is not None:
                array[_inside(shared, self.box)] &= ~other.array_kji[_inside(shared, other.box)]
        return BoxedMask(self.box, array)

    def inside(self, other: BoxedMask) -> BoxedMask:
        """The voxels that are in the other mask too, in the box of the other."""
        return BoxedMask(other.box, self.within(other.box) & other.array_kji)

    def trimmed(self) -> BoxedMask:
        """The same voxels in the smallest box; raises ValueError when there are none."""
        box = mask_box(self.array_kji)
        if box is None:
            raise ValueError("an empty mask has no smallest box.")
        return BoxedMask(_moved(box, self.box.lower_kji), self.array_kji[box.slices])

    def on(self, image: Grid) -> Volume:
        """The mask on the part of the image's grid that its box holds."""
        return Volume(self.array_kji, image.cropped(self.box))


def overlap(one: Box, other: Box) -> Box | None:
    """The voxels that two boxes share, or None."""
    lower = tuple(map(max, one.lower_kji, other.lower_kji))
    upper = tuple(map(min, one.upper_kji, other.upper_kji))
    return None if any(l >= u for l, u in zip(lower, upper, strict=True)) else Box(lower, upper)  # type: ignore[arg-type]


def union(masks: list[BoxedMask]) -> BoxedMask:
    """The voxels that are in any of the masks, of which there is at least one."""
    lower = tuple(min(corner) for corner in zip(*(mask.box.lower_kji for mask in masks), strict=True))
    upper = tuple(max(corner) for corner in zip(*(mask.box.upper_kji for mask in masks), strict=True))
    box = Box(lower, upper)
    array = np.zeros(box.shape_kji, dtype=bool)
    for mask in masks:
        array[_inside(mask.box, box)] |= mask.array_kji
    return BoxedMask(box, array)


def _moved(box: Box, by_kji: tuple[int, int, int]) -> Box:
    lower, upper = (np.add(corner, by_kji).tolist() for corner in (box.lower_kji, box.upper_kji))
    return Box(tuple(lower), tuple(upper))


def _inside(part: Box, box: Box) -> tuple[slice, slice, slice]:
    """Where ``part`` lies in an array that fills ``box``."""
    corners = zip(part.lower_kji, part.upper_kji, box.lower_kji, strict=True)
    return tuple(slice(low - first, up - first) for low, up, first in corners)  # type: ignore[return-value]
