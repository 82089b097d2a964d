"""Segment a brain of 240x240x155 at 1 mm: this network against MONAI's SwinUNETR-48 in windows of 128^3, in one run.

Reference: SwinUNETR with feature size 48 and four channels (62 M parameters), a missing sequence a channel of zeros, in
windows that overlap by a quarter. Its time is that of one window times the number of windows, which leaves out what
blending costs; ``--whole`` runs every window. "brain box" are the windows that the box around the brain would need.
"whole case" of the student has everything from images in memory to masks in the geometry of the patient: checks,
finding the brain, resampling, the network, probabilities, regions. Peak memory is what a process of its own grew by.

Then: seconds by number of voxels, by number of sequences given, and for one subset and for all 15 after one pass of the
encoders. The network has no part of its own for a subset: how many it was trained for changes neither its size nor its
speed.

``--score N`` instead trains both on N synthetic patients for the same seconds of the processor on a small grid, with
random subsets of the sequences, and prints the mean Dice over all 15 subsets of held-out patients; of the student also
after as many steps as the reference made in that time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import torch
from grade_speed import alternate, count
from monai.inferers import sliding_window_inference
from monai.inferers.utils import dense_patch_slices
from monai.networks.nets import SwinUNETR
from REACTDistillLib.brain import BRAIN_LABEL, brain_case
from REACTDistillLib.case import Case
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.predict import predict
from REACTDistillLib.recipes import Batch, Preparation, recipe_named
from REACTDistillLib.recipes.ccsd.curriculum import SMALL_NETWORK, Curriculum
from REACTDistillLib.recipes.ccsd.losses import segmentation_loss
from REACTDistillLib.recipes.ccsd.networks import CompositionalNet, Encoded
from REACTDistillLib.recipes.ccsd.subsets import all_subsets
from REACTDistillLib.recipes.ccsd.training import training_loss
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import read_card
from REACTDistillLib.subsets.scores import summary_scores
from REACTDistillLib.volume import Grid
from torch.nn import functional

RECIPE = recipe_named("ccsd")
SHAPE_KJI = (155, 240, 240)
WINDOW, OVERLAP = 128, 0.25
SIZES = (64, 96, 128, 160)
# The smallest grid that the reference can be trained on: each axis a multiple of 32, one of them 64.
SCORE_SETTINGS = {"grid_shape_kji": (32, 64, 32), "grid_spacing_kji_mm": (4.5, 2.75, 5.0)}
BATCH = 2


class PublishedSize(torch.nn.Module):
    """SwinUNETR-48 for four sequences and three regions; those that are missing are zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SwinUNETR(in_channels=4, out_channels=3, feature_size=48, spatial_dims=3)

    def forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        shown = images * present[:, :, None, None, None]
        k, j, i = (-size % 32 for size in images.shape[2:])  # it takes multiples of 32 only
        logits: torch.Tensor = self.network(functional.pad(shown, (0, i, 0, j, 0, k)))
        return logits[..., : images.shape[2], : images.shape[3], : images.shape[4]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="run every window of the reference once, not only one")
    parser.add_argument("--score", type=int, default=0, metavar="N", help="synthetic patients to train both on")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for --score")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, torch {torch.__version__}")
    if options.score:
        score(options.score, 60 * options.minutes)
        return
    with torch.inference_mode():
        speed(options.runs, whole=options.whole)
        print(f"\n{'peak memory, MiB':34}{peak(_reference_once):10.0f}  reference, one window")
        print(f"{'':34}{peak(_student_once):10.0f}  student, whole case")
        by_voxels(options.runs)
        by_sequences(options.runs)


def speed(runs: int, *, whole: bool) -> None:
    case, student, reference = full_case(), default_student(), PublishedSize().eval()
    window = torch.randn(1, 4, WINDOW, WINDOW, WINDOW)
    everything = torch.ones(1, 4, dtype=torch.bool)
    box = network_shape(case, student)
    image = torch.randn(1, 4, *box)
    jobs: dict[str, Callable[[], object]] = {
        "reference, one window": lambda: reference(window, everything),
        "student, network on the brain box": lambda: student.network(image, everything),
        "student, whole case": lambda: predict(case, student),
    }
    print(f"parameters: {count(reference) / 1e6:.1f} M reference, {count(student.network) / 1e6:.1f} M student")
    seconds = alternate(jobs, runs)
    one = statistics.median(seconds["reference, one window"])
    windows, near = windows_of(SHAPE_KJI), windows_of(box)
    bases = {f"reference, {windows} windows": one * windows, f"reference, brain box, {near} windows": one * near}
    if whole:
        started = time.perf_counter()
        show = torch.zeros(1, 4, *SHAPE_KJI)
        sliding_window_inference(show, (WINDOW,) * 3, 1, lambda x: reference(x, everything), overlap=OVERLAP)
        bases[f"reference, {windows} windows, run as a whole"] = time.perf_counter() - started
    print(f"{'':44}{'median s':>10}{'ratio':>9}{'to brain box':>14}")
    for name, value in bases.items():
        print(f"{name:44}{value:10.1f}")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:44}{middle:10.2f}{one * windows / middle:8.1f}x{one * near / middle:13.1f}x")


