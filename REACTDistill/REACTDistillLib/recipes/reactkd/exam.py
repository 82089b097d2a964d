"""What is known of a case before the network of a student is asked: where the liver is, images, regions, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...geometry import main_box, mask_box
from ...regions import FoundLiver, LiverRegions, find_liver
from ...softmasks import SoftMasks
from ...volume import Grid
from .. import preparation_of
from .inputs import covered_shares, exam_images, student_grid
from .networks import GradeStudent

if TYPE_CHECKING:
    from ...case import Case
    from ...loadedstudent import Student
    from ...memory import Memory
    from ...progress import ProgressCallback

# A liver that the image holds only in part is graded with a warning, below this share it is refused.
_LEAST_LIVER_INSIDE, _WELL_COVERED = 0.25, 0.95
_MOST_TUMOR = 0.8
_LIVER_ML = (300.0, 5000.0)


@dataclass(frozen=True, eq=False)
class RegionMasks:
    """Regions on the feature grid ``grid``: soft masks of each, ``nodes`` (N, d, h, w), and ``pools`` (3, d, h, w)."""

    regions: LiverRegions
    grid: Grid
    nodes: torch.Tensor
    pools: torch.Tensor

    @classmethod
    def of(cls, regions: LiverRegions, grid: Grid) -> RegionMasks:
        """The soft masks of regions by area averaging."""
        masks = SoftMasks.of(regions, grid)
        return cls(regions, grid, torch.from_numpy(masks.nodes), torch.from_numpy(masks.pools))


@dataclass(frozen=True, eq=False)
class Exam:
    """A case before a student; what was made for it once is in the memory, as long as it stands."""

    student: Student
    case: Case
    memory: Memory
    found: FoundLiver
    grid: Grid

    @classmethod
    def of(cls, student: Student, case: Case, memory: Memory) -> Exam:
        """The exam with its liver found; ValueError when the CT holds too little of it."""
        preparation, stride_kji = preparation_of(student.card), network_of(student).stride_kji
        liver, tumor, ct = preparation.organ_of(case), preparation.tumor_of(case), preparation.main_of(case)
        found = memory.recall("found", (liver, tumor, ct), lambda: find_liver(liver, tumor, ct.grid, memory))
        _check_inside(found)
        grid = memory.recall("grid", (found.liver, student), lambda: student_grid(found.liver, preparation, stride_kji))
        return cls(student, case, memory, found, grid)

    def sources(self) -> tuple[object, ...]:
        """What the images rest on, and with them whatever the network says of them alone."""
        sequences = self.case.sequences
        names = preparation_of(self.student.card).sequence_names
        return (*(sequences.get(name) for name in names), self.found.liver, self.student)

    def images(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network is shown: the sequences (S, D, H, W), and which there are (S,)."""
        return self.memory.recall("images", self.sources(), self._images)

    def masks(self) -> RegionMasks:
        """The regions on the feature grid."""
        return self.memory.recall("masks", (self.found, self.grid), self._masks)

    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the masks and of the images."""
        regions = self.masks().regions
        preparation = preparation_of(self.student.card)
        has_tumor = not preparation.takes_tumor or preparation.tumor_of(self.case) is not None
        of_masks = self.memory.recall("warnings", (regions,), lambda: tuple(_warnings(regions, has_tumor=has_tumor)))
        return of_masks + self.memory.recall("image warnings", self.sources(), self._image_warnings)

    def _image_warnings(self) -> tuple[str, ...]:
        """A sentence for each sequence beside the main one that shows the organ only in part."""
        _, *others = preparation_of(self.student.card).sequence_names
        given = {name: self.case.sequences[name] for name in others if name in self.case.sequences}
        shares = covered_shares(given, self.found.liver, self.grid, self.memory)
        return tuple(
            f'Only {share:.0%} of the liver lies inside "{name}".'
            for name, share in shares.items()
            if share < _WELL_COVERED
        )

    def _images(self) -> tuple[torch.Tensor, torch.Tensor]:
        preparation = preparation_of(self.student.card)
        image, present = exam_images(
            self.case.sequences,
            preparation.sequence_names,
            self.found.liver,
            self.grid,
            preparation.intensity,
            self.memory,
        )
        return torch.from_numpy(image), torch.from_numpy(present)

    def _masks(self) -> RegionMasks:
        return RegionMasks.of(self.found.divided(), self.grid.strided(network_of(self.student).stride_kji))


def get_ready(student: Student, case: Case, *, progress: ProgressCallback, memory: Memory) -> None:
    """Do what ``grade`` does before and beside the network, so that it finds it in the ``memory``."""
    progress("regions", 0, 3)
    exam = Exam.of(student, case, memory)
    progress("prepare", 1, 3)
    exam.images()
    progress("prepare", 2, 3)
    exam.masks()
    progress("prepare", 3, 3)
    exam.warnings()


def network_of(student: Student) -> GradeStudent:
    """The network of a student; ValueError when it is no grader or does not belong to its card."""
    if not isinstance(student.network, GradeStudent):
        raise ValueError(f'"{student.card.name}" holds a {type(student.network).__name__}, expected a GradeStudent.')
    if student.network.head.out_features != len(student.card.classes):
        raise ValueError(
            f'"{student.card.name}" has {student.network.head.out_features} outputs for {len(student.card.classes)} '
            "classes; the card does not belong to this network."
        )
    return student.network


def _check_inside(found: FoundLiver) -> None:
    if found.inside_image < _LEAST_LIVER_INSIDE:
        raise ValueError(
            f"Only {found.inside_image:.0%} of the liver mask lies inside the CT; at least "
            f"{_LEAST_LIVER_INSIDE:.0%} is needed. Check that both belong to the same scan."
        )


def _warnings(regions: LiverRegions, *, has_tumor: bool) -> list[str]:
    warnings = []
    if not has_tumor:
        warnings.append("No tumor mask was given: the grade rests on the liver as a whole and is less certain.")
    liver = regions.liver.array_kji.astype(bool, copy=False)
    if mask_box(liver) != main_box(liver):
        warnings.append("The masks have stray voxels far from the liver, which do not count; check the masks.")
    if regions.inside_image < _WELL_COVERED:
        warnings.append(f"Only {regions.inside_image:.0%} of the liver mask lies inside the CT.")
    liver_voxels, tumor = np.count_nonzero(regions.liver.array_kji), regions.union_of("tumor")
    tumor_share = 0.0 if tumor is None else np.count_nonzero(tumor.array_kji) / liver_voxels
    if tumor_share > _MOST_TUMOR:
        warnings.append(
            f"The tumor mask covers {tumor_share:.0%} of the liver; check that the masks are the right ones."
        )
    liver_ml = liver_voxels * regions.image.voxel_ml
    if not _LIVER_ML[0] <= liver_ml <= _LIVER_ML[1]:
        warnings.append(f"The liver measures {liver_ml:.0f} ml; check that the mask is a whole liver and nothing else.")
    return warnings
