"""From an edit of the regions to the new grade and overlay in the scene, through panel and worker, in one run.

On the stand-in host, with the default student at 64x224x224 and the case of ``regrade_speed.py``. "forward" is that
network alone, measured in this process with as many threads as the worker has. The time of an edit starts when the
panel has seen the pause after it (a quarter of a second, on purpose) and ends when table, heat map, graph and slice
layers are up to date. The longest gap is how long the main thread was away from its event loop meanwhile; "write and
read" are the tools of the benchmark itself, outside of what is timed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from grade_speed import RECIPE, as_student
from REACTDistillLib.case import Case
from REACTDistillLib.phantom import GRADES
from REACTDistillLib.student import Student, save_student
from regrade_speed import real_case, strokes, synthetic_case

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8)
    options = parser.parse_args()
    preparation = RECIPE.preparation(GRADES)
    student = as_student(preparation, RECIPE.build_network(preparation.network).eval())
    case = real_case() or synthetic_case((119, 512, 512))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "default.safetensors"
        save_student(path, student.network, student.card)
        base = forward_seconds(student)
        print(f"CT {case.sequences['ct'].grid.shape_kji} (K, J, I), {torch.get_num_threads()} threads")
        print(f"{'':28}{'median s':>10}{'min':>8}{'max':>8}{'ratio':>9}{'longest gap ms':>16}")
        report("forward", base, base, [])
        with Panel(case, path) as panel:
            seconds, gap = panel.apply()
            report("first Apply, cold worker", base, [seconds], [gap])
            report("Apply again, warm", base, *unzipped(panel.apply() for _ in range(options.runs)))
            for segment in ("tumor", "liver"):
                masks = strokes(case.regions[segment], options.runs + 1, inside=case.regions["liver"])
                report(
                    f"{segment} edited", base, *unzipped(panel.edit(segment, next(masks)) for _ in range(options.runs))
                )
            report("another class shown", base, *unzipped(panel.show_class(n) for n in range(options.runs)))


def unzipped(pairs: Iterator[tuple[float, float]]) -> tuple[list[float], list[float]]:
    seconds, gaps = zip(*pairs, strict=True)
    return list(seconds), list(gaps)


def forward_seconds(student: Student, runs: int = 10) -> list[float]:
    """Seconds of one forward pass on a ready image, after three that are not counted."""
    image = torch.randn(1, 1, *student.card.grid_shape_kji)
    pools = torch.rand(1, 3, *(n // s for n, s in zip(image.shape[2:], student.network.stride_kji, strict=True)))
    seconds = []
    with torch.inference_mode():
        for _ in range(runs + 3):
            start = time.perf_counter()
            student.network(image, pools)
            seconds.append(time.perf_counter() - start)
    return seconds[3:]


def report(name: str, base: list[float], seconds: list[float], gaps_ms: list[float]) -> None:
    middle = statistics.median(seconds)
    gap = f"{max(gaps_ms):16.0f}" if gaps_ms else ""
    ratio = middle / statistics.median(base)
    print(f"{name:28}{middle:10.3f}{min(seconds):8.3f}{max(seconds):8.3f}{ratio:8.2f}x{gap}", flush=True)


class Panel:
    """The module's panel on the stand-in host, with the case in its scene."""

    def __init__(self, case: Case, student: Path) -> None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        sys.path.append(str(ROOT / "Testing" / "host"))
        import hostapp
        import REACTDistillLib.shipped
        import slicer
        from REACTDistillScene.segments import segmentationFromMasks
        from REACTDistillScene.volumes import nodeFromVolume

        hostapp.install(mainWindow=True)
        REACTDistillLib.shipped.demo_student = lambda task: student
        self._host = hostapp
        _, self._widget, _ = hostapp.openModule(ROOT / "REACTDistill" / "REACTDistill.py")
        self._ct = nodeFromVolume(case.sequences["ct"], "CT")
        voxels = np.clip(case.sequences["ct"].array_kji, -1024, 3071).astype(np.int16)  # as a scanner gives them
        slicer.util.updateVolumeFromArray(self._ct, voxels)
        self._segmentation = segmentationFromMasks(case.regions, self._ct)
        hostapp.processEvents(0.5)

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.quitApplication()

    def apply(self) -> tuple[float, float]:
        """Seconds and longest gap (ms) of one Apply."""
        return self._timed(self._widget.panel.bar.applyButton.click)

    def edit(self, segment: str, mask: Any) -> tuple[float, float]:
        """Seconds and longest gap (ms) from the pause after an edit on."""
        import slicer
        from REACTDistillLib.geometry import resample
        from REACTDistillScene.volumes import worldGrid

        array = resample(mask, worldGrid(self._ct), interpolation="nearest").array_kji.astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, self._segmentation, segment, self._ct)
        parameters = self._widget._parameterNode
        parameters.liveGrading = False
        self._host.processEvents(0.6)  # past the pause
        parameters.liveGrading = True
        return self._timed(self._widget.panel._onPause)

    def show_class(self, number: int) -> tuple[float, float]:
        """Seconds and longest gap (ms) from the choice of another class on."""
        self._widget._parameterNode.liveGrading = False
        box = self._widget.ui.shownClassComboBox
        wanted = 1 + (box.currentIndex + number) % (box.count - 1)
        if wanted == box.currentIndex:
            wanted = 1 + wanted % (box.count - 1)
        return self._timed(lambda: setattr(box, "currentIndex", wanted))

    def _timed(self, start_work: Any) -> tuple[float, float]:
        from hostwatch import MainThreadWatch

        bar, updated = self._widget.panel.bar, self._updated
        with MainThreadWatch() as watch:
            start = time.perf_counter()
            start_work()
            if not bar.isBusy:
                raise SystemExit(f"nothing was started: {bar.status}")
            if not self._host.processEvents(_SECONDS, until=lambda: not bar.isBusy and updated()):
                raise SystemExit(f"the run did not end: {bar.status}")
            seconds = time.perf_counter() - start
        if not bar.status.startswith("Done"):
            raise SystemExit(bar.status)
        return seconds, watch.longestGapMs

    def _updated(self) -> bool:
        return not self._widget._updateTimer.active


if __name__ == "__main__":
    main()