def full_case() -> Case:
    """A synthetic brain on the grid of BraTS: 240x240x155 voxels of 1 mm."""
    center = brain_case(0, shape_kji=(8, 8, 8)).sequences["t1"].grid.center_ras
    case = brain_case(0, grid=Grid.centered(center.tolist(), shape_kji=SHAPE_KJI, spacing_kji_mm=(1.0, 1.0, 1.0)))
    return replace(case, regions={})


def default_student() -> Student:
    """The untrained network of the recipe's defaults, with the card of the demo student but for grid and network."""
    preparation = RECIPE.preparation([BRAIN_LABEL])
    path = demo_student("segment")
    grid = {"shape_kji": preparation.grid_shape_kji, "spacing_kji_mm": preparation.grid_spacing_kji_mm}
    card = replace(read_card(path), grid=grid, network={"name": "student", "config": dict(preparation.network)})
    network = RECIPE.build_network(preparation.network).eval()
    return Student(card, network, "cpu", path)


def network_shape(case: Case, student: Student) -> tuple[int, int, int]:
    """What the network sees of a case at once."""
    from REACTDistillLib.recipes.ccsd.inputs import brain_grid_of_tiles, brain_mask

    assert isinstance(student.network, CompositionalNet)
    brain = brain_mask(case.sequences)
    card, stride = student.card, student.network.stride_kji
    return brain_grid_of_tiles(brain, card.grid_spacing_kji_mm, stride, card.grid_shape_kji).shape_kji


def windows_of(shape_kji: Sequence[int]) -> int:
    padded = [max(size, WINDOW) for size in shape_kji]
    interval = [int(WINDOW * (1 - OVERLAP)) if size > WINDOW else WINDOW for size in padded]
    return len(dense_patch_slices(padded, [WINDOW] * 3, interval))


