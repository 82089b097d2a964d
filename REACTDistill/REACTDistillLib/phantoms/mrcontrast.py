"""How bright each tissue of an analytic brain is in T1, T1 with contrast, T2 and FLAIR, and what a scanner adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Array, Waves

SEQUENCES = ("t1", "t1ce", "t2", "flair")
# Relative to white matter in T1; columns as in SEQUENCES.
_TISSUES = {
    "white": (1.00, 1.00, 0.50, 0.60),
    "gray": (0.74, 0.76, 0.72, 0.80),
    "deep gray": (0.85, 0.87, 0.60, 0.70),
    "fluid": (0.34, 0.35, 1.40, 0.20),
    "hyperintensity": (0.84, 0.85, 0.95, 1.10),
    "plexus": (0.60, 1.40, 1.05, 0.75),
    "vessel": (0.62, 1.50, 0.36, 0.42),
}
_TUMOR_TISSUES = {
    "edema": (0.80, 0.81, 1.08, 1.08),
    "solid": (0.63, 0.65, 0.96, 0.94),
    "enhancing": (0.68, 1.38, 0.90, 0.96),
    "necrosis": (0.48, 0.50, 1.28, 0.66),
}
_TISSUE_SPREAD, _TUMOR_SPREAD = 0.03, 0.08  # standard deviations of the logarithm from patient to patient
_SMALLEST = 1e-3  # of white matter: inside the brain nothing is exactly background


@dataclass(frozen=True, eq=False)
class Scan:
    """What the scanner adds to one sequence: arbitrary units, a smooth bias field, noise.

    ``gain`` is the signal of white matter in T1; ``bias`` the standard deviation of the logarithm of the coil's field
    ``coil``; ``noise`` the standard deviation of either channel, relative to the gain.
    """

    gain: float
    bias: float
    coil: Waves
    noise: float

    def shaded(self, signal: Array, points: Array) -> Array:
        """The signal times the smooth field of the coil, shape (V,)."""
        return signal * np.exp(np.float32(self.bias) * self.coil(points))

    def magnitude(self, signal: Array, stream: np.random.Generator, noise_scale: float) -> Array:
        """The signal in arbitrary units with Rician noise: |s + n1 + i n2|, above 0, of the signal's shape."""
        sd = np.float32(self.noise * noise_scale)
        real = signal + sd * stream.standard_normal(signal.shape, dtype=np.float32)
        imaginary = sd * stream.standard_normal(signal.shape, dtype=np.float32)
        return np.float32(self.gain) * np.maximum(np.hypot(real, imaginary), np.float32(_SMALLEST))


def draw_brightness(rng: np.random.Generator) -> dict[str, Array]:
    """Brightness of each tissue by its name, shape (4,) in the order of ``SEQUENCES``; tumors vary more."""
    brightness = {}
    for table, spread in ((_TISSUES, _TISSUE_SPREAD), (_TUMOR_TISSUES, _TUMOR_SPREAD)):
        for name, values in table.items():
            factors = np.exp(np.clip(spread * rng.standard_normal(len(SEQUENCES)), -2 * spread, 2 * spread))
            brightness[name] = (np.array(values) * factors).astype(np.float32)
    return brightness


def draw_scans(rng: np.random.Generator) -> dict[str, Scan]:
    """The scan of each sequence, each with a gain of its own between 100 and 2000."""
    return {
        name: Scan(
            gain=float(np.exp(rng.uniform(np.log(100.0), np.log(2000.0)))),
            bias=rng.uniform(0.03, 0.08),
            coil=Waves.drawn(rng, count=6, shortest=180, longest=360),
            noise=rng.uniform(0.025, 0.06),
        )
        for name in SEQUENCES
    }
