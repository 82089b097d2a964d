"""The grid that slices of known position make, and the checks that there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .volume import Grid, lps_to_ras

# A step may differ from the usual step by 5 %, and a slice may lie a tenth of a step off its place on the regular grid:
# scanners round table positions (steps of 3.19, 3.27 and 3.29 mm in one PET series), and this moves no voxel visibly.
_STEP_TOLERANCE = 0.05
_PLACE_TOLERANCE = 0.1
_DIRECTION_TOLERANCE = 1e-3
_SAME_PLACE_MM = 0.01
_TILT_SHOWN_DEGREES = 0.1
_UNEVEN_SHOWN_MM = 0.02
_AXES_OF_RAS = "RAS"


@dataclass(frozen=True, eq=False)
class SliceGeometry:
    """Where one slice lies, as in DICOM.

    ``origin_lps`` is the center of the first pixel in LPS mm, shape (3,). ``directions_lps`` holds the unit vectors
    along a row and along a column, shape (2, 3). ``pixel_spacing_mm`` is the distance between rows, then between
    columns.
    ``depth_mm`` is what the file says of the distance to the next slice, or None.
    """

    origin_lps: NDArray[np.float64]
    directions_lps: NDArray[np.float64]
    pixel_spacing_mm: NDArray[np.float64]
    rows: int
    columns: int
    depth_mm: float | None


def grid_of_slices(slices: Sequence[SliceGeometry], source: str) -> tuple[list[int], Grid, list[str]]:
    """Return the order of ``slices`` along the slice axis, the grid they make, and notes on what was corrected.

    The slice axis runs along row x column direction, so that K ascends in a right-handed grid. Where the origins move
    sideways from slice to slice (gantry tilt), the K axis of the grid follows them: nothing is resampled. ``source``
    names the images in the sentences of the ValueErrors: slices of different direction, spacing or size; two slices in
    one place; missing slices; uneven spacing; slices off a straight line; a single slice without a thickness.
    """
    _check_alike(slices, source)
    first = slices[0]
    row, column = _unit_directions(first, source)
    normal = np.cross(row, column)
    along_mm = np.array([one.origin_lps @ normal for one in slices])
    order = np.argsort(along_mm, kind="stable")
    origins = np.array([slices[index].origin_lps for index in order])
    step = _slice_step(origins, normal, first.depth_mm, source)
    matrix = np.eye(4)
    matrix[:3, 0] = row * first.pixel_spacing_mm[1]
    matrix[:3, 1] = column * first.pixel_spacing_mm[0]
    matrix[:3, 2] = step
    matrix[:3, 3] = origins[0]
    return (
        order.tolist(),
        Grid.from_lps((len(slices), first.rows, first.columns), matrix),
        _notes(origins, step, normal),
    )


def _check_alike(slices: Sequence[SliceGeometry], source: str) -> None:
    first = slices[0]
    if any((one.rows, one.columns) != (first.rows, first.columns) for one in slices):
        sizes = sorted({f"{one.columns}x{one.rows}" for one in slices})
        raise ValueError(f'"{source}" mixes slices of different sizes ({", ".join(sizes)}); separate them first.')
    if any(np.abs(one.directions_lps - first.directions_lps).max() > _DIRECTION_TOLERANCE for one in slices):
        raise ValueError(f'"{source}" mixes slices of different directions, like a localizer; separate them first.')
    if any(not np.allclose(one.pixel_spacing_mm, first.pixel_spacing_mm, rtol=1e-3, atol=0) for one in slices):
        raise ValueError(f'"{source}" mixes slices of different pixel spacing; separate them first.')


def _unit_directions(one: SliceGeometry, source: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lengths = np.linalg.norm(one.directions_lps, axis=1)
    row, column = one.directions_lps
    if not (np.abs(lengths - 1) < _DIRECTION_TOLERANCE).all() or not abs(row @ column) < _DIRECTION_TOLERANCE:
        raise ValueError(f'"{source}" gives directions that are not at right angles: {one.directions_lps.tolist()}.')
    if not (one.pixel_spacing_mm > 0).all():
        raise ValueError(f'"{source}" gives a pixel spacing of {one.pixel_spacing_mm.tolist()} mm; it must be above 0.')
    return row / lengths[0], column / lengths[1]


def _slice_step(
    origins: NDArray[np.float64], normal: NDArray[np.float64], depth_mm: float | None, source: str
) -> NDArray[np.float64]:
    """The vector in LPS mm from each slice to the next, from the sorted origins, shape (slices, 3)."""
    if len(origins) == 1:
        if depth_mm is None:
            raise ValueError(f'"{source}" is a single slice and does not say how thick it is.')
        return normal * depth_mm
    _check_steps(origins, normal, source)
    count = len(origins) - 1
    step = (origins[-1] - origins[0]) / count
    off = origins - (origins[0] + np.arange(count + 1)[:, None] * step)
    if (np.abs(off @ normal) > _PLACE_TOLERANCE * (step @ normal)).any():
        raise ValueError(f'"{source}" has slices that drift from even spacing; export or reconstruct it evenly spaced.')
    if (np.linalg.norm(off, axis=1) > _PLACE_TOLERANCE * (step @ normal)).any():
        raise ValueError(f'"{source}" has slices that are shifted sideways against each other; it is not one volume.')
    return step


def _check_steps(origins: NDArray[np.float64], normal: NDArray[np.float64], source: str) -> None:
    steps_mm = np.diff(origins @ normal)
    if (steps_mm < _SAME_PLACE_MM).any():
        place = _place(origins[int(steps_mm.argmin())], normal)
        raise ValueError(
            f'"{source}" has more than one slice at {place}: several volumes (phases, echoes, time points) share one '
            "series; separate them first."
        )
    usual_mm = float(np.sort(steps_mm)[(len(steps_mm) - 1) // 2])
    uneven = np.abs(steps_mm - usual_mm) > _STEP_TOLERANCE * usual_mm
    if not uneven.any():
        return
    multiples = steps_mm[uneven] / usual_mm
    if (np.abs(multiples - np.round(multiples)) <= _STEP_TOLERANCE).all() and multiples.min() > 1:
        index = int(np.flatnonzero(uneven)[0])
        missing = int(np.round(multiples - 1).sum())
        raise ValueError(
            f'"{source}" lacks {missing} slice{"s" if missing > 1 else ""}, the first between '
            f"{_place(origins[index], normal)} and {_place(origins[index + 1], normal)}; import the complete series."
        )
    raise ValueError(
        f'"{source}" has a variable slice spacing ({steps_mm.min():.2f} to {steps_mm.max():.2f} mm); '
        "reconstruct or resample it with even spacing."
    )


def _place(origin_lps: NDArray[np.float64], normal: NDArray[np.float64]) -> str:
    """The position of a slice for a reader, on the patient axis nearest to the slice axis, such as "S = -51.1 mm"."""
    axis = int(np.abs(normal).argmax())
    return f"{_AXES_OF_RAS[axis]} = {lps_to_ras(origin_lps)[axis]:.2f} mm"


def _notes(origins: NDArray[np.float64], step: NDArray[np.float64], normal: NDArray[np.float64]) -> list[str]:
    notes = []
    tilt_degrees = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt_degrees > _TILT_SHOWN_DEGREES:
        notes.append(f"Gantry tilt of {tilt_degrees:.1f} degrees corrected: the slices lie where they were taken.")
    steps_mm = np.diff(origins @ normal)
    if len(steps_mm) and np.ptp(steps_mm) > _UNEVEN_SHOWN_MM:
        low, high, even = steps_mm.min(), steps_mm.max(), step @ normal
        notes.append(f"Slice spacing of {low:.2f} to {high:.2f} mm taken as an even {even:.2f} mm.")
    return notes
