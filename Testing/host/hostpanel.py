"""Fixtures: the module's panel on the stand-in host, a phantom in its scene, a quick student."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "REACTDistill" / "REACTDistill.py"


def saveUntrainedStudent(path, *, name="Untrained student", seed=0):
    """An untrained student on a coarse grid: every number it gives is real, and it is quick."""
    import torch
    from REACTDistillLib.recipes import recipe_named
    from REACTDistillLib.student import save_student
    from student_samples import draft

    recipe = recipe_named("reactkd")
    shape, spacing, classes = (32, 32, 32), (8.0, 8.0, 8.0), ("well", "moderate", "poor")
    preparation = recipe.preparation(classes, grid_shape_kji=shape, grid_spacing_kji_mm=spacing)
    torch.manual_seed(seed)
    card = draft(
        name=name,
        version="0.1.0",
        recipe="reactkd",
        network={"name": "GradeStudent", "config": preparation.network},
        grid={"shape_kji": list(shape), "spacing_kji_mm": list(spacing)},
        classes=classes,
        metrics={"ct": {"macro_auc": 0.5}},
        limitations="Untrained <on purpose>: its answers mean nothing.",
    )
    save_student(path, recipe.build_network(preparation.network), card)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "untrained.safetensors"
    saveUntrainedStudent(path)
    return path


@pytest.fixture
def mainWindow():
    """Tests that must also pass without a main window are parametrized with it."""
    return True


@pytest.fixture
def host(mainWindow):
    """The stand-in host; anything that went wrong on it fails the test."""
    import hostapp
    import hosterrors
    import slicer

    uninstall = hostapp.install(mainWindow=mainWindow)
    previous = hosterrors.collectObserverErrors()
    hosterrors.clear()
    slicer.mrmlScene.Clear(0)
    yield hostapp
    uninstall()
    slicer.mrmlScene.Clear(0)
    sys.excepthook = previous
    assert hosterrors.problems() == []


@pytest.fixture
def panel(host, student, monkeypatch):
    """The module's widget, entered, on an empty scene; what it leaves behind fails the test."""
    import hostorphans
    import REACTDistillLib.shipped
    import slicer

    monkeypatch.setattr(REACTDistillLib.shipped, "demo_student", lambda task: student)
    ledger = hostorphans.ObserverLedger(slicer.mrmlScene)
    before = hostorphans.belongings(ledger)
    module, widget, place = host.openModule(MODULE)
    widget.module, widget.place = module, place  # a Python object: it takes any attribute
    host.processEvents()
    yield widget
    host.quitApplication()
    slicer.mrmlScene.Clear(0)
    host.processEvents(2.0, until=lambda: not hostorphans.belongings(ledger).leftSince(before))
    left = hostorphans.belongings(ledger).leftSince(before)
    ledger.stop()
    assert left == []


@pytest.fixture
def phantom(host, panel):
    """CT and segmentation nodes of a phantom, loaded while the panel is open: it chooses them by itself."""
    nodes = panel.module._phantomNodes(seed=3)
    host.processEvents()
    return nodes


withAndWithoutMainWindow = pytest.mark.parametrize("mainWindow", [True, False], ids=["main window", "no main window"])


def run(host, widget, seconds=60.0):
    widget.panel.bar.applyButton.click()
    assert host.processEvents(seconds, until=lambda: not widget.panel.bar.isBusy), "the job did not end"
    host.processEvents(0.05)


def temporaryFiles():
    import slicer

    return list(Path(slicer.app.temporaryPath).glob("REACTDistill-*"))


def layers():
    import slicer

    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    composites = [manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()]
    return [(node.GetBackgroundVolumeID(), node.GetForegroundVolumeID()) for node in composites]
