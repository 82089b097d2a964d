"""What a worker can be asked to do, and what it keeps warm between two requests."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import Case
from .exchange import VolumeDescription, volume_from_file, volume_to_file
from .freememory import check_memory, give_memory_back
from .memory import Memory
from .progress import ProgressCallback
from .store import file_state
from .volume import Grid, Volume

if TYPE_CHECKING:
    from .finding import Finding
    from .loadedstudent import Student

Request = Mapping[str, Any]
Answer = dict[str, Any]


class MissingVolumesError(Exception):
    """A request names volumes by tokens that this worker does not hold, any more or yet."""

    def __init__(self, tokens: list[str]) -> None:
        super().__init__(", ".join(tokens))
        self.tokens = tokens


class Warm:
    """Students, volumes and intermediate results of the latest case of each holder (a panel)."""

    def __init__(self) -> None:
        self._students: dict[str, tuple[tuple[Any, ...], Student]] = {}
        self._volumes: dict[str, dict[str, Volume]] = {}
        self._memories: dict[str, Memory] = {}

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to forget."""
        return not (self._students or self._volumes or self._memories)

    def forget(self) -> None:
        """Drop everything and give the memory back."""
        self._students.clear()
        self._volumes.clear()
        self._memories.clear()
        gc.collect()
        give_memory_back()

    def memory(self, holder: str) -> Memory:
        """The intermediate results of a holder's latest case."""
        return self._memories.setdefault(holder, Memory())

    def student(self, holder: str, path: str, device: str) -> Student:
        """The student of a file, loaded once as long as the file is the same."""
        from .student import load_student

        key = (path, device, file_state(Path(path)))
        kept = self._students.get(holder)
        if kept is None or kept[0] != key:
            kept = self._students[holder] = (key, load_student(path, device=device))
        return kept[1]

    def volumes(self, holder: str, sent: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Volume]:
        """Volumes by name: those that came with files are read, the others are held from the request before.

        ``sent`` has ``{"token": ..., "volume": description or None}`` by name. Only these are held afterwards, each as
        the same object as long as its token is the same. Raises MissingVolumesError.
        """
        held = self._volumes.get(holder, {})
        missing = [one["token"] for one in sent.values() if one["volume"] is None and one["token"] not in held]
        if missing:
            raise MissingVolumesError(missing)
        # What is not needed any more goes first: two large volumes may be too much for the memory.
        kept = {one["token"]: held[one["token"]] for one in sent.values() if one["token"] in held}
        self._volumes[holder] = kept
        if not kept:
            self.memory(holder).clear()
        for one in sent.values():
            if one["token"] not in kept:
                kept[one["token"]] = volume_from_file(one["volume"], folder)
        return {name: kept[one["token"]] for name, one in sent.items()}


def _predict(request: Request, warm: Warm, progress: ProgressCallback) -> Answer:
    """Grade or segment a case: ``sequences`` and ``regions`` as in ``Warm.volumes``, ``student``, ``device``.

    A request may hold ``shown_class`` and ``heat_map_mm`` for a student that grades, ``reference`` and
    ``with_probabilities`` for one that segments. The answer is the Finding as JSON and the descriptions of its volumes
    in the request's folder: ``attention``, and of a segmentation ``masks`` and ``probability_maps`` by class.
    """
    from .predict import predict

    case, student = _loaded(request, warm, progress)
    finding = predict(
        case,
        student,
        progress=progress,
        shown_class=request.get("shown_class"),
        heat_map_mm=request.get("heat_map_mm", 0.0),
        memory=warm.memory(request["holder"]),
        reference=request.get("reference") or None,
        with_probabilities=request.get("with_probabilities", False),
    )
    return _answer(finding, Path(request["folder"]))


def _get_ready(request: Request, warm: Warm, progress: ProgressCallback) -> Answer:
    """Do for a request ``predict`` with the same fields all that comes before the network; the answer is empty."""
    from .predict import get_ready

    case, student = _loaded(request, warm, progress)
    get_ready(case, student, memory=warm.memory(request["holder"]), progress=progress)
    return {}


