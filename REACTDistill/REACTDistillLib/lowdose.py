"""Simulated low-dose CT: quantum noise of a lower dose added to a CT, by two models of that noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import missing_package
from .progress import ProgressCallback, silent
from .volume import Grid, Volume

DoseModel = Literal["line_integrals", "transmission"]
Array = NDArray[np.float32]
Window = tuple[float, float]

DOSES = (1e6, 5e4, 1e4, 1e3, 5e2)
LOWEST_DOSE, HIGHEST_DOSE = 1e-3, 1e12
MU_WATER_PER_MM = 0.0193  # at 70 keV, the mean energy of a spectrum of 120 kV
# Design choice: with it both models give a cylinder of water of 250 mm (and a rod of bone) the same noise at a dose.
PHOTONS_PER_DOSE = 400.0
_FIELD = 256.0  # R3 has the slice on [-128, 128]^2, whatever its size in mm
_LOWEST_HU = -1024.0
_SAME_SPACING = 1e-3


def low_dose(
    ct: Volume,
    dose: float,
    *,
    model: DoseModel = "line_integrals",
    seed: int,
    window_hu: Window | None = None,
    progress: ProgressCallback = silent,
) -> Volume:
    """The CT as it would be at ``dose``: float32 HU on the grid of ``ct``; ``low_dose_series`` says how."""
    return low_dose_series(ct, [dose], model=model, seed=seed, window_hu=window_hu, progress=progress)[0]


def low_dose_series(
    ct: Volume,
    doses: Sequence[float] = DOSES,
    *,
    model: DoseModel = "line_integrals",
    seed: int,
    window_hu: Window | None = None,
    progress: ProgressCallback = silent,
) -> list[Volume]:
    """The CT at each dose, float32 HU on the grid of ``ct``, projected only once per slice.

    "line_integrals" is R3, the published model: the slice scaled to 0-1 on the field [-128, 128]^2, padded to N x N,
    seen under N angles, line integrals y' = Poisson(D y) / D, filtered backprojection, clipped to 0-1. "transmission"
    is R3', the physical one: photons counted behind the patient, I = Poisson(I0 exp(-y)), y' = -ln(max(I, 1) / I0) with
    I0 = ``PHOTONS_PER_DOSE`` D. Its mean drifts when only a few photons arrive, as that of a real scanner does.

    What is added to the CT is FBP(y') - FBP(y), which is FBP(y' - y): the blur that backprojection alone gives is the
    same at each dose, so it is left out, and without noise the CT comes out as it was. Slices run along the voxel axis
    nearest to S; pixels that are not square are resampled for the projection. Voxels at -1024 HU or below were not
    scanned and stay. ``window_hu`` limits the HU that are projected; None takes the range of each slice, from -1024 HU.

    The noise depends on seed, dose and place of the slice only, not on the order of doses, the order or direction of
    the voxel axes, or threads; on a GPU it may differ from that on a CPU. Raises ValueError, one sentence, for a mask,
    voxels that are no numbers, a dose outside 1e-3 to 1e12, another model or window, or without ASTRA.
    """
    _check(ct, doses, model, seed, window_hu)
    results = [ct.array_kji.astype(np.float32) for _ in doses]
    slices = _axial_view(ct.array_kji, ct.grid)  # (S, A, R)
    targets = [_axial_view(result, ct.grid) for result in results]
    spacing_mm = _in_plane_spacing_mm(ct.grid)
    with _projector(_Square.of(slices.shape[1:], spacing_mm)) as projector:
        for index, hu in enumerate(slices):
            if hu.max() > _LOWEST_HU:
                scene = _MODELS[model](hu, projector.square, window_hu)
                line_integrals = projector.line_integrals(scene)
                for target, dose in zip(targets, doses, strict=True):
                    stream = np.random.default_rng([seed, index, _bits(dose)])
                    target[index] = scene.with_noise(hu, projector.noise(scene, line_integrals, dose, stream))
            progress("low dose", index + 1, len(slices))
    return [Volume(result, ct.grid) for result in results]


def noisy_line_integrals(line_integrals: NDArray[Any], dose: float, stream: np.random.Generator) -> NDArray[np.float64]:
    """R3: y' = Poisson(D y) / D, same shape; its mean is y, its variance y / D."""
    return stream.poisson(dose * np.asarray(line_integrals, np.float64)) / dose


def noisy_transmission(line_integrals: NDArray[Any], dose: float, stream: np.random.Generator) -> NDArray[np.float64]:
    """R3': y' = -ln(max(I, 1) / I0) with I = Poisson(I0 exp(-y)), same shape; its variance is near 1 / (I0 exp(-y)).

    I0 is ``PHOTONS_PER_DOSE`` times ``dose``. Where no photon arrives one is taken, so y' is at most ln I0.
    """
    photons = PHOTONS_PER_DOSE * dose
    arrived = stream.poisson(photons * np.exp(-np.asarray(line_integrals, np.float64)))
    return -np.log(np.maximum(arrived, 1) / photons)


