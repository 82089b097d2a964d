"""The brain of an analytic patient, drawn at random before any voxel exists: hull, folds, ventricles, vessels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from .anatomy import near, rotation
from .shapes import Array, Ellipsoid, Joined, Triple, Tube, Waves

Part = Ellipsoid | Tube | Joined
_SULCUS_DEPTH_MM, _FOLIUM_DEPTH_MM = 14.0, 9.0
_SIDES = (1.0, -1.0)  # right, left


@dataclass(frozen=True)
class Layer:
    """A tissue by its name and where it lies."""

    tissue: str
    shape: Part


@dataclass(frozen=True, eq=False)
class Folds:
    """The outer surface with its sulci: sheets where ``sulci`` is 0, in the cerebellum where ``folia`` is.

    ``stem`` is what joins the two halves: between them the midline is a sheet elsewhere.
    """

    hull: Joined
    cerebellum: Joined
    stem: Joined
    sulci: Waves
    folia: Waves

    def distance_mm(self, points: Array) -> Array:
        """Distance in mm to the nearest sheet or to the outside, negative outside of the hull, shape (V,).

        To first order: a sheet is as far as the field over its mean slope. Sheets end at the depth of a sulcus.
        """
        depth = -self.hull.distance_mm(points)
        sulci = np.maximum(_sheet_mm(self.sulci, points), depth - _SULCUS_DEPTH_MM)
        cerebellum = self.cerebellum.distance_mm(points)
        folia = np.maximum(_sheet_mm(self.folia, points), -cerebellum - _FOLIUM_DEPTH_MM)
        sheets = np.where(cerebellum < 0, np.minimum(folia, -cerebellum), np.minimum(sulci, cerebellum))
        midline = np.maximum(np.abs(points[0]), -self.stem.distance_mm(points))
        return np.minimum(depth, np.minimum(sheets, midline))


def _sheet_mm(waves: Waves, points: Array) -> Array:
    mean_slope = np.sqrt((waves.vectors**2).sum(axis=1).mean())
    return np.abs(waves(points)) / mean_slope


@dataclass(frozen=True, eq=False)
class Brain:
    """The healthy part of an analytic brain, in mm from its center, axes R, A, S.

    ``gray_mm`` is the depth of the cortex from the middle of a sulcus, ``sulcus_mm`` half the width of the sulcus.
    ``layers`` lie one over the other in their order, over them the ``ventricles``, and over these the ``vessels``.
    """

    folds: Folds
    gray_mm: float
    sulcus_mm: float
    layers: tuple[Layer, ...]
    ventricles: tuple[Joined, ...]
    vessels: tuple[Layer, ...]

    def ventricle_mm(self, points: Array) -> Array:
        """Signed distance in mm to the nearest ventricle, negative inside, shape (V,)."""
        return np.minimum.reduce([part.distance_mm(points) for part in self.ventricles])


def draw_brain_anatomy(rng: np.random.Generator) -> Brain:
    """A brain of about 1.0 to 1.6 l; wide ventricles come with wide sulci and more white matter lesions (age)."""
    size = rng.uniform(0.94, 1.03)
    age = rng.uniform(0.0, 1.0)
    ventricles = _draw_ventricles(rng, size, 0.75 + 0.55 * age)
    folds = _draw_folds(rng, size)
    return Brain(
        folds=folds,
        gray_mm=rng.uniform(3.6, 4.4),
        sulcus_mm=0.1 + 0.8 * age,
        layers=(*_draw_deep_gray(rng, size), *_draw_hyperintensities(rng, size, age), *_draw_cisterns(rng, size)),
        ventricles=ventricles,
        vessels=(*_draw_plexus(rng, size), *_draw_vessels(rng, folds.hull, size)),
    )


def _part(rng: np.random.Generator, size: float, center: Triple, semi_axes: Triple, spread: float = 1.5) -> Ellipsoid:
    """An ellipsoid scaled with the brain, moved by up to ``spread`` mm and turned by up to 6 degrees."""
    moved = near(rng, (size * center[0], size * center[1], size * center[2]), spread)
    return Ellipsoid(moved, (size * semi_axes[0], size * semi_axes[1], size * semi_axes[2]), rotation(rng, 6))


def _draw_folds(rng: np.random.Generator, size: float) -> Folds:
    def pair(center: Triple, semi_axes: Triple) -> list[Ellipsoid]:
        return [_part(rng, size, (side * center[0], *center[1:]), semi_axes) for side in _SIDES]

    back, front = pair((27.0, -14.0, 17.0), (38.0, 66.0, 47.0)), pair((21.0, 18.0, 17.0), (33.0, 60.0, 43.0))
    middle = _part(rng, size, (0.0, -2.0, 20.0), (22.0, 80.0, 46.0))
    temporal = pair((41.0, 4.0, -17.0), (20.0, 37.0, 20.0))
    cerebellum = pair((22.0, -48.0, -36.0), (31.0, 27.0, 25.0))
    brainstem = _part(rng, size, (0.0, -20.0, -42.0), (15.0, 15.0, 36.0))
    callosum = Ellipsoid((0.0, -4.0 * size, 6.0), (20.0 * size, 38.0 * size, 28.0 * size))
    return Folds(
        hull=Joined((*back, *front, middle, *temporal, *cerebellum, brainstem), blend_mm=12.0),
        cerebellum=Joined(tuple(cerebellum), blend_mm=14.0),
        stem=Joined((callosum, brainstem, *cerebellum), blend_mm=8.0),
        sulci=Waves.drawn(rng, count=16, shortest=17, longest=29),
        folia=Waves.drawn(rng, count=10, shortest=11, longest=15),
    )


def _draw_ventricles(rng: np.random.Generator, size: float, width: float) -> tuple[Joined, ...]:
    """Two lateral ventricles of four parts, the third and the fourth; ``width`` 1 is a middle age."""
    horns: list[tuple[Triple, Triple]] = [
        ((9.0, 24.0, 17.0), (4.0, 16.0, 7.5)),
        ((11.0, -6.0, 23.0), (5.0, 26.0, 6.0)),
        ((22.0, -38.0, 11.0), (6.0, 18.0, 8.0)),
        ((33.0, -14.0, -9.0), (2.5, 16.0, 3.5)),
    ]
    lateral = []
    for side in _SIDES:
        wide = width * rng.uniform(0.92, 1.08)
        parts = [
            _part(rng, size, (side * c[0], c[1], c[2]), (wide * a[0], a[1], wide**0.5 * a[2]), 0.8) for c, a in horns
        ]
        lateral.append(Joined(tuple(parts), blend_mm=7.0))
    third = _part(rng, size, (0.0, -4.0, 4.0), (1.6 * width, 14.0, 9.0), 0.3)
    fourth = _part(rng, size, (0.0, -37.0, -34.0), (7.0 * width, 4.5, 9.0), 0.5)
    return (*lateral, Joined((third,)), Joined((fourth,)))


def _draw_deep_gray(rng: np.random.Generator, size: float) -> list[Layer]:
    """Caudate nucleus, putamen with pallidum, thalamus and insula of each side."""
    nuclei: list[tuple[str, Triple, Triple]] = [
        ("deep gray", (15.0, 20.0, 13.0), (4.5, 13.0, 9.0)),
        ("deep gray", (27.0, 4.0, 4.0), (6.0, 18.0, 11.0)),
        ("deep gray", (11.0, -14.0, 8.0), (9.0, 15.0, 9.0)),
        ("gray", (38.0, 6.0, 4.0), (2.5, 20.0, 13.0)),
    ]
    return [
        Layer(name, _part(rng, size, (side * center[0], *center[1:]), semi_axes))
        for side in _SIDES
        for name, center, semi_axes in nuclei
    ]


def _draw_hyperintensities(rng: np.random.Generator, size: float, age: float) -> list[Layer]:
    """Small lesions of the white matter beside the ventricles, and caps on the horns: up to 16, more with age."""
    layers = []
    for _ in range(round(16 * age * rng.uniform(0.3, 1.0))):
        side = rng.choice(_SIDES)
        center = (side * rng.uniform(17, 38), rng.uniform(-48, 44), rng.uniform(14, 40))
        semi_axes = tuple(rng.uniform(1.2, 3.4, 3).tolist())
        layers.append(Layer("hyperintensity", _part(rng, size, center, semi_axes)))
    for side in _SIDES:
        cap = rng.uniform(2.0, 2.0 + 3.0 * age)
        layers.append(Layer("hyperintensity", _part(rng, size, (side * 11.0, 41.0, 17.0), (cap, cap, cap + 1.0))))
    return layers


def _draw_cisterns(rng: np.random.Generator, size: float) -> list[Layer]:
    """The cerebrospinal fluid of the Sylvian fissures and around the midbrain."""
    fissures = [_tilted(_part(rng, size, (side * 46.0, 8.0, -1.0), (11.0, 22.0, 1.6)), 40.0) for side in _SIDES]
    suprasellar = _part(rng, size, (0.0, 12.0, -22.0), (11.0, 9.0, 5.0))
    ambient = _part(rng, size, (0.0, -34.0, -8.0), (15.0, 3.0, 4.0))
    return [Layer("fluid", shape) for shape in (*fissures, suprasellar, ambient)]


def _tilted(part: Ellipsoid, degrees: float) -> Ellipsoid:
    """The part turned about R, its anterior end upwards."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])
    return replace(part, rotation=turn if part.rotation is None else part.rotation @ turn)


