"""Liver and tumor masks become named regions: tumors, peritumoral shells, liver sectors, remaining parenchyma."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .geometry import area_average, area_averages, mask_box, mask_extent_ras, resample
from .volume import Box, Grid, Volume

RegionKind = Literal["tumor", "shell", "sector", "parenchyma"]

SHELL_MM = 10.0
SECTORS = 4
# A mask full of specks would make hundreds of nodes; what is beyond this number is joined in one.
MOST_TUMORS = 16
# Nearly the R axis. The small A and S parts put voxels of one sagittal plane in an order, so that no sector is empty.
_RIGHT_TO_LEFT = np.array((-1.0, 1e-3, 1e-6))
_OUTSIDE = "The liver mask lies outside the image; check that both belong to the same scan."
_Voxels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class LiverRegions:
    """The regions of one liver.

    ``grid`` is a box of the image's grid around the liver, ``voxels_ijk`` (V, 3) are the voxels of the liver in it,
    tumors included, and ``members`` (N, V) tells which of them belong to which region. ``names`` and ``kinds`` have N
    entries. ``inside_image`` is the share of the liver mask that the image holds.
    """

    grid: Grid
    voxels_ijk: NDArray[np.int64]
    names: tuple[str, ...]
    kinds: tuple[RegionKind, ...]
    members: NDArray[np.bool_]
    inside_image: float

    @cached_property
    def voxels_ras(self) -> NDArray[np.float64]:
        """Centers of the voxels of the liver in RAS mm, (V, 3)."""
        return self.grid.to_ras(self.voxels_ijk)

    @property
    def volumes_ml(self) -> NDArray[np.float64]:
        """Volume of each region, (N,)."""
        return self.members.sum(axis=1) * self.grid.voxel_ml

    @property
    def centroids_ras(self) -> NDArray[np.float64]:
        """Mean place of the voxels of each region in RAS mm, (N, 3)."""
        return np.stack([self.voxels_ras[member].mean(axis=0) for member in self.members])

    @property
    def liver(self) -> Volume:
        """The whole liver as a mask."""
        return self.mask(np.ones(len(self.voxels_ijk), dtype=np.bool_))

    def mask(self, member: NDArray[np.bool_]) -> Volume:
        """The chosen voxels of the liver, (V,), as a mask on ``grid``."""
        array = np.zeros(self.grid.shape_kji, dtype=bool)
        i, j, k = self.voxels_ijk[member].T
        array[k, j, i] = True
        return Volume(array, self.grid)

    def union_of(self, kind: RegionKind) -> NDArray[np.bool_]:
        """Voxels of the liver that are in any region of that kind, (V,)."""
        rows = [index for index, one in enumerate(self.kinds) if one == kind]
        return np.asarray(self.members[rows].any(axis=0))

    def soft_masks(self, members: NDArray[np.bool_], grid: Grid) -> NDArray[np.float32]:
        """Regions (N, V) as soft masks on a feature grid by area averaging, (N, K, J, I)."""
        return area_averages(self.grid, self.voxels_ijk, members, grid)


def liver_regions(liver: Volume, tumor: Volume | None, image: Grid) -> LiverRegions:
    """Return the regions of a liver, at least 4 of them, as masks on a box of the grid ``image``.

    In this order: ``tumor_1`` ... by falling volume (26-connected components of the tumor mask; the smallest beyond 16
    are joined in ``tumor_other``), ``shell_1`` ... (liver within 10 mm of that tumor and in no tumor; missing where a
    tumor leaves no room), ``sector_1`` ... ``sector_4`` (design choice: quarters of equal volume of the liver outside
    the tumors, from the patient's right to left; without hepatic veins Couinaud's planes are not known),
    ``parenchyma`` (liver in no tumor and no shell; missing when nothing remains). Shells and sectors may overlap.

    The liver is the union of both masks: tumors count as liver whether or not the liver mask holds them. Distances are
    in mm, whatever the spacing. Raises ValueError when a mask is empty, when they lie outside the image or apart.
    """
    work = image.cropped(_box_of(image, *_extent_of_both(liver, tumor)))
    pieces = [] if tumor is None else [_onto(piece, work) for piece in _components(tumor)]
    pieces = [piece for piece in pieces if piece.any()]
    if tumor is not None and not pieces:
        raise ValueError("The tumor mask lies outside the image; check that both belong to the same scan.")
    drawn = resample(liver, work, interpolation="nearest").array_kji.astype(bool, copy=False)
    whole = drawn.copy()
    for piece in pieces:
        whole |= piece
    k, j, i = np.nonzero(whole)
    if k.size == 0:
        raise ValueError(_OUTSIDE)
    if k.size < SECTORS:
        raise ValueError(f"The liver mask covers {k.size} voxels of the image; at least {SECTORS} are needed.")
    voxels = np.stack([i, j, k], axis=1)
    found = _regions(pieces, (k, j, i), work.to_ras(voxels), work)
    inside = float(drawn.sum()) * work.voxel_ml / (float(liver.array_kji.sum()) * liver.grid.voxel_ml)
    names, kinds, members = zip(*(one for one in found if one[2].any()), strict=True)
    return LiverRegions(work, voxels, names, kinds, np.stack(members), min(1.0, inside))


def _extent_of_both(liver: Volume, tumor: Volume | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not liver.is_mask or (tumor is not None and not tumor.is_mask):
        raise ValueError("Liver and tumor must be masks (bool), not images.")
    if not liver.array_kji.any():
        raise ValueError("The liver mask is empty; draw or choose the liver.")
    lower, upper = mask_extent_ras(liver)
    if tumor is None:
        return lower, upper
    if not tumor.array_kji.any():
        raise ValueError("The tumor mask is empty; draw the tumor, or grade without a tumor mask.")
    tumor_lower, tumor_upper = mask_extent_ras(tumor)
    if (tumor_lower > upper + SHELL_MM).any() or (tumor_upper < lower - SHELL_MM).any():
        raise ValueError("The tumor mask lies away from the liver mask; check that both belong to this image.")
    return np.minimum(lower, tumor_lower), np.maximum(upper, tumor_upper)


def _box_of(image: Grid, lower_ras: NDArray[np.float64], upper_ras: NDArray[np.float64]) -> Box:
    corners = np.stack(np.meshgrid(*zip(lower_ras, upper_ras, strict=True), indexing="ij"), axis=-1).reshape(8, 3)
    ijk = image.to_ijk(corners)
    lower = np.maximum(np.floor(ijk.min(axis=0)).astype(int)[::-1] - 1, 0)
    upper = np.minimum(np.ceil(ijk.max(axis=0)).astype(int)[::-1] + 2, image.shape_kji)
    if (lower >= upper).any():
        raise ValueError(_OUTSIDE)
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


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
    pieces.sort(key=lambda piece: (-piece.array_kji.sum(), *np.round(mask_extent_ras(piece)[0], 3)))
    return pieces if largest <= MOST_TUMORS else [*pieces, _boxed(numbers > MOST_TUMORS, part.grid)]


def _boxed(mask: NDArray[np.bool_], grid: Grid) -> Volume:
    box = mask_box(mask)
    assert box is not None
    return Volume(mask, grid).cropped(box)


def _onto(mask: Volume, grid: Grid) -> NDArray[np.bool_]:
    """The mask on another grid; a mask smaller than a voxel keeps the voxel it covers most."""
    nearest = resample(mask, grid, interpolation="nearest").array_kji.astype(bool)
    if nearest.any():
        return nearest
    covered = area_average(mask, grid)
    kept = np.zeros_like(nearest)
    if covered.any():
        kept[np.unravel_index(covered.argmax(), covered.shape)] = True
    return kept


def _regions(
    pieces: list[NDArray[np.bool_]], voxels_kji: _Voxels, voxels_ras: NDArray[np.float64], grid: Grid
) -> list[tuple[str, RegionKind, NDArray[np.bool_]]]:
    """Name, kind and members (V,) of every region, empty ones included."""
    numbers = [str(n + 1) if n < MOST_TUMORS else "other" for n in range(len(pieces))]
    tumors = [piece[voxels_kji] for piece in pieces]
    outside = ~np.any([np.zeros(len(voxels_ras), dtype=bool), *tumors], axis=0)
    shells = [_near(piece, voxels_kji, grid) & outside for piece in pieces]
    remaining = outside & ~np.any([~outside, *shells], axis=0)
    sectors = _sectors(outside if outside.sum() >= SECTORS else np.ones_like(outside), voxels_ras)
    return [
        *((f"tumor_{n}", "tumor", member) for n, member in zip(numbers, tumors, strict=True)),
        *((f"shell_{n}", "shell", member) for n, member in zip(numbers, shells, strict=True)),
        *((f"sector_{n + 1}", "sector", member) for n, member in enumerate(sectors)),
        ("parenchyma", "parenchyma", remaining),
    ]


def _near(tumor: NDArray[np.bool_], voxels_kji: _Voxels, grid: Grid) -> NDArray[np.bool_]:
    """Voxels (V,) within SHELL_MM of the tumor, measured between voxel centers; a shear is left out."""
    margin = [int(np.ceil(SHELL_MM / mm)) + 1 for mm in grid.spacing_ijk_mm[::-1]]
    box = mask_box(tumor)
    assert box is not None  # pieces are never empty
    box = box.grown(margin, tumor.shape)
    image = sitk.GetImageFromArray(tumor[box.slices].astype(np.uint8))
    image.SetSpacing(grid.spacing_ijk_mm.tolist())
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    near = np.zeros_like(tumor)
    near[box.slices] = sitk.GetArrayViewFromImage(distance) <= SHELL_MM + 1e-4  # ITK measures in float32
    return near[voxels_kji]


def _sectors(tissue: NDArray[np.bool_], voxels_ras: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Members (V,) of the quarters of the tissue from right to left."""
    which = np.flatnonzero(tissue)
    cuts = [which.size * n // SECTORS for n in range(1, SECTORS)]
    order = np.argpartition(voxels_ras[which] @ _RIGHT_TO_LEFT, cuts)
    sectors = []
    for part in np.split(which[order], cuts):
        sector = np.zeros_like(tissue)
        sector[part] = True
        sectors.append(sector)
    return sectors
