"""Gromov-Wasserstein of a batch of graph pairs: this solver against a loop over ``ot.gromov.gromov_wasserstein2``.

Random graphs of 12 to 48 nodes: cosine distances of random features, clusters of features, points in a square. Region
graphs: synthetic livers, as they are and with many tumors (12 to 48 nodes), nodes by the demo student and by an
untrained one, of the same patient (as in distillation, graphs of one size) and of two patients; ``--ct FOLDER`` adds a
real liver (folders ct_dicom and masks_dicom of 3D-IRCADb). POT is timed twice: with numpy arrays, and as training would
use it, with torch tensors that want gradients (float32), as this solver's do. Milliseconds are medians of alternating
runs in the time of this thread, so that other work on the machine does not count. "not above": pairs whose value is at
most POT's by 1e-6 relative; "lower": mean of 1 - value / POT's value; "starts": not above the best of POT from its own
start and ``--pot-starts`` random ones.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ot
import torch
from REACTDistillLib.case import Case
from REACTDistillLib.files import read_volume
from REACTDistillLib.gromov import gromov_wasserstein
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.phantom import GRADES, phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student, read_card
from REACTDistillLib.volume import Volume

Pairs = list[tuple[np.ndarray, np.ndarray]]
NODES = (12, 48)


@dataclass(frozen=True)
class Measured:
    """One batch: seconds of POT with numpy, with torch and of this solver; values (B,), also of POT, more starts."""

    seconds_numpy: float
    seconds_torch: float
    seconds: float
    values_pot: np.ndarray
    values: np.ndarray
    values_starts: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=4, help="batches of each kind")
    parser.add_argument("--batch", type=int, default=16, help="pairs in a batch")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pot-starts", type=int, default=0, help="further random starts of POT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ct", type=Path, help="folder of a real case")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, torch {torch.__version__}, POT {ot.__version__}")
    print(f"{'':38}{'':8}{'ms of a batch':^27}{'POT / ours':^14}{'values of ours':^27}")
    columns = f"{'numpy':>9}{'torch':>9}{'ours':>9}{'numpy':>7}{'torch':>7}{'not above':>11}{'lower':>8}{'starts':>8}"
    print(f"{'':38}{'nodes':>8}{columns}")
    for name, batches in all_batches(options):
        show(name, batches, [measured(pairs, options) for pairs in batches])


def show(name: str, batches: list[Pairs], results: list[Measured]) -> None:
    pot, ours, starts = (
        np.concatenate([getattr(result, key) for result in results])
        for key in ("values_pot", "values", "values_starts")
    )
    with_numpy, with_torch, seconds = (
        statistics.median(getattr(result, key) for result in results)
        for key in ("seconds_numpy", "seconds_torch", "seconds")
    )
    nodes = statistics.mean(len(graph) for pairs in batches for pair in pairs for graph in pair)
    counted = pot > 1e-12
    print(
        f"{name:38}{nodes:8.1f}{with_numpy * 1e3:9.1f}{with_torch * 1e3:9.1f}{seconds * 1e3:9.1f}"
        f"{with_numpy / seconds:7.2f}{with_torch / seconds:7.2f}"
        f"{np.mean(ours <= pot * (1 + 1e-6) + 1e-15):11.1%}{np.mean(1 - ours[counted] / pot[counted]):8.1%}"
        f"{np.mean(ours <= starts * (1 + 1e-6) + 1e-15):8.1%}",
        flush=True,
    )


def measured(pairs: Pairs, options: argparse.Namespace) -> Measured:
    source, source_mask = padded([pair[0] for pair in pairs])
    target, target_mask = padded([pair[1] for pair in pairs])
    tensors = [tuple(torch.from_numpy(graph).float().requires_grad_() for graph in pair) for pair in pairs]
    jobs: dict[str, Callable[[], object]] = {
        "numpy": lambda: [ot.gromov.gromov_wasserstein2(*pair) for pair in pairs],
        "torch": lambda: [ot.gromov.gromov_wasserstein2(*pair) for pair in tensors],
        "ours": lambda: gromov_wasserstein(source.requires_grad_(), target.requires_grad_(), source_mask, target_mask),
    }
    seconds = alternate(jobs, options.runs)
    # The values of both plans come from one formula in double, so that only the plans are compared.
    plans = gromov_wasserstein(source, target, source_mask, target_mask).plan.double().numpy()
    found = [plan[: len(pair[0]), : len(pair[1])] for pair, plan in zip(pairs, plans, strict=True)]
    values = np.array([value(*pair, plan) for pair, plan in zip(pairs, found, strict=True)])
    pot = np.array([value(*pair, ot.gromov.gromov_wasserstein(*pair)) for pair in pairs])
    starts = best_of_starts(pairs, pot.copy(), options.pot_starts)
    return Measured(seconds["numpy"], seconds["torch"], seconds["ours"], pot, values, starts)


def best_of_starts(pairs: Pairs, values: np.ndarray, starts: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    for _ in range(starts):
        for index, (source, target) in enumerate(pairs):
            a, b = ot.unif(len(source)), ot.unif(len(target))
            start = ot.sinkhorn(a, b, rng.random((len(a), len(b))), 0.05)
            plan = ot.gromov.gromov_wasserstein(source, target, G0=start)
            values[index] = min(values[index], value(source, target, plan))
    return values


def value(source: np.ndarray, target: np.ndarray, plan: np.ndarray) -> float:
    rows, columns = np.nonzero(plan)
    mass = plan[rows, columns]
    change = source[np.ix_(rows, rows)] - target[np.ix_(columns, columns)]
    return float(mass @ (change**2) @ mass)


def alternate(jobs: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of this thread for each job, run in turn; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(runs + 1):
        for name, job in jobs.items():
            started = time.thread_time()
            job()
            if turn:
                seconds[name].append(time.thread_time() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def padded(graphs: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    most = max(len(graph) for graph in graphs)
    distances = torch.zeros(len(graphs), most, most)
    mask = torch.zeros(len(graphs), most, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        distances[index, : len(graph), : len(graph)] = torch.from_numpy(graph)
        mask[index, : len(graph)] = True
    return distances, mask


def all_batches(options: argparse.Namespace) -> Iterator[tuple[str, list[Pairs]]]:
    for name, draw in (("cosine", cosine_graph), ("clusters", cluster_graph), ("points", point_graph)):
        for one_size in (True, False):
            rngs = [np.random.default_rng([seed, one_size]) for seed in range(options.batches)]
            batches = [random_pairs(draw, rng, options.batch, one_size) for rng in rngs]
            yield f"random {name}, {'one size' if one_size else 'two sizes'}", batches
    cases = [phantom_case(seed, shape_kji=(48, 96, 96)) for seed in range(options.batch)]
    yield from region_batches("synthetic livers", cases)
    rows = [
        region_batches("livers of many tumors", [many_tumors(b * options.batch + n) for n in range(options.batch)])
        for b in range(options.batches)
    ]
    for same_row in zip(*rows, strict=True):
        yield same_row[0][0], [pairs for _, batches in same_row for pairs in batches]
    if options.ct:
        yield from region_batches("a real liver", [real_case(options.ct)])


def random_pairs(draw: Callable[..., np.ndarray], rng: np.random.Generator, count: int, one_size: bool) -> Pairs:
    pairs = []
    for _ in range(count):
        n, m = rng.integers(NODES[0], NODES[1], 2, endpoint=True)
        pairs.append((draw(rng, n), draw(rng, n if one_size else m)))
    return pairs


def cosine_graph(rng: np.random.Generator, nodes: int) -> np.ndarray:
    return cosine(rng.normal(size=(nodes, 24)))


def cluster_graph(rng: np.random.Generator, nodes: int) -> np.ndarray:
    return cosine(rng.normal(size=(4, 16))[rng.integers(4, size=nodes)] + 0.3 * rng.normal(size=(nodes, 16)))


def point_graph(rng: np.random.Generator, nodes: int) -> np.ndarray:
    points = rng.random((nodes, 2))
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def cosine(features: np.ndarray) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distance = np.maximum(0.0, 1.0 - unit @ unit.T)
    np.fill_diagonal(distance, 0.0)
    return distance


def region_batches(name: str, cases: list[Case]) -> list[tuple[str, list[Pairs]]]:
    teacher, student = (graphs_of(cases, network) for network in (load_student(demo_student("grade")), untrained()))
    rows = [(f"{name}, two networks", [list(zip(teacher, student, strict=True))])]
    if len(cases) > 1:
        rows.append((f"{name}, two patients", [list(zip(teacher, student[1:] + student[:1], strict=True))]))
    return rows


def many_tumors(seed: int) -> Case:
    """A synthetic liver with 3 to 19 more tumors, for region graphs of about 12 to 48 nodes."""
    rng, case = np.random.default_rng(seed), phantom_case(seed, shape_kji=(48, 96, 96))
    ct, liver = case.sequences["ct"], case.regions["liver"]
    tumor, values = case.regions["tumor"].array_kji > 0, ct.array_kji.copy()
    inside = np.argwhere(liver.array_kji > 0)  # voxels (V, 3), k j i
    inside_mm = inside * ct.grid.spacing_ijk_mm[::-1]
    for center_mm in inside_mm[rng.permutation(len(inside))[: rng.integers(3, 20)]]:
        ball = tuple(inside[np.linalg.norm(inside_mm - center_mm, axis=1) < rng.uniform(5, 14)].T)
        tumor[ball] = True
        values[ball] += rng.uniform(-60, 40)
    return Case({"ct": Volume(values, ct.grid)}, {"liver": liver, "tumor": Volume(tumor, liver.grid)})


def graphs_of(cases: list[Case], student: Student) -> list[np.ndarray]:
    """Cosine distances (R12) of the region graph of every case."""
    graphs = []
    for case in cases:
        graph = predict(case, student).graph
        assert graph is not None
        graphs.append(cosine(graph.features.astype(np.float64)))
    return graphs


def untrained() -> Student:
    path = demo_student("grade")
    recipe = recipe_named("reactkd")
    torch.manual_seed(0)
    preparation = recipe.preparation(GRADES)
    card = replace(read_card(path), network={"name": "student", "config": preparation.network})
    return Student(card, recipe.build_network(preparation.network).eval(), "cpu", path)


def real_case(folder: Path) -> Case:
    masks = folder / "masks_dicom" / "MASKS_DICOM"
    ct = read_volume(folder / "ct_dicom")
    liver, *tumors = (read_volume(masks / part) for part in ("liver", "livertumor1", "livertumor2"))
    tumor = np.any([one.array_kji > 0 for one in tumors], axis=0)
    return Case({"ct": ct}, {"liver": Volume(liver.array_kji > 0, liver.grid), "tumor": Volume(tumor, liver.grid)})


if __name__ == "__main__":
    main()
