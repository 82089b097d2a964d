"""The glioma of an analytic brain: irregular core with enhancing rim and necrosis, edema around it, three regions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .anatomy import rotation
from .brainanatomy import Brain
from .shapes import Array, Ellipsoid, Triple, Waves

KINDS = ("ring", "solid", "none")  # what of the core enhances
_KIND_SHARES = (0.6, 0.2, 0.2)
_EDEMA_RETREAT_MM, _RETREAT_SCALE_MM = 5.0, 3.0  # edema follows white matter: it ends before the cortex
_RIPPLE = 0.28
_DEEPEST_RAS_MM = -22.0  # lower lie the brainstem and the cerebellum


@dataclass(frozen=True, eq=False)
class Glioma:
    """A glioma in mm from the center of the brain.

    ``kind`` says what of the core enhances: a "ring" around the necrosis, all of it ("solid", no necrosis), or "none".
    The enhancing part is broken up where the field ``patches`` exceeds ``patch_level``. The rim is at least
    ``rim_mm`` wide. ``push_mm`` is how far the healthy brain is pushed away at most.
    """

    kind: str
    core: Ellipsoid
    necrosis: Ellipsoid
    edema: Ellipsoid
    rim_mm: float
    patches: Waves
    patch_level: float
    texture: Waves
    push_mm: float

    @property
    def reach_mm(self) -> float:
        """Nothing of the tumor, nor of what it pushes away, is farther from the middle of the core."""
        offset = math.dist(self.core.center_mm, self.edema.center_mm)
        return max(offset + (1 + _RIPPLE) * max(self.edema.semi_axes_mm) + 8.0, 4.5 * self._push_scale_mm)

    @property
    def _push_scale_mm(self) -> float:
        return self.core.radius_mm + 8.0

    def before_growth(self, points: Array) -> Array:
        """Where the tissue now at each point was before the tumor pushed it outwards, shape (3, V)."""
        away = points - np.array(self.core.center_mm, np.float32)[:, None]
        ratio = (away * away).sum(axis=0) / np.float32(self._push_scale_mm**2)
        share = np.float32(self.push_mm / self._push_scale_mm) * np.exp(0.5 - ratio / 2)
        return points - away * share

    def distances_mm(self, points: Array, cortex_mm: Array, ventricle_mm: Array) -> dict[str, Array]:
        """Signed distances in mm, negative inside, of "wt", "tc", "et" and "necrosis", each (V,).

        ``cortex_mm`` and ``ventricle_mm`` are the distances of the points to the nearest sulcus and ventricle. The
        regions are nested: et >= tc >= wt everywhere. A part that the tumor lacks is infinitely far.
        """
        core = self.core.distance_mm(points)
        retreat = np.float32(_EDEMA_RETREAT_MM) * np.exp(-np.maximum(cortex_mm, 0.0) / np.float32(_RETREAT_SCALE_MM))
        edema = np.maximum(self.edema.distance_mm(points) + retreat, 1.0 - ventricle_mm)
        nowhere = np.full_like(core, np.inf)
        necrosis = nowhere
        if self.kind == "ring":
            necrosis = np.maximum(self.necrosis.distance_mm(points), core + np.float32(self.rim_mm))
        enhancing = nowhere
        if self.kind != "none":
            slope = np.sqrt((self.patches.vectors**2).sum(axis=1).mean())
            broken = (self.patches(points) - np.float32(self.patch_level)) / slope
            enhancing = np.maximum(np.maximum(core, -necrosis), broken)
        return {"wt": np.minimum(core, edema), "tc": core, "et": enhancing, "necrosis": necrosis}


def draw_glioma(rng: np.random.Generator, brain: Brain) -> Glioma:
    """A glioma with a core of about 9 to 25 mm in radius, in the white matter of either hemisphere."""
    kind = str(rng.choice(KINDS, p=_KIND_SHARES))
    core = _placed_core(rng, brain, math.exp(rng.uniform(math.log(10.0), math.log(25.0))))
    radius = core.radius_mm
    spread = rng.uniform(5.0, 18.0)
    return Glioma(
        kind=kind,
        core=core,
        necrosis=_blob(rng, _moved(rng, core.center_mm, 0.12 * radius), radius * rng.uniform(0.55, 0.85)),
        edema=_blob(rng, _moved(rng, core.center_mm, 0.6 * spread), radius + spread),
        rim_mm=rng.uniform(2.5, 4.5),
        patches=Waves.drawn(rng, count=8, shortest=1.2 * radius, longest=3.0 * radius),
        patch_level=rng.uniform(0.6, 2.2),
        texture=Waves.drawn(rng, count=12, shortest=10, longest=26),
        push_mm=rng.uniform(0.08, 0.25) * radius,
    )


def _placed_core(rng: np.random.Generator, brain: Brain, radius_mm: float) -> Ellipsoid:
    """A core inside the cerebrum, apart from the midline and mostly from the ventricles; it shrinks until it fits."""
    while True:
        for _ in range(40):
            center = (rng.uniform(-60, 60), rng.uniform(-70, 70), rng.uniform(_DEEPEST_RAS_MM, 58))
            point = np.array(center, np.float32)[:, None]
            deep = float(-brain.folds.hull.distance_mm(point)[0])
            clear = min(float(brain.ventricle_mm(point)[0]), float(brain.folds.cerebellum.distance_mm(point)[0]))
            if deep > 0.85 * radius_mm + 2 and clear > 0.55 * radius_mm and abs(center[0]) > 0.6 * radius_mm:
                return _blob(rng, center, radius_mm)
        radius_mm *= 0.93  # a core of 10 mm has room in every brain


def _blob(rng: np.random.Generator, center_mm: Triple, radius_mm: float) -> Ellipsoid:
    stretch = np.exp(rng.uniform(-0.25, 0.25, 3))
    semi_axes = radius_mm * stretch / stretch.prod() ** (1 / 3)
    waves = Waves.drawn(rng, count=8, shortest=0.9, longest=2.4)
    return Ellipsoid(center_mm, tuple(semi_axes.tolist()), rotation(rng, 180), _RIPPLE * rng.uniform(0.5, 1.0), waves)


def _moved(rng: np.random.Generator, center_mm: Triple, by_mm: float) -> Triple:
    direction = rng.standard_normal(3)
    r, a, s = (np.array(center_mm) + by_mm * direction / np.linalg.norm(direction)).tolist()
    return r, a, s
