"""What a student says of a case: reading of the feature map, region graph, heat map, Finding."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ...attention import class_margin, heat_map, region_importance
from ...finding import Finding, Provenance
from ...geometry import resample
from ...graph import RegionGraph, cosine_similarity, node_features
from ...regions import LiverRegions
from ...volume import Grid, Volume
from .. import preparation_of
from .exam import Exam, RegionMasks, network_of

if TYPE_CHECKING:
    from ...case import Case
    from ...loadedstudent import Student
    from ...memory import Memory
    from ...progress import ProgressCallback

TASK = "grade"


def grade(
    student: Student,
    case: Case,
    *,
    progress: ProgressCallback,
    shown_class: str | None,
    heat_map_mm: float,
    memory: Memory,
) -> Finding:
    """Grade one case: probabilities, heat map in the voxels of the CT, region graph."""
    started = time.perf_counter()
    ct, classes = preparation_of(student.card).main_of(case), student.card.classes
    progress("regions", 0, 3)
    exam = Exam.of(student, case, memory)
    progress("prepare", 1, 3)
    reading = _read(exam, progress)
    regions = reading.regions
    probabilities = dict(zip(classes, reading.probabilities.tolist(), strict=True))
    shown_class = shown_class or max(probabilities, key=probabilities.__getitem__)
    margin = class_margin(reading.evidence, classes.index(shown_class))
    graph = region_graph(reading, regions, margin)
    attention = paint(heat_map(margin).numpy(), reading.grid, thinned(regions.liver, heat_map_mm))
    progress("student", 3, 3)
    return Finding(
        case_identifier=case.identifier,
        task=TASK,
        probabilities=probabilities,
        grid=ct.grid,
        shown_class=shown_class,
        attention=attention,
        graph=graph,
        provenance=Provenance.of(student, time.perf_counter() - started),
        warnings=exam.warnings(),
    )


@dataclass(frozen=True, eq=False)
class Reading:
    """What the network says of one case, on the CPU.

    ``probabilities`` (K,) in float64, ``features`` (C, d, h, w), ``evidence`` (K, d, h, w) and the soft masks
    ``region_masks`` (N, d, h, w) of the ``regions`` on the feature grid ``grid``.
    """

    probabilities: torch.Tensor
    features: torch.Tensor
    evidence: torch.Tensor
    region_masks: torch.Tensor
    regions: LiverRegions
    grid: Grid


def _read(exam: Exam, progress: ProgressCallback) -> Reading:
    """The reading of a case; its feature map stands while sequences, liver and student are the same."""
    exam.images()
    progress("student", 2, 3)
    # In this order a GPU computes while the liver is divided. A thread beside the network would slow it down on a CPU,
    # where the network has all the cores: 2.0 instead of 1.5 forward passes for a new grade on two cores.
    seen = exam.memory.recall("features", exam.sources(), lambda: feature_map(exam.student, *exam.images()))
    known = exam.masks()
    return exam.memory.recall("reading", (seen, known), lambda: read_masks(exam.student, seen, known))


@torch.inference_mode()
def feature_map(student: Student, image: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
    """The attended feature map (C, d, h, w) of an image (S, D, H, W), on the device of the student.

    ``present`` (S,) says which sequences the image holds; None stands for all.
    """
    present = None if present is None else present[None].to(student.device)
    return network_of(student).features(image[None].to(student.device), present)[0][0]


def read_regions(student: Student, features: torch.Tensor, regions: LiverRegions, grid: Grid) -> Reading:
    """What the head of the network says of a feature map (C, d, h, w) on ``grid`` with these regions."""
    return read_masks(student, features, RegionMasks.of(regions, grid))


@torch.inference_mode()
def read_masks(student: Student, features: torch.Tensor, masks: RegionMasks) -> Reading:
    """The same with the soft masks of the regions at hand."""
    probabilities, evidence = read_pools(student, features, masks.pools)
    return Reading(probabilities, features.cpu(), evidence, masks.nodes, masks.regions, masks.grid)


@torch.inference_mode()
def read_pools(student: Student, features: torch.Tensor, pools: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (K,) and evidence (K, d, h, w) of a feature map (C, d, h, w) and pools (3, d, h, w), on the CPU.

    The probabilities are those of the calibrated student: logits over the temperature of its card.
    """
    network, pools = network_of(student), pools.to(features.device)
    logits = network.classify(features[None], pools[None])[0]
    evidence = network.evidence(features, pools)
    logits = logits.cpu().double()  # not every device knows float64
    return (logits / student.card.temperature).softmax(dim=0), evidence.cpu()


def region_graph(reading: Reading, regions: LiverRegions, margin: torch.Tensor) -> RegionGraph:
    """Graph of the regions (R10-R12) with their importance for the class of a margin (d, h, w).

    Regions that lie wholly outside the feature grid (a liver longer than the grid) are not part of the graph.
    """
    seen = [index for index, mask in enumerate(reading.region_masks) if float(mask.sum()) > 0]
    masks = reading.region_masks[seen]
    nodes = node_features(reading.features, masks)
    return RegionGraph(
        names=tuple(regions.names[index] for index in seen),
        kinds=tuple(regions.kinds[index] for index in seen),
        centroids_ras=regions.centroids_ras[seen],
        volumes_ml=regions.volumes_ml[seen],
        features=nodes.numpy(),
        similarity=cosine_similarity(nodes).numpy(),
        importance=region_importance(margin, masks).numpy(),
    )


def thinned(mask: Volume, largest_mm: float) -> Volume:
    """Every n-th voxel of a mask along each axis, the most that leaves them ``largest_mm`` apart at most."""
    stride_kji = [max(1, int(largest_mm / mm + 1e-9)) for mm in mask.grid.spacing_ijk_mm[::-1]]
    k, j, i = stride_kji
    return Volume(mask.array_kji[::k, ::j, ::i], mask.grid.strided(stride_kji))


def paint(heat: NDArray[np.float32], feature_grid: Grid, liver: Volume) -> Volume:
    """The heat map (d, h, w) on the grid of the liver mask, linear between feature voxels, 0 outside the liver."""
    near = resample(Volume(heat, feature_grid), liver.grid).array_kji
    np.multiply(near, liver.array_kji, out=near)
    return Volume(near, liver.grid)
