"""What a panel has to grade with, and what is still missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _


def firstCT() -> Any:
    """The first volume that is an image and no result of this module."""
    for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if volume.GetClassName() == "vtkMRMLScalarVolumeNode" and not volume.GetAttribute("REACTDistill.Result"):
            return volume
    return None


def studentOf(parameters: Any) -> tuple[Path | None, str]:
    """Path of the chosen student file, or None with one sentence that says why there is none."""
    from REACTDistillLib.shipped import demo_student

    path = parameters.studentPath
    if parameters.studentSource.name == "demo":
        try:
            path = demo_student("grade")
        except ValueError as error:
            return None, str(error)
    if path in (None, Path(".")):  # an emptied path edit reads as "."
        return None, _("Choose a student file.")
    if not path.is_file():
        return None, _("The student file {name} does not exist; choose another one.").format(name=path.name)
    return path, ""


def whyNotReady(parameters: Any) -> str:
    """One sentence that says what is missing before grading can start; empty when nothing is."""
    if parameters is None or parameters.ctVolume is None:
        return _("Choose a CT volume.")
    if parameters.segmentation is None:
        return _("Choose a segmentation with a liver segment.")
    if not parameters.liverSegmentID:
        return _("Choose the segment of the liver.")
    return studentOf(parameters)[1]
