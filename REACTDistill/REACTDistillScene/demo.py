"""The main jobs without the application: grade a liver, segment a brain, and write pages that a person can open."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .braindemo import runBrainDemo
from .headless import bootHeadless

if TYPE_CHECKING:
    from REACTDistillLib.case import Case
    from REACTDistillLib.finding import Finding

PHANTOM_SEED = 100_001  # not among the patients that the demo student was trained on
PHANTOM_SHAPE_KJI = (72, 160, 160)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0, or 2 after one sentence that says what was wrong with the input."""
    from REACTDistillLib.__main__ import sentence_of

    options = _parser().parse_args(arguments)
    try:
        page = runDemo(_case(options), options.student, options.out, isSynthetic=options.ct is None)
        brain = None if options.ct else runBrainDemo(options.out / "brain", None, _say)
    except (ValueError, OSError, MemoryError) as error:
        print(f"demo: {sentence_of(error)}", file=sys.stderr)
        return 2
    print(f"Open this page in a browser: {page.resolve()}")
    if brain is not None:
        print(f"The brain, with one sequence missing: {brain.resolve()}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m REACTDistillScene.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the page and all files")
    parser.add_argument("--ct", help="a CT of your own; a synthetic patient when left out")
    parser.add_argument("--liver", action="append", help="liver mask of that CT")
    parser.add_argument("--tumor", action="append", help="tumor mask of that CT; may be given several times")
    parser.add_argument("--student", type=Path, help="student file; the demo student when left out")
    return parser


def _case(options: argparse.Namespace) -> Case:
    from REACTDistillLib.case import Case
    from REACTDistillLib.casefiles import case_from_files
    from REACTDistillLib.phantom import phantom_case

    if options.ct:
        return case_from_files(options.ct, options.liver, options.tumor)
    if options.liver or options.tumor:
        raise ValueError("A liver or tumor mask was given without its CT; name the CT too.")
    phantom = phantom_case(PHANTOM_SEED, shape_kji=PHANTOM_SHAPE_KJI)
    return Case({"ct": phantom.sequences["ct"]}, phantom.regions, identifier=phantom.identifier)


def runDemo(case: Case, student: Path | None, folder: Path, *, isSynthetic: bool) -> Path:
    """Grade ``case`` and write finding, pictures, scene and ``index.html`` into ``folder``; returns the page.

    ``isSynthetic`` marks the pictures and the page. Files of an earlier demo in ``folder`` are replaced, others stay.
    """
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student

    from .page import writePage

    started = time.perf_counter()
    finding = predict(case, student or demo_student("grade"), progress=_say)
    folder.mkdir(parents=True, exist_ok=True)
    finding.save(folder / "finding")
    _say("scene and pictures", 0, 1)
    _writeScene(case, finding, folder, isSynthetic=isSynthetic)
    _say("scene and pictures", 1, 1)
    return writePage(finding, folder, isSynthetic=isSynthetic, seconds=time.perf_counter() - started)


def _writeScene(case: Case, finding: Finding, folder: Path, *, isSynthetic: bool) -> None:
    bootHeadless()
    from .render import renderSlices, renderThreeD
    from .results import showFinding
    from .scenefile import saveScene
    from .segments import segmentationFromMasks
    from .volumes import nodeFromVolume

    ctVolume = nodeFromVolume(case.sequences["ct"], "CT (synthetic)" if isSynthetic else "CT")
    masks = {name.capitalize(): mask for name, mask in case.regions.items()}
    segmentation = segmentationFromMasks(masks, ctVolume)
    nodes = showFinding(finding, ctVolume)
    pictures: dict[str, Any] = {"isSynthetic": isSynthetic}
    renderSlices(ctVolume, nodes.attention, nodes.graph, segmentation, folder, _center(finding), **pictures)
    renderThreeD(nodes.graph, segmentation, "Liver", folder, **pictures)
    saveScene(folder / "scene.mrb")


def _center(finding: Finding) -> list[float]:
    """RAS of the largest tumor, or of the region that speaks loudest when there is none."""
    graph = finding.graph
    assert graph is not None  # every grade comes with its graph
    tumors = [index for index, kind in enumerate(graph.kinds) if kind == "tumor"]
    return list(graph.centroids_ras[tumors[0] if tumors else int(graph.importance.argmax())])


def _say(stage: str, done: int, total: int) -> None:
    print(f"{stage} {done}/{total}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
