"""Many cases after each other: one result folder per case and one table of all."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .case import Case
from .casefiles import case_from_folder
from .cohort import Cohort
from .errors import sentence_of, without_paths
from .finding import NOT_A_MEDICAL_DEVICE
from .predict import predict
from .progress import ProgressCallback, silent

if TYPE_CHECKING:
    from .student import Student

RESULTS_FILE = "results.csv"


@dataclass(frozen=True)
class BatchRow:
    """What became of one case: its probabilities by class, or the sentence why there are none."""

    identifier: str
    folder: str
    predicted_class: str
    probabilities: dict[str, float]
    problem: str


@dataclass(frozen=True)
class BatchCase:
    """A case that is read when its turn comes."""

    identifier: str
    load: Callable[[], Case]
    place: Path  # of its files; never part of what is written


def cases_of(source: Path | str) -> list[BatchCase]:
    """The cases of a cohort file, or of a folder with one subfolder per case (see ``case_from_folder``).

    Raises ValueError with one sentence when there are none.
    """
    source = Path(source)
    if not source.is_dir():
        return [BatchCase(entry.id, entry.load, source.parent) for entry in Cohort.read(source).entries]
    folders = sorted(path for path in source.iterdir() if path.is_dir())
    if not folders:
        raise ValueError("The folder holds no subfolders; put each case into one of its own, as ct, liver and tumor.")
    return [BatchCase(folder.name, partial(case_from_folder, folder), folder) for folder in folders]


def grade_cases(
    cases: Sequence[BatchCase], student: Student, folder: Path | str, *, progress: ProgressCallback | None = None
) -> list[BatchRow]:
    """Grade every case; write one Finding per case and ``results.csv`` into ``folder``; return the rows.

    The result folders are called case_0001 and so on: identifiers may be names of patients. A case that cannot be
    graded is a row with its sentence, and the others go on. The table is written anew after each case, so that what is
    done stays when the rest is cancelled. Raises ValueError when ``folder`` exists and is not empty.
    """
    folder, report = Path(folder), progress or silent
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f'"{folder.name}" is not an empty folder; choose a new one for the results.')
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[BatchRow] = []
    for number, case in enumerate(cases):
        report("batch", number, len(cases))
        rows.append(_graded(case, student, folder / f"case_{number + 1:04d}"))
        _write_table(rows, student.card.classes, folder / RESULTS_FILE)
    report("batch", len(rows), len(rows))
    return rows


def _graded(case: BatchCase, student: Student, folder: Path) -> BatchRow:
    try:
        finding = predict(case.load(), student)
        finding.save(folder)
    except (ValueError, OSError, MemoryError) as error:
        return BatchRow(case.identifier, "", "", {}, without_paths(sentence_of(error), case.place, folder))
    return BatchRow(case.identifier, folder.name, finding.predicted_class, finding.probabilities, "")


def _write_table(rows: Sequence[BatchRow], classes: Sequence[str], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["case", "folder", "predicted_class", *classes, "problem", "notice"])
            for row in rows:
                shares = [round(row.probabilities[name], 6) if row.probabilities else "" for name in classes]
                predicted = [row.identifier, row.folder, row.predicted_class, *shares]
                table.writerow([*predicted, row.problem, NOT_A_MEDICAL_DEVICE])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
