"""Segmenting from files by name of the sequence, on the command line."""

import json

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.brain import brain_case
from REACTDistillLib.case import Case
from REACTDistillLib.files import read_image, write_volume
from REACTDistillLib.finding import Finding
from REACTDistillLib.predict import predict
from segmenting_samples import save_segmenting_student


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exam")
    case = brain_case(5)
    for name in ("t1ce", "flair"):
        write_volume(case.sequences[name], folder / f"{name}.nrrd")
    write_volume(case.regions["brain"], folder / "brain.nrrd")
    save_segmenting_student(folder / "segmenter.safetensors")
    return folder


def run(folder, out, *more, sequences=("t1ce", "flair")):
    given = [text for name in sequences for text in ("--sequence", f"{name}={folder / name}.nrrd")]
    student = ["--student", str(folder / "segmenter.safetensors"), "--device", "cpu"]
    return main(["predict", *given, *student, "--out", str(out), *more])


def test_sequences_by_name_become_one_label_map_and_numbers(files, tmp_path, capsys):
    assert run(files, tmp_path / "out", "--region", f"brain={files / 'brain.nrrd'}") == 0
    finding = Finding.load(tmp_path / "out")
    printed = capsys.readouterr().out
    for name, volume in finding.segmentation.volumes_ml.items():
        assert f"{name}  {volume:8.1f}" in printed
    assert "not a medical device" in printed
    assert "With T1ce and FLAIR" in printed
    case = brain_case(5)
    given = Case({name: case.sequences[name] for name in ("t1ce", "flair")}, {"brain": case.regions["brain"]})
    expected = predict(given, files / "segmenter.safetensors", device="cpu").segmentation
    assert finding.segmentation.volumes_ml == expected.volumes_ml
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["finding.json", "segmentation.nrrd"]


def test_the_order_of_the_options_changes_nothing(files, tmp_path):
    run(files, tmp_path / "one")
    run(files, tmp_path / "other", sequences=("flair", "t1ce"))
    one, other = (read_image(tmp_path / name / "segmentation.nrrd") for name in ("one", "other"))
    assert np.array_equal(one.array, other.array)
    assert one.grid.same_as(other.grid)


def test_convention_reference_and_probability_maps_are_asked_for_by_name(files, tmp_path):
    options = ["--labels", "brats2020", "--reference", "flair", "--probabilities"]
    assert run(files, tmp_path / "out", *options) == 0
    header = json.loads((tmp_path / "out" / "finding.json").read_text())
    assert header["segmentation"]["files"]["convention"] == "brats2020"
    assert set(np.unique(read_image(tmp_path / "out" / "segmentation.nrrd").array)) <= {0, 1, 2, 4}
    maps = read_image(tmp_path / "out" / "probability_WT.nrrd").array
    assert 0 <= maps.min() <= maps.max() <= 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--sequence", "t1"], "--sequence needs NAME=FILE"),
        (["--sequence", "t1ce=again.nrrd"], 'The sequence "t1ce" was given twice'),
        (["--sequence", "t1="], "An empty name was given"),
        (["--reference", "t2"], 'The reference "t2" is not among the sequences given'),
        (["--series", "1.2.3"], "for one sequence only"),
    ],
)
def test_a_slip_is_one_sentence(files, tmp_path, capsys, more, words):
    assert run(files, tmp_path / "out", *more) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert words in told[0]
    assert not (tmp_path / "out").exists()


def test_no_image_at_all_is_one_sentence(files, tmp_path, capsys):
    assert run(files, tmp_path / "out", sequences=()) == 2
    assert "No image was given" in capsys.readouterr().err
