import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import scene_samples
import slicer
from REACTDistillLib.steps import result_of
from REACTDistillLib.volume import Box, Volume
from REACTDistillScene import layers
from REACTDistillScene.colors import ownColors
from REACTDistillScene.gradeparameters import nodesOfResult
from REACTDistillScene.graphmodel import importanceShares, strongestEdges
from REACTDistillScene.results import removeFinding, showFinding, showFindingInSteps
from REACTDistillScene.tables import cells
from REACTDistillScene.volumes import nodeFromVolume, volumeFromNode

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.2, 0.0, 0.9, -3.0], [-0.4, 0.0, 2.7, 7.0], [0, 0, 0, 1]])
QUARTER_TURN = np.array([[0, -1.0, 0, 30.0], [1.0, 0, 0, 0], [0, 0, 1.0, -10.0], [0, 0, 0, 1]])
SHAPE_KJI = (6, 7, 8)
HOT_IJK = (5, 2, 3)
PACKAGE = Path(__file__).parents[1] / "REACTDistill"


pytestmark = pytest.mark.usefixtures("empty_scene")


def ct_node(matrix=None, transform=None):
    volume = Volume.from_array(np.zeros(SHAPE_KJI, dtype=np.float32), np.eye(4) if matrix is None else matrix)
    return nodeFromVolume(volume, "CT", transformNode=transform)


def turn():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turn")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(QUARTER_TURN))
    return node


def finding_of(ct):
    """Hot at one voxel, with the tumor node at that voxel's world place."""
    grid = volumeFromNode(ct).grid
    return scene_samples.finding(
        scene_samples.hotVoxel(grid, HOT_IJK), scene_samples.fourNodes(grid.to_ras(HOT_IJK))
    ), grid.to_ras(HOT_IJK)


def hot_place(attention_node):
    volume = volumeFromNode(attention_node)
    return volume.grid.to_ras(np.argwhere(volume.array_kji == 1.0)[0][::-1])


def model_center(graph_node):
    """Middle of the graph in the world: three of the four nodes lie at x, x and x + 40; y and y - 30."""
    bounds = [0.0] * 6
    graph_node.GetRASBounds(bounds)
    return np.array(bounds).reshape(3, 2)


def scene_ids():
    nodes = slicer.mrmlScene.GetNodes()
    return {nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())}


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE, np.diag([-1.0, -1.0, 3.0, 1.0])])
@pytest.mark.parametrize("is_turned", [False, True])
def test_results_lie_where_the_finding_says_in_the_world(matrix, is_turned):
    ct = ct_node(matrix, turn() if is_turned else None)
    finding, hot_ras = finding_of(ct)
    nodes = showFinding(finding, ct)
    assert np.allclose(hot_place(nodes.attention), hot_ras, atol=1e-6)
    bounds = model_center(nodes.graph)
    # The largest ball (10 mm) is the tumor's; the shell's halo is 3 mm wider and 0.8 mm thick.
    assert bounds[2, 1] == pytest.approx(hot_ras[2] + 13.8, abs=0.3)
    assert bounds[2, 0] == pytest.approx(hot_ras[2] - 13.8, abs=0.3)
    # The sector, 40 mm to the right, has half the importance: 3.5 + 6.5 / 2 mm.
    assert bounds[0, 1] == pytest.approx(hot_ras[0] + 40 + 6.75, abs=0.3)
    assert bounds[1, 0] == pytest.approx(hot_ras[1] - 30 - 3.5, abs=0.3)


def test_results_share_the_transform_of_the_ct_and_move_with_it():
    transform = turn()
    ct = ct_node(None, transform)
    finding, hot_ras = finding_of(ct)
    nodes = showFinding(finding, ct)
    assert nodes.attention.GetTransformNodeID() == nodes.graph.GetTransformNodeID() == transform.GetID()
    matrix = QUARTER_TURN.copy()
    matrix[2, 3] += 25.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    assert np.allclose(hot_place(nodes.attention) - hot_ras, (0, 0, 25.0))


def test_results_of_a_ct_that_was_moved_meanwhile_lie_on_the_same_anatomy():
    ct = ct_node()
    finding, hot_ras = finding_of(ct)
    ct.SetAndObserveTransformNodeID(turn().GetID())
    nodes = showFinding(finding, ct)
    expected = volumeFromNode(ct).grid.to_ras(HOT_IJK)
    assert not np.allclose(expected, hot_ras)
    assert np.allclose(hot_place(nodes.attention), expected)
    assert model_center(nodes.graph)[2].mean() == pytest.approx(expected[2], abs=0.3)


