"""The panel on a real CT with its masks: result, cancel, a worker that dies, a second scene."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, layers, mainWindow, panel, run, student, temporaryFiles  # noqa: F401


@pytest.fixture(scope="module")
def realCase(shared_data):
    from REACTDistillLib.casefiles import case_from_files

    masks = shared_data("liver_ct_3dircadb17/masks_dicom") / "MASKS_DICOM"
    tumors = [str(masks / name) for name in ("livertumor1", "livertumor2")]
    ct = shared_data("liver_ct_3dircadb17/ct_dicom")
    return case_from_files(ct, [str(masks / "liver")], tumors)


def load(case):
    """CT as int16, as a scanner gives it, and its regions."""
    import slicer
    from REACTDistillScene.segments import segmentationFromMasks
    from REACTDistillScene.volumes import nodeFromVolume

    ctVolume = nodeFromVolume(case.sequences["ct"], "CT")
    slicer.util.updateVolumeFromArray(ctVolume, case.sequences["ct"].array_kji.astype(np.int16))
    return ctVolume, segmentationFromMasks(case.regions, ctVolume)


def test_a_real_ct_is_graded_canceled_and_graded_again_after_the_worker_died(host, panel, realCase) -> None:
    import slicer
    from REACTDistillScene.tables import cells

    ctVolume, segmentation = load(realCase)
    host.processEvents()
    before = slicer.util.arrayFromVolume(ctVolume).copy()
    bar = panel.panel.bar

    def isRunning() -> bool:
        return bar.job.state.value == "running"

    for moment in ("writing", "starting", "running"):
        bar.applyButton.click()
        reached = {
            "writing": lambda: True,
            "starting": lambda: bar.worker.processGroup is not None,
            "running": isRunning,
        }
        assert host.processEvents(30, until=reached[moment]), moment
        bar.applyButton.click()
        assert host.processEvents(2.0, until=lambda: not bar.isBusy), moment
        assert bar.status == "Canceled.", moment
        assert temporaryFiles() == []
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    bar.applyButton.click()
    assert host.processEvents(30, until=isRunning)
    os.kill(bar.worker.processGroup, 9)
    assert host.processEvents(5, until=lambda: not bar.isBusy)
    assert bar.status.startswith("The calculation was killed by the system")
    run(host, panel)
    assert bar.status.startswith("Done in ")
    parameters = panel._parameterNode
    rows = dict(cells(parameters.resultTable))
    assert sum(float(rows[f"Probability of {name}"]) for name in ("well", "moderate", "poor")) == pytest.approx(
        1, abs=3e-4
    )
    assert layers() == [(ctVolume.GetID(), parameters.resultAttention.GetID())] * 3
    assert parameters.resultGraph.GetPolyData().GetNumberOfPoints() > 0
    heat = parameters.resultAttention
    liver = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", heat)
    assert slicer.util.arrayFromVolume(heat).max() == pytest.approx(1.0, abs=0.2)
    assert not slicer.util.arrayFromVolume(heat)[liver == 0].any()
    assert np.array_equal(slicer.util.arrayFromVolume(ctVolume), before)
    assert temporaryFiles() == []


def test_a_second_scene_with_other_data_works_in_the_same_application(host, panel, realCase, tmp_path) -> None:
    import slicer

    load(realCase)
    host.processEvents()
    run(host, panel)
    assert panel.panel.bar.status.startswith("Done in ")
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "first.mrb"))
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    panel.module._phantomNodes(seed=3)
    host.processEvents()
    run(host, panel)
    assert panel.panel.bar.status.startswith("Done in ")
    assert panel._parameterNode.resultCT.GetName() == "Phantom CT"
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "first.mrb"), True)
    panel.enter()
    host.processEvents()
    assert panel._parameterNode.resultCT.GetName() == "CT"
    panel.ui.liveGradingCheckBox.click()
    host.processEvents(0.4)
    assert host.processEvents(60, until=lambda: not panel.panel.bar.isBusy)
    assert panel.panel.bar.status.startswith("Done in ")
