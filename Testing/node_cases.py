"""The case that a panel would send to its child process, read from the same nodes in this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from REACTDistillLib.case import Case
from REACTDistillLib.steps import result_of


def caseFromNodes(
    ctVolume: Any,
    segmentation: Any,
    liverSegmentId: str,
    tumorSegmentIds: str | Sequence[str] | None = None,
    *,
    petVolume: Any = None,
) -> Case:
    """Sequences "ct" and, if a PET is given, "pet_fdg"; regions "liver" and, if it has segments, "tumor"."""
    from REACTDistillScene.cases import regionInSteps, regionSegments
    from REACTDistillScene.volumes import volumeFromNode

    sequences = {"ct": ctVolume} if petVolume is None else {"ct": ctVolume, "pet_fdg": petVolume}
    segments = regionSegments(ctVolume, segmentation, liverSegmentId, tumorSegmentIds)
    regions = {name: result_of(regionInSteps(segmentation, ids)) for name, ids in segments.items()}
    return Case({name: volumeFromNode(node) for name, node in sequences.items()}, regions, identifier="case")
