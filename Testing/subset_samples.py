"""A tiny untrained student that segments, synthetic brains on disk, and a recipe whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from REACTDistillLib.card import Card
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes.ccsd.recipe import CCSD
from REACTDistillLib.student import save_student
from REACTDistillLib.subsets.scores import all_subsets
from REACTDistillLib.volume import Volume

CASES, FOLDS = 4, 2
CLASSES = ("WT", "TC", "ET")
SETTINGS: dict[str, Any] = {
    "grid_shape_kji": (16, 16, 16),
    "grid_spacing_kji_mm": (12.0, 12.0, 12.0),
    "network": {"channels": [4, 4], "stem_stride": [2, 2, 2]},
}


def write_brains(folder: Path) -> Cohort:
    return write_phantom_cohort(folder, kind="brain", count=CASES, folds=FOLDS, shape_kji=(20, 20, 20))


def write_segmenter(path: Path, cohort: Cohort, **fields: Any) -> Card:
    """A student that was, by its card, trained on ``cohort`` without fold 1."""
    recipe = CCSD()
    preparation = recipe.preparation(CLASSES, **SETTINGS)
    torch.manual_seed(5)
    content: dict[str, Any] = {
        "name": "Tiny segmenter",
        "version": "1",
        "recipe": "ccsd",
        "task": "segment",
        "network": {"name": "student", "config": preparation.network},
        "sequences": preparation.sequences,
        "regions": preparation.regions,
        "grid": {"shape_kji": [16, 16, 16], "spacing_kji_mm": [12.0, 12.0, 12.0]},
        "intensity": preparation.intensity,
        "classes": CLASSES,
        "metrics": {},
        "training": {
            "cohort": cohort.name,
            "cohort_sha256": cohort.sha256,
            "cases": CASES,
            "synthetic": True,
            "seed": 0,
            "fold": 1,
            "software_version": "0",
        },
        "licence": "Apache-2.0",
        "intended_use": "Tests.",
        "limitations": "Untrained: knows nothing.",
    }
    return save_student(path, recipe.build_network(preparation.network), Card(**{**content, **fields}))


class KnownAnswers(CCSD):
    """Finds the truth with all sequences, half of it without FLAIR, and nothing with T1 alone."""

    def probabilities_by_subset(self, student, case):
        for subset in all_subsets(case.sequences):
            answer = {}
            for name in CLASSES:
                truth = case.regions[name.lower()]
                probability = truth.array_kji.astype(np.float32)
                if "flair" not in subset:
                    flat = probability.ravel()
                    flat[np.flatnonzero(flat)[::2]] = 0
                answer[name] = Volume(probability * (subset != ("t1",)), truth.grid)
            yield subset, answer
