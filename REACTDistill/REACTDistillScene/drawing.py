"""The two segments that are drawn by hand: made where they are missing, and the one to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .hierarchy import placeBeside
from .regionvolumes import isEmpty
from .segmentchoice import chosenLiver, chosenTumors, segmentsOf
from .segments import addEmptySegment, segmentationFromMasks
from .transforms import transformToWorld
from .translation import tr as _


@dataclass(frozen=True)
class Drawing:
    """A segmentation node and the IDs of its liver and its first tumor segment."""

    segmentation: Any
    liverSegmentId: str
    tumorSegmentId: str

    def nextSegmentId(self) -> str:
        """ID of the liver segment while it is empty, afterwards that of the tumor."""
        return self.liverSegmentId if isEmpty(self.segmentation, self.liverSegmentId) else self.tumorSegmentId


def prepareDrawing(ctVolume: Any, segmentation: Any, liverSegmentId: str = "", tumorSegmentIds: str = "") -> Drawing:
    """A liver and a tumor segment to draw, in ``segmentation`` or, if that is None, in a new node of the CT's geometry.

    ``liverSegmentId`` and ``tumorSegmentIds`` (JSON list) are what the user chose, "" where nothing was; segments that
    were chosen or whose names say what they are are used as they are, and only missing ones are added. Raises
    ValueError without a CT that holds voxels and for a CT or segmentation under a non-linear transform.
    """
    if ctVolume is None or ctVolume.GetImageData() is None:
        raise ValueError(_("There is no CT to draw on; choose a CT volume."))
    for node in filter(None, (ctVolume, segmentation)):
        transformToWorld(node)  # refused here, not after an hour of drawing
    if segmentation is None:
        segmentation = segmentationFromMasks({}, ctVolume, name=_("Regions"))
        placeBeside(segmentation, ctVolume)
    segments = segmentsOf(segmentation)
    liver = chosenLiver(segments, liverSegmentId) or addEmptySegment(segmentation, "liver")
    segments.pop(liver, None)
    tumors = chosenTumors(segments, tumorSegmentIds) or chosenTumors(segments, "")
    return Drawing(segmentation, liver, tumors[0] if tumors else addEmptySegment(segmentation, "tumor"))