def test_a_finding_of_another_volume_is_refused():
    other = Volume.from_array(np.zeros((2, 2, 2), dtype=np.float32), np.eye(4))
    before = scene_ids() | {ct_node().GetID()}
    ct = slicer.util.getNode("CT")
    with pytest.raises(ValueError, match=r"does not belong to this volume: it is of an image with \(2, 2, 2\) voxels"):
        showFinding(scene_samples.finding(other, None), ct)
    assert scene_ids() - before == {ct.GetDisplayNodeID()}


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE])
def test_a_cropped_heat_map_lies_at_its_place_under_a_transform(matrix):
    ct = ct_node(matrix, turn())
    grid = volumeFromNode(ct).grid
    heat = scene_samples.hotVoxel(grid, HOT_IJK).cropped(Box((2, 1, 4), (5, 6, 7)))
    nodes = showFinding(scene_samples.finding(heat, None, grid=grid), ct)
    assert slicer.util.arrayFromVolume(nodes.attention).shape == (3, 5, 3)
    assert np.allclose(hot_place(nodes.attention), grid.to_ras(HOT_IJK), atol=1e-6)


def test_the_table_holds_probabilities_provenance_and_every_notice():
    ct = ct_node()
    nodes = showFinding(finding_of(ct)[0], ct)
    rows = dict(cells(nodes.table))
    assert rows["Predicted class"] == "moderate"
    assert rows["Probability of well"] == "0.1250"
    assert rows["Student"] == "hand-made"
    assert rows["Student version"] == "1.2"
    assert rows["Device"] == "cpu"
    assert rows["Seconds"] == "1.25"
    assert rows["Date"][:2] == "20"
    assert "not a medical device" in rows["Notice 1"]
    assert rows["Notice 2"] == "Knows nothing at all."
    assert rows["Notice 3"] == "The liver is cut off."
    assert cells(nodes.regionTable)[0][:3] == ["Tumor 1", "tumor", "12.5"]
    assert cells(nodes.regionTable)[0][-1] == "0.5"


def test_the_attention_is_marked_and_its_lowest_colors_are_invisible():
    ct = ct_node()
    nodes = showFinding(finding_of(ct)[0], ct)
    assert nodes.attention.GetAttribute("REACTDistill.Attention") == "1"
    assert nodes.attention.GetAttribute("REACTDistill.Student") == "hand-made"
    assert nodes.attention.GetAttribute("REACTDistill.StudentVersion") == "1.2"
    display = nodes.attention.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert not display.GetAutoWindowLevel()
    assert display.GetColorNodeID() == nodes.attentionColors.GetID()
    assert slicer.util.arrayFromVolume(nodes.attention).dtype == np.float32
    color = [0.0] * 4
    for index, opacity in ((0, 0.0), (25, 0.0), (255, 1.0)):
        nodes.attentionColors.GetColor(index, color)
        assert color[3] == opacity


def test_all_results_are_in_the_study_of_the_ct():
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    ct = ct_node()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Someone")
    study = hierarchy.CreateStudyItem(patient, "Exam")
    hierarchy.CreateItem(study, ct)
    nodes = showFinding(finding_of(ct)[0], ct)
    for node in (nodes.table, nodes.regionTable, nodes.attention, nodes.graph):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    children = []
    hierarchy.GetItemChildren(study, children)
    assert len(children) == 5


def test_a_second_run_overwrites_nothing():
    ct = ct_node()
    finding, _ = finding_of(ct)
    first = showFinding(finding, ct)
    slicer.util.arrayFromVolume(first.attention)[:] = 0.5
    second, third = showFinding(finding, ct), showFinding(finding, ct, name="CT grade")
    assert [nodes.table.GetName() for nodes in (first, second, third)] == ["CT grade", "CT grade 1", "CT grade 2"]
    assert second.attention.GetName() == "CT grade 1 attention"
    assert slicer.util.arrayFromVolume(first.attention).min() == 0.5