def _draw_plexus(rng: np.random.Generator, size: float) -> list[Layer]:
    return [Layer("plexus", _part(rng, size, (side * 21.0, -36.0, 10.0), (2.4, 8.0, 3.5), 1.0)) for side in _SIDES]


def _draw_vessels(rng: np.random.Generator, hull: Joined, size: float) -> list[Layer]:
    """Sagittal, straight and transverse sinus, middle cerebral arteries and veins on the surface."""
    sagittal = [_below_surface(hull, (0.0, np.cos(a), np.sin(a)), 2.0) for a in np.linspace(0.9, 3.6, 9)]
    torcular, vein = sagittal[-1], (0.0, -24.0 * size, 14.0 * size)
    tubes = [Tube(a, b, rng.uniform(2.2, 3.0)) for a, b in pairwise(sagittal)]
    tubes += [Tube(vein, torcular, 1.8), Tube((0.0, 0.0, 18.0), vein, 1.2)]
    for side in _SIDES:
        lateral = _below_surface(hull, (side * 0.75, -0.62, -0.24), 2.0)
        path = [(5.0, 8.0, -20.0), (26.0, 8.0, -15.0), (44.0, 4.0, -2.0), (50.0, -20.0, 12.0)]
        middle = [near(rng, (side * size * x, size * y, size * z), 2.0) for x, y, z in path]
        tubes += [Tube(torcular, lateral, rng.uniform(1.8, 2.6))]
        tubes += [Tube(a, b, radius) for a, b, radius in zip(middle, middle[1:], (1.5, 1.3, 1.0), strict=False)]
    for _ in range(rng.integers(8, 15)):
        start = rng.standard_normal(3) * (1.0, 1.0, 0.6) + (0.0, 0.0, 0.5)
        end = start + 0.45 * rng.standard_normal(3)
        radius = rng.uniform(0.9, 1.7)
        tubes.append(Tube(_below_surface(hull, start, 2.5), _below_surface(hull, end, 2.5), radius))
    return [Layer("vessel", tube) for tube in tubes]


def _below_surface(hull: Joined, direction: ArrayLike, depth_mm: float) -> Triple:
    """The outermost point of the hull in a direction from its middle, ``depth_mm`` below the surface."""
    unit = np.array(direction, np.float64)
    unit /= np.linalg.norm(unit)
    line = (unit[:, None] * np.arange(10.0, 110.0, 0.5)).astype(np.float32)  # (3, steps)
    inside = np.flatnonzero(hull.distance_mm(line) < -depth_mm)
    r, a, s = line[:, inside[-1]].tolist()
    return r, a, s
