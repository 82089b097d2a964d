"""The parameters of the grading panel as the inputs of a grade, and as the nodes of its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .colors import ownColors
from .gradejob import GradeInputs
from .results import FindingNodes
from .segmentchoice import rememberedTumors


def inputsOf(parameters: Any, student: Path, device: str) -> GradeInputs:
    """What is chosen to be graded, by the student of a file and on a device."""
    return GradeInputs(
        parameters.ctVolume,
        parameters.petVolume,
        parameters.segmentation,
        parameters.liverSegmentID,
        tuple(rememberedTumors(parameters.tumorSegmentIDs)),
        student,
        device,
        parameters.shownClass,
    )


def nodesOfResult(parameters: Any) -> FindingNodes:
    """The nodes of the result that the parameters hold, None where they are gone."""
    return FindingNodes(
        table=parameters.resultTable,
        regionTable=parameters.resultRegionTable,
        attention=parameters.resultAttention,
        attentionColors=ownColors(parameters.resultAttention),
        graph=parameters.resultGraph,
        graphColors=ownColors(parameters.resultGraph),
    )
