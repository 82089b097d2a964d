"""What a warm grade does not make again, and that it is the cold one all the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.case import Case
from REACTDistillLib.memory import Memory
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.predict import get_ready, predict
from REACTDistillLib.recipes.reactkd import exam, grading, inputs
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Volume

sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import saveUntrainedStudent


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "untrained.safetensors"
    saveUntrainedStudent(path)
    return load_student(path, device="cpu")


@pytest.fixture(scope="module")
def phantom():
    made = phantom_case(0, shape_kji=(40, 64, 64))
    return Case({"ct": made.sequences["ct"]}, made.regions)


@pytest.fixture
def sampled(monkeypatch):
    """The volumes that were resampled for the network."""
    volumes: list[Volume] = []
    original = inputs.resample
    monkeypatch.setattr(inputs, "resample", lambda volume, *a, **k: volumes.append(volume) or original(volume, *a, **k))
    return volumes


def with_liver(case, array):
    return Case(case.sequences, {**case.regions, "liver": Volume(array, case.regions["liver"].grid)})


def test_an_edit_within_the_box_of_the_liver_samples_the_mask_again_and_not_the_image(phantom, student, sampled):
    memory, ct = Memory(), phantom.sequences["ct"]
    first = predict(phantom, student, memory=memory)
    assert sum(volume is ct for volume in sampled) == 1
    liver = phantom.regions["liver"].array_kji.copy()
    k, j, i = np.argwhere(liver & ~phantom.regions["tumor"].array_kji)[liver.sum() // 3]
    liver[k - 1 : k + 2, j - 2 : j + 3, i - 2 : i + 3] = False
    edited = with_liver(phantom, liver)
    warm = predict(edited, student, memory=memory)
    assert sum(volume is ct for volume in sampled) == 1
    cold = predict(edited, student)
    assert warm.probabilities == cold.probabilities != first.probabilities
    assert warm.graph.to_json() == cold.graph.to_json()
    assert np.array_equal(warm.attention.array_kji, cold.attention.array_kji)
    assert predict(phantom, student, memory=memory).probabilities == first.probabilities


def test_an_edit_that_moves_the_box_of_the_liver_samples_both_again(phantom, student, sampled):
    memory = Memory()
    predict(phantom, student, memory=memory)
    sampled.clear()
    liver = phantom.regions["liver"].array_kji.copy()
    planes = np.flatnonzero(liver.any(axis=(1, 2)))
    liver[planes[0] : planes[0] + len(planes) // 4] = False
    edited = with_liver(phantom, liver)
    warm = predict(edited, student, memory=memory)
    assert sum(volume is phantom.sequences["ct"] for volume in sampled) == 1
    assert warm.probabilities == predict(edited, student).probabilities


@pytest.mark.parametrize("edited", ["liver", "tumor"])
def test_a_grade_that_was_got_ready_is_the_same_and_makes_no_image_and_no_region_again(
    phantom, student, monkeypatch, edited
):
    memory = Memory()
    predict(phantom, student, memory=memory)
    case = Case(phantom.sequences, {**phantom.regions, edited: eroded(phantom.regions[edited])})
    made = []
    for module, name in ((exam, "find_liver"), (exam, "exam_images"), (exam, "SoftMasks"), (grading, "feature_map")):
        note_use(monkeypatch, module, name, made)
    get_ready(case, student, memory=memory)
    assert made == ["find_liver", *(["exam_images"] if edited == "liver" else []), "SoftMasks"]
    made.clear()
    warm = predict(case, student, memory=memory)
    assert made == (["feature_map"] if edited == "liver" else [])
    cold = predict(case, student)
    assert warm.probabilities == cold.probabilities
    assert warm.warnings == cold.warnings
    assert np.array_equal(warm.attention.array_kji, cold.attention.array_kji)
    assert warm.graph.to_json() == cold.graph.to_json()


def test_getting_ready_refuses_what_a_grade_refuses(phantom, student):
    case = Case(phantom.sequences, {"tumor": phantom.regions["tumor"]})
    with pytest.raises(ValueError, match='needs the mask "liver"'):
        get_ready(case, student, memory=Memory())


def eroded(mask):
    """Without the lowest slice that holds a voxel."""
    array = mask.array_kji.copy()
    array[np.flatnonzero(array.any(axis=(1, 2)))[0]] = False
    return Volume(array, mask.grid)


def note_use(monkeypatch, module, name, made):
    original = getattr(module, name)
    if isinstance(original, type):
        of = original.of
        monkeypatch.setattr(original, "of", lambda *a: made.append(name) or of(*a))
    else:
        monkeypatch.setattr(module, name, lambda *a, **k: made.append(name) or original(*a, **k))
