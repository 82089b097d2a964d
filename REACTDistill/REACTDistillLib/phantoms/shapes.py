"""Analytic shapes in patient millimetres: signed distances, blurred edges and smooth random fields, in numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Points are float32 of shape (3, V): rows R, A, S in mm, one column per point. Fields over them have shape (V,).
Array = NDArray[np.float32]
Triple = tuple[float, float, float]
_MM_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field of mean 0 and variance 1: sqrt(2 / M) sum_m sin(k_m . x + phi_m).

    ``vectors`` (M, 3) in radian per unit of x, ``phases`` (M,) in radian. Being a function of place, it is the same
    field on whatever grid it is seen.
    """

    vectors: Array
    phases: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, count: int, shortest: float, longest: float) -> Waves:
        """``count`` waves in random directions, wavelengths between ``shortest`` and ``longest`` (units of x)."""
        directions = rng.standard_normal((count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        wavelengths = rng.uniform(shortest, longest, (count, 1))
        phases = rng.uniform(0, 2 * math.pi, count)
        return cls((2 * math.pi / wavelengths * directions).astype(np.float32), phases.astype(np.float32))

    def __call__(self, points: Array) -> Array:
        """Value at each point, shape (V,)."""
        total = np.zeros(points.shape[1], np.float32)
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            total += np.sin(vector @ points + phase)
        return total * np.float32(math.sqrt(2.0 / len(self.phases)))


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An ellipsoid, or with a semi-axis of ``inf`` a cylinder along that axis (then without rotation).

    ``rotation`` has the directions of the semi-axes as rows. ``ripple`` moves the surface in and out by that share of
    the radius, by the field ``waves`` over the unit sphere.
    """

    center_mm: Triple
    semi_axes_mm: Triple
    rotation: NDArray[np.float64] | None = None
    ripple: float = 0.0
    waves: Waves | None = None

    @property
    def volume_ml(self) -> float:
        """4/3 pi a b c: the volume without ripple, which adds a few per cent at most."""
        return 4.0 / 3.0 * math.pi * math.prod(self.semi_axes_mm) / 1000.0

    @property
    def radius_mm(self) -> float:
        """Radius of the ball of the same volume."""
        return math.prod(self.semi_axes_mm) ** (1.0 / 3.0)

    def level(self, points: Array) -> tuple[Array, Array]:
        """Level q, which is 0 in the middle and 1 on the surface, and the mm per unit of q there, each (V,).

        ``(q - 1) * mm`` is the signed distance to the surface to first order: exact for a ball.
        """
        inverse = 1.0 / np.array(self.semi_axes_mm)
        turned = inverse[:, None] * (np.eye(3) if self.rotation is None else self.rotation)
        local = turned.astype(np.float32) @ points
        local -= (turned @ np.array(self.center_mm)).astype(np.float32)[:, None]
        weights = np.stack([np.ones(3), inverse**2]).astype(np.float32)
        level, slope = np.sqrt(weights @ (local * local))  # (V,) each
        per_level = np.full_like(level, min(self.semi_axes_mm))
        np.divide(level, slope, out=per_level, where=slope > 1e-6)
        if self.waves is not None:
            level /= 1.0 + np.float32(self.ripple) * np.tanh(self.waves(local / np.maximum(level, 1e-6)))
        return level, per_level

    def distance_mm(self, points: Array) -> Array:
        """Signed distance to the surface in mm, negative inside, shape (V,)."""
        level, per_level = self.level(points)
        return (level - 1.0) * per_level

    def reaches(self, center_mm: Array, radius_mm: float) -> bool:
        """False only when the ball around ``center_mm`` is surely apart from this shape."""
        finite = np.isfinite(self.semi_axes_mm)
        away = (center_mm - np.array(self.center_mm))[finite]
        largest = max(axis for axis in self.semi_axes_mm if math.isfinite(axis))
        return bool(np.sqrt(away @ away) < largest * (1 + self.ripple) + radius_mm)

    def surface(self, count: int) -> Array:
        """Points spread evenly in direction over the surface, ripple at its outermost, shape (3, count)."""
        height = 1.0 - (2.0 * np.arange(count) + 1.0) / count
        angle = np.arange(count) * math.pi * (3.0 - math.sqrt(5.0))
        ring = np.sqrt(1.0 - height**2)
        local = np.stack([ring * np.cos(angle), ring * np.sin(angle), height]) * np.array(self.semi_axes_mm)[:, None]
        rotation = np.eye(3) if self.rotation is None else self.rotation
        return ((1.0 + self.ripple) * rotation.T @ local + np.array(self.center_mm)[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Tube:
    """A straight vessel with round ends between two points."""

    start_mm: Triple
    end_mm: Triple
    radius_mm: float

    def distance_mm(self, points: Array) -> Array:
        """Signed distance to the wall in mm, negative inside, shape (V,)."""
        start = np.array(self.start_mm, np.float32)
        axis = np.array(self.end_mm, np.float32) - start
        local = points - start[:, None]
        along = np.clip(axis @ local / (axis @ axis), 0.0, 1.0)
        return np.linalg.norm(local - axis[:, None] * along, axis=0) - np.float32(self.radius_mm)

    def reaches(self, center_mm: Array, radius_mm: float) -> bool:
        """False only when the ball around ``center_mm`` is surely apart from this shape."""
        return bool(self.distance_mm(np.asarray(center_mm, np.float32)[:, None])[0] < radius_mm)


@dataclass(frozen=True)
class Ribs:
    """Oblique bands in a wall shaped as an elliptic cylinder, one every ``pitch_mm`` along S."""

    wall: Ellipsoid
    thickness_mm: float
    height_mm: float
    pitch_mm: float
    slope: float

    def distance_mm(self, points: Array) -> Array:
        """Signed distance in mm, negative inside, shape (V,)."""
        along = np.mod(points[2] - self.slope * points[1], self.pitch_mm) - self.pitch_mm / 2
        across = np.abs(self.wall.distance_mm(points)) - self.thickness_mm / 2
        return np.maximum(across, np.abs(along) - self.height_mm / 2).astype(np.float32)

    def reaches(self, center_mm: Array, radius_mm: float) -> bool:
        """False only when the ball around ``center_mm`` is surely apart from this shape."""
        return self.wall.reaches(center_mm, radius_mm + self.thickness_mm)


@dataclass(frozen=True)
class Joined:
    """Ellipsoids flowing into each other over ``blend_mm``, less the ``hollows``."""

    parts: tuple[Ellipsoid, ...]
    hollows: tuple[Ellipsoid, ...] = ()
    blend_mm: float = 20.0

    def distance_mm(self, points: Array) -> Array:
        """Signed distance in mm, negative inside, shape (V,)."""
        total = self.parts[0].distance_mm(points)
        for part in self.parts[1:]:
            other = part.distance_mm(points)
            overlap = np.maximum(self.blend_mm - np.abs(total - other), 0.0) / self.blend_mm
            total = np.minimum(total, other) - overlap**2 * (self.blend_mm / 4)
        for hollow in self.hollows:
            total = np.maximum(total, -hollow.distance_mm(points))
        return total

    def reaches(self, center_mm: Array, radius_mm: float) -> bool:
        """False only when the ball around ``center_mm`` is surely apart from this shape."""
        return any(part.reaches(center_mm, radius_mm + self.blend_mm / 4) for part in self.parts)


Shape = Ellipsoid | Tube | Ribs | Joined


def sharp_share(distance_mm: Array, width_mm: float) -> Array:
    """Share of a shape at points ``distance_mm`` from its surface when the edge rises over ``width_mm``, (V,)."""
    return np.clip(0.5 - distance_mm / np.float32(width_mm), 0.0, 1.0)


def blurred_edge(distance_mm: Array, fwhm_mm: float) -> Array:
    """Share of a half-space after blurring by a Gaussian of ``fwhm_mm``: Phi(-d / sigma), shape (V,)."""
    place, share = _edge_table(fwhm_mm)
    return np.interp(distance_mm, place, share).astype(np.float32)


def blurred_ball(distance_mm: Array, radius_mm: float, fwhm_mm: float) -> Array:
    """Share of a ball after blurring by a Gaussian of ``fwhm_mm``, at signed distances from its surface, (V,).

    The closed form of the convolution; it is 1 - erf-like at the edge of a large ball, and below 1 in the middle of a
    small one (the partial volume effect of PET).
    """
    place, share = _ball_table(radius_mm, fwhm_mm)
    return np.interp(distance_mm, place, share).astype(np.float32)


@lru_cache(maxsize=8)
def _edge_table(fwhm_mm: float) -> tuple[list[float], list[float]]:
    sigma = fwhm_mm * _MM_PER_FWHM
    place = [sigma * step / 20 for step in range(-90, 91)]
    return place, [0.5 * math.erfc(x / (sigma * math.sqrt(2.0))) for x in place]


def _ball_table(radius_mm: float, fwhm_mm: float) -> tuple[list[float], list[float]]:
    sigma = fwhm_mm * _MM_PER_FWHM
    root = sigma * math.sqrt(2.0)
    end = radius_mm + 4.5 * sigma
    steps = 30 + int(8 * end / sigma)
    place = [end * (step + 0.01) / steps for step in range(steps)] + [end]  # never r = 0, where the form is 0 / 0
    share = []
    for r in place:
        near, far = radius_mm - r, radius_mm + r
        edge = (math.erf(far / root) + math.erf(near / root)) / 2
        bend = math.exp(-((near / root) ** 2)) - math.exp(-((far / root) ** 2))
        share.append(edge - sigma / (r * math.sqrt(2.0 * math.pi)) * bend)
    return [r - radius_mm for r in place], [*share[:-1], 0.0]
