"""A tiny untrained student and synthetic patients, for the tests of evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from REACTDistillLib.card import Card
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.student import save_student

CASES, FOLDS = 15, 3
SETTINGS: dict[str, Any] = {
    "grid_shape_kji": (12, 16, 16),
    "grid_spacing_kji_mm": (20.0, 18.0, 18.0),
    "network": {"classes": 3, "stem_stride": (1, 1, 1), "channels": (8, 8), "strides": (1,)},
}


def write_cohort(folder: Path) -> Cohort:
    return write_phantom_cohort(folder, count=CASES, folds=FOLDS, shape_kji=(24, 24, 24))


WITH_PET = {
    "sequences": {"required": ["ct"], "optional": ["pet_fdg"]},
    "intensity": {
        "ct": {"kind": "window_zscore", "low": -160.0, "high": 240.0},
        "pet_fdg": {"kind": "organ_ratio"},
    },
    "network": {**SETTINGS["network"], "sequences": 2},
}


def write_student(path: Path, cohort: Cohort, settings: Mapping[str, Any] = SETTINGS, **fields: Any) -> Card:
    """A student that was, by its card, trained on ``cohort`` without fold 1."""
    recipe = recipe_named("reactkd")
    preparation = recipe.preparation(cohort.classes, **{**SETTINGS, **settings})
    torch.manual_seed(3)
    training = {
        "cohort": cohort.name,
        "cohort_sha256": cohort.sha256,
        "cases": CASES,
        "synthetic": True,
        "seed": 0,
        "fold": 1,
        "software_version": "0",
    }
    content = {
        "name": "Tiny",
        "version": "1",
        "recipe": "reactkd",
        "task": "grade",
        "network": {"name": "student", "config": preparation.network},
        "sequences": preparation.sequences,
        "regions": preparation.regions,
        "grid": {"shape_kji": (12, 16, 16), "spacing_kji_mm": (20.0, 18.0, 18.0)},
        "intensity": preparation.intensity,
        "classes": cohort.classes,
        "metrics": {},
        "training": training,
        "licence": "Apache-2.0",
        "intended_use": "Tests.",
        "limitations": "Untrained: knows nothing.",
    }
    network = recipe.build_network(preparation.network)
    if network.gates is not None:  # those of an untrained student are closed
        torch.nn.init.ones_(network.gates)
    return save_student(path, network, Card(**{**content, **fields}))


def write_run(folder: Path, cohort: Cohort) -> Path:
    """A finished run of two epochs in two stages."""
    folder.mkdir()
    write_student(folder / "student.safetensors", cohort)
    (folder / "config.json").write_text(json.dumps({"fold": 1}))
    lines = [
        {"stage": "teacher", "epoch": 1, "best": True, "focal": 0.9, "validation": {"score": 0.5, "macro_auc": 0.5}},
        {"stage": "student", "epoch": 1, "best": True, "focal": 0.8, "graph": 0.1, "validation": {"score": 0.6}},
    ]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder
