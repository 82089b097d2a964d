"""Masks from the contours of a DICOM RTSTRUCT."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dicomfile import damage_named
from .volume import Volume, lps_to_ras

_log = logging.getLogger(__name__)
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OFF_SLICE = 0.25  # of the slice spacing; a contour farther away was drawn on other slices


def contour_masks(path: Path, reference: Volume | None) -> list[tuple[int, str, Volume]]:
    """Return (ROI number, ROI name, mask on the grid of ``reference``) of each region of interest that marks a voxel.

    A voxel belongs to a region when its center lies inside an odd number of the contours of its slice, so a contour
    within another is a hole. Points and open lines mark no region; what lies outside ``reference`` is cut off, with a
    line in the log. Raises ValueError without a reference, for contours that do not lie in the planes of its slices,
    for contours drawn on every second slice or fewer, and when no region reaches a voxel.
    """
    import pydicom

    if reference is None:
        raise ValueError(f'"{path}" holds contours (RTSTRUCT); give the image on which they were drawn.')
    masks = []
    with damage_named(path):
        dataset = pydicom.dcmread(path)
        named = {
            int(roi.ROINumber): str(roi.get("ROIName") or "") for roi in dataset.get("StructureSetROISequence", [])
        }
        for roi in dataset.get("ROIContourSequence", []):
            number = int(roi.ReferencedROINumber)
            name = named.get(number) or f"roi_{number}"
            array = _roi_array(roi, reference, f'"{path}", region "{name}",')
            if array.any():
                masks.append((number, name, Volume(array, reference.grid)))
    if not masks:
        raise ValueError(f'"{path}" has no closed contour inside the image given; give the one on which it was drawn.')
    return masks


def _roi_array(roi: Any, reference: Volume, source: str) -> NDArray[np.bool_]:
    """The mask of one region, bool (K, J, I)."""
    shape = reference.grid.shape_kji
    array = np.zeros(shape, dtype=bool)
    drawn: set[int] = set()
    for contour in roi.get("ContourSequence") or []:
        if contour.get("ContourGeometricType") not in _CLOSED:
            continue
        ijk = _points_ijk(contour, reference, source)
        k = int(np.rint(ijk[:, 2].mean()))
        drawn.add(k)
        if not 0 <= k < shape[0]:
            continue
        array[k] ^= _enclosed_ji(ijk, shape[1:])
    _check_drawn(drawn, reference, source)
    return array


def _enclosed_ji(points_ijk: NDArray[np.float64], shape_ji: tuple[int, ...]) -> NDArray[np.bool_]:
    """The voxels of a slice, bool (J, I), from which a line toward -I crosses the contour an odd number of times."""
    (i, j), (next_i, next_j) = points_ijk[:, :2].T, np.roll(points_ijk[:, :2], -1, axis=0).T
    rows = np.arange(shape_ji[0])[:, None]
    row, edge = np.nonzero((j <= rows) != (next_j <= rows))
    slope = (next_i - i)[edge] / (next_j - j)[edge]
    crossing_i = np.clip(np.ceil(i[edge] + (row - j[edge]) * slope), 0, shape_ji[1]).astype(np.intp)
    crossings = np.zeros((shape_ji[0], shape_ji[1] + 1), dtype=np.intp)  # one more column for those beyond the last
    np.add.at(crossings, (row, crossing_i), 1)
    return np.cumsum(crossings[:, :-1], axis=1) % 2 == 1


def _points_ijk(contour: Any, reference: Volume, source: str) -> NDArray[np.float64]:
    """The points of a contour as fractional voxel indices of ``reference``, shape (points, 3)."""
    lps = np.array(contour.ContourData, dtype=np.float64)
    if lps.size < 9 or lps.size % 3:
        raise ValueError(f"{source} has a closed contour of {lps.size} numbers; three points of three are the least.")
    ijk = reference.grid.to_ijk(lps_to_ras(lps.reshape(-1, 3)))
    off = float(np.abs(ijk[:, 2] - np.rint(ijk[:, 2].mean())).max())
    if off > _OFF_SLICE:
        raise ValueError(
            f"{source} has a contour that lies {off:.2f} slices off the slices of the image given; "
            "give the image on which it was drawn."
        )
    return ijk


def _check_drawn(drawn: set[int], reference: Volume, source: str) -> None:
    gaps = np.diff(sorted(drawn))
    if len(gaps) and gaps.min() > 1:
        raise ValueError(
            f"{source} was drawn on every {gaps.min()}. slice of the image given at most; "
            "give the image on which it was drawn."
        )
    outside = sum(not 0 <= k < reference.grid.shape_kji[0] for k in drawn)
    if outside:
        _log.warning("Contours on %d slices outside the image are cut off.", outside)
