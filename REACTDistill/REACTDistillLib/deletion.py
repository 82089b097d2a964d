"""Faithfulness of what a student points at: how its answer falls when that is taken out of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .attention import class_margin

if TYPE_CHECKING:
    from torch import Tensor

# Closer where the curve of the most important voxels falls.
FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST, LEAST, RANDOM = "most important first", "least important first", "a random place, growing"
ORDERS = (MOST, RANDOM, LEAST)

# Reads the probability of one class from images (C, D, H, W).
Reader = Callable[[Sequence["Tensor"]], NDArray[np.float64]]


def deletion_curves(
    read: Reader,
    image: Tensor,
    evidence: Tensor,
    class_index: int,
    spacing_kji_mm: Sequence[float],
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """Return the probability of a class after each of ``FRACTIONS`` is taken out, (S,), for each of ``ORDERS``.

    ``read(images)`` gives the probability of the class in each image; ``image`` (C, D, H, W) is 0 where nothing is
    said (after R1 that is average liver), so a voxel is taken out by 0; ``evidence`` (K, d, h, w) is the student's own
    on its feature grid, with voxels ``spacing_kji_mm`` apart. Fractions are of all voxels that have evidence. The
    least important voxels first, and a compact piece of the same volume that grows around a random voxel, are what the
    curve of the most important ones is compared with (deletion metric of Petsiuk et al. 2018). Feature voxels share
    their surroundings, so what is taken out is a cell of the feature grid and not all that the feature has seen.
    """
    inside = evidence.ne(0).any(dim=0).cpu().numpy()
    margin = class_margin(evidence, class_index).cpu().numpy()[inside]
    orders = {
        MOST: np.argsort(-margin, kind="stable"),
        LEAST: np.argsort(margin, kind="stable"),
        RANDOM: _growing(inside, spacing_kji_mm, rng),
    }
    images = [_without(image, inside, orders[name], fraction) for name in ORDERS for fraction in FRACTIONS]
    rows = read(images).reshape(len(ORDERS), len(FRACTIONS))
    return dict(zip(ORDERS, rows, strict=True))


def area_under(curve: NDArray[np.float64]) -> float:
    """Return the mean height of a deletion curve (S,) over the fraction taken out, by trapezoids; low is faithful."""
    return float((np.diff(FRACTIONS) * (curve[1:] + curve[:-1]) / 2).sum())


def _growing(inside: NDArray[np.bool_], spacing_kji_mm: Sequence[float], rng: np.random.Generator) -> NDArray[np.intp]:
    """The voxels inside by their distance from a random one of them."""
    places = np.argwhere(inside) * np.asarray(spacing_kji_mm)
    return np.argsort(np.linalg.norm(places - rng.choice(places), axis=1), kind="stable")


def _without(image: Tensor, inside: NDArray[np.bool_], order: NDArray[np.intp], fraction: float) -> Tensor:
    """The image (C, D, H, W) with the first ``fraction`` of the feature voxels inside set to 0."""
    import torch

    gone = np.zeros(len(order), dtype=bool)
    gone[order[: round(fraction * len(order))]] = True
    cells = np.zeros(inside.shape, dtype=bool)
    cells[inside] = gone
    return image.masked_fill(torch.from_numpy(_on_input(cells, image.shape[1:])).to(image.device), 0.0)


def _on_input(cells: NDArray[np.bool_], shape_kji: Sequence[int]) -> NDArray[np.bool_]:
    """Each input voxel has the value of the nearest feature voxel, which sits on the input voxel stride * index."""
    nearest = []
    for count, size in zip(cells.shape, shape_kji, strict=True):
        stride = round(size / count)
        nearest.append(np.minimum((np.arange(size) + stride // 2) // stride, count - 1))
    return cells[np.ix_(*nearest)]
