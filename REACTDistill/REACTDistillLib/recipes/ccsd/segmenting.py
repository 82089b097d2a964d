"""From the sequences of a patient to a segmentation in the geometry of the patient."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ...finding import Finding, Provenance
from ...freememory import check_segmentation, free_bytes_of
from ...geometry import box_reached, resample
from ...segmentation import Segmentation
from ...tiles import blended_tiles, tile_boxes
from ...tumorlabels import NESTED, nested_masks
from ...volume import Box, Grid, Volume
from .. import preparation_of
from .brainmask import find_brain, reference_name
from .checks import NO_SEQUENCE, case_warnings, check_brain, check_overlap, check_sequences, covered_shares
from .inputs import brain_grid_of_tiles, brain_images
from .networks import CompositionalNet
from .peakmemory import SHARE_OF_FREE, peak_of

if TYPE_CHECKING:
    from ...case import Case
    from ...loadedstudent import Student
    from ...memory import Memory
    from ...progress import ProgressCallback

TASK = "segment"
_STEPS = 4
_THRESHOLD = 0.5
# Beyond this part of a region two outputs of the network contradict each other so much that the reader must know.
_MUCH_CUT = 0.1


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of a case before the network runs: sequences in the order of the card, brain, grid, warnings."""

    sequences: Mapping[str, Volume]
    brain: Volume
    grid: Grid
    warnings: tuple[str, ...]


def segment(
    student: Student,
    case: Case,
    *,
    progress: ProgressCallback,
    reference: str | None,
    with_probabilities: bool,
    memory: Memory,
    free_bytes: int | None = None,
) -> Finding:
    """Segment one case from any non-empty subset of the sequences of the card; names decide, not their order.

    The network sees the box of the brain at once when the memory suffices, else in overlapping tiles of the size it was
    trained on. Its probabilities come to the grid of the sequence ``reference`` (None: the one with the smallest
    voxels) by linear interpolation; masks are where they are at least 0.5, ET cut off at TC and TC at WT (design
    choice: the larger region is the surer one). Outside the brain there is nothing. ``free_bytes`` is asked of the
    system when None. Raises ValueError, one sentence, for sequences that cannot be used (``checks``), a reference that
    was not given and too little memory.
    """
    started = time.perf_counter()
    given = _given(student, case)
    reference = _reference(reference, given)
    progress("check", 0, _STEPS)
    seen = _seen(student, given, case.regions.get("brain"), memory)
    free = free_bytes_of(student.device) if free_bytes is None else free_bytes
    probabilities = memory.recall(
        "probabilities", (seen, student), lambda: _probabilities(student, seen, progress, free)
    )
    progress("write", _STEPS - 1, _STEPS)
    maps = _maps(probabilities, seen.grid, given[reference].grid, student.card.classes)
    segmentation, contradictions = _segmentation(maps, student, given, with_probabilities=with_probabilities)
    progress("write", _STEPS, _STEPS)
    return Finding(
        case_identifier=case.identifier,
        task=TASK,
        probabilities={},
        grid=given[reference].grid,
        shown_class="",
        attention=None,
        graph=None,
        provenance=Provenance.of(student, time.perf_counter() - started),
        warnings=(*seen.warnings, *contradictions),
        segmentation=segmentation,
    )


def get_ready(student: Student, case: Case, *, progress: ProgressCallback, memory: Memory) -> None:
    """Check the sequences and find the brain, and keep both in the ``memory``; raises ValueError as ``segment``."""
    given = _given(student, case)
    _reference(None, given)
    progress("check", 0, 1)
    _seen(student, given, case.regions.get("brain"), memory)
    progress("check", 1, 1)


def _given(student: Student, case: Case) -> dict[str, Volume]:
    """The sequences of the case that the student knows, in the order of its card."""
    return {name: case.sequences[name] for name in _names(student) if name in case.sequences}


def _names(student: Student) -> tuple[str, ...]:
    return preparation_of(student.card).sequence_names


def _reference(reference: str | None, given: Mapping[str, Volume]) -> str:
    if not given:
        raise ValueError(NO_SEQUENCE)
    if reference is None:
        return reference_name(given)
    if reference not in given:
        raise ValueError(f'The reference "{reference}" is not among the sequences given: {", ".join(given)}.')
    return reference


def _seen(student: Student, given: Mapping[str, Volume], brain: Volume | None, memory: Memory) -> Seen:
    """What is known before the network runs; kept while sequences, brain and student are the same."""
    preparation, stride_kji = preparation_of(student.card), _network_of(student).stride_kji

    def found_out() -> Seen:
        check_sequences(given)
        found = find_brain(given, brain)
        check_brain(found)
        shares = covered_shares(given, found.mask)
        check_overlap(shares)
        grid = brain_grid_of_tiles(found.mask, preparation.grid_spacing_kji_mm, stride_kji, preparation.grid_shape_kji)
        warnings = case_warnings(given, preparation.sequence_names, found, shares)
        return Seen(given, found.mask, grid, tuple(warnings))

    return memory.recall("seen", (*given, *given.values(), brain, student), found_out)


