"""A Case from files: an image and its region masks in any format that can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .case import Case
from .geometry import resample
from .volume import Volume

_BRAIN_SEQUENCES = ("t1", "t1ce", "t2", "flair")
# Endings of names; BraTS calls the sequences t1n, t1c, t2w and t2f since 2023.
_BRAIN_NAMES = {"t1": "t1", "t1n": "t1", "t1ce": "t1ce", "t1c": "t1ce", "t2": "t2", "t2w": "t2"}
_BRAIN_NAMES |= {"flair": "flair", "t2f": "flair", "brain": "brain"}


def case_from_files(
    ct: Path | str, liver: Sequence[str] | None, tumor: Sequence[str] | None, *, series: str | None = None
) -> Case:
    """A Case from files; ``liver`` and ``tumor`` are region specifications (see ``masks.read_region``), joined."""
    given = {"liver": liver, "tumor": tumor}
    regions = {name: specifications for name, specifications in given.items() if specifications}
    return case_from_named_files({"ct": ct}, regions, series=series)


def case_from_named_files(
    sequences: Mapping[str, Path | str], regions: Mapping[str, Sequence[str]], *, series: str | None = None
) -> Case:
    """A Case from image files by sequence and region specifications by region (see ``masks.read_region``), joined.

    ``series`` is the one to take from a DICOM folder that holds several. Contours are put on the voxels of the first
    sequence by name. Raises ValueError, one sentence, without a sequence, for an empty name, for a ``series`` of more
    than one sequence and as reading does.
    """
    from .files import read_volume

    if not sequences:
        raise ValueError("No image was given; name at least one sequence.")
    if series is not None and len(sequences) > 1:
        raise ValueError(
            "A series can be named for one sequence only; give each sequence as a file or folder of its own."
        )
    if "" in (*map(str, sequences.values()), *(one for given in regions.values() for one in given)):
        # As a path "" is the current folder, and whatever lies there would be graded.
        raise ValueError("An empty name was given for an image or a mask; name a file or a folder.")
    images = {name: read_volume(path, series=series) for name, path in sequences.items()}
    reference = images[min(images)]
    return Case(images, {name: _joined_region(given, reference) for name, given in regions.items()})


def _joined_region(specifications: Sequence[str], image: Volume) -> Volume:
    """The union of several regions: on their grid when they share one, else on the grid of the image."""
    from .masks import read_region

    masks = [read_region(specification, reference=image) for specification in specifications]
    grid = masks[0].grid
    if not all(mask.grid.same_as(grid) for mask in masks):
        grid = image.grid
    joined = np.zeros(grid.shape_kji, dtype=bool)
    for mask in masks:
        joined |= resample(mask, grid, interpolation="nearest").array_kji.astype(bool, copy=False)
    return Volume(joined, grid)


def sequences_in_folder(folder: Path) -> tuple[str, ...]:
    """Names of the sequences in the folder of a case: ct, or those of t1, t1ce, t2 and flair that are there."""
    found = _files_by_name(folder)
    return ("ct",) if "ct" in found else tuple(name for name in _BRAIN_SEQUENCES if name in found)


def case_from_folder(folder: Path) -> Case:
    """The Case in a folder that holds ``ct``, ``liver`` and, if there are tumors, ``tumor``, or MR of a brain.

    Of a brain it is any of ``t1``, ``t1ce``, ``t2`` and ``flair``, with or without a mask ``brain``; a longer name may
    end with one of these, or with the one that BraTS has for it (``patient_01-t2f`` is a FLAIR). Each is a file with
    any ending that can be read, or a subfolder of DICOM files. Raises ValueError, one sentence, when one is missing or
    is there twice, and as reading it does.
    """
    found, sequences = _files_by_name(folder), sequences_in_folder(folder)
    if sequences and sequences != ("ct",):
        paths = {name: _only(name, found[name], folder) for name in sequences}
        brain = [str(_only("brain", found["brain"], folder))] if "brain" in found else []
        return case_from_named_files(paths, {"brain": brain} if brain else {})
    paths = {name: _only(name, found[name], folder) for name in ("ct", "liver", "tumor") if name in found}
    missing = [name for name in ("ct", "liver") if name not in paths]
    if missing:
        raise ValueError(
            f'The folder of the case holds no "{missing[0]}"; name the files ct, liver and tumor, or t1, t1ce, t2 and '
            "flair."
        )
    tumor = [str(paths["tumor"])] if "tumor" in paths else None
    return case_from_files(paths["ct"], [str(paths["liver"])], tumor)


def _files_by_name(folder: Path) -> dict[str, list[Path]]:
    """Files and subfolders by what their names say they are."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.split(".")[0].lower()
        ending = re.split(r"[_\- ]", name)[-1]
        found.setdefault(_BRAIN_NAMES.get(ending, name), []).append(path)
    return found


def _only(name: str, paths: list[Path], folder: Path) -> Path:
    if len(paths) != 1:
        raise ValueError(f'The folder of the case holds {len(paths)} files called "{name}"; leave one of them.')
    return paths[0]
