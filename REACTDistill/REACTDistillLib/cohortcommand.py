"""The command ``reactdistill cohort``: a cohort file for a folder of cases and a table of their labels."""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .cohort import Cohort, CohortEntry, assign_folds, file_sha256
from .files import READABLE_SUFFIXES, image_suffix

COHORT_FILE = "cohort.json"
_REGIONS = ("liver", "tumor", "brain", "wt", "tc", "et")
_ABOUT = (
    "Write cohort.json into a folder with a subfolder per case, which holds an image file per sequence and per region, "
    "named as they are (ct.nii.gz, pet_fdg.nii.gz, liver.nii.gz). Names of subfolders and patients end up in the "
    "cohort and in run folders: use codes, not names of patients."
)
_LABELS_HELP = (
    "CSV with the columns case (name of the subfolder) and label (may be empty), if wanted patient and fold; any other "
    "column is a clinical item"
)


@dataclass(frozen=True)
class _Row:
    """What the table says of one case."""

    label: str | None
    patient: str
    fold: int | None
    clinical: Mapping[str, float | str] = field(default_factory=dict)


def add_cohort(parser: argparse.ArgumentParser) -> None:
    """Options of ``reactdistill cohort``."""
    parser.description = _ABOUT
    parser.add_argument("folder", type=Path, help="folder with a subfolder per case")
    parser.add_argument("--labels", required=True, type=Path, help=_LABELS_HELP)
    parser.add_argument("--classes", nargs="+", default=[], help="in order; as they first appear when left out")
    parser.add_argument("--regions", nargs="+", default=list(_REGIONS), help="which files are masks and not images")
    parser.add_argument("--folds", type=int, default=5, help="where the table has no column fold")
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    cohort = cohort_of(
        options.folder,
        options.labels,
        classes=options.classes,
        regions=options.regions,
        folds=options.folds,
        seed=options.seed,
    )
    path = cohort.write(options.folder / COHORT_FILE)
    for fold in cohort.folds:
        count = Counter(entry.label or "without label" for entry in cohort.entries if entry.fold == fold)
        print(f"fold {fold}: " + ", ".join(f"{number} {name}" for name, number in sorted(count.items())))
    print(f"{len(cohort.entries)} cases: {path}")


def cohort_of(
    folder: Path,
    labels: Path,
    *,
    classes: Sequence[str] = (),
    regions: Sequence[str] = _REGIONS,
    folds: int = 5,
    seed: int = 0,
) -> Cohort:
    """The cohort of the cases in ``folder`` that the table ``labels`` names, with the hash of each file.

    Files of a case whose names without extension are among ``regions`` are masks (true above 0.5), the others images.
    Raises ValueError with one sentence when there is a cohort file already, the table lacks a column or names a case
    that is not there, or a case holds no image or two files of one name.
    """
    if not folder.is_dir():
        raise ValueError(f'There is no folder "{folder}".')
    if (folder / COHORT_FILE).exists():
        raise ValueError(f'"{folder}" holds a {COHORT_FILE} already; move it away first.')
    rows = _table(labels)
    fold_of = _folds(rows, folds, seed)
    found = tuple(dict.fromkeys(row.label for row in rows.values() if row.label is not None))
    entries = tuple(_entry(folder, name, row, fold_of[name], regions) for name, row in rows.items())
    return Cohort(folder.resolve().name, False, tuple(classes) or found, entries, folder)


def _table(path: Path) -> dict[str, _Row]:
    if not path.is_file():
        raise ValueError(f'There is no table "{path}".')
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns, lines = list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'"{path.name}" is no CSV table in UTF-8: {error}.') from error
    missing = [name for name in ("case", "label") if name not in columns]
    if missing:
        raise ValueError(f'"{path.name}" has no column "{missing[0]}"; it has {", ".join(columns) or "none"}.')
    rows: dict[str, _Row] = {}
    for line in lines:
        name = line["case"].strip()
        if name in rows:
            raise ValueError(f'"{path.name}" names the case "{name}" twice.')
        rows[name] = _row(line, name)
    if not rows:
        raise ValueError(f'"{path.name}" names no case.')
    return rows


def _row(line: Mapping[str, str], name: str) -> _Row:
    fold = (line.get("fold") or "").strip()
    if fold and not fold.isdecimal():
        raise ValueError(f'The case "{name}" has the fold "{fold}"; folds are 0, 1, 2 and so on.')
    items = {
        key: value.strip() for key, value in line.items() if key not in ("case", "label", "patient", "fold") and value
    }
    return _Row(
        label=line["label"].strip() or None,
        patient=(line.get("patient") or "").strip() or name,
        fold=int(fold) if fold else None,
        clinical={key: _item(value) for key, value in items.items() if value},
    )


def _item(text: str) -> float | str:
    """A number where the text is one, else the text."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _folds(rows: Mapping[str, _Row], folds: int, seed: int) -> dict[str, int]:
    given = {name: row.fold for name, row in rows.items() if row.fold is not None}
    if given and len(given) < len(rows):
        without = next(name for name in rows if name not in given)
        raise ValueError(f'The case "{without}" has no fold while others have one; give it to all cases or to none.')
    if given:
        return given
    patients, labels = [row.patient for row in rows.values()], [row.label for row in rows.values()]
    return dict(zip(rows, assign_folds(patients, labels, folds=folds, seed=seed), strict=True))


def _entry(folder: Path, name: str, row: _Row, fold: int, regions: Sequence[str]) -> CohortEntry:
    if not name or Path(name).name != name or not (folder / name).is_dir():
        raise ValueError(f'There is no folder "{name}" in "{folder}", which the table names as a case.')
    files: dict[str, str] = {}
    for path in sorted((folder / name).iterdir()):
        suffix = image_suffix(path)
        if suffix is None:
            continue
        kind = path.name[: -len(suffix)]
        if kind in files:
            raise ValueError(f'The case "{name}" has two files "{kind}"; leave one of them.')
        files[kind] = f"{name}/{path.name}"
    sequences = {kind: file for kind, file in files.items() if kind not in regions}
    if not sequences:
        raise ValueError(
            f'The case "{name}" holds no image; name the files as the sequences, with one of the extensions '
            f"{', '.join(READABLE_SUFFIXES)} (DICOM folders must be converted first)."
        )
    return CohortEntry(
        id=name,
        patient=row.patient,
        fold=fold,
        label=row.label,
        sequences=sequences,
        regions={kind: file for kind, file in files.items() if kind in regions},
        clinical=row.clinical,
        sha256={file: file_sha256(folder / file) for file in files.values()},
        folder=folder,
    )
