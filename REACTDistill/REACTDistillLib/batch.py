"""Many cases after each other: one result folder per case and one table of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .atomic import write_file
from .case import Case
from .casefiles import case_from_folder, sequences_in_folder
from .cohort import Cohort
from .csvtable import csv_table
from .errors import sentence_of, without_paths
from .finding import NOT_A_MEDICAL_DEVICE
from .predict import predict
from .progress import ProgressCallback, silent

if TYPE_CHECKING:
    from .card import Card
    from .loadedstudent import Student

RESULTS_FILE = "results.csv"


@dataclass(frozen=True)
class BatchRow:
    """What became of one case: probabilities by class or volumes in ml by region, or the sentence why there are none.

    ``sequences`` are those that a segmentation was made of, ``warnings`` the sentences of the Finding.
    """

    identifier: str
    folder: str
    predicted_class: str
    probabilities: dict[str, float]
    problem: str
    volumes_ml: dict[str, float] = field(default_factory=dict)
    sequences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The answer in a few words, or the problem."""
        volumes = ", ".join(f"{name} {volume:.1f} ml" for name, volume in self.volumes_ml.items())
        return self.predicted_class or volumes or self.problem


@dataclass(frozen=True)
class BatchCase:
    """A case that is read when its turn comes."""

    identifier: str
    load: Callable[[], Case]
    place: Path  # of its files; never part of what is written
    sequences: tuple[str, ...]  # as far as names tell, before anything is read


def cases_of(source: Path | str) -> list[BatchCase]:
    """The cases of a cohort file, or of a folder with one subfolder per case (see ``case_from_folder``).

    Raises ValueError with one sentence when there are none.
    """
    source = Path(source)
    if not source.is_dir():
        entries = Cohort.read(source).entries
        if not entries:
            raise ValueError("The cohort holds no cases.")
        return [BatchCase(entry.id, entry.load, source.parent, tuple(entry.sequences)) for entry in entries]
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise ValueError(
            "The folder holds no subfolders; put each case into one of its own, as ct, liver and tumor, or as t1, "
            "t1ce, t2 and flair."
        )
    return [
        BatchCase(folder.name, partial(case_from_folder, folder), folder, _sequences_told(folder)) for folder in folders
    ]


def _sequences_told(folder: Path) -> tuple[str, ...]:
    """What the names in a folder tell; nothing where it cannot be read, which becomes the row of that case."""
    try:
        return sequences_in_folder(folder)
    except OSError:
        return ()


def task_of(cases: Sequence[BatchCase]) -> str:
    """What a student must be made for that can answer for the cases: "grade" for CT, "segment" for MR of the brain.

    Raises ValueError when some cases are CT and others are not; cases whose names tell nothing do not count.
    """
    tasks = {"grade" if "ct" in case.sequences else "segment" for case in cases if case.sequences}
    if len(tasks) > 1:
        raise ValueError("Some cases are CT and others MR; put them into two folders, each for a student of its own.")
    return tasks.pop() if tasks else "grade"


def predict_cases(
    cases: Sequence[BatchCase], student: Student, folder: Path | str, *, progress: ProgressCallback | None = None
) -> list[BatchRow]:
    """Grade or segment every case; write one Finding per case and ``results.csv`` into ``folder``; return the rows.

    The result folders are called case_0001 and so on: identifiers may be names of patients. A case that cannot be
    read or answered is a row with its sentence, and the others go on. The table is written anew after each case, so
    that what is done stays when the rest is cancelled. Raises ValueError when ``folder`` exists and is not empty.
    """
    folder, report = Path(folder), progress or silent
    _take(folder)
    rows: list[BatchRow] = []
    for number, case in enumerate(cases):
        report("batch", number, len(cases))
        rows.append(_answered(case, student, folder / f"case_{number + 1:04d}"))
        _write_table(rows, student.card, folder / RESULTS_FILE)
    report("batch", len(rows), len(rows))
    return rows


def _take(folder: Path) -> None:
    """Make ``folder`` and the table in it, for one run only: of two that start at once, the second is refused."""
    refusal = f'"{folder.name}" is not an empty folder; choose a new one for the results.'
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(refusal)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / RESULTS_FILE).touch(exist_ok=False)
    except FileExistsError:
        raise ValueError(refusal) from None


def _answered(case: BatchCase, student: Student, folder: Path) -> BatchRow:
    try:
        finding = predict(case.load(), student)
        finding.save(folder)
    except (ValueError, OSError, MemoryError) as error:
        return BatchRow(case.identifier, "", "", {}, without_paths(sentence_of(error), case.place, folder))
    row = BatchRow(case.identifier, folder.name, finding.predicted_class, finding.probabilities, "")
    row = replace(row, warnings=finding.warnings)
    said = finding.segmentation
    if said is None:
        return row
    given = tuple(said.expectation["given"]) if said.expectation else case.sequences
    return replace(row, volumes_ml=said.volumes_ml, sequences=given)


def _write_table(rows: Sequence[BatchRow], card: Card, path: Path) -> None:
    columns, values_of = _GRADES if card.task == "grade" else _VOLUMES
    lines = ([row.identifier, row.folder, *values_of(row, card.classes), row.problem] for row in rows)
    table = csv_table(
        ("case", "folder", *columns(card.classes), "problem"), lines, f"{NOT_A_MEDICAL_DEVICE} {card.limitations}"
    )
    write_file(path, table)


def _grade_values(row: BatchRow, classes: Sequence[str]) -> list[str | float]:
    shares = [round(row.probabilities[name], 6) if row.probabilities else "" for name in classes]
    return [row.predicted_class, *shares, " ".join(row.warnings)]


def _volume_values(row: BatchRow, classes: Sequence[str]) -> list[str | float]:
    volumes = [row.volumes_ml.get(name, "") for name in classes]
    return ["+".join(row.sequences), *volumes, " ".join(row.warnings)]


# The columns between the case and its problem, and what a row has in them.
_GRADES = (lambda classes: ["predicted_class", *classes, "warnings"], _grade_values)
_VOLUMES = (lambda classes: ["sequences", *(f"{name}_ml" for name in classes), "warnings"], _volume_values)
