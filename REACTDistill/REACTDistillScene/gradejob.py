"""Grading as a job: inputs written to files for a child process, its result read back into the scene."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from .cases import caseFromNodes
from .interpreter import childCommand, childEnvironment, pythonExecutable
from .results import FindingNodes, showFinding

if TYPE_CHECKING:
    from REACTDistillLib.finding import Finding

    from .job import Job


@dataclass(frozen=True)
class GradeInputs:
    """What one run works on, taken at the click; no tumor segment at all is allowed."""

    ctVolume: Any
    segmentation: Any
    liverSegmentId: str
    tumorSegmentIds: tuple[str, ...]
    student: Path
    device: str = "auto"


def startGrading(job: Job, inputs: GradeInputs) -> None:
    """Start grading in a child process; ValueError or OSError when the inputs do not allow it.

    The temporary folder belongs to the job from then on; its names hold nothing of the patient.
    """
    python = pythonExecutable()
    folder = Path(slicer.util.tempDirectory("REACTDistill-"))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        job.start(childCommand(python, writeInputs(inputs, folder)), childEnvironment(python), folder)
        undo.pop_all()


def writeInputs(inputs: GradeInputs, folder: Path) -> list[str]:
    """Write image and masks into ``folder``; returns the arguments of the command line that grades them."""
    from REACTDistillLib.files import write_volume

    case = caseFromNodes(inputs.ctVolume, inputs.segmentation, inputs.liverSegmentId, inputs.tumorSegmentIds)
    arguments = ["predict", "--student", str(inputs.student), "--device", inputs.device, "--progress", "json"]
    for name, volume in [*case.sequences.items(), *case.regions.items()]:
        path = folder / f"{name}.nrrd"
        write_volume(volume, path)
        arguments += [f"--{name}", str(path)]
    return [*arguments, "--out", str(folder / "result")]


def importFinding(folder: Path, ctVolume: Any) -> tuple[Finding, FindingNodes]:
    """Show the result in ``folder`` beside the CT; ValueError when the CT is no longer in the scene."""
    from REACTDistillLib.finding import Finding

    if ctVolume is None or not slicer.mrmlScene.IsNodePresent(ctVolume):
        raise ValueError("The CT was removed while it was graded, so the result was dropped.")
    finding = Finding.load(folder)
    return finding, showFinding(finding, ctVolume)
