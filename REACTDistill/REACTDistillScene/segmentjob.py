"""Segmenting as the work of a job: the sequences to the worker, its answer into the scene, both in short steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from REACTDistillLib.exchange import volume_from_file_in_steps
from REACTDistillLib.finding import Finding
from REACTDistillLib.segmentation import Segmentation

from .sentvolumes import volumeToken, writeVolumeInSteps
from .sequenceguess import SEQUENCE_LABELS, SEQUENCES
from .translation import tr as _
from .tumorresults import SegmentationNodes, showSegmentationInSteps
from .volumes import scalarArray, worldGrid

if TYPE_CHECKING:
    from REACTDistillLib.volume import Volume

    from .job import Answer, Request

# Called with the work, what the student said and the nodes that show it.
OnSegmented = Callable[["SegmentWork", Finding, SegmentationNodes], None]


@dataclass(frozen=True)
class SegmentInputs:
    """What one run works on, taken at the click: volume nodes by sequence, only those that are given.

    ``reference`` is the sequence whose grid the result has, "" for the finest one. ``output`` is the segmentation that
    the user chose for the result, or None.
    """

    volumes: Mapping[str, Any]
    student: Path
    device: str = "auto"
    reference: str = ""
    withProbabilities: bool = False
    output: Any = None
    earlier: SegmentationNodes = field(default_factory=SegmentationNodes)


class SegmentWork:
    """Segments ``inputs`` and shows the Finding in the nodes of an earlier one or, without, in new ones."""

    def __init__(self, inputs: SegmentInputs, onSegmented: OnSegmented) -> None:
        self._onSegmented = onSegmented
        self.inputs = inputs
        checkVolumes(inputs.volumes)
        self.reference = inputs.reference or finestSequence(inputs.volumes)
        if self.reference not in inputs.volumes:
            text = _("The result cannot have the grid of {sequence}, which is missing; choose another one.")
            raise ValueError(text.format(sequence=SEQUENCE_LABELS.get(self.reference, self.reference)))

    def prepare(self, folder: Path, held: frozenset[str]) -> Generator[None, None, Request]:
        """Write the images that the worker does not hold; returns the request."""
        inputs, sequences = self.inputs, {}
        for name, node in inputs.volumes.items():
            token = volumeToken(node)
            description = None if token in held else (yield from writeVolumeInSteps(node, folder, name))
            sequences[name] = {"token": token, "volume": description}
        return {
            "task": "predict",
            "student": str(inputs.student),
            "device": inputs.device,
            "shown_class": None,
            "reference": self.reference,
            "with_probabilities": inputs.withProbabilities,
            "sequences": sequences,
            "regions": {},
        }

    def finish(self, answer: Answer, folder: Path) -> Generator[None, None, None]:
        """Show the Finding in the scene; ValueError when a sequence is no longer there."""
        self._checkPresent()
        header = answer["finding"]
        if header["segmentation"] is None:
            raise ValueError(_("The student makes no segmentation; choose one that segments brain tumors."))
        masks, maps = (yield from _volumesInSteps(answer["masks"], folder)), None
        if answer["probability_maps"] is not None:
            maps = yield from _volumesInSteps(answer["probability_maps"], folder)
        finding = Finding.from_json(header, None, Segmentation.from_json(header["segmentation"], masks, maps))
        self._checkPresent()
        nodes = yield from showSegmentationInSteps(
            finding,
            self.referenceVolume,
            given=tuple(self.inputs.volumes),
            output=self.inputs.output,
            earlier=self.inputs.earlier,
        )
        self._onSegmented(self, finding, nodes)

    @property
    def referenceVolume(self) -> Any:
        """The volume whose grid the result has."""
        return self.inputs.volumes[self.reference]

    def _checkPresent(self) -> None:
        if not all(slicer.mrmlScene.IsNodePresent(node) for node in self.inputs.volumes.values()):
            raise ValueError(_("A sequence was removed while it was segmented, so the result was dropped."))


def checkVolumes(volumes: Mapping[str, Any]) -> None:
    """Raise ValueError when no sequence is given or two sequences are one volume."""
    if not volumes:
        raise ValueError(_("No sequence is given; choose at least one of T1, T1ce, T2 and FLAIR."))
    seen: dict[str, str] = {}
    for name, node in volumes.items():
        if node.GetID() in seen:
            text = _("{one} and {other} are the same volume; choose another one or missing.")
            raise ValueError(
                text.format(one=SEQUENCE_LABELS[seen[node.GetID()]], other=SEQUENCE_LABELS.get(name, name))
            )
        seen[node.GetID()] = name


def finestSequence(volumes: Mapping[str, Any]) -> str:
    """The sequence with the smallest voxels; of equal ones the first in the order T1, T1ce, T2, FLAIR."""
    present = [name for name in SEQUENCES if name in volumes]
    for name in present:
        scalarArray(volumes[name])  # refuses what is no image
    return min(present, key=lambda name: round(worldGrid(volumes[name]).voxel_ml, 9))


def _volumesInSteps(sent: Mapping[str, Any], folder: Path) -> Generator[None, None, dict[str, Volume]]:
    volumes = {}
    for name, description in sent.items():
        volumes[name] = yield from volume_from_file_in_steps(description, folder)
    return volumes
