"""Liver and tumor masks become named regions: tumors, peritumoral shells, liver sectors, remaining parenchyma."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .boxedmask import BoxedMask, union
from .geometry import area_average, mask_box, mask_extent_ras, resample
from .memory import Memory
from .sectors import slabs
from .volume import Box, Grid, Volume

RegionKind = Literal["tumor", "shell", "sector", "parenchyma"]
_Extent = tuple[NDArray[np.float64], NDArray[np.float64]]

SHELL_MM = 10.0
SECTORS = 4
# A mask full of specks would make hundreds of nodes; what is beyond this number is joined in one.
MOST_TUMORS = 16
# Nearly the R axis. The small A and S parts put voxels of one sagittal plane in an order, so that no sector is empty.
_RIGHT_TO_LEFT = np.array((-1.0, 1e-3, 1e-6))
_OUTSIDE = "The liver mask lies outside the image; check that both belong to the same scan."


@dataclass(frozen=True, eq=False)
class Region:
    """One node of the region graph: its voxels in the image."""

    name: str
    kind: RegionKind
    mask: BoxedMask


@dataclass(frozen=True, eq=False)
class LiverRegions:
    """The regions of one liver.

    ``liver`` is the mask of the liver, tumors included, on a box of the grid ``image``. ``inside_image`` is the share
    of the liver mask that the image holds.
    """

    image: Grid
    liver: Volume
    regions: tuple[Region, ...]
    inside_image: float

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each of the N regions."""
        return tuple(region.name for region in self.regions)

    @property
    def kinds(self) -> tuple[RegionKind, ...]:
        """Kind of each of the N regions."""
        return tuple(region.kind for region in self.regions)

    @property
    def volumes_ml(self) -> NDArray[np.float64]:
        """Volume of each region, (N,)."""
        return np.array([region.mask.count for region in self.regions]) * self.image.voxel_ml

    @property
    def centroids_ras(self) -> NDArray[np.float64]:
        """Mean place of the voxels of each region in RAS mm, (N, 3)."""
        return self.image.to_ras([region.mask.center_ijk for region in self.regions])

    def mask(self, name: str) -> Volume:
        """One region as a mask on a box of the image."""
        return self.regions[self.names.index(name)].mask.on(self.image)

    def union_of(self, kind: RegionKind) -> Volume | None:
        """Voxels that are in any region of that kind, on a box of the image; None when there is no such region."""
        masks = [region.mask for region in self.regions if region.kind == kind]
        return union(masks).on(self.image) if masks else None


@dataclass(frozen=True, eq=False)
class _Tumor:
    """A tumor in the image, and all voxels within SHELL_MM of it (tumor included)."""

    mask: BoxedMask
    near: BoxedMask


@dataclass(frozen=True, eq=False)
class FoundLiver:
    """Liver and tumors in the image, before the liver is divided: quick to find, and all that a network is shown.

    ``liver`` and ``inside_image`` as in LiverRegions; ``whole`` holds the voxels of ``liver``.
    """

    image: Grid
    liver: Volume
    inside_image: float
    whole: BoxedMask
    tumors: tuple[_Tumor, ...]

    def divided(self) -> LiverRegions:
        """The regions of this liver."""
        found = _regions(self.tumors, self.whole, self.image)
        return LiverRegions(self.image, self.liver, tuple(one for one in found if one.mask.count), self.inside_image)


def liver_regions(liver: Volume, tumor: Volume | None, image: Grid) -> LiverRegions:
    """Return the regions of a liver, at least 4 of them, as masks on boxes of the grid ``image``.

    In this order: ``tumor_1`` ... by falling volume (26-connected components of the tumor mask; the smallest beyond 16
    are joined in ``tumor_other``), ``shell_1`` ... (liver within 10 mm of that tumor and in no tumor; missing where a
    tumor leaves no room), ``sector_1`` ... ``sector_4`` (design choice: quarters of equal volume of the liver outside
    the tumors, from the patient's right to left; without hepatic veins Couinaud's planes are not known),
    ``parenchyma`` (liver in no tumor and no shell; missing when nothing remains). Shells and sectors may overlap.

    The liver is the union of both masks: tumors count as liver whether or not the liver mask holds them. Distances are
    in mm, whatever the spacing. Raises ValueError when a mask is empty, when they lie outside the image or apart.
    """
    return find_liver(liver, tumor, image, Memory()).divided()


