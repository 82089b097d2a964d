"""From an edit of the regions to the new grade and overlay in the scene, through panel and worker, in one run.

On the stand-in host, with the default student at 64x224x224 and the case of ``regrade_speed.py``. "forward" is that
network alone on a ready image, in a process of its own with the environment of the worker: the same number of threads,
the same setting of the memory allocator. It is timed in turn with what stands beside it.

An edit is told twice. "from the pause on": the panel waits for a pause of a quarter of a second after the last stroke,
on purpose, and this time starts at its end. Part of the work is done in the pause: the edited mask is read, and the
worker prepares all that comes before the network. "from the stroke on" starts at the last stroke and holds the pause
too: what the user sees. Both end when table, heat map, graph and slice layers are up to date. The longest gap is how
long the main thread was away from its event loop from the stroke on; "write and read" are the tools of the benchmark
itself, outside of what is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from grade_speed import RECIPE, as_student
from REACTDistillLib.case import Case
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.phantom import GRADES
from REACTDistillLib.student import load_student, save_student
from regrade_speed import real_case, strokes, synthetic_case

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--forward", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.forward:
        answer_forward_passes(load_student(options.forward, device="cpu"))
        return
    preparation = RECIPE.preparation(GRADES)
    student = as_student(preparation, RECIPE.build_network(preparation.network).eval())
    case = real_case() or synthetic_case((119, 512, 512))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "default.safetensors"
        save_student(path, student.network, student.card)
        print(f"CT {case.sequences['ct'].grid.shape_kji} (K, J, I), {torch.get_num_threads()} threads")
        print(f"{'':32}{'median s':>9}{'min':>8}{'max':>8}{'forward':>9}{'ratio':>8}{'longest gap ms':>16}")
        with Panel(case, path) as panel, ForwardPass(path) as forward:
            compare(panel, forward, case, options.runs)


def compare(panel: Panel, forward: ForwardPass, case: Case, runs: int) -> None:
    Row("first Apply, cold worker", forward).fill(1, panel.apply)
    Row("Apply again, warm", forward).fill(runs, panel.apply)
    for segment in ("tumor", "liver"):
        masks = strokes(case.regions[segment], runs + 1, inside=case.regions["liver"])
        panel.edit(segment, next(masks))  # the first one after Apply finds less in the memory
        from_pause, from_stroke = (Row(f"{segment} edited, from the {one} on", forward) for one in ("pause", "stroke"))
        for _ in range(runs):
            from_pause.time_forward()
            pause, stroke, gap = panel.edit(segment, next(masks))
            from_pause.add(pause, gap)
            from_stroke.add(stroke, gap)
        from_stroke.base = from_pause.base
        from_pause.report()
        from_stroke.report()
    Row("another class shown", forward).fill(runs, panel.show_another_class)


class ForwardPass:
    """The network alone, in a process with the environment of the worker."""

    def __init__(self, student: Path) -> None:
        from REACTDistillScene.interpreter import workerLaunch

        command, environment = workerLaunch()
        self._process = subprocess.Popen(
            [command[0], "-u", __file__, "--forward", str(student)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds(6)  # not counted

    def __enter__(self) -> ForwardPass:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def seconds(self, count: int) -> list[float]:
        """Seconds of each of ``count`` passes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))


