"""A real exam as it was scanned: oblique, thick slices, with skulls, each sequence in a place of its own."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
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
    MODULE,
    NATIVE,
    STRIPPED,
    arguments,
    center_ras,
    check_geometry,
    dice,
    kept_worker,
    loaded_nodes,
    segment_masks,
    segmented_files,
)

# RAS mm of the atlas to RAS mm of a native scan: rigid, by mutual information of the two images of one sequence, and
# looked at. They say that the head lay 18 mm and some degrees apart in T1 and in FLAIR.
ATLAS_TO_T1 = np.array(
    [
        [0.98106, 0.19077, -0.03364, 96.65505],
        [-0.19371, 0.96635, -0.16923, -107.21988],
        [0.00022, 0.17254, 0.985, -64.60268],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
ATLAS_TO_FLAIR = np.array(
    [
        [0.96613, 0.25702, 0.02317, 88.45871],
        [-0.2483, 0.9503, -0.18784, -109.64846],
        [-0.0703, 0.17572, 0.98193, -88.962],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
FLAIR_TO_T1 = ATLAS_TO_T1 @ np.linalg.inv(ATLAS_TO_FLAIR)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def worker():
    with kept_worker() as kept:
        yield kept


@pytest.fixture
def logic(host, worker):
    return host.importModule(MODULE).MissingModalitySegLogic()


def marked_tumor(shared_data, image, atlas_to_image):
    """The tumor marked in the atlas (K, J, I) on the voxels of a native scan."""
    to_atlas = LPS @ np.linalg.inv(atlas_to_image) @ LPS
    place = sitk.AffineTransform(to_atlas[:3, :3].ravel().tolist(), to_atlas[:3, 3].tolist())
    labels = sitk.ReadImage(str(shared_data("brain_tcga_fg6692/atlas_space/fusion/simple.nii.gz")))
    return sitk.GetArrayFromImage(sitk.Resample(labels, image, place, sitk.sitkNearestNeighbor, 0)) > 0


def on_file_voxels(mask, node, path):
    """A mask on the voxels of a node on those of its file: the application turns the slices of left-handed files."""
    import slicer

    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    turned = not np.array_equal(slicer.util.arrayFromVolume(node), array)
    assert np.array_equal(slicer.util.arrayFromVolume(node)[:: -1 if turned else 1], array)
    return mask[:: -1 if turned else 1]


def under(node, matrix):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())


def misfits(warnings):
    return [sentence for sentence in warnings if "agree by only" in sentence or "apart" in sentence]


# Each sequence alone, the pairs that lie in one place, one that does not, and all.
CHOICES = [one for one in NATIVE.subsets if len(one) in (1, 4)] + [("t1", "t1ce"), ("t2", "flair"), ("t1", "flair")]


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_a_subset_of_the_native_exam_is_segmented_in_its_place_or_its_misfit_is_named(
    shared_data, tmp_path, names
) -> None:
    """T1 and T1ce lie in one place, T2 and FLAIR in another."""
    paths = NATIVE.paths(shared_data, names)
    written = segmented_files(paths, tmp_path / "out")
    check_geometry(written.image, paths[names[0]])
    warnings = written.finding["warnings"]
    assert any("the brain was only estimated" in sentence for sentence in warnings)
    fits = set(names) <= {"t1", "t1ce"} or set(names) <= {"t2", "flair"}
    assert len(misfits(warnings)) == (not fits)


def test_nodes_whose_slices_the_application_has_turned_give_the_regions_of_the_files(
    logic, shared_data, tmp_path
) -> None:
    paths = NATIVE.paths(shared_data, ["t2", "flair"])
    written = segmented_files(paths, tmp_path / "out", "--reference", "flair")
    nodes = loaded_nodes(paths)
    _, shown = logic.process(nodes, device="cpu", reference="flair")
    mask = on_file_voxels(segment_masks(shown, nodes["flair"])["WT"], nodes["flair"], paths["flair"])
    check_geometry(written.image, paths["flair"])
    assert dice(mask, written.masks["WT"]) > 0.999


def test_a_sequence_that_another_program_put_on_the_grid_of_the_other_gives_the_same_tumor(
    shared_data, tmp_path
) -> None:
    paths = NATIVE.paths(shared_data, ["t2", "flair"])
    flair, t2 = (sitk.ReadImage(str(paths[name])) for name in ("flair", "t2"))
    sitk.WriteImage(sitk.Resample(t2, flair, sitk.Transform(), sitk.sitkLinear), str(tmp_path / "t2.nrrd"))
    apart = segmented_files(paths, tmp_path / "apart", "--reference", "flair")
    together = segmented_files({**paths, "t2": tmp_path / "t2.nrrd"}, tmp_path / "together", "--reference", "flair")
    centers = [center_ras(one.masks["WT"], one.image) for one in (apart, together)]
    assert np.linalg.norm(centers[0] - centers[1]) < 3.0
    assert dice(apart.masks["WT"], together.masks["WT"]) > 0.75  # of 9 ml, with T2 interpolated twice


def test_under_the_transform_that_registers_them_the_native_sequences_show_the_marked_tumor(logic, shared_data) -> None:
    paths = NATIVE.paths(shared_data, ["t1", "flair"])
    marked = marked_tumor(shared_data, sitk.ReadImage(str(paths["t1"])), ATLAS_TO_T1)

    def shares(nodes):
        finding, shown = logic.process(nodes, device="cpu")
        mask = on_file_voxels(segment_masks(shown, nodes["t1"])["WT"], nodes["t1"], paths["t1"])
        return dice(mask, marked), misfits(finding.warnings)

    as_scanned, told = shares(loaded_nodes(paths))
    registered = loaded_nodes(paths)
    under(registered["flair"], FLAIR_TO_T1)
    in_place, nothing = shares(registered)
    assert (len(told), len(nothing)) == (1, 0)
    assert in_place > 0.5 > 0.4 > as_scanned


def test_the_result_on_a_sequence_under_a_transform_moves_with_it_and_lies_where_the_other_says(
    logic, shared_data
) -> None:
    nodes = loaded_nodes(NATIVE.paths(shared_data, ["t1", "flair"]))
    under(nodes["flair"], FLAIR_TO_T1)
    _, on_flair = logic.process(nodes, device="cpu", reference="flair")
    _, on_t1 = logic.process(nodes, device="cpu", reference="t1")
    assert on_flair.segmentation.GetTransformNodeID() == nodes["flair"].GetTransformNodeID()
    assert on_t1.segmentation.GetTransformNodeID() is None
    # both on the voxels of T1, through the world
    assert dice(*(segment_masks(shown, nodes["t1"])["WT"] for shown in (on_flair, on_t1))) > 0.9


@pytest.mark.parametrize(
    ("one", "other", "percent"),
    [((BRATS_5, "flair"), (BRATS_6, "t1ce"), 65), ((STRIPPED, "flair"), (BRATS_5, "t1ce"), 91)],
    ids=["two patients of one cohort", "two patients of two cohorts"],
)
def test_sequences_of_two_patients_in_one_atlas_are_named(shared_data, tmp_path, capsys, one, other, percent) -> None:
    paths = {name: exam.paths(shared_data, [name])[name] for exam, name in (one, other)}
    (sentence,) = misfits(segmented_files(paths, tmp_path / "out").finding["warnings"])
    assert sentence == (
        f'The outlines in "flair" and "t1ce" agree by only {percent}%; check that both images are of one exam and '
        "registered."
    )
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flair", "words"),
    [
        ("brain_tcga_fg6692/native_space/fla.nii.gz", 'of the brain lies inside "flair"; check that all images'),
        ("brain_tcga_fg6692/atlas_space/fusion/simple.nii.gz", '"flair" holds fewer than 8 different values'),
        ("brain_tcga_fg6692/atlas_space/skullstripped/t1_bet.nii.gz", '"flair" and "t1" are the same image'),
    ],
    ids=["native beside atlas", "label map", "one file twice"],
)
def test_what_is_no_second_sequence_of_the_exam_is_refused_in_one_sentence(
    shared_data, tmp_path, capsys, flair, words
) -> None:
    from REACTDistillLib.__main__ import main

    paths = {**STRIPPED.paths(shared_data, ["t1"]), "flair": shared_data(flair)}
    assert main(arguments(paths, tmp_path / "out")) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert words in told
    assert not (tmp_path / "out").exists()
