"""What a student says of a case, in the geometry of the case; saved as one folder and read back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .atomic import new_folder
from .csvtable import Row, csv_table
from .files import read_volume, write_volume
from .geometry import are_voxels_of, box_within, resample
from .graph import RegionGraph
from .segmentation import Segmentation, is_segmentation_file, read_segmentation, write_segmentation
from .tumorlabels import DEFAULT
from .volume import Box, Grid, Volume

if TYPE_CHECKING:
    from .loadedstudent import Student

NOT_A_MEDICAL_DEVICE = "Research software, not a medical device: not for diagnosis or treatment decisions."
_FORMAT = 2
_HEADER_FILE = "finding.json"
_SECONDS_OF_COPYING = 5.0  # copies of a folder may come in any order
_FILES = frozenset({"finding.json", "attention.nrrd", "probabilities.csv", "regions.csv"})


@dataclass(frozen=True)
class Provenance:
    """Who said it: student, where it ran, how long it took, what the student is for."""

    student: str
    student_version: str
    tensors_sha256: str
    software_version: str
    device: str
    seconds: float
    intended_use: str
    limitations: str

    @classmethod
    def of(cls, student: Student, seconds: float) -> Provenance:
        """What is known of an answer that ``student`` gave after ``seconds``, to the millisecond."""
        card = student.card
        return cls(
            student=card.name,
            student_version=card.version,
            tensors_sha256=card.tensors_sha256,
            software_version=__version__,
            device=str(student.device),
            seconds=round(seconds, 3),
            intended_use=card.intended_use,
            limitations=card.limitations,
        )


@dataclass(frozen=True, eq=False)
class Finding:
    """What a student says of a case.

    ``probabilities`` by class name, in the order of the card; ``grid`` is that of the source sequence. ``shown_class``
    is the class that ``attention`` and the importance in ``graph`` speak of. ``attention`` is a heat map from 0 to 1
    (see ``attention.heat_map``) on voxels of the source, all or every n-th, cropped to a box outside which it is 0.
    ``warnings`` are sentences for the reader, never empty words. A segmenting student says ``segmentation`` instead:
    its ``probabilities`` are empty, ``shown_class`` is "". Raises ValueError when ``shown_class`` has no probability or
    the voxels of ``attention`` or of ``segmentation`` are not voxels of ``grid``.
    """

    case_identifier: str
    task: str
    probabilities: dict[str, float]
    grid: Grid
    shown_class: str
    attention: Volume | None
    graph: RegionGraph | None
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    segmentation: Segmentation | None = None

    def __post_init__(self) -> None:
        if self.segmentation is not None:
            self.segmentation.box_in(self.grid)
        if self.shown_class not in (self.probabilities or ("",)):
            raise ValueError(f'The class shown, "{self.shown_class}", is none of {", ".join(self.probabilities)}.')
        if self.attention is not None and not are_voxels_of(self.attention.grid, self.grid):
            raise ValueError("The voxels of the heat map are not voxels of the image that was graded.")

    @property
    def attention_box(self) -> Box | None:
        """The box of ``grid`` that the heat map fills; None without one and for one that leaves voxels out."""
        return None if self.attention is None else box_within(self.attention.grid, self.grid)

    def whole_attention(self) -> Volume | None:
        """The heat map on all of ``grid``, 0 where it was cropped, linear where it leaves voxels out; or None."""
        if self.attention is None:
            return None
        if self.attention_box is None:
            return resample(self.attention, self.grid)
        whole = np.zeros(self.grid.shape_kji, dtype=np.float32)
        whole[self.attention_box.slices] = self.attention.array_kji
        return Volume(whole, self.grid)

    @property
    def predicted_class(self) -> str:
        """The class with the highest probability; "" when there are none."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default="")

    def notices(self) -> list[str]:
        """Every sentence that must stand beside the numbers wherever they are shown."""
        return [NOT_A_MEDICAL_DEVICE, self.provenance.limitations, *self.warnings]

    def save(self, folder: Path | str, *, convention: str = DEFAULT) -> Path:
        """Write ``finding.json`` and what there is of ``attention.nrrd``, ``probabilities.csv``, ``regions.csv`` and
        the files of the segmentation (a label map in the ``convention`` of that name) into a new ``folder``.

        The folder appears complete or not at all. An existing folder is replaced only if it holds nothing but an
        earlier Finding that nobody has changed. ``attention.nrrd`` has all voxels of ``grid``, for overlay in any
        viewer. Raises ValueError as ``check_result_folder`` does.
        """
        check_result_folder(folder)
        folder = Path(folder).resolve()  # so that "." has a name and a parent
        with new_folder(folder) as temporary:
            self._write(temporary, convention)
            if folder.exists():
                shutil.rmtree(folder)  # the earlier Finding
        return folder

    def _write(self, folder: Path, convention: str) -> None:
        header, notice = self.to_json(), " ".join(self.notices())
        if self.segmentation is not None:
            header["segmentation"]["files"] = write_segmentation(
                self.segmentation, self.grid, folder, convention=convention, notice=notice
            )
        heat = self.whole_attention()
        if heat is not None:
            write_volume(heat, folder / "attention.nrrd", notice=notice)
        if self.probabilities:
            _write_probabilities(self.probabilities, folder / "probabilities.csv", notice)
        if self.graph is not None:
            _write_regions(self.graph, folder / "regions.csv", notice)
        # Last: a file that is newer was changed by somebody.
        (folder / _HEADER_FILE).write_text(json.dumps(header, indent=1), encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """All but the voxels, for ``json.dumps``; ``from_json`` is the way back."""
        box = self.attention_box
        return {
            "format": _FORMAT,
            "case": self.case_identifier,
            "task": self.task,
            "predicted_class": self.predicted_class,
            "probabilities": self.probabilities,
            "notices": self.notices(),
            "warnings": list(self.warnings),
            "provenance": asdict(self.provenance),
            "shown_class": self.shown_class,
            "grid": {"shape_kji": self.grid.shape_kji, "ijk_to_ras": self.grid.ijk_to_ras.tolist()},
            "attention": None if self.attention is None else {"file": "attention.nrrd", "box_kji": _corners(box)},
            "graph": None if self.graph is None else self.graph.to_json(),
            "segmentation": None if self.segmentation is None else self.segmentation.to_json(self.grid),
        }

    @classmethod
    def load(cls, folder: Path | str) -> Finding:
        """The Finding that ``save`` wrote into ``folder``."""
        path = Path(folder) / _HEADER_FILE
        if not path.is_file():
            raise ValueError(f'"{folder}" holds no finding.json: it is not a result folder.')
        header = json.loads(path.read_text(encoding="utf-8"))
        if header.get("format") != _FORMAT:
            raise ValueError(f'"{path}" has format {header.get("format")}, this version reads format {_FORMAT}.')
        segmented = header.get("segmentation")  # results of earlier versions have none
        segmentation = None if segmented is None else read_segmentation(path.parent, segmented)
        return cls.from_json(header, _read_attention(path.parent, header["attention"]), segmentation)

    @classmethod
    def from_json(
        cls, header: Mapping[str, Any], attention: Volume | None, segmentation: Segmentation | None = None
    ) -> Finding:
        """The Finding that ``to_json`` described, with its heat map and its segmentation."""
        return cls(
            header["case"],
            header["task"],
            header["probabilities"],
            Grid(tuple(header["grid"]["shape_kji"]), header["grid"]["ijk_to_ras"]),
            header["shown_class"],
            attention,
            None if header["graph"] is None else RegionGraph.from_json(header["graph"]),
            Provenance(**header["provenance"]),
            tuple(header["warnings"]),
            segmentation,
        )


def _read_attention(folder: Path, entry: dict[str, Any] | None) -> Volume | None:
    if entry is None:
        return None
    attention = read_volume(folder / entry["file"])
    if entry["box_kji"] is None:
        return attention
    lower_kji, upper_kji = (tuple(corner) for corner in entry["box_kji"])
    return attention.cropped(Box(lower_kji, upper_kji))


def _corners(box: Box | None) -> list[tuple[int, int, int]] | None:
    return None if box is None else [box.lower_kji, box.upper_kji]


def check_result_folder(folder: Path | str) -> None:
    """Raise ValueError when a Finding cannot be saved as ``folder``.

    Because a file is there, or a folder that holds anything but an earlier Finding which nobody has changed, or there
    is no right to write. Cheap enough to be called before a long calculation.
    """
    folder = Path(folder).resolve()
    if folder.is_dir() and (files := list(folder.iterdir())):
        header = folder / _HEADER_FILE
        if not header.is_file() or not all(_is_ours(path.name) for path in files):
            raise ValueError(f'"{folder}" exists and holds other files; name a new folder for the result.')
        made = header.stat().st_mtime + _SECONDS_OF_COPYING
        changed = [path.name for path in files if path.stat().st_mtime > made]
        if changed:
            raise ValueError(f'"{folder}" holds "{changed[0]}", which was changed by hand; name a new folder.')
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        raise ValueError(f'"{above}" is a file; name a new folder for the result.')
    if not os.access(folder.parent if above == folder else above, os.W_OK):
        raise ValueError(f'"{folder}" cannot be written: no right to write into "{above}"; name another folder.')


def _is_ours(name: str) -> bool:
    return name in _FILES or is_segmentation_file(name)


def _write_probabilities(probabilities: Mapping[str, float], path: Path, notice: str) -> None:
    path.write_bytes(csv_table(("class", "probability"), probabilities.items(), notice))


def _write_regions(graph: RegionGraph, path: Path, notice: str) -> None:
    columns = ("region", "kind", "volume_ml", "r_mm", "a_mm", "s_mm", "importance")
    path.write_bytes(csv_table(columns, _region_rows(graph), notice))


def _region_rows(graph: RegionGraph) -> Iterator[Row]:
    for index, name in enumerate(graph.names):
        place = [round(float(x), 2) for x in graph.centroids_ras[index]]
        volume, importance = float(graph.volumes_ml[index]), float(graph.importance[index])
        yield name, graph.kinds[index], round(volume, 3), *place, round(importance, 4)