def peak(work: Callable[[], float]) -> float:
    """MiB by which a process of its own grew at most over the work."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()


def _reference_once() -> float:
    reference, everything = PublishedSize().eval(), torch.ones(1, 4, dtype=torch.bool)
    return _grown(lambda: reference(torch.randn(1, 4, WINDOW, WINDOW, WINDOW), everything))


def _student_once() -> float:
    case, student = full_case(), default_student()
    return _grown(lambda: predict(case, student))


def _grown(work: Callable[[], object]) -> float:
    torch.set_num_threads(2)
    with open("/proc/self/clear_refs", "w") as marks:
        marks.write("5")  # the highest value so far is forgotten
    before = _status_mib("VmRSS:")
    with torch.inference_mode():
        work()
    return _status_mib("VmHWM:") - before


def _status_mib(name: str) -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


def by_voxels(runs: int) -> None:
    network = default_student().network
    everything = torch.ones(1, 4, dtype=torch.bool)
    images = {size: torch.randn(1, 4, size, size, size) for size in SIZES}
    seconds = alternate({str(size): _job(network, images[size], everything) for size in SIZES}, runs)
    print("\nseconds per million voxels, four sequences: linear when all are alike")
    for size in SIZES:
        middle = statistics.median(seconds[str(size)])
        print(f"{size:5}^3 {middle:10.3f} s {middle / size**3 * 1e6:10.3f}")


def by_sequences(runs: int) -> None:
    network = default_student().network
    assert isinstance(network, CompositionalNet)
    image = torch.randn(1, 4, 96, 96, 96)
    given = {n: torch.arange(4)[None] < n for n in range(1, 5)}
    jobs = {f"{n} sequences given": _job(network, image, given[n]) for n in range(1, 5)}
    jobs["all 15 subsets, encoders once"] = lambda: _all_subsets(network, network.encode(image, given[4]))
    seconds = alternate(jobs, runs)
    print("\nseconds at 96^3")
    for name, times in seconds.items():
        print(f"{name:34}{statistics.median(times):10.3f}")


def _all_subsets(network: CompositionalNet, encoded: Encoded) -> None:
    for subset in all_subsets(4):
        network.decode(encoded, subset[None])


def _job(network: torch.nn.Module, image: torch.Tensor, present: torch.Tensor) -> Callable[[], object]:
    return lambda: network(image, present)


def score(patients: int, seconds: float) -> None:
    preparation = RECIPE.preparation([BRAIN_LABEL], **SCORE_SETTINGS, network=dict(SMALL_NETWORK))
    samples = [RECIPE.prepare(brain_case(seed), preparation) for seed in range(patients)]
    held_out = patients * 2 // 5
    shape = "x".join(map(str, preparation.grid_shape_kji))
    print(f"\nat {shape}, {patients - held_out} patients trained on, {held_out} held out, batches of {BATCH}")
    training, judged = samples[held_out:], samples[:held_out]

    def report(name: str, network: torch.nn.Module, budget: Budget) -> int:
        steps = fit(network, training, budget, preparation)
        dice = mean_dice(network.eval(), judged)
        print(
            f"{name:34} mean Dice {dice:.3f}, {steps} steps, {time.process_time() - budget.started:.0f} s", flush=True
        )
        return steps

    torch.manual_seed(0)
    steps = report("reference", PublishedSize(), Budget(seconds=seconds))
    report("student, the same time", RECIPE.build_network(preparation.network), Budget(seconds=seconds))
    report("student, as many steps", RECIPE.build_network(preparation.network), Budget(steps=steps))


class Budget:
    """How much of a training is done: by seconds of the processor, or by steps."""

    def __init__(self, *, seconds: float = math.inf, steps: float = math.inf) -> None:
        self.started = time.process_time()
        self._seconds, self._steps = seconds, steps

    def used(self, steps: int) -> float:
        return max((time.process_time() - self.started) / self._seconds, steps / self._steps)


def fit(network: torch.nn.Module, training: list[Batch], budget: Budget, preparation: Preparation) -> int:
    """Train until the budget is used up; the number of steps. Each has its own loss and rate, the samples are alike.

    The reference learns the drawn subset and all sequences at each step (C4), the student C7.
    """
    rate = 3e-4 if isinstance(network, PublishedSize) else 3e-3
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-2)
    generator, curriculum = torch.Generator().manual_seed(0), Curriculum.from_json(preparation.training)
    network.train()
    steps = 0
    while (used := budget.used(steps)) < 1:
        optimizer.param_groups[0]["lr"] = rate * min(1.0, used / 0.1) * 0.5 * (1 + math.cos(math.pi * used))
        chosen = torch.randint(len(training), (BATCH,), generator=generator).tolist()
        drawn = [RECIPE.augment(training[index], generator, preparation) for index in chosen]
        batch = {name: torch.stack([sample[name] for sample in drawn]) for name in drawn[0]}
        batch["progress"] = torch.tensor(used)
        if isinstance(network, CompositionalNet):
            loss = torch.stack([*training_loss(curriculum, {"student": network}, batch).values()]).sum()
        else:
            loss = reference_loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
    return steps


def reference_loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """C4 of the drawn subset and of all sequences."""
    losses = [
        segmentation_loss(network(batch["image"], batch[shown]), batch["target"], batch["known"])
        for shown in ("sampled", "present")
    ]
    return torch.stack(losses).sum(dim=0).mean()


@torch.inference_mode()
def mean_dice(network: torch.nn.Module, samples: list[Batch]) -> float:
    """Mean Dice over all subsets, regions and cases; an empty region that stays empty is 1."""
    names = [tuple(str(m) for m in row.nonzero().flatten().tolist()) for row in all_subsets(4)]
    values = np.array([[_dice(network, sample, subset) for subset in all_subsets(4)] for sample in samples])
    return summary_scores(values, names, ["WT", "TC", "ET"])["dice"]


def _dice(network: torch.nn.Module, sample: Batch, subset: torch.Tensor) -> list[float]:
    said = (network(sample["image"][None], subset[None])[0] > 0) & sample["brain"]
    truth = (sample["target"] > 0.5) & sample["brain"]
    both, sizes = (said & truth).sum((1, 2, 3)), said.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    return torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), 1.0).tolist()


if __name__ == "__main__":
    main()
