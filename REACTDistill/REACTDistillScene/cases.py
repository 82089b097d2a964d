"""The regions of a case from the segments that the user chose."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import Any

from REACTDistillLib.volume import Volume

from .segmentmasks import maskFromSegmentInSteps, segmentState, unionOfMasks
from .translation import tr as _


def regionSegments(
    ctVolume: Any, segmentation: Any, liverSegmentId: str, tumorSegmentIds: str | Sequence[str] | None
) -> dict[str, list[str]]:
    """IDs of the segments of "liver" and, if there are any, of "tumor"; ValueError for what was not chosen.

    All segments of a region count together; they may have any names and order and may overlap.
    """
    if ctVolume is None:
        raise ValueError(_("No CT volume is chosen; choose one."))
    if segmentation is None:
        raise ValueError(_("No segmentation is chosen; choose one with a liver segment."))
    ids = [tumorSegmentIds] if isinstance(tumorSegmentIds, str) else list(tumorSegmentIds or ())
    if liverSegmentId in ids:
        text = _('Segment "{segment}" is chosen as liver and as tumor; choose two different segments.')
        raise ValueError(text.format(segment=liverSegmentId))
    tumors = [segmentId for segmentId in ids if segmentId]
    return {"liver": [liverSegmentId], **({"tumor": tumors} if tumors else {})}


def regionInSteps(segmentation: Any, segmentIds: Sequence[str]) -> Generator[None, None, Volume]:
    """All voxels of these segments as one mask, pausing every few milliseconds; raises as ``maskFromSegment``."""
    masks = []
    for segmentId in segmentIds:
        masks.append((yield from maskFromSegmentInSteps(segmentation, segmentId)))
    return unionOfMasks(masks)


def regionState(segmentation: Any, segmentIds: Sequence[str]) -> Hashable | None:
    """What ``regionInSteps`` depends on: equal states have equal masks. None where that is not known."""
    states = [segmentState(segmentation, segmentId) for segmentId in segmentIds]
    return None if None in states else tuple(states)