def _loaded(request: Request, warm: Warm, progress: ProgressCallback) -> tuple[Case, Student]:
    """Case and student of a request, both warm from here on."""
    from .student import read_card

    progress("load", 0, 2)
    sent = {**request["sequences"], **request["regions"]}
    volumes = warm.volumes(request["holder"], sent, Path(request["folder"]))
    if read_card(request["student"]).task == "grade":  # a student that segments counts its own maps
        check_memory(volumes.values())
    progress("load", 1, 2)
    student = warm.student(request["holder"], request["student"], request["device"])
    progress("load", 2, 2)
    sequences, regions = ({name: volumes[name] for name in request[kind]} for kind in ("sequences", "regions"))
    return Case(sequences, regions), student


def _answer(finding: Finding, folder: Path) -> Answer:
    """The Finding as JSON, its volumes in files."""
    attention = None if finding.attention is None else volume_to_file(finding.attention, folder, "attention")
    answer: Answer = {"finding": finding.to_json(), "attention": attention}
    if finding.segmentation is not None:
        maps = finding.segmentation.probability_maps
        answer["masks"] = _to_files(finding.segmentation.masks, folder, "mask")
        answer["probability_maps"] = None if maps is None else _to_files(maps, folder, "probability")
    return answer


def _to_files(volumes: Mapping[str, Volume], folder: Path, kind: str) -> dict[str, VolumeDescription]:
    return {
        name: volume_to_file(volume, folder, f"{kind}{number}") for number, (name, volume) in enumerate(volumes.items())
    }


def _batch(request: Request, warm: Warm, progress: ProgressCallback) -> Answer:
    """Ask ``student`` on ``device`` about the cases at ``source``, into the folder ``out``; the answer has the rows."""
    from .batch import cases_of, predict_cases

    progress("load", 0, 1)
    cases = cases_of(request["source"])
    student = warm.student(request["holder"], request["student"], request["device"])
    rows = predict_cases(cases, student, request["out"], progress=progress)
    return {"classes": list(student.card.classes), "rows": [asdict(row) for row in rows]}


def _masks(request: Request, warm: Warm, progress: ProgressCallback) -> Answer:
    """Region masks of the file or folder ``path``, each cropped to its voxels; ``grid`` is that of the image."""
    from .geometry import mask_box
    from .masks import read_masks

    progress("read", 0, 2)
    masks = read_masks(Path(request["path"]), reference=_empty_image(request["grid"]))
    progress("read", 1, 2)
    regions: list[dict[str, str | VolumeDescription]] = []
    for number, (name, mask) in enumerate(masks.items()):
        box = mask_box(mask.array_kji.astype(bool, copy=False))
        if box is not None:
            description = volume_to_file(mask.cropped(box), Path(request["folder"]), f"region{number}")
            regions.append({"name": name, "volume": description})
    progress("read", 2, 2)
    return {"regions": regions}


def _empty_image(grid: Mapping[str, Any] | None) -> Volume | None:
    """An image of zeros that takes no memory: contours need to know only where its voxels are."""
    if grid is None:
        return None
    shape_kji = tuple(grid["shape_kji"])
    return Volume(np.broadcast_to(np.float32(0), shape_kji), Grid(shape_kji, np.array(grid["ijk_to_ras"])))


def task_named(name: object) -> Callable[[Request, Warm, ProgressCallback], Answer]:
    """The task of that name; ValueError for one that this version does not know."""
    if name not in TASKS:
        raise ValueError(f'There is no task "{name}"; this worker knows: {", ".join(TASKS)}.')
    return TASKS[str(name)]


TASKS: dict[str, Callable[[Request, Warm, ProgressCallback], Answer]] = {
    "predict": _predict,
    "get_ready": _get_ready,
    "batch": _batch,
    "masks": _masks,
}