def answer_forward_passes(student: Student) -> None:
    """For each number on stdin a list of so many times on stdout."""
    image = torch.randn(1, 1, *student.card.grid_shape_kji)
    pools = torch.rand(1, 3, *(n // s for n, s in zip(image.shape[2:], student.network.stride_kji, strict=True)))
    for line in sys.stdin:
        seconds = []
        with torch.inference_mode():
            for _ in range(int(line)):
                start = time.perf_counter()
                student.network(image, pools)
                seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


@dataclass
class Row:
    """One line of the table: times of a job, and of forward passes in turn with it."""

    name: str
    forward: ForwardPass
    base: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)

    def fill(self, runs: int, job: Callable[[], tuple[float, float]]) -> None:
        """Do the job so many times and report it."""
        for _ in range(runs):
            self.time_forward()
            self.add(*job())
        self.report()

    def time_forward(self) -> None:
        self.base += self.forward.seconds(3)[1:]  # the first one wakes the processor

    def add(self, seconds: float, gap_ms: float) -> None:
        self.seconds.append(seconds)
        self.gaps_ms.append(gap_ms)

    def report(self) -> None:
        middle, base = statistics.median(self.seconds), statistics.median(self.base)
        times = f"{middle:9.3f}{min(self.seconds):8.3f}{max(self.seconds):8.3f}{base:9.3f}"
        print(f"{self.name:32}{times}{middle / base:7.2f}x{max(self.gaps_ms):16.0f}", flush=True)


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
        self._pauses: list[float] = []
        self._last_edit, self._has_begun = 0.0, False
        self._follow_edits()
        hostapp.processEvents(0.5)

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.quitApplication()

    def apply(self) -> tuple[float, float]:
        """Seconds and longest gap (ms) of one Apply."""
        return self._timed(self._widget.panel.bar.applyButton.click)

    def edit(self, segment: str, mask: Any) -> tuple[float, float, float]:
        """Seconds from the end of the pause after an edit on, and from the edit on; longest gap (ms)."""
        import slicer
        from REACTDistillLib.geometry import resample
        from REACTDistillScene.volumes import worldGrid

        array = resample(mask, worldGrid(self._ct), interpolation="nearest").array_kji.astype(np.uint8)
        self._widget._parameterNode.liveGrading = True
        self._host.processEvents(0.6)  # what the switch itself starts
        self._pauses.clear()
        self._has_begun = False
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, self._segmentation, segment, self._ct)
        start = self._last_edit
        end, gap = self._until_done()
        return end - self._pauses[0], end - start, gap

    def show_another_class(self) -> tuple[float, float]:
        """Seconds and longest gap (ms) from the choice of another class on."""
        self._widget._parameterNode.liveGrading = False
        box = self._widget.ui.shownClassComboBox
        wanted = 1 + box.currentIndex % (box.count - 1)
        return self._timed(lambda: setattr(box, "currentIndex", wanted))

    def _timed(self, start_work: Callable[[], object]) -> tuple[float, float]:
        start = time.perf_counter()
        start_work()
        self._has_begun = self._widget.panel.bar.isBusy
        end, gap = self._until_done()
        return end - start, gap

    def _until_done(self) -> tuple[float, float]:
        """When all was up to date, and the longest gap (ms)."""
        from hostwatch import MainThreadWatch

        bar = self._widget.panel.bar
        with MainThreadWatch() as watch:
            done = self._host.processEvents(
                _SECONDS, until=lambda: self._has_begun and not bar.isBusy and not self._widget._updateTimer.active
            )
            end = time.perf_counter()
        if not done or not bar.status.startswith("Done"):
            raise SystemExit(f"the run did not end: {bar.status}")
        return end, watch.longestGapMs

    def _follow_edits(self) -> None:
        """Note when the segmentation is edited and when a pause after it is seen, before anything is done."""
        import slicer

        def note_edit(*_: object) -> None:
            self._last_edit = time.perf_counter()

        def note_begin() -> None:
            self._has_begun = self._widget.panel.bar.isBusy

        for event in (slicer.vtkSegmentation.SourceRepresentationModified, slicer.vtkSegmentation.SegmentModified):
            self._segmentation.AddObserver(event, note_edit)
        timer, slot = self._widget.panel.regions.watch._timers[-1]
        timer.disconnect("timeout()", slot)
        timer.connect("timeout()", lambda: self._pauses.append(time.perf_counter()))
        timer.connect("timeout()", slot)
        timer.connect("timeout()", note_begin)


if __name__ == "__main__":
    main()
