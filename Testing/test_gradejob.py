"""What a grade sends to the worker, and what it does not need to send or even read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from REACTDistillLib.exchange import volume_from_file
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Volume
from REACTDistillScene import cases
from REACTDistillScene.gradejob import GradeInputs, GradeWork
from REACTDistillScene.segments import segmentationFromMasks
from REACTDistillScene.volumes import nodeFromVolume

SHAPE_KJI = (6, 7, 8)

pytestmark = pytest.mark.usefixtures("empty_scene")


def box_mask(lower_kji, upper_kji):
    array = np.zeros(SHAPE_KJI, dtype=bool)
    array[tuple(slice(l, u) for l, u in zip(lower_kji, upper_kji, strict=True))] = True
    return Volume.from_array(array, np.eye(4))


@pytest.fixture
def inputs():
    ct = nodeFromVolume(Volume.from_array(np.zeros(SHAPE_KJI, dtype=np.float32), np.eye(4)), "CT")
    masks = {"liver": box_mask((1, 1, 1), (5, 6, 7)), "tumor": box_mask((2, 2, 2), (4, 4, 5))}
    segmentation = segmentationFromMasks(masks, ct)
    return GradeInputs(ct, None, segmentation, "liver", ("tumor",), Path("student.safetensors"))


@pytest.fixture
def read(monkeypatch):
    """IDs of the segments that were read."""
    ids: list[str] = []
    original = cases.maskFromSegmentInSteps

    def counted(segmentation, segmentId):
        ids.append(segmentId)
        return original(segmentation, segmentId)

    monkeypatch.setattr(cases, "maskFromSegmentInSteps", counted)
    return ids


def prepared(work, folder, held=frozenset()):
    folder.mkdir()
    return result_of(work.prepare(folder, held))


def graded(inputs, folder):
    """A first work, what the worker holds after it."""
    work = GradeWork(inputs, lambda *anything: None)
    request = prepared(work, folder)
    return work, frozenset(one["token"] for one in {**request["sequences"], **request["regions"]}.values())


def edit(inputs, segmentId):
    array = slicer.util.arrayFromSegmentBinaryLabelmap(inputs.segmentation, segmentId, inputs.ctVolume)
    array[tuple(np.argwhere(array)[0])] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, inputs.segmentation, segmentId, inputs.ctVolume)


def test_a_first_grade_sends_all_and_the_masks_arrive(inputs, read, tmp_path):
    work = GradeWork(inputs, lambda *anything: None)
    request = prepared(work, tmp_path / "run")
    assert read == ["liver", "tumor"]
    liver = volume_from_file(request["regions"]["liver"]["volume"], tmp_path / "run")
    assert liver.array_kji.all()
    assert liver.array_kji.shape == (4, 5, 6)
    assert liver.grid.to_ras((0, 0, 0)).tolist() == [1, 1, 1]
    assert request["sequences"]["ct"]["volume"] is not None


@pytest.mark.parametrize(("edited", "other"), [("liver", "tumor"), ("tumor", "liver")])
def test_after_an_edit_only_the_edited_mask_is_read_and_sent(inputs, read, tmp_path, edited, other):
    first, held = graded(inputs, tmp_path / "first")
    read.clear()
    edit(inputs, edited)
    second = GradeWork(inputs, lambda *anything: None, known=first.known)
    request = prepared(second, tmp_path / "second", held)
    assert read == [edited]
    assert request["regions"][edited]["volume"] is not None
    assert request["regions"][other]["volume"] is None
    assert request["regions"][other]["token"] in held
    assert request["sequences"]["ct"]["volume"] is None
    assert second.fingerprint != first.fingerprint


def test_a_mask_that_the_worker_no_longer_holds_is_read_and_sent_again(inputs, read, tmp_path):
    first, _held = graded(inputs, tmp_path / "first")
    read.clear()
    request = prepared(GradeWork(inputs, lambda *anything: None, known=first.known), tmp_path / "second")
    assert read == ["liver", "tumor"]
    assert all(region["volume"] is not None for region in request["regions"].values())


def test_a_moved_segmentation_is_read_again(inputs, read, tmp_path):
    first, held = graded(inputs, tmp_path / "first")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    matrix = np.eye(4)
    matrix[0, 3] = 2.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    inputs.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    request = prepared(GradeWork(inputs, lambda *anything: None, known=first.known), tmp_path / "second", held)
    liver = volume_from_file(request["regions"]["liver"]["volume"], tmp_path / "second")
    assert liver.grid.to_ras((0, 0, 0)).tolist() == [3, 1, 1]


def test_nothing_is_done_when_all_is_as_it_was(inputs, tmp_path):
    first, held = graded(inputs, tmp_path / "first")
    again = GradeWork(inputs, lambda *anything: None, unchanged=first.fingerprint, known=first.known)
    assert prepared(again, tmp_path / "again", held) is None
    edit(inputs, "tumor")
    again = GradeWork(inputs, lambda *anything: None, unchanged=first.fingerprint, known=first.known)
    assert prepared(again, tmp_path / "edited", held) is not None
