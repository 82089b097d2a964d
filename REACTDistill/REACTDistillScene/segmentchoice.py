"""Which segments of a segmentation are the liver and its tumors: remembered choice, else a guess by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

NO_TUMORS = "[]"
_TUMOR = re.compile("tumou?r|mass(?!et)|lesion|hcc", re.IGNORECASE)  # the masseter is a muscle
_LIVER = re.compile("liver", re.IGNORECASE)
_LIVER_PART = re.compile("vessel|vein|arter|duct|cyst|lobe|segment(?!ation)", re.IGNORECASE)


def kindOfName(name: str) -> str:
    """What the name of a segment tells: "liver" (not for "liver vessels"), "tumor" (also for "liver tumor") or ""."""
    if _TUMOR.search(name):
        return "tumor"
    return "liver" if _LIVER.search(name) and not _LIVER_PART.search(name) else ""


def segmentsOf(segmentationNode: Any) -> dict[str, str]:
    """Names by segment ID, in the order of the segmentation; empty without a node."""
    if segmentationNode is None:
        return {}
    segmentation = segmentationNode.GetSegmentation()
    return {segmentId: segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()}


def chosenLiver(segments: Mapping[str, str], remembered: str) -> str:
    """ID of the liver segment, "" when none can be told; one called just "liver" goes before "liver, portal phase"."""
    if remembered in segments:
        return remembered
    candidates = [key for key, name in segments.items() if kindOfName(name) == "liver"]
    exact = [key for key in candidates if segments[key].strip().casefold() == "liver"]
    return next(iter(exact + candidates), "")


def rememberedTumors(remembered: str) -> list[str]:
    """The segment IDs in a JSON list; none for text that is no such list, as a scene of another program may hold."""
    try:
        listed = json.loads(remembered or "[]")
    except json.JSONDecodeError:
        return []
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def chosenTumors(segments: Mapping[str, str], remembered: str) -> list[str]:
    """IDs of the tumor segments.

    ``remembered`` is a JSON list of IDs, or "" when nobody chose yet. An empty list is a choice: no tumor. A list of
    which nothing is left belongs to another segmentation, so the names decide again.
    """
    if remembered.strip() == NO_TUMORS:
        return []
    present = [segmentId for segmentId in rememberedTumors(remembered) if segmentId in segments]
    return present or [segmentId for segmentId, name in segments.items() if kindOfName(name) == "tumor"]
