"""Analytic brains with a glioma seen on any grid: T1, T1 with contrast, T2, FLAIR. All of it is synthetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .case import Case
from .phantoms.brainanatomy import Brain, Layer, draw_brain_anatomy
from .phantoms.gliomas import Glioma, draw_glioma
from .phantoms.gridpoints import block_points, blocks, cube_grid
from .phantoms.mrcontrast import SEQUENCES, Scan, draw_brightness, draw_scans
from .phantoms.seed import checked_seed, phantom_identifier, random_stream
from .phantoms.shapes import Array, Triple, sharp_share
from .volume import Grid, Volume

REGIONS = ("brain", "wt", "tc", "et")
BRAIN_LABEL = "glioma"
BRAIN_FIELD_OF_VIEW_MM = 192.0
_STREAM = 100  # apart from the streams of the liver phantoms of the same seed
_EDGE_MM, _EDEMA_EDGE_MM = 2.0, 6.0
_RIND_MM = 1.0  # of fluid between the cortex and the surface
_TEXTURE = 0.06  # standard deviation inside the tumor, relative


@dataclass(frozen=True, eq=False)
class BrainPatient:
    """One analytic patient with a glioma. Every volume made of it is synthetic.

    Shapes are in mm from ``center_ras``, axes R, A, S. ``brightness`` gives each tissue by its name, shape (4,) in the
    order of ``SEQUENCES``; ``scans`` give what the scanner adds to each sequence.
    """

    seed: int
    center_ras: Triple
    brain: Brain
    glioma: Glioma
    brightness: Mapping[str, Array]
    scans: Mapping[str, Scan]

    @property
    def identifier(self) -> str:
        """Name for tables and files."""
        return brain_identifier(self.seed)


def brain_identifier(seed: int) -> str:
    """The identifier of the patient of a seed; "phantom" in it says that the patient is synthetic."""
    return f"brain_{phantom_identifier(seed)}"


def draw_brain(seed: int) -> BrainPatient:
    """The analytic patient of ``seed``, a whole number of at least 0; anything else raises ValueError."""
    seed = checked_seed(seed)
    rng = random_stream(seed, _STREAM)
    brain = draw_brain_anatomy(rng)
    return BrainPatient(
        seed=seed,
        center_ras=(rng.uniform(-10, 10), rng.uniform(-20, 30), rng.uniform(-30, 40)),
        brain=brain,
        glioma=draw_glioma(rng, brain),
        brightness=draw_brightness(rng),
        scans=draw_scans(rng),
    )


def brain_case(seed: int, *, grid: Grid | None = None, shape_kji: Sequence[int] = (48, 48, 48)) -> Case:
    """The synthetic exam of ``seed`` on ``grid``, or on ``shape_kji`` voxels over 192 mm each way, all the brain in it.

    Sequences ``t1``, ``t1ce``, ``t2`` and ``flair`` in arbitrary units, 0 outside the brain (skull-stripped); regions
    ``brain`` and the tumor's ``wt`` (whole tumor), ``tc`` (core) and ``et`` (enhancing), nested, the last one empty in
    some patients; the label is "glioma". The same seed gives the same voxels. Raises ValueError for what is no seed.
    """
    patient = draw_brain(seed)
    return sample_brain(patient, brain_field(patient, shape_kji) if grid is None else grid)


def brain_field(patient: BrainPatient, shape_kji: Sequence[int] = (48, 48, 48)) -> Grid:
    """Grid with axes R, A, S over 192 mm each way around the patient."""
    return cube_grid(patient.center_ras, BRAIN_FIELD_OF_VIEW_MM, shape_kji)


def sample_brain(patient: BrainPatient, grid: Grid, *, noise_scale: float = 1.0) -> Case:
    """The patient as scanned on the voxel centers of ``grid``, whatever its axes, oblique and flipped too.

    Two grids agree wherever they share a point, apart from the noise, which is drawn per voxel;
    ``noise_scale`` 0 leaves it out.
    """
    signals = {name: np.zeros(grid.shape_kji, np.float32) for name in SEQUENCES}
    masks = {name: np.zeros(grid.shape_kji, bool) for name in REGIONS}
    for block in blocks(grid):
        points = block_points(grid, block, patient.center_ras)  # (3, V)
        inside = _inside(patient, points)
        if not inside.any():
            continue
        view = _View(points[:, inside], patient)
        shape = signals["t1"][block].shape
        masks["brain"][block] = inside.reshape(shape)
        for name, mask in view.masks.items():
            masks[name][block][inside.reshape(shape)] = mask
        for name, signal in view.signals().items():
            signals[name][block][inside.reshape(shape)] = signal
    images = {name: _scanned(patient, name, signals[name], masks["brain"], noise_scale) for name in SEQUENCES}
    return Case(
        sequences={name: Volume(array, grid) for name, array in images.items()},
        regions={name: Volume(array, grid) for name, array in masks.items()},
        label=BRAIN_LABEL,
        identifier=patient.identifier,
    )


def _inside(patient: BrainPatient, points: Array) -> np.ndarray:
    middle = (points.min(axis=1) + points.max(axis=1)) / 2
    radius = float(np.linalg.norm(points.max(axis=1) - middle))
    hull = patient.brain.folds.hull
    if not hull.reaches(middle, radius):
        return np.zeros(points.shape[1], bool)
    return hull.distance_mm(points) <= 0


def _scanned(patient: BrainPatient, name: str, signal: Array, brain: np.ndarray, noise_scale: float) -> Array:
    """The image of a sequence from its signal; noise is drawn plane by plane over the whole grid."""
    stream = random_stream(patient.seed, _STREAM + 1 + SEQUENCES.index(name))
    image = np.empty_like(signal)
    for plane, found in zip(image, signal, strict=True):
        plane[:] = patient.scans[name].magnitude(found, stream, noise_scale)
    image[~brain] = 0.0
    return image


class _View:
    """The four signals and the tumor's regions of one patient at some points of the brain, (3, V)."""

    def __init__(self, points: Array, patient: BrainPatient) -> None:
        self._points = points
        self._patient = patient
        self._middle = (points.min(axis=1) + points.max(axis=1)) / 2
        self._radius_mm = float(np.linalg.norm(points.max(axis=1) - self._middle))
        self._signals = np.repeat(patient.brightness["white"][:, None], points.shape[1], axis=1)  # (4, V)
        self.masks = {name: np.zeros(points.shape[1], bool) for name in ("wt", "tc", "et")}
        touched = self._touches_glioma()
        self._before = patient.glioma.before_growth(points) if touched else points
        cortex_mm = self._paint_folds()
        for layer in patient.brain.layers:
            self._paint_layer(layer)
        ventricle_mm = patient.brain.ventricle_mm(self._before)
        self._blend("fluid", sharp_share(ventricle_mm, _EDGE_MM))
        for layer in patient.brain.vessels:
            self._paint_layer(layer)
        if touched:
            self._paint_glioma(cortex_mm, ventricle_mm)

    def signals(self) -> dict[str, Array]:
        """The signal of each sequence relative to its gain, without noise, (V,) each."""
        scans = self._patient.scans
        return {
            name: scans[name].shaded(signal, self._points)
            for name, signal in zip(SEQUENCES, self._signals, strict=True)
        }

    def _touches_glioma(self) -> bool:
        glioma = self._patient.glioma
        away = float(np.linalg.norm(self._middle - np.array(glioma.core.center_mm)))
        return away < self._radius_mm + glioma.reach_mm

    def _blend(self, tissue: str, share: Array) -> None:
        values = self._patient.brightness[tissue]
        self._signals += share * (values[:, None] - self._signals)

    def _paint_folds(self) -> Array:
        """Cortex, sulci and the fluid of the surface; the distance to the nearest sulcus in mm, (V,)."""
        brain = self._patient.brain
        distance = brain.folds.distance_mm(self._before)
        depth = -brain.folds.hull.distance_mm(self._before)
        self._blend("gray", sharp_share(distance - np.float32(brain.gray_mm), _EDGE_MM))
        fluid = np.minimum(distance - np.float32(brain.sulcus_mm), depth - np.float32(_RIND_MM))
        self._blend("fluid", sharp_share(fluid, _EDGE_MM))
        return distance

    def _paint_layer(self, layer: Layer) -> None:
        push_mm = self._patient.glioma.push_mm
        if layer.shape.reaches(self._middle, self._radius_mm + push_mm + _EDGE_MM):
            self._blend(layer.tissue, sharp_share(layer.shape.distance_mm(self._before), _EDGE_MM))

    def _paint_glioma(self, cortex_mm: Array, ventricle_mm: Array) -> None:
        distances = self._patient.glioma.distances_mm(self._points, cortex_mm, ventricle_mm)
        whole = sharp_share(distances["wt"], _EDEMA_EDGE_MM)
        self._blend("edema", whole)
        self._blend("solid", sharp_share(distances["tc"], _EDGE_MM))
        self._blend("necrosis", sharp_share(distances["necrosis"], _EDGE_MM))
        self._blend("enhancing", sharp_share(distances["et"], _EDGE_MM))
        self._signals *= 1.0 + np.float32(_TEXTURE) * whole * self._patient.glioma.texture(self._points)
        for name, mask in self.masks.items():
            mask[:] = distances[name] <= 0
