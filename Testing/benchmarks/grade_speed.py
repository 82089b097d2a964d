"""Grade one case at 64x224x224: this student against one shaped as published (REACT-KD code), in one run.

Reference: SegResNet with 8 initial filters, run as encoder and decoder at full resolution to 24 channels, adaptive
pooling to 8x16x16, a head 49,152 -> 512 -> 3 (25 M parameters). Speed is a ratio of medians of alternating forward
passes. ``--score N`` also trains both on N synthetic patients for the same number of epochs at 32x96x96 and prints the
macro AUC on held-out patients, mean over two seeds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from monai.networks.nets import SegResNet
from REACTDistillLib.case import Case
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.phantom import GRADES, phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.recipes import Batch, Preparation, recipe_named
from REACTDistillLib.recipes.reactkd.losses import focal_loss
from REACTDistillLib.recipes.reactkd.networks import StudentOutput
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import read_card

RECIPE = recipe_named("reactkd")


class PublishedShape(torch.nn.Module):
    """The CT student of the published code; takes and ignores the region masks."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = SegResNet(
            spatial_dims=3, in_channels=1, out_channels=24, init_filters=8, dropout_prob=0.3, norm="instance"
        )
        self.pool = torch.nn.AdaptiveAvgPool3d((8, 16, 16))
        self.head = torch.nn.Sequential(
            torch.nn.Linear(24 * 8 * 16 * 16, 512),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(512, classes),
        )

    def forward(self, image: torch.Tensor, pools: torch.Tensor, present: torch.Tensor | None = None) -> StudentOutput:
        features = self.backbone(image)
        pooled = self.pool(features).flatten(1)
        return StudentOutput(self.head(pooled), features, pooled, pools)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--score", type=int, default=0, metavar="N", help="synthetic patients to train both on")
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, torch {torch.__version__}")
    speed(options.runs)
    if options.score:
        score(options.score, options.epochs)


def speed(runs: int) -> None:
    preparation = RECIPE.preparation(GRADES)
    phantom = phantom_case(0, shape_kji=(60, 160, 160))
    case = Case({"ct": phantom.sequences["ct"]}, phantom.regions)
    sample = RECIPE.prepare(case, preparation)
    student = RECIPE.build_network(preparation.network).eval()
    reference = PublishedShape(len(GRADES)).eval()
    loaded = as_student(preparation, student)
    image, pools = sample["image"][None], sample["pools"][None]
    jobs: dict[str, Callable[[], object]] = {
        "published shape, forward": lambda: reference(image, pools),
        "student, forward": lambda: student(image, pools),
        # Regions, preparation, forward pass, graph, heat map: all that happens when a mask was edited.
        "student, whole grade": lambda: predict(case, loaded),
    }
    print(f"parameters: {count(reference) / 1e6:.2f} M published shape, {count(student) / 1e6:.2f} M student")
    with torch.inference_mode():
        seconds = alternate(jobs, runs)
    base = statistics.median(seconds["published shape, forward"])
    print(f"{'':28}{'median s':>10}{'min':>9}{'max':>9}{'ratio':>9}")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:28}{middle:10.3f}{min(times):9.3f}{max(times):9.3f}{base / middle:8.1f}x")


def as_student(preparation: Preparation, network: torch.nn.Module) -> Student:
    """The untrained network with the card of the demo student, but for the grid and the network."""
    path = demo_student("grade")
    grid = {"shape_kji": preparation.grid_shape_kji, "spacing_kji_mm": preparation.grid_spacing_kji_mm}
    card = replace(read_card(path), grid=grid, network={"name": "student", "config": preparation.network})
    return Student(card, network, "cpu", path)


def alternate(jobs: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Seconds of each job, run in turn so that all see the same machine; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(runs + 1):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def score(patients: int, epochs: int) -> None:
    network = {"classes": 3, "stem_stride": (2, 2, 2), "channels": (16, 32), "strides": (1,)}
    preparation = RECIPE.preparation(
        GRADES, grid_shape_kji=(32, 96, 96), grid_spacing_kji_mm=(8.0, 3.0, 3.0), network=network
    )
    samples = [RECIPE.prepare(phantom_case(seed), preparation) for seed in range(patients)]
    held_out = patients * 2 // 5
    builders: dict[str, Callable[[], torch.nn.Module]] = {
        "published shape": lambda: PublishedShape(3),
        "student": lambda: RECIPE.build_network(network),
        "student, global pooling": lambda: RECIPE.build_network({**network, "pooling": "global"}),
    }
    print(f"\ntask score at 32x96x96, {patients - held_out} patients trained on, {held_out} held out, {epochs} epochs")
    for name, build in builders.items():
        started = time.perf_counter()
        values = [fitted(build, samples[held_out:], samples[:held_out], epochs, seed, preparation) for seed in (0, 1)]
        spread = ", ".join(f"{value:.3f}" for value in values)
        print(f"{name:24} macro AUC {statistics.mean(values):.3f} ({spread}); {time.perf_counter() - started:.0f} s")


def fitted(
    build: Callable[[], torch.nn.Module],
    training: list[Batch],
    held_out: list[Batch],
    epochs: int,
    seed: int,
    preparation: Preparation,
) -> float:
    """Macro AUC after training; the same loop, learning rate found good for each, and augmentation for both."""
    torch.manual_seed(seed)
    network = build().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    rate = 3e-4 if isinstance(network, PublishedShape) else 3e-3
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-2)
    generator, steps = torch.Generator().manual_seed(seed), len(training) // 8
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps, pct_start=0.15)
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(training), generator=generator).tolist()
        for step in range(steps):
            drawn = [RECIPE.augment(training[i], generator, preparation) for i in order[8 * step : 8 * step + 8]]
            batch = {name: torch.stack([sample[name] for sample in drawn]) for name in drawn[0]}
            loss = focal_loss(network(batch["image"], batch["pools"]).logits, batch["label"])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        return RECIPE.evaluate(network, held_out)["score"]


if __name__ == "__main__":
    main()