def find_liver(liver: Volume, tumor: Volume | None, image: Grid, memory: Memory) -> FoundLiver:
    """The liver of ``liver_regions`` before it is divided; raises as it does.

    With the ``memory`` of the call before, the mask that did not change is not looked at again, and a liver that comes
    out the same is the same Volume.
    """
    extents = _extents(liver, tumor, memory)
    tumors = [] if tumor is None else memory.recall("tumors", (tumor, image), lambda: _tumors(tumor, image, memory))
    box = _box_of(image, *extents)
    drawn = resample(liver, image.cropped(box), interpolation="nearest").array_kji.astype(bool, copy=False)
    whole = union([BoxedMask(box, drawn), *(one.mask for one in tumors)])
    whole = memory.settle("liver", whole, _same_mask)
    _check_size(whole.count)
    inside = np.count_nonzero(drawn) * image.voxel_ml / (_count(liver) * liver.grid.voxel_ml)
    volume = memory.recall("liver volume", (whole, image), lambda: whole.on(image))
    return FoundLiver(image, volume, min(1.0, inside), whole, tuple(tumors))


def _same_mask(one: BoxedMask, other: BoxedMask) -> bool:
    return one.box == other.box and np.array_equal(one.array_kji, other.array_kji)


def _check_size(count: int) -> None:
    if count == 0:
        raise ValueError(_OUTSIDE)
    if count < SECTORS:
        raise ValueError(f"The liver mask covers {count} voxels of the image; at least {SECTORS} are needed.")


def _count(mask: Volume) -> int:
    return int(np.count_nonzero(mask.array_kji))


def _extents(liver: Volume, tumor: Volume | None, memory: Memory) -> _Extent:
    if not liver.is_mask or (tumor is not None and not tumor.is_mask):
        raise ValueError("Liver and tumor must be masks (bool), not images.")
    empty = "The liver mask is empty; draw or choose the liver."
    lower, upper = memory.recall("liver extent", (liver,), lambda: _extent(liver, empty))
    if tumor is None:
        return lower, upper
    empty = "The tumor mask is empty; draw the tumor, or grade without a tumor mask."
    tumor_lower, tumor_upper = memory.recall("tumor extent", (tumor,), lambda: _extent(tumor, empty))
    if (tumor_lower > upper + SHELL_MM).any() or (tumor_upper < lower - SHELL_MM).any():
        raise ValueError("The tumor mask lies away from the liver mask; check that both belong to this image.")
    return np.minimum(lower, tumor_lower), np.maximum(upper, tumor_upper)


def _extent(mask: Volume, sentence_when_empty: str) -> _Extent:
    if not mask.array_kji.any():
        raise ValueError(sentence_when_empty)
    return mask_extent_ras(mask)


def _box_of(image: Grid, lower_ras: NDArray[np.float64], upper_ras: NDArray[np.float64]) -> Box:
    """The voxels of the image between two corners, and one more on each side."""
    box = _box_or_none(image, lower_ras, upper_ras)
    if box is None:
        raise ValueError(_OUTSIDE)
    return box


def _box_or_none(image: Grid, lower_ras: NDArray[np.float64], upper_ras: NDArray[np.float64]) -> Box | None:
    corners = np.stack(np.meshgrid(*zip(lower_ras, upper_ras, strict=True), indexing="ij"), axis=-1).reshape(8, 3)
    ijk = image.to_ijk(corners)
    lower = np.maximum(np.floor(ijk.min(axis=0)).astype(int)[::-1] - 1, 0)
    upper = np.minimum(np.ceil(ijk.max(axis=0)).astype(int)[::-1] + 2, image.shape_kji)
    return None if (lower >= upper).any() else Box(tuple(lower.tolist()), tuple(upper.tolist()))


def _tumors(tumor: Volume, image: Grid, memory: Memory) -> list[_Tumor]:
    masks = [mask for mask in (_onto(piece, image) for piece in _components(tumor)) if mask is not None]
    if not masks:
        raise ValueError("The tumor mask lies outside the image; check that both belong to the same scan.")
    return [_with_neighborhood(number, mask, image, memory) for number, mask in enumerate(masks)]


