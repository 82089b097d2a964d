"""One training step in the loop against the same computation alone on a batch that is already there, in one run.

In the loop: order, augmentation, collation, transfer to the device, forward, backward, check of the losses, clipping,
optimizer. Alone: forward, backward, clipping, optimizer. Medians of blocks of steps that take turns; preparation of the
cases is done before. ``--config`` takes the file of ``reactdistill train``; every stage of it is measured.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from REACTDistillLib.batches import Batches
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.deploy import Trained
from REACTDistillLib.parallel import Processes
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes import Batch, Networks, Stage, recipe_named
from REACTDistillLib.train import TrainingConfig
from REACTDistillLib.trainingconfig import read_config
from REACTDistillLib.updates import StageUpdates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--cases", type=int, default=12, help="synthetic patients")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="of each block")
    options = parser.parse_args()
    config = TrainingConfig(**(read_config(options.config) if options.config else {"batch_size": 4}))
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom_cohort(Path(folder) / "cohort", count=options.cases, shape_kji=(40, 80, 80))
        measure(cohort, config, options)


def measure(cohort: Cohort, config: TrainingConfig, options: argparse.Namespace) -> None:
    recipe = recipe_named(config.recipe)
    preparation = recipe.preparation(cohort.classes, **config.settings)
    samples = [recipe.prepare(entry.load(), preparation) for entry in cohort.entries]
    processes = Processes(device=config.device)
    networks = {name: network.to(config.device) for name, network in recipe.networks(preparation).items()}
    trained = Trained(cohort, config, recipe, preparation)
    print(f"{config.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, batch {config.batch_size}")
    for stage in recipe.stages(preparation):
        batches = Batches(trained, samples, processes, stage)
        updates = StageUpdates(stage, networks, config, processes, 10**6)
        updates.enter_training()
        endless = itertools.chain.from_iterable(map(batches.epoch, itertools.count()))
        kept = next(endless)
        steps = itertools.count()
        jobs: dict[str, Callable[[], None]] = {
            "in the loop": lambda: updates.run(next(endless), next(steps), stage.name),  # noqa: B023
            "alone": step_alone(stage, networks, kept, config),
        }
        report(stage.name, timed(jobs, config.device, options))
        updates.leave_training()


def step_alone(stage: Stage, networks: Networks, batch: Batch, config: TrainingConfig) -> Callable[[], None]:
    """The computation of one step and nothing else."""
    batch = {**batch, "progress": torch.tensor(0.5)}
    device = torch.device(config.device).type
    plans = []
    for update in stage.updates:
        parameters = list(update.parameters(networks))
        plans.append((update, parameters, torch.optim.AdamW(parameters, 1e-5)))

    def step() -> None:
        for update, parameters, optimizer in plans:
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                losses = update.loss(networks, batch)
            optimizer.zero_grad(set_to_none=True)
            torch.stack([loss.float() for loss in losses.values()]).sum().backward()
            torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
            optimizer.step()

    return step


def timed(jobs: dict[str, Callable[[], None]], device: str, options: argparse.Namespace) -> dict[str, float]:
    """Median seconds per step of each job, in blocks that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for block in range(options.blocks + 1):
        for name, job in jobs.items():
            started = time.perf_counter()
            for _ in range(options.steps):
                job()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if block:  # the first one warms up
                seconds[name].append((time.perf_counter() - started) / options.steps)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(stage: str, seconds: dict[str, float]) -> None:
    for name, value in seconds.items():
        print(f"{stage:>12}, step {name:>12}: {1000 * value:9.1f} ms")
    print(f"{stage:>12}, ratio: {seconds['in the loop'] / seconds['alone']:.3f}")


if __name__ == "__main__":
    main()
