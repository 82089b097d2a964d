"""What the seed of an analytic patient stands for: an identifier, and streams of random numbers."""

from __future__ import annotations

import re

import numpy as np


def phantom_identifier(seed: int) -> str:
    """The identifier of the patient of a seed; "phantom" in it says that the patient is synthetic."""
    return f"phantom_{seed:05d}"


def number_of(identifier: str) -> int | None:
    """The number at the end of the identifier of an analytic patient; None where there is none."""
    found = re.fullmatch(r"\D*_(\d{5,})", identifier)
    return None if found is None else int(found[1])


def numbers_named(cohort: str) -> range:
    """The seeds in the name of a cohort, as in "phantoms 0 to 299"; an empty range where it names none."""
    found = re.fullmatch(r"\D* (\d+) to (\d+)", cohort)
    return range(0) if found is None else range(int(found[1]), int(found[2]) + 1)


def checked_seed(seed: int) -> int:
    """The seed as an int; ValueError unless it is a whole number of at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"a phantom seed must be a whole number of at least 0, got {seed!r}.")
    return int(seed)


def random_stream(seed: int, number: int) -> np.random.Generator:
    """The random numbers of that number for a seed; streams of other numbers or seeds know nothing of each other."""
    return np.random.Generator(np.random.PCG64([seed, number]))
