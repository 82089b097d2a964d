"""The memory that segmenting 240x240x155 voxels takes at its peak, against what the student's card says it takes.

The exam is a synthetic brain with four sequences of 1 mm. "brain" is segmented as it is, in the box around it; "image"
has a mask of the brain that fills the image: the most that the card speaks of. Each row is a process of its own that
segments once, all in one box or in tiles; the growth of its resident memory is measured from the loaded images and a
student that has run before on a few voxels. The worker of the panels keeps freed memory; to measure as there, set
MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=4294967296: small networks then take up to 50 MB more.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from REACTDistillLib.brain import brain_case
from REACTDistillLib.case import Case
from REACTDistillLib.freememory import give_memory_back
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.memory import Memory
from REACTDistillLib.progress import silent
from REACTDistillLib.recipes import preparation_of, recipe_named
from REACTDistillLib.recipes.ccsd.brainmask import find_brain
from REACTDistillLib.recipes.ccsd.inputs import brain_grid_of_tiles
from REACTDistillLib.recipes.ccsd.networks import CompositionalNet
from REACTDistillLib.recipes.ccsd.peakmemory import (
    SHARE_OF_FREE,
    STATED_SHAPE_KJI,
    STATED_SPACING_KJI_MM,
    Peak,
    peak_of,
    stated_memory,
)
from REACTDistillLib.recipes.ccsd.segmenting import forward, segment
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Grid, Volume

NETWORKS = ("demo", "default")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="one of them; both when left out")
    options = parser.parse_args()
    brain = exam()
    exams = {"brain": brain, "image": filled(brain)}
    print(f"{'network':10}{'mask':8}{'way':8}{'taken MB':>10}{'stated MB':>11}{'share':>8}", flush=True)
    for network, (mask, case), way in product(options.network or NETWORKS, exams.items(), Peak._fields):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(taken_and_stated, network, case, way, options.threads).result()
        if found is None:
            print(f"{network:10}{mask:8}{way:8}{'never: the whole takes no more':>29}", flush=True)
            continue
        taken, stated = found
        print(f"{network:10}{mask:8}{way:8}{taken / 1e6:10.0f}{stated / 1e6:11.0f}{taken / stated:8.2f}", flush=True)
    for network in options.network or NETWORKS:
        student = student_named(network)
        print(f"card of the {network} network: {stated_memory(preparation_of(student.card), stride_of(student))}")


def exam() -> Case:
    """A synthetic brain on 155 x 240 x 240 voxels of 1 mm, skull-stripped, without masks."""
    center = brain_case(0, shape_kji=(8, 8, 8)).sequences["t1"].grid.center_ras.tolist()
    grid = Grid.centered(center, shape_kji=STATED_SHAPE_KJI, spacing_kji_mm=STATED_SPACING_KJI_MM)
    return replace(brain_case(0, grid=grid), regions={})


def filled(case: Case) -> Case:
    """The same with a mask of the brain that fills the image."""
    grid = case.sequences["t1"].grid
    return replace(case, regions={"brain": Volume(np.ones(grid.shape_kji, bool), grid)})


def student_named(name: str) -> Student:
    """The demo student, or one with its card and the untrained default network on the default grid."""
    demo = load_student(demo_student("segment"))
    if name == "demo":
        return demo
    recipe = recipe_named("ccsd")
    preparation = recipe.preparation(demo.card.classes)
    card = replace(
        demo.card,
        grid={"shape_kji": preparation.grid_shape_kji, "spacing_kji_mm": preparation.grid_spacing_kji_mm},
        network={"name": "student", "config": dict(preparation.network)},
    )
    return Student(card, recipe.build_network(preparation.network).eval(), "cpu", Path())


def stride_of(student: Student) -> tuple[int, int, int]:
    assert isinstance(student.network, CompositionalNet)
    k, j, i = student.network.stride_kji
    return (k, j, i)


def expected(student: Student, case: Case) -> Peak:
    """What the check before the run reckons with."""
    card = student.card
    brain = find_brain(case.sequences, case.regions.get("brain")).mask
    grid = brain_grid_of_tiles(brain, card.grid_spacing_kji_mm, stride_of(student), card.grid_shape_kji)
    return peak_of(card.network["config"], card.grid_shape_kji, case.sequences, grid)


def taken_and_stated(network: str, case: Case, way: str, threads: int) -> tuple[int, int] | None:
    """By how many bytes this process grew over one segmentation, and by how many it may; None where tiles save none."""
    torch.set_num_threads(threads)
    student = student_named(network)
    peak = expected(student, case)
    if way == "tiled" and peak.whole <= peak.tiled:
        return None
    free_bytes = None if way == "whole" else int(peak.tiled / SHARE_OF_FREE) + 1
    forward(student, torch.zeros(4, *(2 * n for n in stride_of(student))), torch.ones(4, dtype=torch.bool))
    give_memory_back()
    before = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest value so far is forgotten
    segment(
        student,
        case,
        progress=silent,
        reference=None,
        with_probabilities=True,
        memory=Memory(),
        free_bytes=free_bytes,
    )
    # Not ru_maxrss: that of a child begins with what its parent held when it was started.
    return _status_bytes("VmHWM") - before, getattr(peak, way)


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
