"""Grading as the work of a job: image and masks to the worker, its answer into the scene, both in short steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from REACTDistillLib.exchange import VolumeDescription, array_to_file_in_steps, volume_from_file_in_steps
from REACTDistillLib.finding import Finding

from .cases import regionInSteps, regionSegments, regionState
from .results import FindingNodes, showFindingInSteps
from .sentvolumes import volumeToken, writeVolumeInSteps
from .translation import tr as _

if TYPE_CHECKING:
    from .job import Answer, Request

# A heat map is smooth over many millimeters; finer voxels cost time and memory and show nothing more.
_HEAT_MAP_MM = 1.5

# Called with the work, what the student said and the nodes that show it.
OnGraded = Callable[["GradeWork", Finding, FindingNodes], None]


@dataclass(frozen=True)
class GradeInputs:
    """What one run works on, taken at the click; no tumor segment at all and no PET are allowed.

    ``shownClass`` is the class that the heat map is made for, "" for the one predicted.
    """

    ctVolume: Any
    petVolume: Any
    segmentation: Any
    liverSegmentId: str
    tumorSegmentIds: tuple[str, ...]
    student: Path
    device: str = "auto"
    shownClass: str = ""


class GradeWork:
    """Grades ``inputs`` and shows the Finding in the nodes of an ``earlier`` one or, without, in new ones.

    ``fingerprint`` tells the inputs apart by their content once they have been read. When it is the same as
    ``unchanged``, nothing is done: an edit may leave everything as it was. ``known`` are tokens of masks by the state
    of their segments, for the next work.
    """

    def __init__(
        self,
        inputs: GradeInputs,
        onGraded: OnGraded,
        *,
        earlier: FindingNodes | None = None,
        unchanged: str = "",
        known: Mapping[Hashable, str] | None = None,
    ) -> None:
        self._inputs, self._onGraded, self._earlier, self._unchanged = inputs, onGraded, earlier, unchanged
        self._known = known or {}
        self.fingerprint = ""
        self.known: dict[Hashable, str] = {}

    def prepare(self, folder: Path, held: frozenset[str]) -> Generator[None, None, Request | None]:
        """Write the images and masks that the worker does not hold; returns the request."""
        inputs = self._inputs
        request: Request = {
            "task": "predict",
            "student": str(inputs.student),
            "device": inputs.device,
            "shown_class": inputs.shownClass or None,
            "heat_map_mm": _HEAT_MAP_MM,
        }
        regions = yield from self._regionsInSteps(folder, held)
        volumes = {"ct": inputs.ctVolume} if inputs.petVolume is None else self._withPet()
        tokens = {name: volumeToken(node) for name, node in volumes.items()}
        content = [request, tokens, {name: region["token"] for name, region in regions.items()}]
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        if self.fingerprint == self._unchanged:
            return None
        request["sequences"], request["regions"] = {}, regions
        for name, node in volumes.items():
            description = None if tokens[name] in held else (yield from writeVolumeInSteps(node, folder, name))
            request["sequences"][name] = {"token": tokens[name], "volume": description}
        return request

    def _regionsInSteps(self, folder: Path, held: frozenset[str]) -> Generator[None, None, Request]:
        """Token and description of each mask; those that the worker holds and nobody touched are not even read."""
        inputs = self._inputs
        segments = regionSegments(inputs.ctVolume, inputs.segmentation, inputs.liverSegmentId, inputs.tumorSegmentIds)
        regions = {}
        for name, ids in segments.items():
            state, description = regionState(inputs.segmentation, ids), None
            token = None if state is None else self._known.get(state)
            if token is None or token not in held:
                mask = yield from regionInSteps(inputs.segmentation, ids)
                description = yield from array_to_file_in_steps(mask.array_kji, mask.grid, folder, name)
                token = _contentToken(folder, description)
            if state is not None:
                self.known[state] = token
            regions[name] = {"token": token, "volume": None if token in held else description}
        return regions

    def finish(self, answer: Answer, folder: Path) -> Generator[None, None, None]:
        """Show the Finding in the scene; ValueError when the CT is no longer there."""
        ctVolume = self._inputs.ctVolume
        if not slicer.mrmlScene.IsNodePresent(ctVolume):
            raise ValueError(_("The CT was removed while it was graded, so the result was dropped."))
        sent = answer["attention"]
        attention = None if sent is None else (yield from volume_from_file_in_steps(sent, folder))
        finding = Finding.from_json(answer["finding"], attention)
        yield
        nodes = yield from showFindingInSteps(finding, ctVolume, earlier=self._earlier)
        self._onGraded(self, finding, nodes)

    @property
    def ctVolume(self) -> Any:
        """The CT that is graded."""
        return self._inputs.ctVolume

    def _withPet(self) -> dict[str, Any]:
        return {"ct": self._inputs.ctVolume, "pet_fdg": self._inputs.petVolume}


class GetReadyWork:
    """Sends the worker what a grade of ``inputs`` would send, and has it do what comes before the student.

    ``known`` as in ``GradeWork``, growing while the masks are read.
    """

    def __init__(self, inputs: GradeInputs, *, unchanged: str, known: Mapping[Hashable, str]) -> None:
        self._grade = GradeWork(inputs, lambda *nothing: None, unchanged=unchanged, known=known)
        self.known = self._grade.known

    def prepare(self, folder: Path, held: frozenset[str]) -> Generator[None, None, Request | None]:
        """As for the grade."""
        request = yield from self._grade.prepare(folder, held)
        return None if request is None else {**request, "task": "get_ready"}

    def finish(self, answer: Answer, folder: Path) -> Generator[None, None, None]:
        """Nothing is shown."""
        yield from ()


def _contentToken(folder: Path, description: VolumeDescription) -> str:
    """A name that changes with the voxels and with the place of a volume that was written."""
    digest = hashlib.blake2b((folder / description["file"]).read_bytes(), digest_size=16)
    digest.update(json.dumps(description).encode())
    return digest.hexdigest()
