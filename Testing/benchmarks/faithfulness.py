"""Faithfulness of the region importance: what happens to the answer when a region is taken out of the image.

For synthetic patients the student has not seen: the most important region (by ``attention.region_importance``) is
replaced by average liver in the student's input, and the change of the probability of the predicted class is compared
with that for a random other region, and for a random piece of liver parenchyma of the same volume. The importance is
computed from the network's evidence, not from such removals, so the comparison is not circular.

Then the same for voxels: the area under the deletion curve (``deletion.deletion_curves``), the mean probability of the
predicted class while the voxels are taken out, most important first, least important first, or from a random place on.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from REACTDistillLib.attention import class_margin
from REACTDistillLib.calibration import softmax
from REACTDistillLib.case import Case
from REACTDistillLib.deletion import MOST, ORDERS, area_under, deletion_curves
from REACTDistillLib.geometry import resample
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.recipes import preparation_of, recipe_named
from REACTDistillLib.recipes.reactkd.grading import feature_map, read_pools, read_regions, region_graph
from REACTDistillLib.recipes.reactkd.inputs import student_grid
from REACTDistillLib.regions import LiverRegions, liver_regions
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Volume

RECIPE = recipe_named("reactkd")
FIRST_UNSEEN_SEED = 100_000  # far from the seeds of any training cohort


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--student", default=None, help="student file; the demo student when left out")
    options = parser.parse_args()
    student = load_student(options.student or demo_student("grade"))
    rng = np.random.default_rng(0)
    cases = [phantom_case(FIRST_UNSEEN_SEED + n) for n in range(options.patients)]
    rows = [changes(student, case, rng) for case in cases]
    table = np.array([[row[name] for name in NAMES] for row in rows])
    print(f"{options.patients} unseen synthetic patients, student {student.card.name} {student.card.version}")
    print(f"{'taken out':36}{'mean |dp|':>10}{'sd':>8}{'median':>8}")
    for name, column in zip(NAMES, table.T, strict=True):
        print(f"{name:36}{column.mean():10.4f}{column.std(ddof=1):8.4f}{np.median(column):8.4f}")
    print_wins(table)
    print_areas([areas(student, case, rng) for case in cases])


def print_wins(table: np.ndarray) -> None:
    for name, column in zip(NAMES[1:], table.T[1:], strict=True):
        wins = (table[:, 0] > column).mean()
        print(
            f"most important changes more than {name}: {wins:.0%} of patients, two-sided Wilcoxon p = "
            f"{wilcoxon(table[:, 0], column):.2g}"
        )


def print_areas(rows: list[dict[str, float]]) -> None:
    print(f"{'area under the deletion curve':36}{'mean':>10}{'sd':>8}  larger than for the most important")
    most = np.array([row[MOST] for row in rows])
    for name in ORDERS:
        column = np.array([row[name] for row in rows])
        beside = "" if name == MOST else f"  {(column > most).mean():.0%}, Wilcoxon p = {wilcoxon(column, most):.2g}"
        print(f"{name:36}{column.mean():10.4f}{column.std(ddof=1):8.4f}{beside}")


NAMES = ("most important region", "random other region", "same volume of parenchyma")


def changes(student: Student, case: Case, rng: np.random.Generator) -> dict[str, float]:
    """|change of the probability of the predicted class| for each kind of removal."""
    preparation = preparation_of(student.card)
    regions = liver_regions(case.regions["liver"], case.regions.get("tumor"), case.sequences["ct"].grid)
    sample = RECIPE.prepare(case, preparation)
    stride = student.network.stride_kji
    grid = student_grid(regions.liver, preparation, stride)
    reading = read_regions(student, feature_map(student, sample["image"]), regions, grid.strided(stride))
    predicted = int(reading.probabilities.argmax())
    graph = region_graph(reading, regions, class_margin(reading.evidence, predicted))
    best = int(np.abs(graph.importance).argmax())
    other = int(rng.choice([index for index in range(len(graph.names)) if index != best]))
    chosen = dict(
        zip(
            NAMES,
            (
                regions.mask(graph.names[best]),
                regions.mask(graph.names[other]),
                same_volume(regions, graph.names[best], rng),
            ),
            strict=True,
        )
    )
    result = {}
    for name, mask in chosen.items():
        share = torch.from_numpy(resample(mask, grid).array_kji)
        features = feature_map(student, sample["image"] * (1 - share))
        after, _ = read_pools(student, features, sample["pools"])
        result[name] = abs(float(after[predicted] - reading.probabilities[predicted]))
    return result


def areas(student: Student, case: Case, rng: np.random.Generator) -> dict[str, float]:
    """Area under the deletion curve of the predicted class by order."""
    card, network = student.card, student.network
    sample = RECIPE.prepare(case, preparation_of(card))
    predicted = int(RECIPE.read(network, [sample]).logits[0].argmax())

    def read(images):
        logits = RECIPE.read(network, ({**sample, "image": image} for image in images)).logits
        return softmax(logits, card.temperature)[:, predicted]

    spacing_kji_mm = np.multiply(card.grid_spacing_kji_mm, network.stride_kji)
    evidence = RECIPE.evidence(network, sample)
    curves = deletion_curves(read, sample["image"], evidence, predicted, spacing_kji_mm, rng)
    return {name: area_under(curve) for name, curve in curves.items()}


def same_volume(regions: LiverRegions, name: str, rng: np.random.Generator) -> Volume:
    """The parenchyma voxels nearest to a random one, as many as the region has (or all)."""
    wanted = int(regions.mask(name).array_kji.sum())
    parenchyma = regions.mask("parenchyma")
    voxels_kji = np.argwhere(parenchyma.array_kji)  # (V, 3)
    places_ras = parenchyma.grid.to_ras(voxels_kji[:, ::-1])
    distance = np.linalg.norm(places_ras - rng.choice(places_ras), axis=1)
    array = np.zeros_like(parenchyma.array_kji)
    array[tuple(voxels_kji[np.argsort(distance)[:wanted]].T)] = True
    return Volume(array, parenchyma.grid)


def wilcoxon(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import wilcoxon as test

    return float(test(first, second).pvalue)


if __name__ == "__main__":
    main()
