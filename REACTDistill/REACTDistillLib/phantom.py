"""Analytic liver patients seen on any grid: CT, two PET tracers, liver and tumors. All of it is synthetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .case import Case
from .phantoms.anatomy import Tissue, draw_liver, draw_tissues, draw_vessels
from .phantoms.gridpoints import block_points, blocks, cube_grid
from .phantoms.lesions import Tumor, draw_clinical, draw_signs, draw_tumors
from .phantoms.seed import checked_seed, phantom_identifier, random_stream
from .phantoms.shapes import Array, Triple, Waves, blurred_ball, blurred_edge, sharp_share
from .volume import Grid, Volume

Indices = NDArray[np.intp]

GRADES = ("well", "moderate", "poor")
FIELD_OF_VIEW_MM = 288.0
PET_FWHM_MM = 5.5
_CT_EDGE_MM = 2.0
_AIR_HU, _LOWEST_HU = -1000.0, -1024.0
_CORE_EDGE_MM, _RIM_WIDTH_MM = 4.0, 2.0
_NECROSIS_SUV = 0.6
_REACH_MM = 2 * PET_FWHM_MM  # nothing of a shape is seen farther from it
_IMAGES = ("ct", "pet_fdg", "pet_acetate")


@dataclass(frozen=True, eq=False)
class Patient:
    """One analytic patient. Every volume made of it is synthetic.

    Shapes are in mm from ``center_ras``, axes R, A, S. ``tissues`` lie one over the other in their order, over them
    the liver, its vessels and the tumors; ``tumors[0]`` is the main one. ``noise_hu`` is the standard deviation per
    voxel, ``noise_suv`` that of a voxel of SUV 1 (it grows with the root of the uptake).
    """

    seed: int
    grade: str
    clinical: Mapping[str, float]
    center_ras: Triple
    tissues: tuple[Tissue, ...]
    liver: Tissue
    liver_texture: Waves
    liver_texture_hu: float
    vessels: tuple[Tissue, ...]
    tumors: tuple[Tumor, ...]
    noise_hu: float
    noise_suv: float

    @property
    def identifier(self) -> str:
        """Name for tables and files."""
        return phantom_identifier(self.seed)


def draw_patient(seed: int) -> Patient:
    """The analytic patient of ``seed`` (0 or above). The grade is ``GRADES[seed % 3]``: runs of seeds are balanced."""
    seed = checked_seed(seed)
    rng = random_stream(seed, 0)
    signs = draw_signs(rng, seed % 3)
    body_mm = (rng.uniform(145, 157), rng.uniform(104, 116))
    liver = draw_liver(rng)
    return Patient(
        seed=seed,
        grade=GRADES[seed % 3],
        clinical=draw_clinical(rng, signs.clinical),
        center_ras=(rng.uniform(-25, 25), rng.uniform(-40, 40), rng.uniform(-300, 300)),
        tissues=draw_tissues(rng, body_mm, liver),
        liver=liver,
        liver_texture=Waves.drawn(rng, count=16, shortest=14, longest=45),
        liver_texture_hu=rng.uniform(2, 5),
        vessels=draw_vessels(rng),
        tumors=draw_tumors(rng, liver, signs),
        noise_hu=rng.uniform(8, 20),
        noise_suv=rng.uniform(0.06, 0.14),
    )


def phantom_case(seed: int, *, grid: Grid | None = None, shape_kji: Sequence[int] = (48, 48, 48)) -> Case:
    """The synthetic exam of ``seed`` on ``grid``, or on ``shape_kji`` voxels over 288 mm each way, all the liver in it.

    Sequences ``ct`` (HU), ``pet_fdg`` and ``pet_acetate`` (SUV); regions ``liver`` (whole organ with its tumors) and
    ``tumor`` (all lesions); the label is the grade. The same seed gives the same voxels.
    """
    patient = draw_patient(seed)
    return sample(patient, phantom_grid(patient, shape_kji) if grid is None else grid)


def phantom_grid(patient: Patient, shape_kji: Sequence[int] = (48, 48, 48)) -> Grid:
    """Grid with axes R, A, S over 288 mm each way around the patient."""
    return cube_grid(patient.center_ras, FIELD_OF_VIEW_MM, shape_kji)


def sample(patient: Patient, grid: Grid, *, noise_scale: float = 1.0) -> Case:
    """The patient as scanned on the voxel centers of ``grid``, whatever its axes, oblique and flipped too.

    Two grids agree wherever they share a point, apart from the noise, which is drawn per voxel;
    ``noise_scale`` 0 leaves it out.
    """
    images = {name: np.empty(grid.shape_kji, np.float32) for name in _IMAGES}
    masks = {name: np.empty(grid.shape_kji, bool) for name in ("liver", "tumor")}
    for block in blocks(grid):
        view = _View(block_points(grid, block, patient.center_ras))
        view.paint_patient(patient)
        shape = images["ct"][block].shape
        for name in _IMAGES:
            images[name][block] = view.images[name].reshape(shape)
        masks["liver"][block], masks["tumor"][block] = view.liver.reshape(shape), view.tumor.reshape(shape)
    for index, name in enumerate(_IMAGES):
        stream = random_stream(patient.seed, 1 + index)
        for plane in images[name]:
            _add_noise(plane, name, patient, noise_scale, stream)
    return Case(
        sequences={name: Volume(array, grid) for name, array in images.items()},
        regions={name: Volume(array, grid) for name, array in masks.items()},
        clinical=dict(patient.clinical),
        label=patient.grade,
        identifier=patient.identifier,
    )


def _add_noise(values: Array, name: str, patient: Patient, scale: float, stream: np.random.Generator) -> None:
    noise = stream.standard_normal(values.shape, dtype=np.float32) * np.float32(scale)
    if name == "ct":
        values += noise * np.float32(patient.noise_hu)
        np.maximum(values, np.float32(_LOWEST_HU), out=values)
    else:
        values += noise * np.float32(patient.noise_suv) * np.sqrt(values + np.float32(0.05))
        np.maximum(values, np.float32(0.0), out=values)


class _View:
    """The images of one patient at some points; tissues are painted one over the other."""

    def __init__(self, points: Array) -> None:
        count = points.shape[1]
        self.points = points
        self.images = {name: np.zeros(count, np.float32) for name in _IMAGES}
        self.images["ct"] += np.float32(_AIR_HU)
        self.liver = np.zeros(count, bool)
        self.tumor = np.zeros(count, bool)
        self._center = (points.min(axis=1) + points.max(axis=1)) / 2
        self._radius_mm = float(np.linalg.norm(points.max(axis=1) - self._center)) + _REACH_MM

    def paint_patient(self, patient: Patient) -> None:
        everywhere = np.arange(self.liver.size)
        for tissue in patient.tissues:
            self._paint(tissue, everywhere)
        inside = self._paint(patient.liver, everywhere)
        self.liver[inside] = True
        self.images["ct"][inside] += np.float32(patient.liver_texture_hu) * patient.liver_texture(
            self.points[:, inside]
        )
        for vessel in patient.vessels:
            self._paint(vessel, inside)
        for tumor in patient.tumors:
            self._paint_tumor(tumor)

    def _paint(self, tissue: Tissue, where: Indices) -> Indices:
        """Lay a tissue over the points ``where``; return those of them that lie inside."""
        if not tissue.shape.reaches(self._center, self._radius_mm):
            return where[:0]
        distance = tissue.shape.distance_mm(self.points if where.size == self.liver.size else self.points[:, where])
        close = np.flatnonzero(distance < _REACH_MM)
        distance, where = distance[close], where[close]
        blurred = blurred_edge(distance, PET_FWHM_MM)
        self._blend("ct", where, sharp_share(distance, _CT_EDGE_MM), tissue.hu)
        self._blend("pet_fdg", where, blurred, tissue.fdg_suv)
        self._blend("pet_acetate", where, blurred, tissue.acetate_suv)
        return where[distance <= 0]

    def _blend(self, name: str, where: Indices, share: Array, value: float) -> None:
        image = self.images[name]
        image[where] += share * (np.float32(value) - image[where])

    def _paint_tumor(self, tumor: Tumor) -> None:
        if not tumor.shape.reaches(self._center, self._radius_mm):
            return
        level, per_level = tumor.shape.level(self.points)
        where = np.flatnonzero((level - 1) * per_level < _REACH_MM)
        level, per_level = level[where], per_level[where]
        distance = (level - 1) * per_level
        inner = (level - tumor.core_share) * per_level
        self._paint_tumor_ct(tumor, where, distance, inner)
        self._paint_tumor_pet(tumor, where, distance, inner)
        self.tumor[where[distance <= 0]] = True

    def _paint_tumor_ct(self, tumor: Tumor, where: Indices, distance: Array, inner: Array) -> None:
        ct = self.images["ct"]
        self._blend("ct", where, sharp_share(distance, _CT_EDGE_MM), tumor.hu)
        inside = where[distance <= 0]
        ct[inside] += np.float32(tumor.texture_hu) * tumor.texture(self.points[:, inside])
        if tumor.core_share > 0:
            self._blend("ct", where, sharp_share(inner, _CORE_EDGE_MM), tumor.core_hu)
        ct[where] += self.liver[where] * np.float32(tumor.rim_hu) * np.exp(-0.5 * (distance / _RIM_WIDTH_MM) ** 2)

    def _paint_tumor_pet(self, tumor: Tumor, where: Indices, distance: Array, inner: Array) -> None:
        radius = tumor.shape.radius_mm
        shares = [(blurred_ball(distance, radius, PET_FWHM_MM), tumor.fdg_suv, tumor.acetate_suv)]
        if tumor.core_share > 0:
            core = blurred_ball(inner, tumor.core_share * radius, PET_FWHM_MM)
            shares.append((core, _NECROSIS_SUV, _NECROSIS_SUV))
        for share, fdg_suv, acetate_suv in shares:
            self._blend("pet_fdg", where, share, fdg_suv)
            self._blend("pet_acetate", where, share, acetate_suv)
