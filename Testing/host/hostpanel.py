"""Fixtures: the module's panel on the stand-in host, a phantom in its scene, a quick student."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "REACTDistill" / "REACTDistill.py"


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """An untrained student on a coarse grid: every number it gives is real, and it is quick."""
    import torch
    from REACTDistillLib.recipes import recipe_named
    from REACTDistillLib.student import save_student
    from student_samples import draft

    recipe = recipe_named("reactkd")
    shape, spacing, classes = (32, 32, 32), (8.0, 8.0, 8.0), ("well", "moderate", "poor")
    preparation = recipe.preparation(classes, grid_shape_kji=shape, grid_spacing_kji_mm=spacing)
    torch.manual_seed(0)
    card = draft(
        name="Untrained student",
        version="0.1.0",
        recipe="reactkd",
        network={"name": "GradeStudent", "config": preparation.network},
        grid={"shape_kji": list(shape), "spacing_kji_mm": list(spacing)},
        classes=classes,
        metrics={"ct": {"macro_auc": 0.5}},
        limitations="Untrained <on purpose>: its answers mean nothing.",
    )
    path = tmp_path_factory.mktemp("student") / "untrained.safetensors"
    save_student(path, recipe.build_network(preparation.network), card)
    return path


@pytest.fixture
def mainWindow():
    """Tests that must also pass without a main window are parametrized with it."""
    return True


@pytest.fixture
def host(mainWindow):
    import hostapp

    uninstall = hostapp.install(mainWindow=mainWindow)
    yield hostapp
    uninstall()


@pytest.fixture
def panel(host, student, monkeypatch):
    """The module's widget, entered, on an empty scene; errors in slots, observers and connections fail the test."""
    import qt
    import REACTDistillLib.shipped
    import slicer

    monkeypatch.setattr(REACTDistillLib.shipped, "demo_student", lambda task: student)
    observerErrors = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: observerErrors.append(error[1]))
    slicer.mrmlScene.Clear(0)
    for collected in (qt.slotErrors, qt.failedConnections, qt.textsFromNone):
        collected.clear()
    module, widget, place = host.openModule(MODULE)
    widget.module, widget.place = module, place  # a Python object: it takes any attribute
    host.processEvents()
    yield widget
    current = slicer.modules.REACTDistillWidget
    current.exit()
    current.cleanup()
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    place.deleteLater()
    host.processEvents()
    assert (qt.slotErrors, qt.failedConnections, qt.textsFromNone, observerErrors) == ([], [], [], [])


@pytest.fixture
def phantom(host, panel):
    """CT and segmentation nodes of a phantom, loaded while the panel is open: it chooses them by itself."""
    nodes = panel.module._phantomNodes(seed=3)
    host.processEvents()
    return nodes


withAndWithoutMainWindow = pytest.mark.parametrize("mainWindow", [True, False], ids=["main window", "no main window"])


def run(host, widget, seconds=60.0):
    widget.ui.applyButton.click()
    assert host.processEvents(seconds, until=lambda: not widget.job.isBusy), "the job did not end"
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
