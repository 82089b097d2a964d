"""Every subset of the sequences of real brains: the same regions from files and from nodes, where the brain is."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hosttumorpanel import host, mainWindow  # noqa: F401
from realbrain_samples import (
    BRATS_5,
    BRATS_6,
    LABELS,
    MODULE,
    STRIPPED,
    arguments,
    center_ras,
    check_geometry,
    kept_worker,
    loaded_nodes,
    read_result,
    segment_masks,
    segmented_files,
)

EXAMS = {"fg6692": STRIPPED, "pat0005": BRATS_5, "pat0006": BRATS_6}
# The middle of the marked tumor in mm. The shipped student has seen synthetic brains only, so 25 mm are allowed.
MARKED_RAS = {"fg6692": (-81.0, 155.1, 89.5), "pat0005": (-84.6, 70.7, 92.6), "pat0006": (-136.2, 138.6, 96.1)}
EVERY_SUBSET = [(exam, names) for exam, one in EXAMS.items() for names in one.subsets]


@pytest.fixture(scope="module")
def worker():
    with kept_worker() as kept:
        yield kept


@pytest.fixture
def logic(host, worker):
    return host.importModule(MODULE).MissingModalitySegLogic()


def inside_brain(center_ras, path):
    brain = sitk.ReadImage(str(path))
    at_ijk = brain.TransformPhysicalPointToIndex((center_ras * (-1, -1, 1)).tolist())
    return brain[at_ijk] != 0


def check_nested(masks):
    assert list(masks) == ["WT", "TC", "ET"]
    assert not (masks["TC"] & ~masks["WT"]).any()
    assert not (masks["ET"] & ~masks["TC"]).any()


def check_expectation(expected, names, printed, *, of):
    given = [LABELS[name] for name in names]
    listed = " and ".join([", ".join(given[:-1]), given[-1]] if len(given) > 1 else given)
    alone = "" if len(names) == of else " alone"
    assert expected["given"] == list(names)
    assert expected["sentence"].startswith(f"With {listed}{alone} a Dice of ")
    assert expected["sentence"] in printed


def test_there_are_fifteen_and_twice_three_subsets():
    assert len(EVERY_SUBSET) == 15 + 3 + 3


@pytest.mark.parametrize(("exam", "names"), EVERY_SUBSET, ids=[f"{exam}-{'+'.join(one)}" for exam, one in EVERY_SUBSET])
def test_a_subset_gives_the_same_nested_regions_from_files_and_from_nodes(
    logic, shared_data, tmp_path, capsys, exam, names
) -> None:
    brain, paths = EXAMS[exam], EXAMS[exam].paths(shared_data, names)
    backwards = {name: paths[name] for name in reversed(names)}  # so equal voxels also say that order changes nothing
    written = segmented_files(backwards, tmp_path / "out")
    nodes = loaded_nodes(paths)
    finding, shown = logic.process(nodes, device="cpu")

    check_geometry(written.image, paths[names[0]])
    check_nested(segments := segment_masks(shown, nodes[names[0]]))
    for region, mask in written.masks.items():
        assert np.array_equal(mask, segments[region]), region
    assert finding.segmentation.volumes_ml == written.finding["segmentation"]["volumes_ml"]
    assert list(finding.warnings) == written.finding["warnings"]
    assert not any("agree by only" in sentence or "apart" in sentence for sentence in finding.warnings)
    check_expectation(written.finding["segmentation"]["expectation"], names, capsys.readouterr().out, of=4)
    if segments["WT"].any():
        center = center_ras(segments["WT"], written.image)
        assert inside_brain(center, shared_data(brain.folder) / brain.brain)
    if names == brain.subsets[-1]:
        assert np.linalg.norm(center - MARKED_RAS[exam]) < 25.0


def test_the_command_in_a_process_of_its_own_writes_the_same_voxels(shared_data, tmp_path) -> None:
    paths = BRATS_6.paths(shared_data, ["flair"])
    command = [sys.executable, "-m", "REACTDistillLib", *arguments(paths, tmp_path / "alone", "--progress", "json")]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1].startswith('{"event": "result"')
    alone, here = read_result(tmp_path / "alone"), segmented_files(paths, tmp_path / "here")
    assert alone.masks["WT"].any()
    assert np.array_equal(sitk.GetArrayViewFromImage(alone.image), sitk.GetArrayViewFromImage(here.image))
