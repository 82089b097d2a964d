"""The tumors of an analytic patient, and what each examination can see of their grade."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .anatomy import Tissue, rotation
from .shapes import Ellipsoid, Triple, Waves


@dataclass(frozen=True, eq=False)
class Tumor:
    """One lesion inside the liver.

    The core, ``core_share`` of the radius, is necrotic; ``rim_hu`` is what the capsule adds on the surface;
    ``texture_hu`` is the standard deviation of ``texture`` inside.
    """

    shape: Ellipsoid
    hu: float
    core_share: float
    core_hu: float
    rim_hu: float
    texture_hu: float
    texture: Waves
    fdg_suv: float
    acetate_suv: float


@dataclass(frozen=True)
class Signs:
    """How far a tumor has gone, as each examination can see it.

    ``advance`` runs from 0 to 3, one unit per grade. PET follows it closely. CT and the clinical items see it only
    through one noisy number each, about -3 to 3: so however many features of the CT are combined, they cannot tell the
    grade better than ``ct`` does.
    """

    advance: float
    ct: float
    clinical: float


_CT_SEPARATION, _CLINICAL_SEPARATION = 2.8, 0.5


def draw_signs(rng: np.random.Generator, index: int) -> Signs:
    advance = index + rng.uniform(0.1, 0.9)
    ct = _CT_SEPARATION * (advance - 1.5) + rng.standard_normal()
    clinical = _CLINICAL_SEPARATION * (advance - 1.5) + rng.standard_normal()
    return Signs(advance, ct, clinical)


def draw_clinical(rng: np.random.Generator, sign: float) -> dict[str, float]:
    """AFP_norm and age_norm from 0 to 1; hepatitis 0 none, 1 B, 2 C; sex 0 female, 1 male."""
    return {
        "AFP_norm": float(np.clip(0.4 + 0.15 * sign + 0.1 * rng.standard_normal(), 0.0, 1.0)),
        "hepatitis": float(np.searchsorted((0.25 - 0.04 * sign, 0.8), rng.random())),
        "age_norm": float(np.clip(0.55 + 0.03 * sign + 0.15 * rng.standard_normal(), 0.0, 1.0)),
        "sex": float(rng.random() < 0.75),
    }


def draw_tumors(rng: np.random.Generator, liver: Tissue, signs: Signs) -> tuple[Tumor, ...]:
    """The main tumor and up to three satellites near it, all inside the liver; those without room are left out."""
    radius = float(np.clip(math.exp(rng.uniform(math.log(8.0), math.log(25.0)) + 0.06 * signs.ct), 7.5, 30.0))
    satellites = int(np.clip(round(0.8 + 0.5 * signs.ct + 0.7 * rng.standard_normal()), 0, 3))
    shapes = [_placed_main(rng, liver, radius, signs.ct)]
    for _ in range(satellites):
        shape = _placed_satellite(rng, liver, shapes)
        shapes += [] if shape is None else [shape]
    main = _with_signs(rng, shapes[0], liver, signs)
    return (main, *(_satellite(rng, shape, main) for shape in shapes[1:]))


def _placed_main(rng: np.random.Generator, liver: Tissue, radius_mm: float, sign: float) -> Ellipsoid:
    ripple = float(np.clip(0.05 + 0.015 * sign + 0.02 * rng.standard_normal(), 0.0, 0.10))
    waves = Waves.drawn(rng, count=6, shortest=1.2, longest=2.5)
    stretch = np.exp(rng.uniform(-0.12, 0.12, 3))
    semi_axes = radius_mm * stretch / stretch.prod() ** (1 / 3)
    turn = rotation(rng, 180)
    while True:
        for center in _inside(rng, liver, 40):
            shape = Ellipsoid(center, tuple(semi_axes.tolist()), turn, ripple, waves)
            if _fits(shape, liver):
                return shape
        semi_axes = semi_axes * 0.92  # a liver of 1.2 l always has room for a ball of 15 mm


def _inside(rng: np.random.Generator, liver: Tissue, count: int) -> list[Triple]:
    candidates = rng.uniform((-60, -70, -75), (120, 75, 75), (count, 3))
    deep = liver.shape.distance_mm(candidates.T.astype(np.float32)) < -9.0
    return [tuple(row) for row in candidates[deep].tolist()]


def _fits(shape: Ellipsoid, liver: Tissue) -> bool:
    return bool((liver.shape.distance_mm(shape.surface(160)) < -2.0).all())


def _placed_satellite(rng: np.random.Generator, liver: Tissue, others: list[Ellipsoid]) -> Ellipsoid | None:
    main = others[0]
    radius = rng.uniform(3.0, 7.5)
    for _ in range(30):
        direction = rng.standard_normal(3)
        direction *= (max(main.semi_axes_mm) * 1.15 + radius + rng.uniform(3, 20)) / np.linalg.norm(direction)
        shape = Ellipsoid(tuple((np.array(main.center_mm) + direction).tolist()), (radius,) * 3)
        apart = all(other.distance_mm(shape.surface(40)).min() > 2.0 for other in others)
        if apart and _fits(shape, liver):
            return shape
    return None


def _with_signs(rng: np.random.Generator, shape: Ellipsoid, liver: Tissue, signs: Signs) -> Tumor:
    """A poorly differentiated HCC takes up FDG, a well differentiated one acetate; the CT hints at it."""
    noise = rng.standard_normal(6)
    core = float(np.clip(0.25 + 0.14 * signs.ct + 0.1 * noise[1], 0.0, 0.7))
    return Tumor(
        shape=shape,
        hu=float(np.clip(liver.hu - np.clip(27 + 7 * signs.ct + 6 * noise[0], 3, 60), 40, 100)),
        core_share=core if core > 0.2 else 0.0,
        core_hu=rng.uniform(20, 40),
        rim_hu=float(np.clip(10 - 6 * signs.ct + 4 * noise[2], 0, 28)),
        texture_hu=float(np.clip(9 + 4 * signs.ct + 2 * noise[3], 2, 24)),
        texture=Waves.drawn(rng, count=12, shortest=9, longest=22),
        fdg_suv=liver.fdg_suv * 0.95 * math.exp(0.5 * signs.advance + 0.1 * noise[4]),
        acetate_suv=liver.acetate_suv * 2.6 * math.exp(-0.33 * signs.advance + 0.1 * noise[5]),
    )


def _satellite(rng: np.random.Generator, shape: Ellipsoid, main: Tumor) -> Tumor:
    texture = Waves.drawn(rng, count=8, shortest=9, longest=22)
    hu = float(np.clip(main.hu + rng.normal(0, 4), 40, 100))
    return Tumor(shape, hu, 0.0, 30.0, 0.0, main.texture_hu / 2, texture, main.fdg_suv, main.acetate_suv)
