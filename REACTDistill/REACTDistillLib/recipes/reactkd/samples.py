"""How a case of REACT-KD becomes the tensors of a training sample, and how a sample is changed at random."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ...distill import with_sequences_dropped
from ...geometry import mask_box, resample
from ...lowdose import low_dose_series
from ...regions import LiverRegions, liver_regions
from ...softmasks import SoftMasks
from ...volume import Box, Grid, Volume
from .curriculum import Curriculum
from .inputs import cell_grid, exam_images, sequence_image, student_grid

if TYPE_CHECKING:
    from ...case import Case
    from .. import Batch, Preparation

_NO_TEACHERS = Curriculum()
_FLIPPED = ("image", "exam", "dosed", "pools", "nodes", "teacher_pools", "teacher_nodes")


def student_sample(case: Case, preparation: Preparation, stride_kji: Sequence[int]) -> Batch:
    """What the student sees of a case, without batch axis.

    ``image`` (S, D, H, W), which sequences are ``present`` (S,) and which ``required`` (S,), soft masks ``pools``
    (3, d, h, w) and the ``label`` (), -1 when unknown.
    """
    regions, grid = _regions_and_grid(case, preparation, stride_kji)
    return _student_part(case, preparation, regions, grid, SoftMasks.of(regions, grid.strided(stride_kji)))


def training_sample(case: Case, preparation: Preparation, stride_kji: Sequence[int], curriculum: Curriculum) -> Batch:
    """What student and teachers see of a case.

    Beside ``student_sample``: ``exam`` (M, D, H, W) and ``exam_present`` (M,), the main sequence first, then the
    privileged ones; ``dosed`` (L, D, H, W), the main sequence at each dose; the regions of the graph as soft masks
    ``nodes`` (N, d, h, w) on the student's feature grid and ``teacher_nodes`` on that of the teachers, N padded with
    zeros; ``teacher_pools``.
    """
    regions, grid = _regions_and_grid(case, preparation, stride_kji)
    masks = SoftMasks.of(regions, grid.strided(stride_kji))
    sample = _student_part(case, preparation, regions, grid, masks)
    main = preparation.sequences["required"][0]
    rules = {**preparation.intensity, **curriculum.privileged}
    exam, present = exam_images(case.sequences, (main, *curriculum.privileged), regions.liver, grid, rules)
    cells = SoftMasks.of(regions, cell_grid(grid, curriculum.teacher.stride_kji))
    kept = _largest(regions, curriculum.most_nodes)
    return {
        **sample,
        "exam": torch.from_numpy(exam),
        "exam_present": torch.from_numpy(present),
        "dosed": torch.from_numpy(_dosed(case, main, regions, grid, preparation, curriculum)),
        "nodes": torch.from_numpy(_padded(masks.nodes[kept], curriculum.most_nodes)),
        "teacher_nodes": torch.from_numpy(_padded(cells.nodes[kept], curriculum.most_nodes)),
        "teacher_pools": torch.from_numpy(cells.pools),
    }


def _regions_and_grid(case: Case, preparation: Preparation, stride_kji: Sequence[int]) -> tuple[LiverRegions, Grid]:
    organ, tumor = preparation.organ_of(case), preparation.tumor_of(case)
    regions = liver_regions(organ, tumor, preparation.main_of(case).grid)
    return regions, student_grid(regions.liver, preparation, stride_kji)


def _student_part(case: Case, preparation: Preparation, regions: LiverRegions, grid: Grid, masks: SoftMasks) -> Batch:
    names = preparation.sequence_names
    image, present = exam_images(case.sequences, names, regions.liver, grid, preparation.intensity)
    label = -1 if case.label is None else preparation.classes.index(case.label)
    return {
        "image": torch.from_numpy(image),
        "present": torch.from_numpy(present),
        "required": torch.tensor([name in preparation.sequences["required"] for name in names]),
        "pools": torch.from_numpy(masks.pools),
        "label": torch.tensor(label),
    }


def _dosed(
    case: Case, main: str, regions: LiverRegions, grid: Grid, preparation: Preparation, curriculum: Curriculum
) -> NDArray[np.float32]:
    """The main sequence at each dose, (L, D, H, W); the noise of a case is always the same."""
    volume, rule = _slices_of(regions.liver, case.sequences[main]), preparation.intensity[main]
    seed = zlib.crc32(case.identifier.encode())
    if curriculum.dose_model == "rician":
        dosed = rician_series(volume, regions.liver, curriculum.doses, seed=seed)
    else:
        dosed = low_dose_series(volume, curriculum.doses, model=curriculum.dose_model, seed=seed)  # type: ignore[arg-type]
    return np.stack([sequence_image(one, regions.liver, grid, rule) for one in dosed])


def _slices_of(organ: Volume, volume: Volume) -> Volume:
    """The axial slices of a volume that hold the organ: noise is made slice by slice, and no other slice is seen."""
    box = mask_box(organ_on(volume, organ))
    assert box is not None  # the regions are those of this volume
    axial = 2 - int(np.abs(volume.grid.ijk_to_ras[2, :3] / volume.grid.spacing_ijk_mm).argmax())  # among K, J, I
    whole = Box((0, 0, 0), volume.grid.shape_kji)
    ends = [
        (box.lower_kji[axis], box.upper_kji[axis]) if axis == axial else (whole.lower_kji[axis], whole.upper_kji[axis])
        for axis in range(3)
    ]
    lower, upper = zip(*ends, strict=True)
    return volume.cropped(Box(lower, upper).grown([int(axis == axial) for axis in range(3)], volume.grid.shape_kji))


def rician_series(volume: Volume, organ: Volume, ratios: Sequence[float], *, seed: int) -> list[Volume]:
    """An MR image at lower signal-to-noise ratios, float32 on its grid: |x + n_1 + i n_2|, n normal of sd mean / ratio.

    The counterpart of a low dose for MR (design choice; magnitude images have Rician noise, Gudbjartsson and Patz
    1995). The mean is that of the organ.
    """
    inside = volume.array_kji[organ_on(volume, organ)]
    level = float(np.abs(inside).mean())
    series = []
    for number, ratio in enumerate(ratios):
        stream = np.random.Generator(np.random.PCG64([seed, number]))
        noise = stream.standard_normal((2, *volume.array_kji.shape), dtype=np.float32) * np.float32(level / ratio)
        series.append(Volume(np.hypot(volume.array_kji + noise[0], noise[1]), volume.grid))
    return series


def organ_on(volume: Volume, organ: Volume) -> NDArray[np.bool_]:
    """The organ in the voxels of a volume."""
    return resample(organ, volume.grid, interpolation="nearest").array_kji.astype(bool)


def _largest(regions: LiverRegions, most: int) -> list[int]:
    """Which regions are nodes: all but the smallest tumors, with their shells, when there are too many."""
    kept = list(range(len(regions.names)))
    while len(kept) > most:
        tumors = [regions.names[i] for i in kept if regions.names[i].startswith("tumor_")]
        if not tumors:
            raise ValueError(f'"most_nodes" is {most}, but {len(kept)} regions are no tumors; allow at least as many.')
        last = tumors[-1]
        gone = {last, last.replace("tumor_", "shell_")}
        kept = [index for index in kept if regions.names[index] not in gone]
    return kept


def _padded(masks: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    whole = np.zeros((count, *masks.shape[1:]), np.float32)
    whole[: len(masks)] = masks
    return whole


def changed_at_random(
    sample: Batch, generator: torch.Generator, stride_kji: Sequence[int], curriculum: Curriculum | None
) -> Batch:
    """A sample flipped, in another contrast, noisier, now and then without tumor mask, sequences and dose drawn.

    Left-right and front-back flips of images and masks together. Contrast and noise change the student's image; the
    teachers see the contrast changed alike and no noise of this kind.
    """
    changed = dict(sample)
    flipped = [axis for axis in (-2, -1) if _uniform(generator) < 0.5]
    changed.update({name: changed[name].flip(flipped) for name in _FLIPPED if name in changed})
    if curriculum is not None:
        changed.update(_dose_drawn(changed, generator, curriculum))
    if len(changed["present"]) > 1:
        dropout = (curriculum or _NO_TEACHERS).modality_dropout
        changed["present"] = with_sequences_dropped(
            changed["present"], dropout, generator, required=changed["required"]
        )
    changed["image"] = aligned_after_flip(changed["image"], flipped, stride_kji)
    scale, shift = 0.9 + 0.2 * _uniform(generator), 0.05 * float(torch.randn((), generator=generator))
    for name in ("image", "exam", "dosed"):
        if name in changed:
            changed[name] = (changed[name] * scale + shift) * (changed[name] != 0)
    noise = torch.randn(changed["image"].shape, generator=generator) * (0.1 * _uniform(generator))
    changed["image"] = changed["image"] + noise * (changed["image"] != 0)
    if _uniform(generator) < 0.1:
        changed["pools"] = changed["pools"] * torch.tensor([1.0, 0.0, 0.0])[:, None, None, None]
    return changed


def _dose_drawn(sample: Batch, generator: torch.Generator, curriculum: Curriculum) -> Batch:
    """One dose of the dose-aware teacher: image (1, D, H, W) and answer; now and then the student sees it too."""
    level = int(torch.randint(len(curriculum.doses), (), generator=generator))
    drawn = {"dosed": sample["dosed"][level : level + 1]}
    if "taught_dose_aware" in sample:
        drawn["taught_dose_aware"] = sample["taught_dose_aware"][level]
    if _uniform(generator) < curriculum.student_dose:
        drawn["image"] = torch.cat([drawn["dosed"], sample["image"][1:]])
    return drawn


def aligned_after_flip(image: torch.Tensor, axes: list[int], stride_kji: Sequence[int]) -> torch.Tensor:
    """A flipped image (..., D, H, W) moved so that the flipped masks of its strided feature grid fit it again.

    Feature voxel o sits on input voxel s * o, so after a flip the image moves on by s - 1 voxels; what is pushed out
    comes in on the other side, where the margin around the organ is 0.
    """
    return image.roll([-(stride_kji[axis] - 1) for axis in axes], axes) if axes else image


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
