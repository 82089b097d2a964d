"""A segmenting student that is untrained and quick, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.student import save_student
from student_samples import draft

CLASSES = ("WT", "TC", "ET")
METRICS = {
    "t1+t1ce+t2+flair": {"dice_WT": 0.9, "dice_TC": 0.85, "dice_ET": 0.8, "cases": 10},
    "flair": {"dice_WT": 0.8, "dice_TC": 0.5, "dice_ET": 0.3, "cases": 10},
    "t1ce+flair": {"dice_WT": 0.88, "dice_TC": 0.82, "dice_ET": 0.78, "cases": 10},
}


def save_segmenting_student(path: Path, *, classes: tuple[str, ...] = CLASSES, **settings: Any) -> Path:
    """An untrained student on a coarse grid: every voxel it gives is real, and none means anything."""
    recipe = recipe_named("ccsd")
    small: dict[str, Any] = {
        "grid_shape_kji": (16, 16, 16),
        "grid_spacing_kji_mm": (8.0, 8.0, 8.0),
        "network": {"channels": [4, 8], "stem_stride": [1, 1, 1]},
        "training": {"targets": {name: name.lower() for name in classes}},
    }
    preparation = recipe.preparation(classes, **(small | settings))
    torch.manual_seed(0)
    card = draft(
        name="Untrained segmenter",
        version="0.1.0",
        recipe="ccsd",
        task="segment",
        network={"name": "CompositionalNet", "config": preparation.network},
        sequences=preparation.sequences,
        regions=preparation.regions,
        grid={
            "shape_kji": list(preparation.grid_shape_kji),
            "spacing_kji_mm": list(preparation.grid_spacing_kji_mm),
        },
        intensity=preparation.intensity,
        classes=preparation.classes,
        metrics=METRICS,
        limitations="Untrained on purpose: its answers mean nothing.",
    )
    save_student(path, recipe.build_network(preparation.network), card)
    return path
