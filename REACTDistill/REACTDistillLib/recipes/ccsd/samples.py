"""How a case of CCSD becomes the tensors of a training sample, and how a sample is changed at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...geometry import resample
from .curriculum import Curriculum
from .inputs import brain_grid_of_tiles, brain_images, brain_mask
from .subsets import random_levels, random_subset, subsets_of

if TYPE_CHECKING:
    from ...case import Case
    from ...volume import Grid
    from .. import Batch, Preparation

_SPATIAL = ("image", "brain", "target")
_TUMOR_SHARE = 2 / 3  # of the tiles hold a voxel of the tumor that was drawn at random
_CHANGE = 0.1  # of the contrast, and of the brightness in standard deviations of the brain


def training_sample(
    case: Case, preparation: Preparation, stride_kji: Sequence[int], curriculum: Curriculum
) -> dict[str, Tensor]:
    """The tensors of a case, without batch axis, on a grid around its brain that is at least one tile.

    ``image`` (M, D, H, W), ``present`` (M,) bool, ``brain`` (D, H, W) bool, ``target`` (R, D, H, W) 0 or 1 with a
    channel per class, ``known`` (R,) bool: which classes have a truth, ``label`` () 0, and the subsets to evaluate,
    ``scored`` (K, M) bool. Raises ValueError for a case without any of the sequences that the run sees.
    """
    names = preparation.sequence_names
    sequences = {name: case.sequences[name] for name in names if name in case.sequences and _sees(curriculum, name)}
    if not sequences:
        wanted = curriculum.only or names
        raise ValueError(f"{case.identifier} has none of the sequences {', '.join(wanted)}; leave it out.")
    brain = brain_mask(sequences, case.regions.get("brain"))
    _check_tile(preparation.grid_shape_kji, stride_kji)
    grid = brain_grid_of_tiles(brain, preparation.grid_spacing_kji_mm, stride_kji, preparation.grid_shape_kji)
    image, present, inside = brain_images(sequences, names, brain, grid, preparation.intensity)
    target, known = truth(case, preparation.classes, curriculum, grid)
    there = torch.from_numpy(present)
    return {
        "image": torch.from_numpy(image),
        "present": there,
        "brain": torch.from_numpy(inside),
        "target": target,
        "known": known,
        "label": torch.tensor(0),
        "scored": there[None] if curriculum.only else subsets_of(there),
    }


def truth(case: Case, classes: Sequence[str], curriculum: Curriculum, grid: Grid) -> tuple[Tensor, Tensor]:
    """The masks of a case on a grid, (R, D, H, W) float32 0 or 1, and which classes it has one for, (R,) bool."""
    missing = sorted(set(classes) - set(curriculum.targets))
    if missing:
        raise ValueError(f'"targets" names no region for the class {missing[0]}; it has {dict(curriculum.targets)}.')
    regions = [case.regions.get(curriculum.targets[name]) for name in classes]
    masks = [
        np.zeros(grid.shape_kji, bool) if one is None else resample(one, grid, interpolation="linear").array_kji >= 0.5
        for one in regions
    ]
    return torch.from_numpy(np.stack(masks).astype(np.float32)), torch.tensor([one is not None for one in regions])


def changed_at_random(
    sample: Batch, generator: torch.Generator, tile_kji: Sequence[int], curriculum: Curriculum
) -> dict[str, Tensor]:
    """A sample flipped left to right or not, cut to a tile, each sequence in another contrast, its subsets drawn.

    Two of three tiles hold a voxel of the tumor. ``sampled`` (M,) bool is the subset of C4, ``levels`` (M - 1, M) bool
    one subset of each size for C5 (``subsets.random_levels``).
    """
    changed = {name: tensor for name, tensor in sample.items() if name != "scored"}
    k, j, i = _tile(sample["target"], tile_kji, generator)
    flipped = _uniform(generator) < 0.5
    for name in _SPATIAL:
        tile = changed[name][..., k, j, i]
        changed[name] = tile.flip(-1) if flipped else tile
    contrast = 1 + _CHANGE * (2 * torch.rand(len(sample["present"]), generator=generator) - 1)
    brightness = _CHANGE * (2 * torch.rand(len(sample["present"]), generator=generator) - 1)
    image = changed["image"] * contrast[:, None, None, None] + brightness[:, None, None, None]
    seen = changed["brain"] & sample["present"][:, None, None, None]
    changed["image"] = torch.where(seen, image, 0.0)
    changed["sampled"] = random_subset(sample["present"], generator, curriculum.sampling)
    if curriculum.only:
        changed["sampled"] = sample["present"]
    changed["levels"] = random_levels(sample["present"], generator)
    return changed


def _sees(curriculum: Curriculum, name: str) -> bool:
    return not curriculum.only or name in curriculum.only


def _check_tile(tile_kji: Sequence[int], stride_kji: Sequence[int]) -> None:
    if any(size % stride for size, stride in zip(tile_kji, stride_kji, strict=True)):
        raise ValueError(
            f"the grid {tuple(tile_kji)} must be a multiple of the strides {tuple(stride_kji)} of the network."
        )


def _tile(target: Tensor, tile_kji: Sequence[int], generator: torch.Generator) -> tuple[slice, ...]:
    """A window of the size of a tile within (R, D, H, W), drawn at random."""
    room = [whole - size for whole, size in zip(target.shape[1:], tile_kji, strict=True)]
    draws = torch.rand(5, generator=generator).tolist()
    starts = [min(int(draw * (free + 1)), free) for draw, free in zip(draws, room, strict=False)]
    if any(room) and draws[3] < _TUMOR_SHARE:
        places = target.amax(dim=0).nonzero()  # (V, 3)
        if len(places):
            place = places[min(int(draws[4] * len(places)), len(places) - 1)].tolist()
            pairs = zip(place, starts, room, tile_kji, strict=True)
            starts = [max(0, min(max(start, at - size + 1), at, free)) for at, start, free, size in pairs]
    return tuple(slice(start, start + size) for start, size in zip(starts, tile_kji, strict=True))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
