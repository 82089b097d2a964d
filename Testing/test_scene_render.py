import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import scene_samples
import slicer
import vtk
from REACTDistillLib.volume import Volume
from REACTDistillScene.annotations import spread
from REACTDistillScene.render import renderSlices, renderThreeD
from REACTDistillScene.results import showFinding
from REACTDistillScene.segments import segmentationFromMasks
from REACTDistillScene.volumes import nodeFromVolume
from vtk.util.numpy_support import vtk_to_numpy

SHAPE_KJI = (30, 40, 40)
SPACING = np.diag([4.0, 4.0, 4.0, 1.0])
# Liver 40..119 mm in R and A, 40..79 mm in S; the tumor in it 60..79 mm each way.
LIVER = (slice(10, 20), slice(10, 30), slice(10, 30))
TUMOR = (slice(14, 19), slice(15, 20), slice(15, 20))
TUMOR_CENTER = (68.0, 68.0, 64.0)


pytestmark = pytest.mark.usefixtures("empty_scene")


def volume(array, matrix=SPACING):
    return Volume.from_array(array, matrix)


@pytest.fixture
def graded():
    ct = np.full(SHAPE_KJI, -1000.0, dtype=np.float32)
    ct[3:27, 4:36, 4:36] = 40.0
    masks = {"Liver": np.zeros(SHAPE_KJI, bool), "Tumor": np.zeros(SHAPE_KJI, bool)}
    masks["Liver"][LIVER], masks["Tumor"][TUMOR] = True, True
    node = nodeFromVolume(volume(ct), "CT")
    segmentation = segmentationFromMasks({name: volume(mask) for name, mask in masks.items()}, node)
    heat = volume(masks["Tumor"].astype(np.float32))
    return node, segmentation, showFinding(scene_samples.finding(heat, scene_samples.fourNodes(TUMOR_CENTER)), node)


def read(path):
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[..., :3].astype(int)


def state():
    nodes = slicer.mrmlScene.GetNodes()
    everything = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    shown = {n.GetID(): n.GetVisibility() for n in everything if n.IsA("vtkMRMLDisplayNode")}
    return {node.GetID() for node in everything}, shown


def colored(picture):
    return picture.max(axis=2) - picture.min(axis=2) > 40


def test_the_heat_lies_on_the_tumor_and_nowhere_else(graded, tmp_path):
    ct, segmentation, nodes = graded
    paths = renderSlices(ct, nodes.attention, nodes.graph, segmentation, tmp_path, TUMOR_CENTER)
    assert [path.name for path in paths] == ["axial.png", "coronal.png", "sagittal.png"]
    plain = renderSlices(ct, None, None, None, tmp_path / "plain", TUMOR_CENTER)
    for path, without in zip(paths, plain, strict=True):
        picture, ct_only = read(path), read(without)
        assert 30 < np.median(ct_only[300:600, 300:600]) < 250, "the CT is not visible"
        assert not colored(ct_only)[100:780, 100:800].any()
        assert colored(picture)[100:780, 100:800].any()
    # The axial view shows 160 mm on 900 pixels, R to the left: 5.6 pixels per mm. Rows of the file run upward.
    picture = read(paths[0])
    column, row = 900 - round((TUMOR_CENTER[0] + 6 + 2) * 900 / 160), round((TUMOR_CENTER[1] + 6 + 2) * 900 / 160)
    assert colored(picture)[row - 3 : row + 3, column - 3 : column + 3].all()
    liver_only = 900 - round(102 * 900 / 160), round(102 * 900 / 160)
    assert not colored(picture)[liver_only[1], liver_only[0]]


def test_the_notice_is_in_every_picture(graded, tmp_path):
    ct, segmentation, nodes = graded
    paths = renderSlices(ct, nodes.attention, None, None, tmp_path, TUMOR_CENTER, isSynthetic=True)
    paths.append(renderThreeD(nodes.graph, segmentation, "Liver", tmp_path))
    for path in paths:
        footer = read(path)[5:40, 200:700]
        assert (footer[..., 0] - footer[..., 2] > 80).sum() > 300, f"no notice in {path.name}"


def test_the_3d_view_shows_liver_and_graph(graded, tmp_path):
    _, segmentation, nodes = graded
    with_graph = read(renderThreeD(nodes.graph, segmentation, "Liver", tmp_path / "a"))
    without = read(renderThreeD(None, segmentation, "Liver", tmp_path / "b"))
    middle = without[300:600, 300:600]
    assert (middle[..., 0] - middle[..., 2] > 20).mean() > 0.3, "the liver is not visible"
    assert (np.abs(with_graph - without).max(axis=2)[200:700, 200:700] > 30).sum() > 500, "the graph is not visible"


def test_rendering_leaves_the_scene_as_it_was(graded, tmp_path):
    ct, segmentation, nodes = graded
    ct.GetDisplayNode().SetWindowLevelMinMax(-1000, 1000)
    segmentation.GetDisplayNode().SetVisibility(False)
    before = state()
    for turn in range(2):
        renderSlices(ct, nodes.attention, nodes.graph, segmentation, tmp_path / str(turn), TUMOR_CENTER)
        renderThreeD(nodes.graph, segmentation, "Liver", tmp_path / str(turn))
        assert state() == before
    assert ct.GetDisplayNode().GetWindowLevelMax() == 1000
    assert not segmentation.GetSegmentation().ContainsRepresentation("Closed surface")


def test_an_unknown_liver_segment_is_named(graded, tmp_path):
    with pytest.raises(ValueError, match='has no segment "liver"'):
        renderThreeD(None, graded[1], "liver", tmp_path)


def test_labels_move_apart_in_their_order():
    assert spread([10.0, 12.0, 50.0, 11.0], 8.0) == [10.0, 26.0, 50.0, 18.0]
    assert spread([], 8.0) == []
