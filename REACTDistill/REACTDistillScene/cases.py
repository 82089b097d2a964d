"""Nodes chosen by the user to Case."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from REACTDistillLib.case import Case
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Volume

from .segmentmasks import maskFromSegmentInSteps, unionOfMasks
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
    regions = result_of(regionsInSteps(ctVolume, segmentation, liverSegmentId, tumorSegmentIds))
    return Case({name: volumeFromNode(node) for name, node in sequences.items()}, regions, identifier="case")


def regionsInSteps(
    ctVolume: Any, segmentation: Any, liverSegmentId: str, tumorSegmentIds: str | Sequence[str] | None
) -> Generator[None, None, dict[str, Volume]]:
    """The masks of ``caseFromNodes``, pausing every few milliseconds; raises as it does."""
    if ctVolume is None:
        raise ValueError(_("No CT volume is chosen; choose one."))
    if segmentation is None:
        raise ValueError(_("No segmentation is chosen; choose one with a liver segment."))
    ids = [tumorSegmentIds] if isinstance(tumorSegmentIds, str) else list(tumorSegmentIds or ())
    if liverSegmentId in ids:
        text = _('Segment "{segment}" is chosen as liver and as tumor; choose two different segments.')
        raise ValueError(text.format(segment=liverSegmentId))
    regions = {"liver": (yield from maskFromSegmentInSteps(segmentation, liverSegmentId))}
    tumors = []
    for segmentId in filter(None, ids):
        tumors.append((yield from maskFromSegmentInSteps(segmentation, segmentId)))
    if tumors:
        regions["tumor"] = unionOfMasks(tumors)
    return regions
