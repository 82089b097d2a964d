"""The command ``reactdistill evaluate``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .finding import NOT_A_MEDICAL_DEVICE
from .heldout import ALL
from .progress import ProgressCallback, json_progress, write_event


def add_evaluate(parser: argparse.ArgumentParser, text_progress: ProgressCallback) -> None:
    """Options of ``reactdistill evaluate``."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, dest="run_folder", help="finished run: its student on its held-out fold")
    source.add_argument("--student", type=Path, help="student file")
    parser.add_argument("--cohort", required=True, type=Path, help="cohort.json")
    parser.add_argument("--out", required=True, type=Path, help="new folder for the report")
    parser.add_argument("--fold", type=_fold, help=f'fold to judge on, or "{ALL}"; the held-out one when left out')
    parser.add_argument("--doses", type=float, nargs="+", default=[], help="simulated doses to judge at as well")
    parser.add_argument("--dose-model", default="line_integrals", choices=["line_integrals", "transmission"])
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples of the intervals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--progress", default="text", choices=["text", "json"], help="json: one event a line on stdout")
    parser.set_defaults(run=lambda options: _evaluate(options, text_progress))


def _fold(text: str) -> int | str:
    return ALL if text == ALL else int(text)


def _evaluate(options: argparse.Namespace, text_progress: ProgressCallback) -> None:
    from .cohort import Cohort
    from .evaluate import EvaluationConfig, evaluate
    from .readings import AS_MEASURED, Conditions

    config = EvaluationConfig(
        fold=options.fold,
        device=options.device,
        conditions=Conditions(tuple(options.doses), options.dose_model, options.seed),
        samples=options.samples,
        command=_command(options),
    )
    json_lines = options.progress == "json"
    report = json_progress if json_lines else text_progress
    source = options.run_folder or options.student
    evaluation = evaluate(source, Cohort.read(options.cohort), options.out, config, progress=report)
    if json_lines:
        write_event("result", folder=str(options.out))
        return
    print(evaluation.part.name)
    for name, (value, low, high) in evaluation.conditions[AS_MEASURED].overall.items():
        print(f"{name:>16}  {value:.4f}  ({low:.4f} to {high:.4f})")
    for sentence in (*evaluation.part.warnings, NOT_A_MEDICAL_DEVICE):
        print(sentence)
    print(f"Report written to {options.out}")


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, with names of files and not their places: a path may name a person."""
    source = ["--run", options.run_folder.name] if options.run_folder else ["--student", options.student.name]
    words = ["reactdistill", "evaluate", *source, "--cohort", options.cohort.name, "--out", options.out.name]
    words += [] if options.fold is None else ["--fold", str(options.fold)]
    if options.doses:
        words += ["--doses", *(f"{dose:g}" for dose in options.doses), "--dose-model", options.dose_model]
    return shlex.join([*words, "--samples", str(options.samples), "--seed", str(options.seed)])
