"""A recipe of six lines and the smallest student file, for the tests of student files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from REACTDistillLib import student as student_module
from REACTDistillLib.card import Card
from REACTDistillLib.student import save_student


class TinyRecipe:
    """A recipe with one convolution and one batch norm: 4 + 2 weights, 4 statistics and one int64 counter."""

    def build_network(self, config: dict[str, Any]) -> torch.nn.Module:
        width = config["width"]
        return torch.nn.Sequential(torch.nn.Conv3d(1, width, 1), torch.nn.BatchNorm3d(width))


def tiny_recipe_named(name: str) -> TinyRecipe:
    if name != "tiny":
        raise ValueError(f'There is no recipe "{name}"; this version knows: tiny.')
    return TinyRecipe()


@pytest.fixture(autouse=True, scope="module")
def tiny_recipe() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student_module, "recipe_named", tiny_recipe_named)
        yield


def draft(**fields: Any) -> Card:
    card = Card(
        name="Tiny",
        version="1",
        recipe="tiny",
        task="grade",
        network={"name": "tiny", "config": {"width": 2}},
        sequences={"required": ["ct"], "optional": []},
        regions={"required": ["liver"], "optional": ["tumor"]},
        grid={"shape_kji": (4, 4, 4), "spacing_kji_mm": (1, 1, 1)},
        intensity={"ct": {"kind": "window_zscore", "low": -160, "high": 240}},
        classes=("low", "high"),
        metrics={},
        training={
            "cohort": "none",
            "cohort_sha256": "0" * 64,
            "cases": 0,
            "synthetic": True,
            "software_version": "0",
            "seed": 0,
        },
        licence="Apache-2.0",
        intended_use="Tests.",
        limitations="Knows nothing.",
    )
    return replace(card, **fields)


def network() -> torch.nn.Module:
    torch.manual_seed(5)
    return TinyRecipe().build_network({"width": 2})


@pytest.fixture
def student_path(tmp_path: Path) -> Path:
    save_student(tmp_path / "tiny.safetensors", network(), draft())
    return tmp_path / "tiny.safetensors"
