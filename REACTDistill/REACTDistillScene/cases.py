"""Nodes chosen by the user to Case."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import Any

from REACTDistillLib.case import Case
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Volume

from .segmentmasks import maskFromSegmentInSteps, segmentState, unionOfMasks
from .translation import tr as _
from .volumes import volumeFromNode


def caseFromNodes(
    ctVolume: Any,
    segmentation: Any,
    liverSegmentId: str,
    tumorSegmentIds: str | Sequence[str] | None = None,
    *,
    petVolume: Any = None,
) -> Case:
    """Case with sequences "ct" and, if a PET is given, "pet_fdg", and regions "liver" and, if it has segments, "tumor".

    The region "tumor" is all its segments together. Segments may have any names and order and may overlap; they meet
    the CT in world RAS mm. The case is called "case": node names often hold patient names. Raises ValueError as
    ``volumeFromNode`` and ``maskFromSegment`` do, and for a node that is missing.
    """
    sequences = {"ct": ctVolume} if petVolume is None else {"ct": ctVolume, "pet_fdg": petVolume}
    segments = regionSegments(ctVolume, segmentation, liverSegmentId, tumorSegmentIds)
    regions = {name: result_of(regionInSteps(segmentation, ids)) for name, ids in segments.items()}
    return Case({name: volumeFromNode(node) for name, node in sequences.items()}, regions, identifier="case")


def regionSegments(
    ctVolume: Any, segmentation: Any, liverSegmentId: str, tumorSegmentIds: str | Sequence[str] | None
) -> dict[str, list[str]]:
    """IDs of the segments of each region of ``caseFromNodes``, by region; raises for what was not chosen."""
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
