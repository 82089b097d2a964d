"""Grading as the work of a job: image and masks to the worker, its answer into the scene, both in short steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from REACTDistillLib.exchange import array_to_file_in_steps, volume_from_file_in_steps
from REACTDistillLib.finding import Finding
from REACTDistillLib.volume import Volume

from .cases import regionsInSteps
from .results import FindingNodes, showFindingInSteps
from .translation import tr as _
from .volumes import scalarArray, worldGrid

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
    ``unchanged``, nothing is done: an edit may leave everything as it was.
    """

    def __init__(
        self,
        inputs: GradeInputs,
        onGraded: OnGraded,
        *,
        earlier: FindingNodes | None = None,
        unchanged: str = "",
    ) -> None:
        self._inputs, self._onGraded, self._earlier, self._unchanged = inputs, onGraded, earlier, unchanged
        self.fingerprint = ""

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
        regions = yield from regionsInSteps(
            inputs.ctVolume, inputs.segmentation, inputs.liverSegmentId, inputs.tumorSegmentIds
        )
        volumes = {"ct": inputs.ctVolume} if inputs.petVolume is None else self._withPet()
        tokens = {name: _volumeToken(node) for name, node in volumes.items()}
        for name, mask in regions.items():
            tokens[name] = _maskToken(mask)
            yield
        self.fingerprint = hashlib.sha256(json.dumps([request, tokens]).encode()).hexdigest()
        if self.fingerprint == self._unchanged:
            return None
        request["sequences"], request["regions"] = {}, {}
        for name, node in volumes.items():
            description = None if tokens[name] in held else (yield from _writeVolume(node, folder, name))
            request["sequences"][name] = {"token": tokens[name], "volume": description}
        for name, mask in regions.items():
            steps = array_to_file_in_steps(mask.array_kji, mask.grid, folder, name)
            description = None if tokens[name] in held else (yield from steps)
            request["regions"][name] = {"token": tokens[name], "volume": description}
        return request

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


def _writeVolume(node: Any, folder: Path, name: str) -> Generator[None, None, Any]:
    image = node.GetImageData()
    before = image.GetMTime()
    description = yield from array_to_file_in_steps(scalarArray(node), worldGrid(node), folder, name)
    if node.GetImageData() is not image or image.GetMTime() != before:
        raise ValueError(_("The image was changed while it was read; try again."))
    return description


def _volumeToken(node: Any) -> str:
    """A name that changes with the voxels and with the place of a volume node."""
    scalarArray(node)  # refuses what is no scalar volume
    place = worldGrid(node).ijk_to_ras.tobytes()
    return f"{node.GetID()}-{node.GetImageData().GetMTime()}-{hashlib.sha256(place).hexdigest()[:16]}"


def _maskToken(mask: Volume) -> str:
    digest = hashlib.blake2b(np.packbits(mask.array_kji.astype(bool, copy=False)).tobytes(), digest_size=16)
    digest.update(json.dumps([mask.grid.shape_kji, mask.grid.ijk_to_ras.tolist()]).encode())
    return digest.hexdigest()
