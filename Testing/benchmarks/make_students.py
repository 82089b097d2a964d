"""Distill the demo students on synthetic patients and put them into Resources/Students. Prints time and scores.

Grade: two teachers see CT and both PET tracers, and CT at simulated doses; the student sees CT only. Segment: one
network for any subset of four MR sequences, whose answer for all of them teaches that for fewer.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes.reactkd.curriculum import SMALL_TEACHER
from REACTDistillLib.student import read_card
from REACTDistillLib.train import TrainingConfig, train

REPOSITORY = Path(__file__).resolve().parents[2]
_RATIO = {"kind": "organ_ratio"}
GRADE_DEMO = TrainingConfig(
    name="Grade demo student",
    version="0.3.0",
    epochs=12,
    steps_per_epoch=200,
    batch_size=4,
    learning_rate=3e-3,
    settings={
        "grid_shape_kji": [48, 64, 64],
        "grid_spacing_kji_mm": [5.0, 4.5, 4.5],
        "network": {"stem_stride": [2, 2, 2], "channels": [16, 32], "strides": [1], "pooling": "regions"},
        "training": {
            "privileged": {"pet_fdg": _RATIO, "pet_acetate": _RATIO},
            "teacher": {**SMALL_TEACHER, "patch_kji": [4, 4, 4]},
            "teacher_share": 0.167,  # 2 of 12 epochs
            "teacher_rate": 1.0,
            "graph_weight": 0.3,
            "doses": [5e4, 1e3, 5e2],
            "student_dose": 0.3,
        },
    },
)
SEGMENT_DEMO = TrainingConfig(
    recipe="ccsd",
    name="Segment demo student",
    version="0.1.0",
    epochs=14,
    steps_per_epoch=30,
    batch_size=4,
    learning_rate=3e-3,
    settings={
        "grid_shape_kji": [48, 48, 48],
        "grid_spacing_kji_mm": [3.0, 3.75, 3.5],
        "network": {"channels": [8, 16, 24, 40]},
        "training": {},
    },
)


@dataclass(frozen=True)
class Demo:
    """What one demo student is trained with, and on how many synthetic patients of which kind and size."""

    config: TrainingConfig
    kind: str
    count: int
    shape_kji: tuple[int, int, int]


DEMOS = {
    "grade": Demo(GRADE_DEMO, "liver", 600, (48, 48, 48)),
    "segment": Demo(SEGMENT_DEMO, "brain", 150, (64, 64, 64)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(DEMOS), action="append", help="one of the students; all when left out")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Resources" / "Students")
    options = parser.parse_args()
    for task in options.task or DEMOS:
        make(DEMOS[task], options.out / f"{task}_demo.safetensors")


def make(demo: Demo, out: Path) -> None:
    """Train one demo student and put it into the file ``out``."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom_cohort(
            Path(folder) / "cohort", count=demo.count, kind=demo.kind, shape_kji=demo.shape_kji, progress=report
        )
        student = train(cohort, Path(folder) / "run", demo.config, progress=report)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(student, out)
    print(f"{out.name}: {out.stat().st_size / 1e6:.2f} MB, {time.perf_counter() - started:.0f} s")
    for subset, scores in read_card(out).metrics.items():
        print(f"held-out scores, {subset}: {dict(scores)}")


def report(stage: str, done: int, total: int) -> None:
    if done == total or done % 10 == 0:
        print(f"{stage} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
