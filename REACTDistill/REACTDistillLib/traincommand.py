"""The command ``reactdistill train``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .parallel import StoppedByAnother, joined, met_alike
from .progress import ProgressCallback, json_progress, silent, write_event
from .trainingconfig import TrainingConfig, read_config

_RUN_HELP = "folder of the run, a new one; under torchrun write --run-folder, because it takes --run for its own"
_ABOUT = (
    "Train the networks of a recipe. With several processes: "
    "torchrun --nproc-per-node 2 -m REACTDistillLib train RECIPE --cohort ... --run-folder ..."
)


def add_train(parser: argparse.ArgumentParser, text_progress: ProgressCallback) -> None:
    """Options of ``reactdistill train``."""
    parser.description = _ABOUT
    parser.add_argument("recipe", help="what to train, for example reactkd")
    parser.add_argument("--cohort", required=True, type=Path, help="cohort.json")
    parser.add_argument("--run", "--run-folder", required=True, type=Path, dest="run_folder", help=_RUN_HELP)
    parser.add_argument("--config", type=Path, help="JSON file with fields of TrainingConfig")
    parser.add_argument("--resume", action="store_true", help="go on with the stopped run in the folder")
    parser.add_argument("--fold", type=int, help="fold that is held out")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--progress", default="text", choices=["text", "json"], help="json: one event a line on stdout")
    parser.set_defaults(run=lambda options: _train(options, text_progress))


def _train(options: argparse.Namespace, text_progress: ProgressCallback) -> None:
    from .cohort import Cohort
    from .train import train

    json_lines = options.progress == "json"
    try:
        with met_alike():
            config = _config(options)
        with joined(config.device) as processes:
            cohort = processes.together(lambda: Cohort.read(options.cohort))
            report = json_progress if json_lines else text_progress
            student = train(
                cohort,
                options.run_folder,
                config,
                resume=options.resume,
                progress=report if processes.is_first else silent,
            )
    except StoppedByAnother as error:  # the one that failed says why
        raise SystemExit(2) from error
    if os.environ.get("RANK", "0") != "0":
        return
    if json_lines:
        write_event("result", folder=str(options.run_folder), student=str(student))
    else:
        print(student)


def _config(options: argparse.Namespace) -> TrainingConfig:
    fields = read_config(options.config) if options.config else {}
    given = {"recipe": options.recipe, "fold": options.fold, "seed": options.seed}
    for name, value in given.items():
        if value is not None and fields.get(name, value) != value:
            raise ValueError(f'"{options.config.name}" has {name} {fields[name]!r}, the command {value!r}; give one.')
    return TrainingConfig(**fields | {name: value for name, value in given.items() if value is not None})