@dataclass(frozen=True)
class _Square:
    """How a slice of (A, R) pixels lies in the N x N square pixels that are projected."""

    rows: NDArray[np.floating[Any]]  # where the pixels of the square lie, as an index of the slice
    columns: NDArray[np.floating[Any]]
    back_rows: NDArray[np.intp]  # pixel of the square under each row of the slice
    back_columns: NDArray[np.intp]
    pixel_mm: float

    @classmethod
    def of(cls, shape: tuple[int, ...], spacing_mm: tuple[float, float]) -> _Square:
        pixel_mm = min(spacing_mm)
        ratios = [1.0 if s / pixel_mm < 1 + _SAME_SPACING else s / pixel_mm for s in spacing_mm]
        fine = [max(1, round(n * ratio)) for n, ratio in zip(shape, ratios, strict=True)]
        # Linear on the way in; the way back takes the nearest pixel, because a mean of pixels would lose noise.
        places = [(np.arange(n) + 0.5) / ratio - 0.5 for n, ratio in zip(fine, ratios, strict=True)]
        backs = [
            np.minimum(((np.arange(n) + 0.5) * ratio).astype(np.intp), count - 1)
            for n, ratio, count in zip(shape, ratios, fine, strict=True)
        ]
        before = [(max(fine) - n) // 2 for n in fine]
        return cls(places[0], places[1], backs[0] + before[0], backs[1] + before[1], pixel_mm)

    @property
    def side(self) -> int:
        return max(self.rows.size, self.columns.size)

    def put(self, image: Array) -> Array:
        """The slice in the middle of the square, zero around it, shape (N, N)."""
        for axis, places in ((0, self.rows), (1, self.columns)):
            if places.size != image.shape[axis]:
                image = np.apply_along_axis(lambda line, at: np.interp(at, range(line.size), line), axis, image, places)
        padding = [((self.side - n) // 2, self.side - n - (self.side - n) // 2) for n in image.shape]
        return np.pad(image, padding).astype(np.float32, copy=False)

    def take(self, square: Array) -> Array:
        """The pixels of the square that lie under those of the slice."""
        return square[np.ix_(self.back_rows, self.back_columns)]


@dataclass(frozen=True, eq=False)
class _Scene:
    """A slice as a model sees it: an image from zero up, what its values mean, how its line integrals get noise."""

    image: Array
    hu_per_unit: float
    length_per_pixel: float  # makes a sum over pixels a line integral
    lower: float
    upper: float
    noisy: Callable[[NDArray[Any], float, np.random.Generator], NDArray[np.float64]]

    def with_noise(self, hu: Array, noise: Array) -> Array:
        """HU with the noise (in units of the image) added, clipped as the model clips; unscanned voxels stay."""
        change = np.clip(self.image + noise, self.lower, self.upper) - np.clip(self.image, self.lower, self.upper)
        return np.where(hu > _LOWEST_HU, hu + np.float32(self.hu_per_unit) * change, hu)


def _line_integral_scene(hu: Array, square: _Square, window_hu: Window | None) -> _Scene:
    seen = np.maximum(hu, _LOWEST_HU)
    lowest, highest = window_hu or (float(seen.min()), float(seen.max()))
    scale = max(highest - lowest, 1e-6)  # a slice of one value has image 0, so no noise
    image = np.clip((seen - np.float32(lowest)) / np.float32(scale), 0, 1)
    return _Scene(image, scale, _FIELD / square.side, 0.0, 1.0, noisy_line_integrals)


def _transmission_scene(hu: Array, square: _Square, window_hu: Window | None) -> _Scene:
    seen = hu if window_hu is None else np.clip(hu, *window_hu)
    image = np.maximum(1 + seen / np.float32(1000), 0)  # mu / mu_water
    lowest = 1 + _LOWEST_HU / 1000  # images are stored from -1024 HU on
    return _Scene(image, 1000.0, MU_WATER_PER_MM * square.pixel_mm, lowest, math.inf, noisy_transmission)


_MODELS: Mapping[str, Callable[[Array, _Square, Window | None], _Scene]] = {
    "line_integrals": _line_integral_scene,
    "transmission": _transmission_scene,
}


class _Projector:
    """Parallel beams in N directions through N x N pixels, and filtered backprojection, by ASTRA."""

    def __init__(self, astra: Any, square: _Square) -> None:
        self.square = square
        self._astra = astra
        side = square.side
        detectors = math.ceil(side * math.sqrt(2))  # the corners are seen too
        angles = np.linspace(0, np.pi, side, endpoint=False)
        pixels = astra.create_vol_geom(side, side)
        beams = astra.create_proj_geom("parallel", 1.0, detectors, angles)
        on_gpu = astra.use_cuda()
        self._projector = astra.create_projector("cuda" if on_gpu else "linear", beams, pixels)
        self._image = astra.data2d.create("-vol", pixels)
        self._sinogram = astra.data2d.create("-sino", beams)
        suffix = "_CUDA" if on_gpu else ""
        self._forward = self._algorithm(f"FP{suffix}", VolumeDataId=self._image)
        self._backward = self._algorithm(f"FBP{suffix}", ReconstructionDataId=self._image)

    def _algorithm(self, name: str, **data: int) -> int:
        settings = {**self._astra.astra_dict(name), **data, "ProjectionDataId": self._sinogram}
        return self._astra.algorithm.create({**settings, "ProjectorId": self._projector})

    def line_integrals(self, scene: _Scene) -> NDArray[np.float64]:
        """Line integrals of the image, shape (angles, detectors), zero or above."""
        self._astra.data2d.store(self._image, self.square.put(scene.image))
        self._astra.algorithm.run(self._forward)
        sums = self._astra.data2d.get(self._sinogram).astype(np.float64)
        return np.maximum(sums, 0) * scene.length_per_pixel

    def noise(
        self, scene: _Scene, line_integrals: NDArray[np.float64], dose: float, stream: np.random.Generator
    ) -> Array:
        """What the noise of the line integrals makes of the image, in its units, shape of the slice."""
        change = scene.noisy(line_integrals, dose, stream) - line_integrals
        self._astra.data2d.store(self._sinogram, change.astype(np.float32))
        self._astra.algorithm.run(self._backward)
        reconstructed = self._astra.data2d.get(self._image) / np.float32(scene.length_per_pixel)
        return self.square.take(reconstructed)

    def close(self) -> None:
        """Give the memory back: ASTRA keeps what it is not told to delete."""
        self._astra.algorithm.delete([self._forward, self._backward])
        self._astra.data2d.delete([self._image, self._sinogram])
        self._astra.projector.delete(self._projector)


@contextmanager
def _projector(square: _Square) -> Iterator[_Projector]:
    try:
        import astra
    except ImportError as error:
        raise ValueError(missing_package(error.name or "astra")) from error
    projector = _Projector(astra, square)
    try:
        yield projector
    finally:
        projector.close()


def _check(ct: Volume, doses: Sequence[float], model: str, seed: int, window_hu: Window | None) -> None:
    if ct.is_mask:
        raise ValueError("a mask has no dose; give the CT in HU.")
    unusable = int(ct.array_kji.size - np.isfinite(ct.array_kji).sum())
    if unusable:
        raise ValueError(f"the CT has {unusable} voxels that are NaN or infinite; give them a value in HU first.")
    if model not in _MODELS:
        raise ValueError(f'there is no dose model "{model}"; choose {" or ".join(_MODELS)}.')
    for dose in doses:
        if not LOWEST_DOSE <= dose <= HIGHEST_DOSE:
            raise ValueError(f"a dose must lie between {LOWEST_DOSE:g} and {HIGHEST_DOSE:g}, got {dose!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"a noise seed must be a whole number of at least 0, got {seed!r}.")
    if window_hu is not None and not _LOWEST_HU <= window_hu[0] < window_hu[1] < math.inf:
        raise ValueError(f"the HU window must go up from {_LOWEST_HU:g} or more, got {window_hu}.")


def _axial_order(grid: Grid) -> list[int]:
    """The voxel axes (0 for I) nearest to S, to A and to R, each taken once, S first."""
    shares = np.abs(grid.ijk_to_ras[:3, :3]) / grid.spacing_ijk_mm
    order: list[int] = []
    for direction in (2, 1, 0):
        order.append(max(set(range(3)) - set(order), key=lambda axis: round(shares[direction, axis], 6)))
    return order


def _axial_view(array_kji: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """The same voxels with axes (S, A, R), each running up; writing into it writes into ``array_kji``."""
    order = _axial_order(grid)
    turned = array_kji.transpose([2 - axis for axis in order])
    directions = [grid.ijk_to_ras[row, axis] for row, axis in zip((2, 1, 0), order, strict=True)]
    return turned[tuple(slice(None, None, -1 if along < 0 else 1) for along in directions)]


def _in_plane_spacing_mm(grid: Grid) -> tuple[float, float]:
    """Distance of voxel centers along the axes nearest to A and to R."""
    _, row, column = _axial_order(grid)
    return float(grid.spacing_ijk_mm[row]), float(grid.spacing_ijk_mm[column])


def _bits(dose: float) -> int:
    """A whole number for each dose, whatever type it came in."""
    return int(np.float64(dose).view(np.uint64))
