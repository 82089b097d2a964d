"""Cohort: a JSON list of cases with patient-level folds and file hashes."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .atomic import write_file
from .case import Case
from .files import read_volume, write_volume
from .volume import Volume


@dataclass(frozen=True, eq=False)
class CohortEntry:
    """One case of a cohort, not loaded yet.

    ``sequences`` and ``regions`` give files by name as paths below ``folder``, written with "/"; ``sha256`` gives the
    hash of each of these files. ``patient`` is a code that cases of one patient share: never a patient name.
    ``label`` is None when the class is not known.
    """

    id: str
    patient: str
    fold: int
    label: str | None
    sequences: Mapping[str, str]
    regions: Mapping[str, str]
    clinical: Mapping[str, float | str]
    sha256: Mapping[str, str]
    folder: Path = field(default_factory=Path)

    def load(self) -> Case:
        """The Case, read from its files; region files are true where their value is above 0.5.

        Raises ValueError when a file is missing or is not the one that the cohort was made with.
        """
        sequences = {name: read_volume(self._checked_file(path)) for name, path in self.sequences.items()}
        regions = {name: _mask(read_volume(self._checked_file(path))) for name, path in self.regions.items()}
        return Case(sequences, regions, dict(self.clinical), self.label, self.id)

    def _checked_file(self, relative: str) -> Path:
        path = self.folder / relative
        if not path.is_file():
            raise ValueError(f'case "{self.id}": there is no file "{relative}" beside the cohort file.')
        if file_sha256(path) != self.sha256[relative]:
            raise ValueError(f'case "{self.id}": the file "{relative}" has changed since the cohort was made.')
        return path

    def to_json(self) -> dict[str, Any]:
        """The entry as it stands in the cohort file."""
        return {
            "id": self.id,
            "patient": self.patient,
            "fold": self.fold,
            "label": self.label,
            "sequences": dict(self.sequences),
            "regions": dict(self.regions),
            "clinical": dict(self.clinical),
            "sha256": dict(self.sha256),
        }


@dataclass(frozen=True, eq=False)
class Cohort:
    """Cases with classes and folds; all cases of one patient are in one fold.

    ``synthetic`` is true when no case comes from a real patient. ``folder`` is where the cohort file lies; paths of the
    entries are below it.
    """

    name: str
    synthetic: bool
    classes: tuple[str, ...]
    entries: tuple[CohortEntry, ...]
    folder: Path

    @classmethod
    def read(cls, path: Path | str) -> Cohort:
        """The cohort of a JSON file. Raises ValueError with one sentence that names the file and what is wrong in it.

        Files of the cases are looked at when a case is loaded, not here.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f'there is no cohort file "{path}".')
        try:
            data = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors put a mark in front
        except ValueError as error:  # not UTF-8, or not JSON
            raise ValueError(f'"{path.name}" is not a cohort file: it is no JSON text.') from error
        try:
            return _cohort(data, path.parent)
        except ValueError as error:
            raise ValueError(f'"{path.name}": {error}') from error

    def write(self, path: Path | str) -> Path:
        """Write the cohort file; it must lie in ``folder``, because the paths in it are relative to it."""
        path = Path(path)
        if path.parent.resolve() != self.folder.resolve():
            raise ValueError(f'the cohort file must lie in "{self.folder}", beside its cases, not in "{path.parent}".')
        _cohort(self.to_json(), self.folder)  # what could not be read back is not written
        write_file(path, (json.dumps(self.to_json(), indent=1) + "\n").encode())
        return path

    def to_json(self) -> dict[str, Any]:
        """The content of the cohort file."""
        return {
            "name": self.name,
            "synthetic": self.synthetic,
            "classes": list(self.classes),
            "cases": [entry.to_json() for entry in self.entries],
        }

    @property
    def sha256(self) -> str:
        """Hash of the content, file hashes included: the same wherever the cohort lies and however it is laid out."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    @property
    def folds(self) -> list[int]:
        """The folds in use, in order."""
        return sorted({entry.fold for entry in self.entries})

    def split(self, fold: int) -> tuple[list[CohortEntry], list[CohortEntry]]:
        """Training entries (all other folds) and validation entries (``fold``)."""
        if fold not in self.folds:
            raise ValueError(f'cohort "{self.name}" has no fold {fold}; it has {self.folds}.')
        training = [entry for entry in self.entries if entry.fold != fold]
        validation = [entry for entry in self.entries if entry.fold == fold]
        return training, validation


def write_case(case: Case, fold: int, folder: Path) -> CohortEntry:
    """The entry of a case whose files are written below ``folder``, as NRRD; its identifier stands for the patient.

    Uncompressed, because such files are written and read several times faster.
    """
    (folder / case.identifier).mkdir()
    volumes = {**case.sequences, **case.regions}
    paths = {name: f"{case.identifier}/{name}.nrrd" for name in volumes}
    for name, volume in volumes.items():
        write_volume(volume, folder / paths[name])
    return CohortEntry(
        id=case.identifier,
        patient=case.identifier,
        fold=fold,
        label=case.label,
        sequences={name: paths[name] for name in case.sequences},
        regions={name: paths[name] for name in case.regions},
        clinical=case.clinical,
        sha256={path: file_sha256(folder / path) for path in paths.values()},
        folder=folder,
    )


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def assign_folds(patients: Sequence[str], labels: Sequence[str | None], *, folds: int = 5, seed: int = 0) -> list[int]:
    """The fold of each case, given the patient and the label of each.

    All cases of a patient come into one fold, and each label is dealt out evenly (a patient with several labels counts
    for the first of them in the alphabet). The order of the cases does not matter, the ``seed`` does.
    """
    if len(patients) != len(labels):
        raise ValueError(f"there are {len(patients)} patients for {len(labels)} labels; each case needs both.")
    label_of: dict[str, str] = {}
    for patient, label in zip(patients, labels, strict=True):
        label_of[patient] = min(label_of.get(patient, str(label)), str(label))
    if not 2 <= folds <= len(label_of):
        raise ValueError(f"{len(label_of)} patients cannot be put into {folds} folds; use 2 to {len(label_of)} folds.")
    order = sorted(label_of)
    random.Random(seed).shuffle(order)
    order.sort(key=label_of.__getitem__)  # stable: shuffled within each label
    fold_of = {patient: index % folds for index, patient in enumerate(order)}
    return [fold_of[patient] for patient in patients]


def _mask(volume: Volume) -> Volume:
    return Volume(volume.array_kji > 0.5, volume.grid)


_COHORT_KEYS: dict[str, type] = {"name": str, "synthetic": bool, "classes": list, "cases": list}
_CASE_KEYS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "patient": str,
    "fold": int,
    "label": (str, type(None)),
    "sequences": dict,
    "regions": dict,
    "clinical": dict,
    "sha256": dict,
}


def _cohort(data: Any, folder: Path) -> Cohort:
    _check_keys(data, _COHORT_KEYS, "the cohort")
    classes = data["classes"]
    if not all(isinstance(name, str) and name for name in classes) or len(set(classes)) != len(classes):
        raise ValueError(f"the classes must be different names, got {classes}.")
    entries = tuple(_entry(case, index, classes, folder) for index, case in enumerate(data["cases"]))
    _check_entries(entries)
    return Cohort(data["name"], data["synthetic"], tuple(classes), entries, folder)


def _entry(case: Any, index: int, classes: Sequence[str], folder: Path) -> CohortEntry:
    who = f'case "{case["id"]}"' if isinstance(case, dict) and isinstance(case.get("id"), str) else f"case {index}"
    _check_keys(case, _CASE_KEYS, who)
    if case["fold"] < 0:
        raise ValueError(f"{who} has fold {case['fold']}; folds count from 0.")
    if case["label"] is not None and case["label"] not in classes:
        raise ValueError(f'{who} has the unknown label "{case["label"]}"; the classes are {list(classes)}.')
    for path in (*case["sequences"].values(), *case["regions"].values()):
        _check_path(path, who)
        if not isinstance(case["sha256"].get(path), str):
            raise ValueError(f'{who} has no SHA-256 for its file "{path}".')
    for item, value in case["clinical"].items():
        if isinstance(value, bool) or not isinstance(value, int | float | str) or not math.isfinite(_number(value)):
            raise ValueError(f'{who} has the clinical item "{item}" of {value!r}; items are numbers or words.')
    return CohortEntry(**case, folder=folder)


def _number(value: float | str) -> float:
    return 0.0 if isinstance(value, str) else float(value)


def _check_keys(data: Any, kinds: Mapping[str, type | tuple[type, ...]], who: str) -> None:
    if not isinstance(data, dict):
        raise ValueError(f"{who} must be a JSON object, got {type(data).__name__}.")
    for key, kind in kinds.items():
        if key not in data:
            raise ValueError(f'{who} lacks "{key}".')
        wrong_bool = isinstance(data[key], bool) and kind is not bool  # to Python a bool is an int
        if wrong_bool or not isinstance(data[key], kind):
            raise ValueError(f'{who} has "{key}" of {data[key]!r}, which is not of the right kind.')
    unknown = sorted(set(data) - set(kinds))
    if unknown:
        raise ValueError(f'{who} has the unknown key "{unknown[0]}"; known are {list(kinds)}.')


def _check_path(path: Any, who: str) -> None:
    if not isinstance(path, str) or not path:
        raise ValueError(f"{who} has a file path of {path!r}; paths are text.")
    parts = PurePosixPath(path).parts
    if "\\" in path or parts[0] == "/" or ".." in parts or PureWindowsPath(path).drive:
        raise ValueError(f'{who} has the path "{path}"; paths must be below the cohort file, written with "/".')


def _check_entries(entries: Sequence[CohortEntry]) -> None:
    folds: dict[str, int] = {}
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise ValueError(f'the case id "{entry.id}" appears twice.')
        seen.add(entry.id)
        if folds.setdefault(entry.patient, entry.fold) != entry.fold:
            found = sorted((folds[entry.patient], entry.fold))
            raise ValueError(f'patient "{entry.patient}" is in folds {found[0]} and {found[1]}; one is allowed.')
