"""The command ``reactdistill evaluate``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .finding import NOT_A_MEDICAL_DEVICE
from .heldout import ALL
from .progress import ProgressCallback, json_progress, write_event
from .segmentationscores import MISSED_RULES

if TYPE_CHECKING:
    from .bootstrap import Scored
    from .heldout import Part


def add_evaluate(parser: argparse.ArgumentParser, text_progress: ProgressCallback) -> None:
    """Options of ``reactdistill evaluate``."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, dest="run_folder", help="finished run: its student on its held-out fold")
    source.add_argument("--student", type=Path, help="student file")
    parser.add_argument("--cohort", required=True, type=Path, help="cohort.json")
    parser.add_argument("--out", required=True, type=Path, help="new folder for the report")
    parser.add_argument("--fold", type=_fold, help=f'fold to judge on, or "{ALL}"; the held-out one when left out')
    _add_grade_options(parser.add_argument_group("of a student that grades"))
    _add_segment_options(parser.add_argument_group("of a student that segments"))
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples of the intervals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--progress", default="text", choices=["text", "json"], help="json: one event a line on stdout")
    parser.set_defaults(run=lambda options: _evaluate(options, text_progress))


def _add_grade_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--doses", type=float, nargs="+", default=[], help="simulated doses to judge at as well")
    group.add_argument("--dose-model", default="line_integrals", choices=["line_integrals", "transmission"])


def _add_segment_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--truth",
        action="append",
        default=[],
        type=_truth,
        metavar="CLASS=REGION",
        help="region of a case that is the truth of a class, as WT=tumor; else as trained, or named as the class",
    )
    group.add_argument("--missed", choices=list(MISSED_RULES), help="HD95 of missed regions")
    group.add_argument("--overlays", type=int, help="of how many cases a slice is shown")
    group.add_argument(
        "--beside",
        type=Path,
        nargs="+",
        default=[],
        metavar="REPORT",
        help="reports of other students on the same cases, to stand beside this one",
    )


def _fold(text: str) -> int | str:
    if text != ALL and not text.isdecimal():
        raise argparse.ArgumentTypeError(f'the fold is "{text}", expected a number or "{ALL}"')
    return ALL if text == ALL else int(text)


def _truth(text: str) -> tuple[str, str]:
    name, separator, region = text.partition("=")
    if not (name and separator and region):
        raise argparse.ArgumentTypeError(f'"{text}" names no class and region; write it as WT=tumor')
    return name, region


def _evaluate(options: argparse.Namespace, text_progress: ProgressCallback) -> None:
    """Judge by the task of the student, write the report and print the scores."""
    from .heldout import subject_of
    from .student import read_card

    json_lines = options.progress == "json"
    report = json_progress if json_lines else text_progress
    if options.run_folder is not None and not options.run_folder.is_dir():
        raise ValueError(f'There is no run folder "{options.run_folder}".')
    card = read_card(subject_of(options.run_folder or options.student).student)
    judge = {"grade": _graded, "segment": _segmented}[card.task]
    part, scores = judge(options, report)
    if json_lines:
        write_event("result", folder=str(options.out))
        return
    print(part.name)
    for name, (value, low, high) in scores.items():
        print(f"{name:>16}  {value:.4f}  ({low:.4f} to {high:.4f})")
    for sentence in (*part.warnings, NOT_A_MEDICAL_DEVICE):
        print(sentence)
    print(f"Report written to {options.out}")


def _graded(options: argparse.Namespace, progress: ProgressCallback) -> tuple[Part, Mapping[str, Scored]]:
    from .cohort import Cohort
    from .evaluate import evaluate
    from .evaluation import EvaluationConfig
    from .readings import AS_MEASURED, Conditions

    if options.truth or options.beside or options.overlays is not None or options.missed is not None:
        raise ValueError("--truth, --missed, --overlays and --beside are for students that segment; this one grades.")
    config = EvaluationConfig(
        fold=options.fold,
        device=options.device,
        conditions=Conditions(tuple(options.doses), options.dose_model, options.seed),
        samples=options.samples,
        command=_command(options),
    )
    source = options.run_folder or options.student
    evaluation = evaluate(source, Cohort.read(options.cohort), options.out, config, progress=progress)
    return evaluation.part, evaluation.conditions[AS_MEASURED].overall


def _segmented(options: argparse.Namespace, progress: ProgressCallback) -> tuple[Part, Mapping[str, Scored]]:
    from .cohort import Cohort
    from .subsets.evaluate import evaluate_subsets
    from .subsets.evaluation import SubsetConfig

    if options.doses:
        raise ValueError("--doses is for students that grade a CT; this one segments.")
    chosen = {name: value for name in ("missed", "overlays") if (value := getattr(options, name)) is not None}
    config = SubsetConfig(
        fold=options.fold,
        device=options.device,
        targets=dict(options.truth),
        **chosen,
        samples=options.samples,
        seed=options.seed,
        beside=tuple(options.beside),
        command=_command(options),
    )
    source = options.run_folder or options.student
    evaluation = evaluate_subsets(source, Cohort.read(options.cohort), options.out, config, progress=progress)
    return evaluation.part, evaluation.summary


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, with names of files and not their places: a path may name a person."""
    source = ["--run", options.run_folder.name] if options.run_folder else ["--student", options.student.name]
    words = ["reactdistill", "evaluate", *source, "--cohort", options.cohort.name, "--out", options.out.name]
    words += [] if options.fold is None else ["--fold", str(options.fold)]
    if options.doses:
        words += ["--doses", *(f"{dose:g}" for dose in options.doses), "--dose-model", options.dose_model]
    for name, region in options.truth:
        words += ["--truth", f"{name}={region}"]
    if options.missed is not None:
        words += ["--missed", options.missed]
    if options.beside:
        words += ["--beside", *(folder.name for folder in options.beside)]
    return shlex.join([*words, "--samples", str(options.samples), "--seed", str(options.seed)])
