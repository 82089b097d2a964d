"""A Finding is saved as one folder and read back as it was."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from REACTDistillLib import __version__
from REACTDistillLib.files import read_image, read_volume
from REACTDistillLib.finding import Finding, Provenance
from REACTDistillLib.graph import RegionGraph
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.segmentation import Segmentation
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import read_card
from REACTDistillLib.volume import Box, Grid, Volume

BOX = Box((3, 1, 2), (5, 4, 6))


@pytest.fixture
def finding():
    graph = RegionGraph(
        names=("tumor_1", "parenchyma"),
        kinds=("tumor", "parenchyma"),
        centroids_ras=np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        volumes_ml=np.array([1.25, 1500.0]),
        features=np.array([[1.0, 0.0], [0.0, 1.0]], np.float32),
        similarity=np.array([[1.0, 0.25], [0.25, 1.0]], np.float32),
        importance=np.array([0.75, -0.125], np.float32),
    )
    oblique = np.array([[0.6, -0.8, 0, 5], [0.8, 0.6, 0, -7], [0, 0, 2.5, 11], [0, 0, 0, 1.0]])
    source = Grid((6, 5, 7), oblique)
    heat = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    attention = Volume(heat, source.cropped(BOX))
    made_by = Provenance("Student", "1.2", "ab" * 32, "0.1.0", "cpu", 0.5, "Research.", "Knows nothing.")
    probabilities = {"well": 0.1, "poor": 0.9}
    return Finding("case", "grade", probabilities, source, "well", attention, graph, made_by, ("Mind the gap.",))


def test_everything_comes_back_to_the_last_bit(finding, tmp_path):
    again = Finding.load(finding.save(tmp_path / "result"))
    assert again.probabilities == finding.probabilities
    assert again.predicted_class == "poor"
    assert again.provenance == finding.provenance
    assert again.warnings == finding.warnings
    assert again.attention.grid.same_as(finding.attention.grid)
    assert np.array_equal(again.attention.array_kji, finding.attention.array_kji)
    assert again.graph.to_json() == finding.graph.to_json()
    assert again.grid.same_as(finding.grid)
    assert again.shown_class == "well"


def test_the_saved_heat_map_has_every_voxel_of_the_image(finding, tmp_path):
    whole = read_volume(finding.save(tmp_path / "result") / "attention.nrrd")
    assert whole.grid.same_as(finding.grid)
    assert np.array_equal(whole.array_kji[3:5, 1:4, 2:6], finding.attention.array_kji)
    assert whole.array_kji.sum() == pytest.approx(12.0)  # 24 values from 0 to 1, nothing outside the box


def test_a_class_without_probability_and_a_heat_map_of_another_image_are_refused(finding):
    with pytest.raises(ValueError, match='"moderate", is none of well, poor'):
        replace(finding, shown_class="moderate")
    for other in (Grid((6, 5, 5), finding.grid.ijk_to_ras), Grid((6, 5, 7), np.eye(4))):
        with pytest.raises(ValueError, match="not voxels of the image"):
            replace(finding, grid=other)


def test_the_notices_stand_in_every_saved_result(finding, tmp_path):
    header = json.loads((finding.save(tmp_path / "result") / "finding.json").read_text())
    assert header["notices"] == finding.notices()
    assert "not a medical device" in header["notices"][0]
    assert header["notices"][1:] == ["Knows nothing.", "Mind the gap."]


def test_the_tables_can_be_read_by_anyone(finding, tmp_path):
    folder = finding.save(tmp_path / "result")
    with (folder / "regions.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    notice = " ".join(finding.notices())
    assert rows[1] == ["tumor_1", "tumor", "1.25", "1.0", "2.0", "3.0", "0.75", notice]
    with (folder / "probabilities.csv").open(newline="") as stream:
        assert list(csv.reader(stream))[1:] == [["well", "0.1", notice], ["poor", "0.9", notice]]
    header = sitk.ImageFileReader()
    header.SetFileName(str(folder / "attention.nrrd"))
    header.ReadImageInformation()
    assert header.GetMetaData("notice") == notice


def test_an_earlier_result_is_replaced_and_nothing_is_left_beside_it(finding, tmp_path):
    finding.save(tmp_path / "result")
    replace(finding, attention=None).save(tmp_path / "result")
    assert not (tmp_path / "result" / "attention.nrrd").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_folder_with_other_files_is_not_touched(finding, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        finding.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_is_no_result_and_a_later_format_are_refused(finding, tmp_path):
    with pytest.raises(ValueError, match=r"no finding\.json"):
        Finding.load(tmp_path)
    folder = finding.save(tmp_path / "result")
    header = json.loads((folder / "finding.json").read_text())
    (folder / "finding.json").write_text(json.dumps({**header, "format": 9}))
    with pytest.raises(ValueError, match="format 9"):
        Finding.load(folder)


def segmented(finding, names=("WT", "TC", "ET"), *, with_maps=True):
    """A Finding of nested masks in the box of the fixture; each has one voxel more than the next inner one."""
    part = finding.grid.cropped(BOX)
    masks = {}
    for number, name in enumerate(names):
        array = np.zeros(part.shape_kji, bool)
        array[0, 0, : len(names) - number] = True
        masks[name] = Volume(array, part)
    maps = {name: Volume(np.linspace(0, 1, 24).reshape(2, 3, 4), part) for name in names}
    volumes_ml = {name: float(mask.array_kji.sum()) for name, mask in masks.items()}
    said = Segmentation(masks, maps if with_maps else None, volumes_ml, {"sentence": "Good.", "dice": {"WT": 0.9}})
    return replace(
        finding, task="segment", probabilities={}, shown_class="", attention=None, graph=None, segmentation=said
    )


@pytest.mark.parametrize("names", [("WT", "TC", "ET"), ("WT",), ("left/lobe", "right lobe")], ids="+".join)
def test_a_segmentation_comes_back_to_the_last_bit(finding, tmp_path, names):
    made = segmented(finding, names)
    again = Finding.load(made.save(tmp_path / "result")).segmentation
    assert list(again.masks) == list(names)
    for name in names:
        assert again.masks[name].is_mask
        assert again.masks[name].grid.same_as(made.segmentation.grid)
        assert np.array_equal(again.masks[name].array_kji, made.segmentation.masks[name].array_kji)
        assert np.array_equal(
            again.probability_maps[name].array_kji, made.segmentation.probability_maps[name].array_kji
        )
    assert (again.volumes_ml, again.expectation) == (made.segmentation.volumes_ml, made.segmentation.expectation)


@pytest.mark.parametrize(("convention", "values"), [("brats2023", [3, 1, 2, 0]), ("brats2020", [4, 1, 2, 0])])
def test_the_label_map_has_every_voxel_of_the_image_in_the_convention_named(finding, tmp_path, convention, values):
    folder = segmented(finding, with_maps=False).save(tmp_path / "result", convention=convention)
    labels = read_image(folder / "segmentation.nrrd")
    assert labels.grid.same_as(finding.grid)
    assert labels.array.dtype == np.uint8
    assert labels.array[3, 1, 2:6].tolist() == values
    assert np.count_nonzero(labels.array) == 3
    header = json.loads((folder / "finding.json").read_text())
    assert header["segmentation"]["files"]["convention"] == convention
    assert header["segmentation"]["nested"] == ["WT", "TC", "ET"]
    assert "not a medical device" in header["notices"][0]
    assert sorted(path.name for path in folder.iterdir()) == ["finding.json", "segmentation.nrrd"]
    assert Finding.load(folder).segmentation.masks["TC"].array_kji.sum() == 2


def test_a_result_of_masks_is_replaced_by_one_without(finding, tmp_path):
    segmented(finding, ("WT",)).save(tmp_path / "result")
    assert (tmp_path / "result" / "mask_WT.nrrd").exists()
    finding.save(tmp_path / "result")
    assert not (tmp_path / "result" / "mask_WT.nrrd").exists()


def test_masks_of_another_image_or_of_two_grids_are_refused(finding):
    made = segmented(finding)
    with pytest.raises(ValueError, match="not voxels of the reference image"):
        replace(made, grid=Grid((6, 5, 7), np.eye(4)))
    elsewhere = Volume(np.zeros((6, 5, 7), bool), finding.grid)
    with pytest.raises(ValueError, match='"TC" does not lie on the grid'):
        replace(made.segmentation, masks={**made.segmentation.masks, "TC": elsewhere})
    with pytest.raises(ValueError, match="needs a volume in ml for each"):
        replace(made.segmentation, volumes_ml={})


def test_a_result_of_an_earlier_version_knows_no_segmentation(finding):
    header = finding.to_json()
    del header["segmentation"]
    assert Finding.from_json(header, finding.attention).segmentation is None


def test_provenance_is_that_of_the_student_and_its_seconds():
    card = read_card(demo_student("grade"))
    made_by = Provenance.of(Student(card, None, "cpu", demo_student("grade")), 1.23456)
    assert (made_by.student, made_by.student_version, made_by.tensors_sha256) == (
        card.name,
        card.version,
        card.tensors_sha256,
    )
    assert (made_by.intended_use, made_by.limitations) == (card.intended_use, card.limitations)
    assert (made_by.device, made_by.seconds, made_by.software_version) == ("cpu", 1.235, __version__)
