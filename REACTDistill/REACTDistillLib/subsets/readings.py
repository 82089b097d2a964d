"""What a segmenting student says of the cases of a cohort, from every subset of the sequences of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..cohort import CohortEntry
from ..geometry import box_reached, resample
from ..progress import ProgressCallback
from ..recipes import Recipe, recipe_named
from ..segmentationscores import MissedRule, dice, hd95_mm
from ..tumorlabels import nested_masks
from ..volume import Grid, Volume
from .overlays import Overlay, overlay_of, slice_grid
from .scores import Subset, SubsetScore, SubsetTable, subset_table

if TYPE_CHECKING:
    from ..loadedstudent import Student

Mask = NDArray[np.bool_]


@runtime_checkable
class SegmentsSubsets(Recipe, Protocol):
    """A recipe whose student segments a case from any subset of its sequences."""

    def probabilities_by_subset(self, student: Student, case: Case) -> Iterator[tuple[Subset, dict[str, Volume]]]:
        """Each subset of the sequences of a case that the student takes, with the probability of each class.

        The probabilities are on a grid that may be coarser than the images; outside it they are 0.
        """


@dataclass(frozen=True)
class ReadingConfig:
    """``targets``: the region of a case that is the truth of each class; ``missed``: see ``segmentationscores``.

    ``overlays``: of how many cases a slice is kept for a figure.
    """

    targets: Mapping[str, str]
    missed: MissedRule = "image_diagonal"
    overlays: int = 2


@dataclass(frozen=True, eq=False)
class SubsetReadings:
    """Scores of all cases, and slices of the first ones.

    ``sequences`` counts the cases that have each sequence, ``empty_truths`` those whose truth of a region is empty.
    """

    table: SubsetTable
    overlays: tuple[Overlay, ...]
    sequences: Mapping[str, int]
    empty_truths: Mapping[str, int]


def read_subsets(
    student: Student, entries: Sequence[CohortEntry], config: ReadingConfig, *, progress: ProgressCallback
) -> SubsetReadings:
    """Return the scores of every subset of every case against the truth, on the voxels of the truth.

    Cases are read one after the other, so that memory does not grow; the encoders run once for each. A case that cannot
    be read ends it with a ValueError that names the case: scores without it would be of another cohort.
    """
    recipe, card = recipe_named(student.card.recipe), student.card
    if not isinstance(recipe, SegmentsSubsets):
        raise ValueError(f'The recipe "{card.recipe}" does not segment from subsets of sequences.')
    scores: list[SubsetScore] = []
    overlays: list[Overlay] = []
    empty = dict.fromkeys(card.classes, 0)
    for number, entry in enumerate(entries):
        progress("evaluate", number, len(entries))
        try:
            case = entry.load()
            truths = truths_of(case, config.targets)
            said = recipe.probabilities_by_subset(student, case)
            overlay = _read_case(entry, case, truths, said, scores, config.missed)
        except ValueError as error:
            raise ValueError(f'case "{entry.id}" cannot be evaluated: {error}') from error
        overlays += [overlay] if len(overlays) < config.overlays else []
        for name, truth in truths.items():
            empty[name] += int(not truth.array_kji.any())
    progress("evaluate", len(entries), len(entries))
    names = (*card.sequences["required"], *card.sequences["optional"])
    counts = {name: sum(name in entry.sequences for entry in entries) for name in names}
    return SubsetReadings(subset_table(scores, card.classes), tuple(overlays), counts, empty)


def truths_of(case: Case, targets: Mapping[str, str]) -> dict[str, Volume]:
    """The truth of each class that the case has; ValueError when it has none."""
    truths = {name: case.regions[region] for name, region in targets.items() if region in case.regions}
    if not truths:
        raise ValueError(f"it has none of the regions {', '.join(targets.values())} to compare with.")
    return truths


def masks_on_truths(probabilities: Mapping[str, Volume], truths: Mapping[str, Volume]) -> dict[str, Mask]:
    """The mask (K, J, I) of each class that has a truth, on the voxels of the truth.

    As in use: probabilities are interpolated (linear) and count from 0.5 on, and ET is cut off at TC and TC at WT.
    """
    on_grids: list[tuple[Grid, dict[str, Mask]]] = []
    masks = {}
    for name, truth in truths.items():
        found = next((there for grid, there in on_grids if grid.same_as(truth.grid)), None)
        if found is None:
            found = nested_masks({one: _mask(volume, truth.grid) for one, volume in probabilities.items()})
            on_grids.append((truth.grid, found))
        masks[name] = found[name]
    return masks


def _mask(probability: Volume, grid: Grid) -> Mask:
    mask = np.zeros(grid.shape_kji, dtype=bool)
    box = box_reached(grid, probability.grid)
    if box is not None:
        mask[box.slices] = resample(probability, grid.cropped(box)).array_kji >= 0.5
    return mask


def _read_case(
    entry: CohortEntry,
    case: Case,
    truths: Mapping[str, Volume],
    said: Iterable[tuple[Subset, dict[str, Volume]]],
    scores: list[SubsetScore],
    missed: MissedRule,
) -> Overlay:
    """Append the scores of one case; return the slice with most of its first region."""
    shown = slice_grid(next(iter(truths.values())))
    overlay = overlay_of(case, truths, shown)
    for subset, probabilities in said:
        masks = masks_on_truths(probabilities, truths)
        overlay.with_prediction(subset, {name: Volume(mask, truths[name].grid) for name, mask in masks.items()}, shown)
        for name, truth in truths.items():
            true, spacing_kji_mm = truth.array_kji.astype(bool), truth.grid.spacing_ijk_mm[::-1].tolist()
            distance_mm = hd95_mm(masks[name], true, spacing_kji_mm, missed=missed)
            overlap = dice(masks[name], true)
            scores.append(SubsetScore(entry.id, entry.patient, subset, name, overlap, distance_mm))
    return overlay
