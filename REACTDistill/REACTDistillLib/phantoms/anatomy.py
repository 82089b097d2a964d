"""The organs of an analytic patient, drawn at random before any voxel exists."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import Ellipsoid, Joined, Ribs, Shape, Triple, Tube

_INF = math.inf


@dataclass(frozen=True)
class Tissue:
    """A shape and what it looks like: CT number in HU, uptake of both tracers in SUV."""

    name: str
    shape: Shape
    hu: float
    fdg_suv: float
    acetate_suv: float


def rotation(rng: np.random.Generator, degrees: float) -> NDArray[np.float64]:
    """Turn about a random axis by up to ``degrees``."""
    axis = rng.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = math.radians(rng.uniform(0, degrees))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def near(rng: np.random.Generator, values: Triple, spread: float) -> Triple:
    """Each value moved by up to ``spread`` either way."""
    return tuple((np.array(values) + rng.uniform(-spread, spread, 3)).tolist())


def draw_liver(rng: np.random.Generator) -> Tissue:
    """A liver of 1.25 to 1.85 l: right lobe, left lobe and what joins them, hollow for gallbladder and vena cava."""
    lobes = [
        ((58.0, -4.0, -6.0), (58.0, 68.0, 74.0), 12.0),
        ((24.0, 30.0, 12.0), (52.0, 38.0, 44.0), 12.0),
        ((-16.0, 44.0, 24.0), (58.0, 27.0, 33.0), 10.0),
    ]
    drawn = [(near(rng, c, 4.0), near(rng, a, 4.0), rotation(rng, turn)) for c, a, turn in lobes]
    whole = Joined(tuple(Ellipsoid(*lobe) for lobe in drawn))
    scale = (rng.uniform(1.25, 1.85) / _volume_l(whole)) ** (1 / 3)
    pivot = np.array((45.0, 8.0, 0.0))
    parts = tuple(
        Ellipsoid(tuple(pivot + scale * (np.array(c) - pivot)), tuple(scale * np.array(a)), turn)
        for c, a, turn in drawn
    )
    hollows = (Ellipsoid((38.0, 32.0, -50.0), (15.0, 18.0, 28.0)), Ellipsoid((17.0, -28.0, 0.0), (12.0, 10.0, _INF)))
    fdg, acetate = rng.uniform(1.9, 2.7), rng.uniform(2.4, 3.4)
    return Tissue("liver", Joined(parts, hollows), rng.uniform(92, 118), fdg, acetate)


def _volume_l(shape: Joined) -> float:
    """Volume in liters, counted on points 10 mm apart."""
    line = np.arange(-150, 151, 10, dtype=np.float32)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
    return float(np.count_nonzero(shape.distance_mm(points) <= 0)) / 1000.0


def draw_tissues(rng: np.random.Generator, body_mm: tuple[float, float], liver: Tissue) -> tuple[Tissue, ...]:
    """All that lies under the liver, from the skin inwards."""
    wide, deep = body_mm
    fat_mm = rng.uniform(6, 16)

    def cylinder(inset_mm: float) -> Ellipsoid:
        return Ellipsoid((0.0, 0.0, 0.0), (wide - inset_mm, deep - inset_mm, _INF))

    def organ(name: str, center: Triple, semi_axes: Triple, hu: float, suv: tuple[float, float]) -> Tissue:
        return Tissue(name, Ellipsoid(near(rng, center, 4.0), semi_axes, rotation(rng, 10)), hu, *suv)

    blood, spine = rng.uniform(130, 165), (0.0, -0.55 * deep)
    return (
        Tissue("fat", cylinder(0.0), -100.0, 0.35, 0.3),
        Tissue("muscle", cylinder(fat_mm), rng.uniform(50, 65), 0.7, 1.0),
        Tissue("mesentery", cylinder(fat_mm + 13), -92.0, 0.4, 0.4),
        Tissue("rib", Ribs(cylinder(fat_mm + 7), 8.0, 9.0, 27.0, 0.35), 320.0, 0.9, 0.8),
        organ("lung", (68.0, -4.0, 150.0), (55.0, 74.0, 118.0), -850.0, (0.4, 0.4)),
        organ("lung", (-72.0, -8.0, 150.0), (50.0, 72.0, 110.0), -850.0, (0.4, 0.4)),
        organ("heart", (-22.0, 30.0, 126.0), (48.0, 42.0, 44.0), 120.0, (2.2, 2.8)),
        Tissue("diaphragm", Joined(liver.shape.parts, blend_mm=26.0), 52.0, 0.7, 1.0),  # type: ignore[union-attr]
        *_bowel(rng),
        organ("kidney", (62.0, -52.0, -72.0), (26.0, 23.0, 50.0), 165.0, (3.5, 2.6)),
        organ("kidney", (-62.0, -50.0, -58.0), (26.0, 23.0, 50.0), 165.0, (3.5, 2.6)),
        organ("spleen", (-92.0, -30.0, 16.0), (25.0, 38.0, 48.0), liver.hu + rng.uniform(0, 15), (1.8, 3.4)),
        organ("stomach", (-66.0, 30.0, 20.0), (38.0, 32.0, 46.0), 25.0, (1.4, 1.2)),
        organ("stomach gas", (-64.0, 48.0, 22.0), (20.0, 9.0, 22.0), -900.0, (0.5, 0.5)),
        organ("pancreas", (-18.0, 2.0, -28.0), (50.0, 11.0, 13.0), 95.0, (1.4, 5.0)),
        Tissue("psoas", Ellipsoid((34.0, spine[1] - 6, -95.0), (17.0, 19.0, 60.0)), 58.0, 0.7, 1.0),
        Tissue("psoas", Ellipsoid((-34.0, spine[1] - 6, -95.0), (17.0, 19.0, 60.0)), 58.0, 0.7, 1.0),
        Tissue("back muscle", Ellipsoid((30.0, spine[1] - 26, 0.0), (26.0, 17.0, _INF)), 58.0, 0.7, 1.0),
        Tissue("back muscle", Ellipsoid((-30.0, spine[1] - 26, 0.0), (26.0, 17.0, _INF)), 58.0, 0.7, 1.0),
        Tissue("spine", Ellipsoid((*spine, 0.0), (22.0, 18.0, _INF)), 420.0, 1.3, 1.2),
        Tissue("spine", Ellipsoid((*spine, 0.0), (18.0, 14.0, _INF)), 220.0, 1.6, 1.4),
        Tissue("spine", Ellipsoid((0.0, spine[1] - 27, 0.0), (18.0, 15.0, _INF)), 350.0, 1.2, 1.1),
        Tissue("canal", Ellipsoid((0.0, spine[1] - 25, 0.0), (9.0, 8.0, _INF)), 30.0, 0.8, 0.6),
        Tissue("aorta", Ellipsoid((-13.0, spine[1] + 30, 0.0), (11.0, 11.0, _INF)), blood, 1.6, 1.2),
        Tissue("vena cava", Ellipsoid((17.0, -28.0, 0.0), (12.0, 10.0, _INF)), blood - 8, 1.6, 1.2),
        Tissue("gallbladder", Ellipsoid((38.0, 32.0, -50.0), (15.0, 18.0, 28.0)), 10.0, 0.5, 0.5),
    )


def _bowel(rng: np.random.Generator) -> list[Tissue]:
    loops: list[Tissue] = []
    for _ in range(14):
        center = (rng.uniform(-85, 75), rng.uniform(-15, 65), rng.uniform(-150, -40))
        semi_axes = tuple(rng.uniform(14, 26, 3).tolist())
        loops.append(Tissue("bowel", Ellipsoid(center, semi_axes), rng.uniform(20, 60), 1.2, 1.5))
    return loops


def draw_vessels(rng: np.random.Generator) -> tuple[Tissue, ...]:
    """Hepatic veins towards the vena cava, portal vein with its two branches."""
    cava, gate = (17.0, -22.0, 48.0), near(rng, (28.0, 4.0, -8.0), 3.0)
    right, left = near(rng, (60.0, 0.0, -2.0), 5.0), near(rng, (6.0, 34.0, 16.0), 5.0)
    tubes = [
        Tube(cava, near(rng, (88.0, -4.0, 16.0), 8.0), 4.5),
        Tube(cava, near(rng, (50.0, 38.0, 20.0), 8.0), 4.5),
        Tube(cava, near(rng, (-10.0, 40.0, 30.0), 8.0), 4.0),
        Tube((14.0, -4.0, -38.0), gate, 6.5),
        Tube(gate, right, 5.5),
        Tube(right, near(rng, (92.0, 16.0, -24.0), 6.0), 4.0),
        Tube(gate, left, 4.5),
    ]
    hu = rng.uniform(135, 165)
    return tuple(Tissue("vessel", tube, hu, 1.7, 1.4) for tube in tubes)
