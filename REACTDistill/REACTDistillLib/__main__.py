"""Command line: ``reactdistill`` or ``python -m REACTDistillLib``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .cohortcommand import add_cohort
from .errors import sentence_of
from .evaluatecommand import add_evaluate
from .evidencecommand import add_evidence
from .finding import NOT_A_MEDICAL_DEVICE
from .predictcommand import add_predict
from .progress import Cancelled, write_event
from .traincommand import add_train

_CASES_HELP = (
    "cohort.json, or folder with a subfolder per case: ct, liver and tumor, or any of t1, t1ce, t2 and flair (names "
    "may also end with one of these)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0; 2 after one sentence that says what was wrong; 130 after Ctrl+C; 141 when nobody reads the output any more.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    options = _parser().parse_args(arguments)
    try:
        _check_words(sys.argv[1:] if arguments is None else arguments)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("reactdistill: Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has left, as "| head" does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python still writes at its end
        return 141
    except (ValueError, Cancelled, OSError, MemoryError, ModuleNotFoundError) as error:
        sentence = sentence_of(error)
        if getattr(options, "progress", "text") == "json":
            write_event("error", message=sentence)
        else:
            print(f"reactdistill: {sentence}", file=sys.stderr)
        return 2
    return 0


def _check_words(words: Sequence[str]) -> None:
    """Raise ValueError for an empty word: as a path it would be the current folder, as an option be left out."""
    if "" in words:
        raise ValueError("An empty name was given, perhaps by a variable without a value; name a file or a folder.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reactdistill", description="Distilled student networks for tumor imaging. Not a medical device."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_predict(commands.add_parser("predict", help="grade or segment one case from files"), _text_progress)
    _add_batch(commands.add_parser("batch", help="grade or segment many cases from files"))
    _add_series(commands.add_parser("series", help="list the DICOM series of a folder"))
    _add_card(commands.add_parser("card", help="show the card of a student file"))
    _add_phantoms(commands.add_parser("phantoms", help="write a cohort of synthetic patients"))
    add_cohort(commands.add_parser("cohort", help="write the cohort file of a folder of cases"))
    add_train(commands.add_parser("train", help="train a student on a cohort"), _text_progress)
    add_evaluate(commands.add_parser("evaluate", help="judge a student on cases it has not seen"), _text_progress)
    add_evidence(commands.add_parser("evidence", help="train the ablations of a recipe"), _text_progress)
    _add_export(commands.add_parser("export", help="write a student as ONNX or as MONAI Bundle"))
    _add_worker(commands.add_parser("worker", help="serve requests as JSON lines on stdin, for an application"))
    return parser


def _text_progress(stage: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        print(f"\r{stage} {done}/{total}   ", end=end, file=sys.stderr, flush=True)


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cases", type=Path, help=_CASES_HELP)
    parser.add_argument("--student", help="student file; the demo student of this version when left out")
    parser.add_argument("--out", required=True, type=Path, help="new folder for the results")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.set_defaults(run=_batch)


def _batch(options: argparse.Namespace) -> None:
    from .batch import RESULTS_FILE, cases_of, predict_cases, task_of
    from .shipped import demo_student
    from .student import load_student

    cases = cases_of(options.cases)
    student = load_student(options.student or demo_student(task_of(cases)), device=options.device)
    rows = predict_cases(cases, student, options.out, progress=_text_progress)
    for row in rows:
        print(f"{row.identifier}: {row.summary}")
    failed = sum(bool(row.problem) for row in rows)
    print(f"{NOT_A_MEDICAL_DEVICE} {student.card.limitations}")
    print(f"{len(rows) - failed} cases answered, {failed} not; written to {options.out / RESULTS_FILE}")
    if failed == len(rows):
        raise ValueError(f"None of the {failed} cases could be answered; the table says why.")


def _add_series(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.set_defaults(run=_series)


def _series(options: argparse.Namespace) -> None:
    from .dicom import list_series

    found = list_series(options.folder)
    if not found:
        raise ValueError(f'"{options.folder}" holds no DICOM image.')
    for series in found:
        print(f"{series.uid}  {series.modality:4} {series.slices:5} slices  {series.description}")


def _add_card(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("student", type=Path)
    parser.set_defaults(run=_card)


def _card(options: argparse.Namespace) -> None:
    from .student import read_card

    content = {name: value for name, value in read_card(options.student).to_json().items() if name != "tensors"}
    print(json.dumps(content, indent=2))


def _add_phantoms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, help="new folder for the cohort")
    parser.add_argument("--kind", default="liver", help="liver (CT and PET, grades) or brain (four MR sequences)")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--unlabeled", type=int, default=0, help="how many more without a grade")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the first patient, the others follow")
    parser.add_argument("--shape", type=int, nargs=3, default=[48, 48, 48], metavar=("K", "J", "I"))
    parser.set_defaults(run=_phantoms)


def _phantoms(options: argparse.Namespace) -> None:
    from .phantomcohort import write_phantom_cohort

    shape = tuple(options.shape)
    cohort = write_phantom_cohort(
        options.out,
        count=options.count,
        kind=options.kind,
        seed=options.seed,
        folds=options.folds,
        unlabeled=options.unlabeled,
        shape_kji=shape,
        progress=_text_progress,
    )
    print(f"{len(cohort.entries)} synthetic patients: {options.out / 'cohort.json'}")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("student", type=Path)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--onnx", type=Path, metavar="FILE", help="one .onnx file")
    kind.add_argument("--bundle", type=Path, metavar="FOLDER", help="new folder for a MONAI Bundle")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from .export import export_bundle, export_onnx
    from .student import load_student

    student = load_student(options.student)
    written = export_onnx(student, options.onnx) if options.onnx else export_bundle(student, options.bundle)
    print(f"{NOT_A_MEDICAL_DEVICE}\n{student.card.name} {student.card.version} written to {written}")


def _add_worker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--idle-seconds", type=float, default=600.0, help="then all memory is given back")
    parser.set_defaults(run=_worker)


def _worker(options: argparse.Namespace) -> None:
    from .worker import main as serve

    serve(idle_seconds=options.idle_seconds)


if __name__ == "__main__":
    sys.exit(main())