def test_removal_leaves_no_orphan():
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    ct = ct_node()
    hierarchy.CreateItem(hierarchy.GetSceneItemID(), ct)
    before, items = scene_ids(), hierarchy.GetNumberOfItems()
    nodes = showFinding(finding_of(ct)[0], ct)
    for node in (nodes.attention, nodes.table, nodes.graph, nodes.attentionColors):
        node.AddDefaultStorageNode()
    slice_layers = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    slice_layers.SetForegroundVolumeID(nodes.attention.GetID())
    removeFinding(nodes)
    assert slice_layers.GetForegroundVolumeID() is None
    assert scene_ids() - before == {slice_layers.GetID()}
    assert hierarchy.GetNumberOfItems() == items
    removeFinding(nodes)


def test_a_color_table_that_the_user_chose_is_neither_marked_nor_removed_nor_joined_by_another():
    ct = ct_node()
    finding, _ = finding_of(ct)
    nodes = showFinding(finding, ct)
    parameters = SimpleNamespace(
        resultTable=nodes.table,
        resultRegionTable=nodes.regionTable,
        resultAttention=nodes.attention,
        resultGraph=nodes.graph,
    )
    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "Viridis")
    nodes.attention.GetDisplayNode().SetAndObserveColorNodeID(chosen.GetID())
    before, unchanged = scene_ids(), (chosen.GetDescription(), list(chosen.GetAttributeNames()))
    result_of(showFindingInSteps(finding, ct, earlier=nodesOfResult(parameters)))
    assert scene_ids() == before
    assert (chosen.GetDescription(), list(chosen.GetAttributeNames())) == unchanged
    removeFinding(nodesOfResult(parameters))
    assert slicer.mrmlScene.IsNodePresent(chosen)
    assert not slicer.mrmlScene.IsNodePresent(nodes.graphColors)


def test_colors_that_were_removed_are_made_again():
    ct = ct_node()
    finding, _ = finding_of(ct)
    nodes = showFinding(finding, ct)
    for colors in (nodes.attentionColors, nodes.graphColors):
        slicer.mrmlScene.RemoveNode(colors)
    again = result_of(showFindingInSteps(finding, ct, earlier=nodes))
    for node, colors in ((again.attention, again.attentionColors), (again.graph, again.graphColors)):
        assert slicer.mrmlScene.IsNodePresent(colors)
        assert node.GetDisplayNode().GetColorNode() is colors
        assert ownColors(node) is colors


def test_a_finding_without_map_and_graph_is_a_table():
    ct = ct_node()
    nodes = showFinding(scene_samples.finding(None, None), ct)
    assert nodes.present() == [nodes.table]


def test_strong_regions_are_large_and_colored_by_sign():
    ct = ct_node()
    nodes = showFinding(finding_of(ct)[0], ct)
    data = nodes.graph.GetPolyData().GetPointData()
    radius, importance, shade = (
        slicer.util.arrayFromModelPointData(nodes.graph, name) for name in ("Radius", "Importance", "Shade")
    )
    names = {data.GetArrayName(index) for index in range(data.GetNumberOfArrays())}
    assert names == {"Normals", "Importance", "Similarity", "Radius", "Shade"}
    color = [0.0] * 4
    for value, radius_mm, red_is_more in ((0.5, 10.0, True), (-0.25, 6.75, False)):
        of_region = np.isclose(importance, value) & np.isclose(radius, radius_mm)
        assert of_region.any()
        nodes.graphColors.GetColor(round(float(shade[of_region][0]) * 511), color)
        assert (color[0] > color[2]) == red_is_more
    assert nodes.graph.GetDisplayNode().GetVisibility2D()
    assert np.array_equal(importanceShares(np.zeros(3, np.float32)), np.zeros(3))


def test_only_the_most_similar_pairs_are_joined():
    centers = [(10.0 * index, 0.0, 0.0) for index in range(8)]
    names = [f"n{index}" for index in range(8)]
    graph = scene_samples.regionGraph(names, ["sector"] * 8, centers, np.zeros(8))
    pairs = {(a, b) for a, b, _ in strongestEdges(graph)}
    assert (0, 1) in pairs
    assert (0, 3) in pairs  # the third nearest of node 0
    assert (0, 7) not in pairs


class Manager:
    """As much of a layout manager as the layers need."""

    def __init__(self):
        self.composites = {
            name: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name) for name in ("Red", "Green")
        }

    def sliceViewNames(self):
        return tuple(self.composites)

    def sliceWidget(self, name):
        composite = self.composites[name]
        return type("Widget", (), {"mrmlSliceCompositeNode": lambda self: composite})()