def _with_neighborhood(number: int, mask: BoxedMask, image: Grid, memory: Memory) -> _Tumor:
    mask = memory.settle(f"tumor {number}", mask, _same_mask)
    return _Tumor(mask, memory.recall(f"near tumor {number}", (mask, image), lambda: _near(mask, image)))


def _components(tumor: Volume) -> Iterable[Volume]:
    """The 26-connected parts, each in its own box, by falling size, then by place; the last may be several joined."""
    box = mask_box(tumor.array_kji.astype(bool, copy=False))
    assert box is not None  # the caller has refused empty masks
    part = tumor.cropped(box)
    labels = sitk.ConnectedComponent(sitk.GetImageFromArray(part.array_kji.astype(np.uint8)), True)
    numbers = sitk.GetArrayFromImage(sitk.RelabelComponent(labels, sortByObjectSize=True))
    largest = int(numbers.max())
    pieces = [_boxed(numbers == number, part.grid) for number in range(1, min(largest, MOST_TUMORS) + 1)]
    # Parts of one size come in the order of the voxel axes, which is not a property of the patient.
    pieces.sort(key=lambda piece: (-_count(piece), *np.round(mask_extent_ras(piece)[0], 3)))
    return pieces if largest <= MOST_TUMORS else [*pieces, _boxed(numbers > MOST_TUMORS, part.grid)]


def _boxed(mask: NDArray[np.bool_], grid: Grid) -> Volume:
    box = mask_box(mask)
    assert box is not None
    return Volume(mask, grid).cropped(box)


def _onto(mask: Volume, image: Grid) -> BoxedMask | None:
    """The mask on the grid of the image, or None outside; smaller than a voxel it keeps the voxel it covers most."""
    box = _box_or_none(image, *mask_extent_ras(mask))
    if box is None:
        return None
    part = image.cropped(box)
    nearest = resample(mask, part, interpolation="nearest").array_kji.astype(bool, copy=False)
    if not nearest.any():
        covered = area_average(mask, part)
        if not covered.any():
            return None
        nearest = np.zeros_like(nearest)
        nearest[np.unravel_index(covered.argmax(), covered.shape)] = True
    return BoxedMask(box, nearest).trimmed()


def _near(tumor: BoxedMask, image: Grid) -> BoxedMask:
    """Voxels within SHELL_MM of the tumor, measured between voxel centers; a shear is left out."""
    spacing_mm = image.spacing_ijk_mm
    box = tumor.box.grown([int(np.ceil(SHELL_MM / mm)) + 1 for mm in spacing_mm[::-1]], image.shape_kji)
    mask = sitk.GetImageFromArray(tumor.within(box).astype(np.uint8))
    mask.SetSpacing(spacing_mm.tolist())
    distance = sitk.SignedMaurerDistanceMap(mask, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return BoxedMask(box, sitk.GetArrayViewFromImage(distance) <= SHELL_MM + 1e-4)  # ITK measures in float32


def _regions(tumors: Sequence[_Tumor], liver: BoxedMask, image: Grid) -> list[Region]:
    """Every region, empty ones included."""
    numbers = [str(n + 1) if n < MOST_TUMORS else "other" for n in range(len(tumors))]
    outside = liver.without([tumor.mask for tumor in tumors])
    shells = [outside.inside(tumor.near) for tumor in tumors]
    right_to_left_kji = (_RIGHT_TO_LEFT @ image.ijk_to_ras[:3, :3])[::-1]
    sectors = slabs(outside if outside.count >= SECTORS else liver, right_to_left_kji, SECTORS)
    return [
        *(Region(f"tumor_{n}", "tumor", tumor.mask) for n, tumor in zip(numbers, tumors, strict=True)),
        *(Region(f"shell_{n}", "shell", shell) for n, shell in zip(numbers, shells, strict=True)),
        *(Region(f"sector_{n + 1}", "sector", sector) for n, sector in enumerate(sectors)),
        Region("parenchyma", "parenchyma", outside.without(shells)),
    ]
