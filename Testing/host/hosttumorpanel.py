"""Fixtures: the panel of MissingModalitySeg on the stand-in host, four synthetic sequences, a quick student."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostpanel import host, mainWindow  # noqa: F401 - fixtures that the others need

MODULE = Path(__file__).resolve().parents[2] / "MissingModalitySeg" / "MissingModalitySeg.py"
SEQUENCES = ("t1", "t1ce", "t2", "flair")


def subsetMetrics():
    """Dice that grows with each sequence; T1ce decides ET, FLAIR decides WT."""
    from REACTDistillLib.subsetscores import all_subsets, subset_name

    rows = {}
    for subset in all_subsets(SEQUENCES):
        more = 0.02 * len(subset)
        rows[subset_name(subset)] = {
            "dice_WT": 0.55 + more + 0.2 * ("flair" in subset),
            "dice_TC": 0.45 + more + 0.1 * ("t1ce" in subset),
            "dice_ET": 0.25 + more + 0.4 * ("t1ce" in subset),
            "cases": 60,
        }
    return rows


def saveUntrainedSegmenter(path, *, name="Untrained segmenter", seed=0):
    """An untrained student on coarse voxels: every number it gives is real, and it is quick."""
    import torch
    from REACTDistillLib.recipes import recipe_named
    from REACTDistillLib.student import save_student
    from student_samples import draft

    recipe = recipe_named("ccsd")
    preparation = recipe.preparation(
        ("WT", "TC", "ET"),
        grid_shape_kji=(16, 16, 16),
        grid_spacing_kji_mm=(8.0, 8.0, 8.0),
        network={"channels": [4, 8]},
    )
    torch.manual_seed(seed)
    card = draft(
        name=name,
        version="0.1.0",
        recipe="ccsd",
        task="segment",
        network={"name": "CompositionalNet", "config": preparation.network},
        sequences=preparation.sequences,
        regions=preparation.regions,
        intensity=preparation.intensity,
        grid={"shape_kji": [16, 16, 16], "spacing_kji_mm": [8.0, 8.0, 8.0]},
        classes=preparation.classes,
        metrics=subsetMetrics(),
        limitations="Untrained <on purpose>: its answers mean nothing.",
    )
    save_student(path, recipe.build_network(preparation.network), card)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "untrained.safetensors"
    saveUntrainedSegmenter(path)
    return path


@pytest.fixture
def panel(host, student, monkeypatch):  # noqa: F811
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
def phantom(host, panel):  # noqa: F811
    """The four sequences of a synthetic patient, loaded while the panel is open: it guesses them by itself."""
    nodes = panel.module._phantomNodes(seed=3)
    host.processEvents()
    return nodes