def _probabilities(
    student: Student, seen: Seen, progress: ProgressCallback, free_bytes: int | None
) -> NDArray[np.float32]:
    """The probabilities of each class (R, D, H, W) on the grid of the case, 0 outside the brain."""
    preparation = preparation_of(student.card)
    boxes = _boxes(student, seen, preparation.grid_shape_kji, free_bytes)
    progress("prepare", 1, _STEPS)
    names = preparation.sequence_names
    images, present, inside = brain_images(seen.sequences, names, seen.brain, seen.grid, preparation.intensity)
    there = torch.from_numpy(present)

    def read(box: Box) -> NDArray[np.float32]:
        tile = torch.from_numpy(np.ascontiguousarray(images[(slice(None), *box.slices)]))
        return forward(student, tile, there)

    if len(boxes) == 1:
        progress("student", 2, _STEPS)
        probabilities = read(boxes[0])
    else:
        probabilities = blended_tiles(
            boxes,
            read,
            seen.grid.shape_kji,
            len(preparation.classes),
            progress=lambda done, total: progress("tiles", done, total),
        )
    probabilities *= inside
    return probabilities


def _boxes(student: Student, seen: Seen, tile_kji: tuple[int, int, int], free_bytes: int | None) -> list[Box]:
    """One box when the whole brain fits into the memory, else tiles; ValueError when not even a tile fits."""
    peak = peak_of(student.card.network["config"], tile_kji, seen.sequences, seen.grid)
    room = None if free_bytes is None else int(SHARE_OF_FREE * free_bytes)
    if room is None or peak.whole <= room:
        return [Box((0, 0, 0), seen.grid.shape_kji)]
    check_segmentation(peak.tiled, free_bytes=room)
    return tile_boxes(seen.grid.shape_kji, tile_kji)


@torch.inference_mode()
def forward(student: Student, images: torch.Tensor, present: torch.Tensor) -> NDArray[np.float32]:
    """The probabilities (R, D, H, W), on the CPU, of images (M, D, H, W) of which ``present`` (M,) are there."""
    logits = student.network(images[None].to(student.device), present[None].to(student.device))
    probabilities: NDArray[np.float32] = logits[0].sigmoid_().float().cpu().numpy()
    return probabilities


def _maps(probabilities: NDArray[np.float32], grid: Grid, reference: Grid, classes: Sequence[str]) -> dict[str, Volume]:
    """Probability maps on the part of the reference grid that the network saw."""
    box = box_reached(reference, grid)
    if box is None:
        raise ValueError("The reference image shows nothing of the brain; choose another reference.")
    part = reference.cropped(box)
    return {name: resample(Volume(one, grid), part) for name, one in zip(classes, probabilities, strict=True)}


def _segmentation(
    maps: dict[str, Volume], student: Student, given: Mapping[str, Volume], *, with_probabilities: bool
) -> tuple[Segmentation, list[str]]:
    """Masks, volumes and expectation, and sentences on outputs that contradict each other."""
    from ...expectation import expectation

    raw = {name: volume.array_kji >= _THRESHOLD for name, volume in maps.items()}
    nested = nested_masks(raw)
    masks = {name: Volume(mask, maps[name].grid) for name, mask in nested.items()}
    volumes_ml = {
        name: round(float(np.count_nonzero(one.array_kji)) * one.grid.voxel_ml, 3) for name, one in masks.items()
    }
    expected = expectation(student.card, set(given)).to_json()
    segmentation = Segmentation(masks, maps if with_probabilities else None, volumes_ml, expected)
    return segmentation, _contradictions(raw, nested)


def _contradictions(raw: Mapping[str, NDArray[np.bool_]], nested: Mapping[str, NDArray[np.bool_]]) -> list[str]:
    sentences = []
    for inner, outer in zip(NESTED[1:], NESTED, strict=False):
        found = int(np.count_nonzero(raw[inner])) if inner in raw and outer in raw else 0
        cut = found - int(np.count_nonzero(nested[inner])) if found else 0
        if cut > _MUCH_CUT * found:
            sentences.append(f"{cut / found:.0%} of {inner} lay outside {outer} and was cut off; the result is unsure.")
    return sentences


def _network_of(student: Student) -> CompositionalNet:
    if not isinstance(student.network, CompositionalNet):
        raise ValueError(
            f'"{student.card.name}" holds a {type(student.network).__name__}, expected a CompositionalNet.'
        )
    regions, classes = int(student.card.network["config"]["regions"]), len(student.card.classes)
    if regions != classes:
        raise ValueError(
            f'"{student.card.name}" has {regions} outputs for {classes} classes; the card does not belong to this '
            "network."
        )
    return student.network
