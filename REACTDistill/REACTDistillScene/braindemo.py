"""A synthetic brain with one sequence missing, segmented without the application: scene, pictures, page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .headless import bootHeadless
from .page import figure, writeHtml

if TYPE_CHECKING:
    from REACTDistillLib.case import Case
    from REACTDistillLib.finding import Finding
    from REACTDistillLib.progress import ProgressCallback

BRAIN_SEED = 100_002  # not among the patients that the demo student was trained on
BRAIN_SHAPE_KJI = (96, 112, 112)
MISSING = "t1ce"  # the sequence that the enhancing tumor shows on: its price is the highest
_SHOWN = "flair"
_SLICES = (("axial.png", "Axial slice"), ("coronal.png", "Coronal slice"), ("sagittal.png", "Sagittal slice"))


def runBrainDemo(folder: Path, student: Path | None, progress: ProgressCallback) -> Path:
    """Segment a synthetic brain without T1ce and write finding, pictures, scene and page into ``folder``."""
    from REACTDistillLib.brain import brain_case
    from REACTDistillLib.case import Case
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student

    whole = brain_case(BRAIN_SEED, shape_kji=BRAIN_SHAPE_KJI)
    given = {name: volume for name, volume in whole.sequences.items() if name != MISSING}
    case = Case(given, {"brain": whole.regions["brain"]}, identifier=whole.identifier)
    finding = predict(case, student or demo_student("segment"), progress=progress, reference=_SHOWN)
    folder.mkdir(parents=True, exist_ok=True)
    finding.save(folder / "finding")
    _writeScene(case, finding, folder)
    return _writePage(finding, _dice(finding, whole), tuple(given), folder)


def _dice(finding: Finding, whole: Case) -> dict[str, float]:
    """Dice of each region against the truth, which is known of a synthetic brain."""
    from REACTDistillLib.geometry import resample
    from REACTDistillLib.segmentationscores import dice

    assert finding.segmentation is not None
    scores = {}
    for name, mask in finding.segmentation.masks.items():
        truth = whole.regions[name.lower()]
        found = resample(mask, truth.grid, interpolation="nearest").array_kji
        scores[name] = dice(found.astype(bool), truth.array_kji.astype(bool))
    return scores


def _writeScene(case: Case, finding: Finding, folder: Path) -> None:
    bootHeadless()
    import slicer

    from .render import renderSlices
    from .scenefile import saveScene
    from .tumorresults import showSegmentation
    from .volumes import nodeFromVolume

    slicer.mrmlScene.Clear(0)
    volume = case.sequences[_SHOWN]
    nodes = {name: nodeFromVolume(one, f"{name} (synthetic)") for name, one in case.sequences.items()}
    shown = showSegmentation(finding, nodes[_SHOWN], given=tuple(case.sequences))
    bright = float(np.percentile(volume.array_kji, 99.95))
    center = _center(finding)
    renderSlices(
        nodes[_SHOWN], None, None, shown.segmentation, folder, center, displayRange=(0.0, bright), isSynthetic=True
    )
    saveScene(folder / "scene.mrb")


def _center(finding: Finding) -> list[float]:
    """RAS of the middle of the whole tumor, or of the grid when none was found."""
    assert finding.segmentation is not None
    mask = next(iter(finding.segmentation.masks.values()))
    found = np.argwhere(mask.array_kji)
    middle_kji = found.mean(axis=0) if len(found) else (np.array(mask.grid.shape_kji) - 1) / 2
    return [float(mm) for mm in mask.grid.to_ras([middle_kji[::-1]])[0]]


def _writePage(finding: Finding, scores: dict[str, float], given: tuple[str, ...], folder: Path) -> Path:
    said = finding.segmentation
    assert said is not None
    notices = ["The images are synthetic: no patient is shown.", *finding.notices()]
    rows = [
        f'<tr><td>{escape(name)}</td><td class="number">{said.volumes_ml[name]:.1f}</td>'
        f'<td class="number">{scores[name]:.2f}</td></tr>'
        for name in said.masks
    ]
    expected = "" if said.expectation is None else f"<p>{escape(said.expectation['sentence'])}</p>"
    parts = [
        "<h1>Brain tumor regions with one sequence missing</h1>",
        f'<p class="small">Case {escape(finding.case_identifier)}; given: {", ".join(given)}; missing: {MISSING}</p>',
        '<div class="notice">' + "<br>".join(escape(notice) for notice in notices) + "</div>",
        expected,
        "<table><tr><th>region</th><th>ml</th><th>Dice against the known truth</th></tr>" + "".join(rows) + "</table>",
        '<div class="pictures">' + "".join(figure(folder, *picture) for picture in _SLICES) + "</div>",
    ]
    return writeHtml(folder / "index.html", "Brain tumor regions", parts)