def test_the_layers_come_back_as_they_were(monkeypatch):
    ct = ct_node()
    nodes = showFinding(finding_of(ct)[0], ct)
    manager = Manager()
    red = manager.composites["Red"]
    red.SetBackgroundVolumeID(ct.GetID())
    red.SetForegroundOpacity(0.25)
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    previous = layers.showInSlices(nodes.attention, ct, opacity=0.6)
    assert red.GetForegroundVolumeID() == nodes.attention.GetID()
    assert red.GetForegroundOpacity() == pytest.approx(0.6)
    layers.restoreSlices(previous)
    assert red.GetBackgroundVolumeID() == ct.GetID()
    assert red.GetForegroundVolumeID() is None
    assert red.GetForegroundOpacity() == 0.25


def test_a_map_that_another_panel_shows_stays_and_is_nothing_to_come_back_to(monkeypatch):
    ct, other = ct_node(), ct_node()
    other.SetName("Image of the other panel")
    first, second = (showFinding(finding_of(ct)[0], ct).attention for _ in range(2))
    manager = Manager()
    red = manager.composites["Red"]
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    replacedByFirst = layers.showInSlices(first, ct)
    replacedBySecond = layers.showInSlices(second, other)
    layers.restoreSlices(replacedByFirst)
    assert (red.GetForegroundVolumeID(), red.GetBackgroundVolumeID()) == (second.GetID(), other.GetID())
    layers.restoreSlices(replacedBySecond)
    assert (red.GetForegroundVolumeID(), red.GetBackgroundVolumeID()) == (None, ct.GetID())


def test_what_was_shown_before_outlives_another_opacity_and_the_next_heat_map(monkeypatch):
    ct, pet = ct_node(), ct_node()
    first, second = (showFinding(finding_of(ct)[0], ct).attention for _ in range(2))
    manager = Manager()
    red = manager.composites["Red"]
    red.SetForegroundVolumeID(pet.GetID())
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    replaced = layers.showInSlices(first, ct)
    red.SetForegroundOpacity(0.3)
    replaced = layers.showInSlices(second, ct, earlier=replaced)
    layers.restoreSlices(replaced)
    assert red.GetForegroundVolumeID() == pet.GetID()


def test_without_a_layout_manager_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: None)
    ct = ct_node()
    assert layers.showInSlices(showFinding(finding_of(ct)[0], ct).attention, ct) == {}


def test_the_adapter_never_imports_torch():
    modules = sorted(path.stem for path in (PACKAGE / "REACTDistillScene").glob("*.py") if path.stem != "__init__")
    code = (
        "import importlib, sys\n"
        "from REACTDistillScene.headless import bootHeadless\nbootHeadless()\n"
        f"for name in {modules}:\n"
        "    try: importlib.import_module('REACTDistillScene.' + name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if error.name.split('.')[0] not in ('qt', 'ctk', 'slicer'): raise\n"  # only the application has them
        "print(sorted({'torch', 'monai', 'pydicom', 'highdicom'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().splitlines()[-1] == "[]"


def test_a_heat_map_that_leaves_voxels_out_lies_where_the_full_one_does(empty_scene):
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student
    from REACTDistillScene.volumes import nodeFromVolume, volumeFromNode

    case = phantom_case(3)
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(MOVED_AND_TURNED))
    ct = nodeFromVolume(case.sequences["ct"], "CT", transformNode=moved)
    mm = 2.5 * case.sequences["ct"].grid.spacing_ijk_mm.max()
    full = showFinding(predict(case, demo_student("grade"), device="cpu"), ct).attention
    coarse = showFinding(predict(case, demo_student("grade"), device="cpu", heat_map_mm=mm), ct).attention
    fullVolume, coarseVolume = volumeFromNode(full), volumeFromNode(coarse)
    assert np.allclose(coarseVolume.grid.ijk_to_ras, fullVolume.grid.strided((2, 2, 2)).ijk_to_ras, atol=1e-6)
    assert np.allclose(coarseVolume.array_kji, fullVolume.array_kji[::2, ::2, ::2], atol=1e-6)


MOVED_AND_TURNED = np.array([[0.8, -0.6, 0, 30], [0.6, 0.8, 0, -20], [0, 0, 1, 10], [0, 0, 0, 1.0]])
