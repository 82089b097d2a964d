"""The command ``reactdistill evidence``."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from .progress import ProgressCallback, json_progress

_ABOUT = "Train the ablations of a recipe over folds and seeds and print their table."


def add_evidence(parser: argparse.ArgumentParser, text_progress: ProgressCallback) -> None:
    """Options of ``reactdistill evidence``."""
    parser.description = _ABOUT
    parser.add_argument("recipe", help="for example reactkd")
    parser.add_argument("--plan", required=True, help="which ablations: phantoms or glioma")
    parser.add_argument("--cohort", required=True, type=Path, help="cohort.json")
    parser.add_argument("--out", required=True, type=Path, help="folder for runs and table; a stopped command goes on")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; of several each has one thread")
    parser.add_argument("--progress", default="text", choices=["text", "json"])
    parser.set_defaults(run=lambda options: _evidence(options, text_progress))


def _evidence(options: argparse.Namespace, text_progress: ProgressCallback) -> None:
    from .evidence import evidence, tables_text
    from .recipes import recipe_named

    for name in ("folds", "seeds", "jobs"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be 1 or more, got {getattr(options, name)}.")
    recipe_named(options.recipe)
    plans = import_module(f".recipes.{options.recipe}.ablation", __package__).PLANS
    if options.plan not in plans:
        raise ValueError(f'The recipe {options.recipe} has no plan "{options.plan}"; it has {", ".join(plans)}.')
    plan = plans[options.plan](options.folds, options.seeds)
    report = json_progress if options.progress == "json" else text_progress
    content = evidence(options.cohort, options.out, plan, jobs=options.jobs, progress=report)
    print(tables_text(content))
