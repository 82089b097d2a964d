"""Nodes chosen by the user to Case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from REACTDistillLib.case import Case

from .segments import maskFromSegment, unionOfMasks
from .volumes import volumeFromNode


def caseFromNodes(
    ctVolume: Any, segmentation: Any, liverSegmentId: str, tumorSegmentIds: str | Sequence[str] | None = None
) -> Case:
    """Case with sequence "ct" and regions "liver" and, if segments are given for it, "tumor" (all of them together).

    Segments may have any names and order and may overlap; they meet the CT in world RAS mm. The case is called "case":
    node names often hold patient names. Raises ValueError as ``volumeFromNode`` and ``maskFromSegment`` do, and for a
    node that is missing.
    """
    if ctVolume is None:
        raise ValueError("no CT volume is chosen; choose one.")
    if segmentation is None:
        raise ValueError("no segmentation is chosen; choose one with a liver segment.")
    ids = [tumorSegmentIds] if isinstance(tumorSegmentIds, str) else list(tumorSegmentIds or ())
    if liverSegmentId in ids:
        raise ValueError(f'segment "{liverSegmentId}" is chosen as liver and as tumor; choose two different segments.')
    regions = {"liver": maskFromSegment(segmentation, liverSegmentId)}
    tumors = [maskFromSegment(segmentation, segmentId) for segmentId in ids if segmentId]
    if tumors:
        regions["tumor"] = unionOfMasks(tumors)
    return Case(sequences={"ct": volumeFromNode(ctVolume)}, regions=regions, identifier="case")
