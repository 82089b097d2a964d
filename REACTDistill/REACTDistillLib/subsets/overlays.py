"""One slice of a case with truth and predictions of every subset, for a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..geometry import resample
from ..volume import Box, Grid, Volume
from .scores import Subset

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Overlay:
    """One slice of a case; all arrays (J, I), turned so that anterior is up and the right of the patient on the left.

    ``truth`` by region, ``images`` by sequence, ``predicted`` by subset and region; ``spacing_ji_mm`` is the distance
    of rows and of columns.
    """

    case: str
    spacing_ji_mm: tuple[float, float]
    truth: Mapping[str, Mask]
    images: Mapping[str, Image]
    predicted: dict[Subset, dict[str, Mask]] = field(default_factory=dict)

    def with_prediction(self, subset: Subset, masks: Mapping[str, Volume], grid: Grid) -> None:
        """Keep the slice of masks that were predicted from a subset; ``grid`` is that of ``slice_grid``."""
        self.predicted[subset] = {name: _slice_of(mask, grid).astype(bool) for name, mask in masks.items()}


def slice_grid(truth: Volume) -> Grid:
    """The slice of a mask that holds most of it; the middle one when it is empty."""
    areas = truth.array_kji.sum(axis=(1, 2))
    k = int(areas.argmax()) if areas.any() else len(areas) // 2
    _, rows, columns = truth.grid.shape_kji
    return truth.grid.cropped(Box((k, 0, 0), (k + 1, rows, columns)))


def overlay_of(case: Case, truths: Mapping[str, Volume], grid: Grid) -> Overlay:
    """The slice ``grid`` of a case with its truths by region, without predictions yet."""
    i_mm, j_mm, _ = (float(mm) for mm in grid.spacing_ijk_mm)
    return Overlay(
        case=case.identifier,
        spacing_ji_mm=(j_mm, i_mm),
        truth={name: _slice_of(truth, grid).astype(bool) for name, truth in truths.items()},
        images={name: _slice_of(image, grid).astype(np.float32) for name, image in case.sequences.items()},
    )


def _slice_of(volume: Volume, grid: Grid) -> NDArray[np.generic]:
    sampled = resample(volume, grid, interpolation="nearest" if volume.is_mask else "linear")
    return sampled.array_kji[0][_turn(grid.ijk_to_ras)]


def _turn(ijk_to_ras: NDArray[np.float64]) -> tuple[slice, slice]:
    """What turns rows and columns of an axial slice, as radiologists look at it; other slices stay."""
    forward, back = slice(None), slice(None, None, -1)
    toward_right, toward_anterior = ijk_to_ras[:3, 0], ijk_to_ras[:3, 1]
    rows = back if abs(toward_anterior).argmax() == 1 and toward_anterior[1] > 0 else forward
    columns = back if abs(toward_right).argmax() == 0 and toward_right[0] > 0 else forward
    return rows, columns
