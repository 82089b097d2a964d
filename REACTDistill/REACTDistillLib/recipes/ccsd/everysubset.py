"""What a student says of a case from every subset of its sequences: the encoders run once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ...case import Case
from ...freememory import check_segmentation, free_bytes_of
from ...loadedstudent import Student
from ...subsets.samples import logits_by_subset
from ...subsets.scores import Subset
from ...tiles import blended_tiles, tile_boxes
from ...volume import Box, Grid, Volume
from .. import preparation_of
from .brainmask import find_brain
from .checks import check_brain, check_overlap, check_sequences, covered_shares
from .inputs import brain_grid_of_tiles, brain_images
from .peakmemory import SHARE_OF_FREE, peak_of

_Answers = dict[Subset, NDArray[np.float32]]


def probabilities_by_subset(
    student: Student, case: Case, *, free_bytes: int | None = None
) -> Iterator[tuple[Subset, dict[str, Volume]]]:
    """Each subset of the sequences that the student takes, with the probability of each class, 0 outside the brain.

    Checks, grid and tiles are those of ``segmenting.segment``; the brain is found in all sequences of the case, also
    for subsets of them. ``free_bytes`` is asked of the system when None. Raises ValueError, one sentence, for sequences
    that cannot be used and for too little memory.
    """
    card, names = student.card, preparation_of(student.card).sequence_names
    given = {name: case.sequences[name] for name in names if name in case.sequences}
    check_sequences(given)
    found = find_brain(given, case.regions.get("brain"))
    check_brain(found)
    check_overlap(covered_shares(given, found.mask))
    stride_kji = student.network.stride_kji
    grid = brain_grid_of_tiles(found.mask, card.grid_spacing_kji_mm, stride_kji, card.grid_shape_kji)  # type: ignore[arg-type]
    images, present, inside = brain_images(given, names, found.mask, grid, card.intensity)
    free = free_bytes_of(student.device) if free_bytes is None else free_bytes
    boxes = _boxes(student, given, grid, free)
    for subset, answer in _answers(student, images, present, boxes).items():
        answer *= inside
        yield subset, {name: Volume(one, grid) for name, one in zip(card.classes, answer, strict=True)}


def _boxes(student: Student, given: Mapping[str, Volume], grid: Grid, free_bytes: int | None) -> list[Box]:
    """One box when the whole brain and its answers fit into the memory, else tiles; ValueError when no tile does."""
    config, tile_kji = student.card.network["config"], student.card.grid_shape_kji
    answers = 4 * (2 ** len(given) - 1) * int(config["regions"]) * int(np.prod(grid.shape_kji))
    peak = peak_of(config, tile_kji, given, grid)
    room = None if free_bytes is None else int(SHARE_OF_FREE * free_bytes) - answers
    if room is None or peak.whole <= room:
        return [Box((0, 0, 0), grid.shape_kji)]
    check_segmentation(peak.tiled, free_bytes=room)
    return tile_boxes(grid.shape_kji, tile_kji)


def _answers(student: Student, images: NDArray[np.float32], present: NDArray[np.bool_], boxes: list[Box]) -> _Answers:
    """The probabilities (R, D, H, W) for each subset, of tiles that become one again."""
    names, regions = preparation_of(student.card).sequence_names, len(student.card.classes)
    there = torch.from_numpy(present).to(student.device)
    subsets: list[Subset] = []

    def read(box: Box) -> NDArray[np.float32]:
        tile = torch.from_numpy(np.ascontiguousarray(images[(slice(None), *box.slices)])).to(student.device)
        said = list(logits_by_subset(student.network, tile, there, names))  # type: ignore[arg-type]
        subsets[:] = [subset for subset, _ in said]
        return np.concatenate([torch.sigmoid(logits).float().cpu().numpy() for _, logits in said])

    channels = (2 ** int(present.sum()) - 1) * regions
    stacked = read(boxes[0]) if len(boxes) == 1 else blended_tiles(boxes, read, images.shape[1:], channels)
    return {subset: stacked[n * regions : (n + 1) * regions] for n, subset in enumerate(subsets)}
