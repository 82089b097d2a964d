"""Cohorts of analytic patients on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .cohort import Cohort, assign_folds, write_case
from .phantom import GRADES, phantom_case, phantom_identifier
from .progress import ProgressCallback, silent


def write_phantom_cohort(
    folder: Path | str,
    *,
    count: int,
    seed: int = 0,
    folds: int = 5,
    unlabeled: int = 0,
    shape_kji: Sequence[int] = (48, 48, 48),
    progress: ProgressCallback = silent,
) -> Cohort:
    """Write ``count`` phantoms of the seeds from ``seed`` on, with ``cohort.json``, into a new ``folder``; return it.

    Grades are balanced to within one case. ``unlabeled`` more patients follow, without a grade and in a fold of their
    own that comes last: exams without histology, which only a teacher can make use of. Uncompressed NRRD, because it is
    written and read several times faster. The folder appears complete or not at all; one that already holds files
    raises ValueError, as do fewer than ``folds``.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f'"{folder}" already exists and is not empty; name a new folder for the phantoms.')
    if count < folds:
        raise ValueError(f"A cohort of {folds} folds needs at least {folds} phantoms, got {count}.")
    grades = [GRADES[(seed + index) % len(GRADES)] for index in range(count)]
    fold_of = assign_folds([phantom_identifier(seed + index) for index in range(count)], grades, folds=folds, seed=seed)
    fold_of += [folds] * unlabeled
    whole = len(fold_of)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        entries = []
        for index, fold in enumerate(fold_of):
            case = phantom_case(seed + index, shape_kji=shape_kji)
            entries.append(write_case(case if index < count else replace(case, label=None), fold, temporary))
            progress("phantoms", index + 1, whole)
        cohort = Cohort(f"phantoms {seed} to {seed + whole - 1}", True, GRADES, tuple(entries), temporary)
        cohort.write(temporary / "cohort.json")
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Cohort.read(folder / "cohort.json")
