"""Where the brain is: what a skull-stripped image holds, or an estimate from the shape of the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ...geometry import resample
from ...volume import Grid, Volume

# Names in the order of every card; it decides where sizes do not, so that the order in which images are given cannot.
ORDER = ("t1", "t1ce", "t2", "flair")
# A skull-stripped image is one value around the brain. Scanners too may write 0 for air, but a head is larger.
_LEAST_BACKGROUND = 0.2
_LARGEST_BRAIN_ML = 2400.0
# The estimate works on voxels of about this size; a skull with its skin is this thick, the brain this high.
_COARSE_MM, _SKULL_MM, _BRAIN_HEIGHT_MM = 2.5, 12.0, 150.0
_SMOOTHING_MM, _OPENING_MM, _CLOSING_MM = 2.0, 6.0, 8.0
# Otsu's threshold parts bright from gray tissue too; half the way to it parts tissue from air.
_SHARE_OF_OTSU = 0.5


@dataclass(frozen=True, eq=False)
class FoundBrain:
    """The region "brain", and where it comes from: a mask that was given, stripped images, or an estimate."""

    mask: Volume
    source: Literal["given", "stripped", "estimated"]

    @property
    def is_estimated(self) -> bool:
        """True when the images have a skull and no mask was given."""
        return self.source == "estimated"


def find_brain(sequences: Mapping[str, Volume], brain: Volume | None = None) -> FoundBrain:
    """Return the brain: ``brain`` when given, else what skull-stripped images hold, else an estimate.

    Stripped images are joined on the grid of the one with the smallest voxels; images with a skull are left aside when
    there is a stripped one. The estimate (design choice) is the tissue deeper than 12 mm below the surface of the head
    in the image with the smallest voxels, on voxels of about 2.5 mm; it may hold parts of the skull base and leave out
    parts of the cortex. Raises ValueError when nothing is found.
    """
    if brain is not None:
        return FoundBrain(brain, "given")
    stripped = {name: mask for name, mask in ((name, _foreground(one)) for name, one in sequences.items()) if mask}
    mask = _joined(stripped) if stripped else _estimate(sequences[reference_name(sequences)])
    if not mask.array_kji.any():
        raise ValueError('No brain was found in the images; give a mask of it as region "brain".')
    return FoundBrain(mask, "stripped" if stripped else "estimated")


def reference_name(volumes: Mapping[str, Volume]) -> str:
    """The name of the volume with the smallest voxels; equal ones in the order T1, T1ce, T2, FLAIR."""

    def rank(name: str) -> tuple[float, int, str]:
        return round(volumes[name].grid.voxel_ml, 9), ORDER.index(name) if name in ORDER else len(ORDER), name

    return min(volumes, key=rank)


def background_value(volume: Volume) -> float | None:
    """The one value around a skull-stripped brain; None for an image that is not stripped."""
    ends = np.ix_(*((0, -1) for _ in range(3)))
    values, counts = np.unique(volume.array_kji[ends], return_counts=True)
    value = values[counts.argmax()]
    background = int(np.count_nonzero(volume.array_kji == value))
    brain_ml = (volume.array_kji.size - background) * volume.grid.voxel_ml
    enough = background >= _LEAST_BACKGROUND * volume.array_kji.size
    return float(value) if enough and 0 < brain_ml <= _LARGEST_BRAIN_ML else None


def _foreground(volume: Volume) -> Volume | None:
    value = background_value(volume)
    return None if value is None else Volume(volume.array_kji != value, volume.grid)


def _joined(masks: Mapping[str, Volume]) -> Volume:
    grid = masks[reference_name(masks)].grid
    joined = np.zeros(grid.shape_kji, dtype=bool)
    for mask in masks.values():
        joined |= resample(mask, grid, interpolation="nearest").array_kji.astype(bool, copy=False)
    return Volume(joined, grid)


def _estimate(volume: Volume) -> Volume:
    """The tissue deep inside the head, of the uppermost 150 mm of it, smooth and without holes."""
    grid, image, values = _coarse(volume, _COARSE_MM)
    head = head_mask(values, image)
    if not head.any():
        return Volume(head, grid)
    distance = sitk.SignedMaurerDistanceMap(_like(head, image), True, False, True)  # mm, positive inside
    height_mm = _height_mm(grid)
    deep = (sitk.GetArrayFromImage(distance) > _SKULL_MM) & (height_mm > height_mm[head].max() - _BRAIN_HEIGHT_MM)
    tissue = _like(deep & (values > _tissue_threshold(values)), image)
    core = _largest(sitk.BinaryMorphologicalOpening(tissue, _radius(grid, _OPENING_MM)), image)
    closed = sitk.BinaryMorphologicalClosing(_like(core, image), _radius(grid, _CLOSING_MM))
    return Volume(_filled(sitk.GetArrayFromImage(closed) > 0), grid)


def head_of(volume: Volume) -> Volume:
    """All that is brighter than air: a head, or what is left of it; on voxels of the volume about 5 mm apart."""
    grid, image, values = _coarse(volume, 2 * _COARSE_MM)
    return Volume(head_mask(values, image), grid)


def head_mask(values: NDArray[np.float32], image: sitk.Image) -> NDArray[np.bool_]:
    """The largest object that is brighter than air, its holes filled."""
    return _filled(_largest(_like(values > _tissue_threshold(values), image), image))


def _coarse(volume: Volume, apart_mm: float) -> tuple[Grid, sitk.Image, NDArray[np.float32]]:
    """Every n-th voxel, smoothed, with its few brightest values cut: grid, image and values (K, J, I)."""
    stride_kji = [max(1, round(apart_mm / mm)) for mm in volume.grid.spacing_ijk_mm[::-1]]
    k, j, i = stride_kji
    grid = volume.grid.strided(stride_kji)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array_kji[::k, ::j, ::i]))
    image.SetSpacing(grid.spacing_ijk_mm.tolist())
    if min(grid.shape_kji) >= 4:  # what the recursive filter needs along each axis
        image = sitk.SmoothingRecursiveGaussian(image, _SMOOTHING_MM)
    values = sitk.GetArrayFromImage(image)
    return grid, image, np.minimum(values, np.percentile(values, 99.5))


def _tissue_threshold(values: NDArray[np.float32]) -> float:
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(values))
    air = float(np.percentile(values, 2))
    return air + _SHARE_OF_OTSU * (otsu.GetThreshold() - air)


def _height_mm(grid: Grid) -> NDArray[np.float64]:
    along_i, along_j, along_k, start = grid.ijk_to_ras[2]
    k, j, i = np.indices(grid.shape_kji, sparse=True)
    height: NDArray[np.float64] = along_i * i + along_j * j + along_k * k + start
    return height


def _radius(grid: Grid, radius_mm: float) -> list[int]:
    return [max(1, round(radius_mm / mm)) for mm in grid.spacing_ijk_mm]


def _like(mask: NDArray[np.bool_], image: sitk.Image) -> sitk.Image:
    copy = sitk.GetImageFromArray(mask.astype(np.uint8))
    copy.CopyInformation(image)
    return copy


def _largest(mask: sitk.Image, image: sitk.Image) -> NDArray[np.bool_]:
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(mask), 0, True)
    return np.asarray(sitk.GetArrayFromImage(parts) == 1)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with all that lies between its voxels along rows and along columns of a slice: heads have few dents."""
    between = [_between(mask, axis) for axis in (1, 2)]
    return between[0] & between[1]


def _between(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    before = np.logical_or.accumulate(mask, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    return np.asarray(before & after)
