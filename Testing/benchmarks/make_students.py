"""Distill the demo grade student from two teachers on synthetic patients and put it into Resources/Students.

The teachers see CT and both PET tracers, and CT at simulated doses; the student sees CT only. Prints time and scores.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes.reactkd.curriculum import SMALL_TEACHER
from REACTDistillLib.student import read_card
from REACTDistillLib.train import TrainingConfig, train

REPOSITORY = Path(__file__).resolve().parents[2]
_RATIO = {"kind": "organ_ratio"}
GRADE_DEMO = TrainingConfig(
    name="Grade demo student",
    version="0.2.0",
    epochs=12,
    steps_per_epoch=40,
    learning_rate=3e-3,
    settings={
        "grid_shape_kji": [48, 64, 64],
        "grid_spacing_kji_mm": [5.0, 4.5, 4.5],
        "network": {"classes": 3, "stem_stride": [2, 2, 2], "channels": [16, 32], "strides": [1]},
        "training": {
            "privileged": {"pet_fdg": _RATIO, "pet_acetate": _RATIO},
            "teacher": {**SMALL_TEACHER, "patch_kji": [4, 4, 4]},
            "teacher_share": 0.25,
            "student_dose": 0.3,
        },
    },
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="synthetic patients")
    parser.add_argument("--epochs", type=int, default=GRADE_DEMO.epochs)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Resources" / "Students" / "grade_demo.safetensors")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom_cohort(Path(folder) / "cohort", count=options.count, progress=report)
        student = train(cohort, Path(folder) / "run", replace(GRADE_DEMO, epochs=options.epochs), progress=report)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(student, options.out)
    card = read_card(options.out)
    print(f"{options.out.name}: {options.out.stat().st_size / 1e6:.2f} MB, {time.perf_counter() - started:.0f} s")
    print(f"held-out scores: {dict(card.metrics['ct'])}")


def report(stage: str, done: int, total: int) -> None:
    if done == total or done % 10 == 0:
        print(f"{stage} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
