"""What a panel has to grade with, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer

from .resultnodes import RESULT_ATTRIBUTE
from .segmentchoice import kindOfName, segmentsOf
from .translation import tr as _


def firstCT() -> Any:
    """The first volume that is an image and no result of this module."""
    for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if volume.GetClassName() == "vtkMRMLScalarVolumeNode" and not _isResult(volume):
            return volume
    return None


def firstSegmentation(ctVolume: Any) -> Any:
    """The first segmentation that is of this CT or has a segment that is called a liver or a tumor."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        if (reference is not None and reference is ctVolume) or any(map(kindOfName, segmentsOf(node).values())):
            return node
    return None


def offerImagesOnly(selectors: Iterable[Any]) -> None:
    """Leave the results of this module out of node combo boxes; one that has a result selected goes to another node."""
    results = tuple(node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _isResult(node))
    for selector in selectors:
        model = selector.sortFilterProxyModel()
        if tuple(model.hiddenNodeIDs) != results:
            model.hiddenNodeIDs = results


def _isResult(node: Any) -> bool:
    return node.GetAttribute(RESULT_ATTRIBUTE) is not None


def whyNotReady(parameters: Any, whyNoStudent: str) -> str:
    """One sentence that says what is missing before grading can start; empty when nothing is.

    ``whyNoStudent`` is the sentence of the student choice, empty when there is a student.
    """
    if parameters is None or parameters.ctVolume is None:
        return _("Choose a CT volume.")
    if parameters.petVolume is parameters.ctVolume:
        return _("The PET is the same volume as the CT; choose another one or none.")
    if parameters.segmentation is None:
        return _("Choose a segmentation with a liver segment.")
    if not parameters.liverSegmentID:
        return _("Choose the segment of the liver.")
    return whyNoStudent
