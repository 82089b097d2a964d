"""Gromov-Wasserstein of region graphs of synthetic and real livers, against POT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from REACTDistillLib.case import Case
from REACTDistillLib.files import read_volume
from REACTDistillLib.graph import cosine_distance, node_features
from REACTDistillLib.gromov import gromov_wasserstein
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.regions import liver_regions
from REACTDistillLib.softmasks import SoftMasks
from REACTDistillLib.volume import Grid, Volume
from torch import Tensor

pytest.importorskip("ot", reason="POT is not installed")


def region_graphs(case: Case, grid: Grid) -> Tensor:
    """Two graphs (2, N, N) of the regions of one liver, by two random encoders of the CT: teacher and student."""
    regions = liver_regions(case.regions["liver"], case.regions["tumor"], case.sequences["ct"].grid)
    masks = torch.from_numpy(SoftMasks.of(regions, grid).nodes).double()
    ct = torch.from_numpy(case.sequences["ct"].array_kji).double()[None, None].clamp(-160, 240) / 400
    ct = torch.nn.functional.interpolate(ct, grid.shape_kji, mode="area")
    graphs = []
    for seed in (0, 1):
        kernel = torch.randn(12, 1, 3, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        features = torch.nn.functional.conv3d(ct, kernel, padding=1).relu()[0]
        distance = cosine_distance(node_features(features, masks))
        graphs.append((distance + distance.T) / 2)
    return torch.stack(graphs)


def test_on_region_graphs_of_synthetic_livers_no_value_is_above_that_of_pot() -> None:
    for seed in range(6):
        case = phantom_case(seed, shape_kji=(24, 48, 48))
        teacher, student = region_graphs(case, case.sequences["ct"].grid)
        assert len(teacher) >= 4
        pot = gromov_wasserstein(teacher[None], student[None], solver="pot").value.item()
        assert 0 < gromov_wasserstein(teacher[None], student[None]).value.item() <= pot * (1 + 1e-6)


def test_on_region_graphs_of_a_real_liver_the_value_is_not_above_that_of_pot(
    shared_data: Callable[[str], Path],
) -> None:
    ct = shared_data("liver_ct_3dircadb17/ct_dicom") / "PATIENT_DICOM"
    masks = shared_data("liver_ct_3dircadb17/masks_dicom") / "MASKS_DICOM"
    liver, first, second = (read_volume(masks / part) for part in ("liver", "livertumor1", "livertumor2"))
    regions = {
        "liver": Volume(liver.array_kji > 0, liver.grid),
        "tumor": Volume((first.array_kji > 0) | (second.array_kji > 0), liver.grid),
    }
    case = Case({"ct": read_volume(ct)}, regions)
    graphs = region_graphs(case, case.sequences["ct"].grid.strided((4, 8, 8)))
    pot = gromov_wasserstein(graphs[:1], graphs[1:], solver="pot").value.item()
    assert 0 < gromov_wasserstein(graphs[:1], graphs[1:]).value.item() <= pot * (1 + 1e-6)
