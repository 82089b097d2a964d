"""Real brain MRI through the panel and the logic of MissingModalitySeg; the student is untrained, the geometry real."""
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

from hostpanel import run
from hosttumorpanel import host, mainWindow, panel, student  # noqa: F401


def loaded(folder, names):
    """Nodes of the files of a folder by the sequence they are; each node has the name of its file."""
    from REACTDistillLib.files import read_volume
    from REACTDistillScene.volumes import nodeFromVolume

    return {name: nodeFromVolume(read_volume(folder / file), file.split(".")[0]) for name, file in names.items()}


def found(folder, name):
    return next(path for path in sorted(folder.rglob(name)))


def test_skull_stripped_sequences_are_guessed_and_segmented_without_t1ce(host, panel, shared_data) -> None:
    folder = found(shared_data("brain_tcga_fg6692"), "skullstripped")
    names = {"t1": "t1_bet.nii.gz", "t1ce": "t1c_bet.nii.gz", "t2": "t2_bet.nii.gz", "flair": "fla_bet.nii.gz"}
    nodes = loaded(folder, names)
    host.processEvents()
    parameters = panel._parameterNode
    assert {name: getattr(parameters, f"{name}Volume") for name in names} == nodes
    parameters.t1ceVolume = None
    run(host, panel, seconds=300)
    assert panel.panel.bar.status.startswith("Done in "), panel.panel.bar.status
    bounds, inside = [0.0] * 6, [0.0] * 6
    nodes["t1"].GetRASBounds(bounds)
    parameters.resultSegmentation.GetRASBounds(inside)
    assert parameters.resultReference is nodes["t1"]
    assert (np.array(inside[::2]) >= np.array(bounds[::2]) - 0.01).all()
    assert (np.array(inside[1::2]) <= np.array(bounds[1::2]) + 0.01).all()


def test_flair_and_t1ce_alone_are_segmented_by_the_logic(host, panel, student, shared_data) -> None:
    flair = found(shared_data("brain_brats2013"), "Flair_subtrMeanDivStd.nii.gz")
    nodes = loaded(flair.parent, {"flair": flair.name, "t1ce": "T1c_subtrMeanDivStd.nii.gz"})
    finding, result = panel.module.MissingModalitySegLogic().process(nodes, student, device="cpu")
    assert finding.segmentation.expectation["given"] == ["t1ce", "flair"]
    assert list(result.segmentation.GetSegmentation().GetSegmentIDs()) == ["WT", "TC", "ET"]
    assert finding.grid.shape_kji == (155, 240, 240)


def test_native_oblique_sequences_on_two_grids_give_a_result_on_the_grid_that_was_asked_for(
    host, panel, student, shared_data
) -> None:
    folder = found(shared_data("brain_tcga_fg6692"), "native_space")
    nodes = loaded(folder, {"t1": "t1.nii.gz", "flair": "fla.nii.gz"})
    finding, result = panel.module.MissingModalitySegLogic().process(nodes, student, reference="flair", device="cpu")
    role = result.segmentation.GetReferenceImageGeometryReferenceRole()
    assert result.segmentation.GetNodeReference(role) is nodes["flair"]
    assert finding.grid.shape_kji == (26, 256, 208)
    assert any("estimate" in warning for warning in finding.warnings)
