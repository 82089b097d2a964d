import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import scene_samples
import slicer
from REACTDistillLib.volume import Volume
from REACTDistillScene.results import showFinding
from REACTDistillScene.scenefile import saveScene
from REACTDistillScene.segmentmasks import maskFromSegment
from REACTDistillScene.segments import segmentationFromMasks
from REACTDistillScene.tables import cells
from REACTDistillScene.volumes import nodeFromVolume, volumeFromNode

pytestmark = pytest.mark.usefixtures("empty_scene")


def graded_scene():
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    matrix = np.eye(4)
    matrix[0, 3] = 30.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume = Volume.from_array(np.zeros((4, 5, 6), dtype=np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
    ct = nodeFromVolume(volume, "CT", transformNode=transform)
    mask = Volume.from_array(np.ones((2, 2, 2), dtype=bool), np.diag([2.0, 2.0, 3.0, 1.0]))
    segmentationFromMasks({"Liver": mask}, ct, name="Regions")
    finding = scene_samples.finding(scene_samples.hotVoxel(volume.grid, (1, 2, 3)), scene_samples.fourNodes())
    return showFinding(finding, ct)


def test_a_saved_scene_comes_back_with_results_in_place(tmp_path):
    nodes = graded_scene()
    table, regions = cells(nodes.table), cells(nodes.regionTable)
    bounds = [0.0] * 6
    nodes.graph.GetRASBounds(bounds)
    path = saveScene(tmp_path / "grade.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(path), True)

    attention = slicer.util.getNode("CT grade attention")
    assert volumeFromNode(attention).array_kji[3, 2, 1] == 1.0
    assert volumeFromNode(attention).grid.to_ras((1, 2, 3)).tolist() == [2.0, 4.0, 9.0]
    assert attention.GetAttribute("REACTDistill.Attention") == "1"
    colors = attention.GetDisplayNode().GetColorNode()
    assert colors.GetName() == "CT grade attention colors"
    color = [0.0] * 4
    colors.GetColor(0, color)
    assert color[3] == 0.0
    colors.GetColor(255, color)
    assert color[3] == 1.0
    assert attention.GetDisplayNode().GetWindowLevelMax() == 1.0

    assert cells(slicer.util.getNode("CT grade")) == table
    assert cells(slicer.util.getNode("CT grade regions")) == regions
    graph = slicer.util.getNode("CT grade graph")
    again = [0.0] * 6
    graph.GetRASBounds(again)
    assert np.allclose(again, bounds, atol=1e-3)
    assert graph.GetDisplayNode().GetVisibility2D()
    assert graph.GetDisplayNode().GetActiveScalarName() == "Shade"
    liver = maskFromSegment(slicer.util.getNode("Regions"), "Liver")
    assert liver.grid.to_ras((0, 0, 0)).tolist() == [0.0, 0.0, 0.0]


def test_saving_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    graded_scene()
    path = tmp_path / "grade.mrb"
    path.write_text("old")
    assert saveScene(path) == path
    assert path.read_bytes()[:2] == b"PK"
    assert [p.name for p in tmp_path.iterdir()] == ["grade.mrb"]


def test_what_cannot_be_saved_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.mrb"):
        saveScene(tmp_path / "grade.zip")
    with pytest.raises(ValueError, match="does not exist"):
        saveScene(tmp_path / "nowhere" / "grade.mrb")
