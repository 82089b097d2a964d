"""Drawing regions in a panel, on the stand-in host: the segment editor that the panel embeds, and what it draws on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow
from REACTDistillLib.volume import Volume

__all__ = ["host", "mainWindow"]  # fixtures

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.2, 0.0, 0.9, -3.0], [-0.4, 0.0, 2.7, 7.0], [0, 0, 0, 1]])
TURNED = np.array([[0.0, -1.0, 0.0, 30.0], [1.0, 0.0, 0.0, -20.0], [0.0, 0.0, 1.0, 10.0], [0, 0, 0, 1]])


@pytest.fixture
def scene(host: Any, empty_scene: None) -> Iterator[Any]:
    import hosterrors
    import slicer

    hosterrors.clear()
    hook = hosterrors.collectObserverErrors()
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    sys.excepthook = hook
    assert hosterrors.problems() == []


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
def letGo(monkeypatch: pytest.MonkeyPatch, scene: Any) -> list[tuple[Any, bool, Any]]:
    """What the editor held whenever it was told to let go of the views: effect, whether its node was there, regions."""
    import slicer

    held: list[tuple[Any, bool, Any]] = []
    letGo = slicer.qMRMLSegmentEditorWidget.removeViewObservations

    def record(editor: Any) -> None:
        isThere = bool(scene.IsNodePresent(editor.mrmlSegmentEditorNode()))
        held.append((editor.activeEffect(), isThere, editor.segmentationNode()))
        letGo(editor)

    monkeypatch.setattr(slicer.qMRMLSegmentEditorWidget, "removeViewObservations", record)
    return held


@pytest.fixture
def draw(scene: Any, host: Any, told: list[bool], letGo: Any) -> Iterator[Any]:
    import qt
    from REACTDistillScene.drawpanel import DrawPanel

    place = qt.QWidget()
    qt.QVBoxLayout(place)
    place.visible = False
    panel = DrawPanel(place, told.append)
    yield panel
    panel.close()
    place.deleteLater()
    host.processEvents()


def ctNode(ijkToRas: Any = None, transform: Any = None) -> Any:
    from REACTDistillScene.volumes import nodeFromVolume

    matrix = np.diag([2.0, 2.0, 3.0, 1.0]) if ijkToRas is None else ijkToRas
    volume = Volume.from_array(np.zeros((12, 16, 20), dtype=np.float32), matrix)
    return nodeFromVolume(volume, "CT", transformNode=transform)


def transformNode(matrix: Any) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def editorOf(panel: Any) -> Any:
    """The embedded widget, as a test that drives it may look for it."""
    return panel._editor


def paint(panel: Any, centerRas: Any, radiusMm: float) -> None:
    from hosteditor import paintBall

    paintBall(editorOf(panel), centerRas, radiusMm)


def strokeInSegmentation(panel: Any, centerRas: Any, radiusMm: float) -> None:
    """One stroke as the editor writes it: a ball in world RAS mm, in the frame of the segmentation."""
    import slicer
    from REACTDistillScene.segments import _orientedImage
    from REACTDistillScene.transforms import transformToWorld
    from REACTDistillScene.volumes import worldGrid

    editor = editorOf(panel)
    grid = worldGrid(editor.sourceVolumeNode())
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape_kji), indexing="ij"), axis=-1)[..., ::-1]
    ball = Volume(np.linalg.norm(grid.to_ras(ijk) - centerRas, axis=-1) <= radiusMm, grid)
    node, logic = editor.segmentationNode(), slicer.vtkSlicerSegmentationsModuleLogic
    image = _orientedImage(ball, np.linalg.inv(transformToWorld(node)))
    extent = list(image.GetExtent())
    logic.SetBinaryLabelmapToSegment(image, node, editor.currentSegmentID(), logic.MODE_MERGE_MAX, extent)


def ml(node: Any, segmentId: str) -> float:
    from REACTDistillScene.regionvolumes import segmentMl

    return segmentMl(node, segmentId) or 0.0


def middleRas(node: Any) -> Any:
    from REACTDistillScene.volumes import worldGrid

    return worldGrid(node).center_ras


def tag(segment: Any) -> str:
    import vtk

    value = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), value)
    return str(value)


def test_the_first_draw_makes_both_segments_and_opens_paint_on_the_liver(draw: Any, told: list[bool]) -> None:
    ct = ctNode()
    node = draw.start(ct, None)
    editor, segmentation = editorOf(draw), node.GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == ["liver", "tumor"]
    assert [segmentation.GetSegment(i).GetName() for i in ("liver", "tumor")] == ["liver", "tumor"]
    assert "SCT^10200004^Liver" in tag(segmentation.GetSegment("liver"))
    assert "SCT^4147007^Mass" in tag(segmentation.GetSegment("tumor"))
    assert np.round(np.array(segmentation.GetSegment("liver").GetColor()) * 255).tolist() == [221, 130, 101]
    assert (editor.segmentationNode(), editor.sourceVolumeNode()) == (node, ct)
    assert (editor.currentSegmentID(), editor.activeEffect().name) == ("liver", "Paint")
    assert not draw._place.isHidden()
    assert told == [True]
    assert draw.isDrawing


def test_a_new_segmentation_has_geometry_transform_and_study_of_the_ct(draw: Any, scene: Any) -> None:
    import slicer

    ct = ctNode(OBLIQUE, transformNode(TURNED))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(ct), study)
    node = draw.start(ct, None)
    assert node.GetTransformNodeID() == ct.GetTransformNodeID()
    assert node.GetNodeReferenceID("referenceImageGeometryRef") == ct.GetID()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


@pytest.mark.parametrize("ijkToRas", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("matrix", [None, TURNED], ids=["in place", "moved"])
def test_what_is_painted_lies_in_the_world_where_the_brush_was(draw: Any, ijkToRas: Any, matrix: Any) -> None:
    ct = ctNode(ijkToRas, None if matrix is None else transformNode(matrix))
    node = draw.start(ct, None)
    strokeInSegmentation(draw, middleRas(ct), 6.0)
    assert np.allclose(node.GetSegmentCenterRAS("liver"), middleRas(ct), atol=2.0)
    assert ml(node, "liver") == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.25)  # a ball of 6 mm has 0.9 ml


def test_painting_the_tumor_does_not_eat_the_liver(draw: Any) -> None:
    ct = ctNode()
    node = draw.start(ct, None)
    paint(draw, middleRas(ct), 12.0)
    liver = ml(node, "liver")
    editorOf(draw).setCurrentSegmentID("tumor")
    paint(draw, middleRas(ct), 6.0)
    assert ml(node, "tumor") > 0.0
    assert ml(node, "liver") == liver


def test_the_tumor_is_next_once_the_liver_is_drawn(draw: Any) -> None:
    ct = ctNode()
    node = draw.start(ct, None)
    paint(draw, middleRas(ct), 12.0)
    draw.stop()
    assert draw.start(ct, node) is node
    assert editorOf(draw).currentSegmentID() == "tumor"


def test_segments_of_the_user_are_used_and_stay_as_they_are(draw: Any, scene: Any) -> None:
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.GetSegmentation().AddEmptySegment("a", "HCC 1", (0.1, 0.2, 0.3))
    segmentation.GetSegmentation().AddEmptySegment("b", "Liver, portal phase", (0.4, 0.5, 0.6))
    assert draw.start(ctNode(), segmentation) is segmentation
    kept = segmentation.GetSegmentation()
    assert list(kept.GetSegmentIDs()) == ["a", "b"]
    assert np.allclose(kept.GetSegment("a").GetColor(), (0.1, 0.2, 0.3))
    assert kept.GetSegment("b").GetName() == "Liver, portal phase"
    assert editorOf(draw).currentSegmentID() == "b"


def test_a_missing_segment_is_added_beside_those_of_the_user(draw: Any, scene: Any) -> None:
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.GetSegmentation().AddEmptySegment("tumor", "Spleen", (0.1, 0.2, 0.3))  # an ID says nothing
    segmentation.GetSegmentation().AddEmptySegment("x", "Organ 2", (0.1, 0.2, 0.3))
    draw.start(ctNode(), segmentation, "x", "[]")
    names = [segmentation.GetSegmentation().GetNthSegment(i).GetName() for i in range(3)]
    assert names == ["Spleen", "Organ 2", "tumor"]
    added = segmentation.GetSegmentation().GetNthSegmentID(2)
    assert (draw.drawing.liverSegmentId, draw.drawing.tumorSegmentId) == ("x", added)
    assert editorOf(draw).currentSegmentID() == "x"


def test_stop_takes_the_effect_and_the_shortcuts_away_and_keeps_the_drawing(draw: Any, told: list[bool]) -> None:
    ct = ctNode()
    node = draw.start(ct, None)
    paint(draw, middleRas(ct), 6.0)
    draw.stop()
    draw.stop()
    editor = editorOf(draw)
    assert editor.activeEffect() is None
    assert editor.segmentationNode() is None
    assert draw._place.isHidden()
    assert told == [True, False]
    assert ml(node, "liver") > 0.0


def test_a_stroke_can_be_undone(draw: Any) -> None:
    ct = ctNode()
    node = draw.start(ct, None)
    assert editorOf(draw).undoEnabled
    paint(draw, middleRas(ct), 6.0)
    once = ml(node, "liver")
    paint(draw, middleRas(ct) + np.array([6.0, 0.0, 0.0]), 6.0)
    assert ml(node, "liver") > once
    editorOf(draw).undo()
    assert ml(node, "liver") == once


def test_closing_the_scene_while_drawing_ends_it_before_the_nodes_go(
    draw: Any, scene: Any, told: list[bool], letGo: list[Any], host: Any
) -> None:
    drawnOn = draw.start(ctNode(), None)
    scene.Clear(0)
    host.processEvents()
    assert letGo == [(None, True, drawnOn)]  # the effect first, then the views, both before any node
    assert told == [True, False]
    assert not draw.isDrawing
    ct = ctNode()
    node = draw.start(ct, None)  # with a new editor node: the old one went with the scene
    paint(draw, middleRas(ct), 6.0)
    assert ml(node, "liver") > 0.0
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == 1


@pytest.mark.parametrize("deleted", ["ct", "segmentation"])
def test_deleting_what_is_drawn_on_ends_the_drawing(draw: Any, scene: Any, told: list[bool], deleted: str) -> None:
    ct = ctNode()
    nodes = {"ct": ct, "segmentation": draw.start(ct, None)}
    scene.RemoveNode(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Another"))
    assert draw.isDrawing
    scene.RemoveNode(nodes[deleted])
    assert not draw.isDrawing
    assert told == [True, False]


def test_choosing_another_segmentation_ends_the_drawing(draw: Any, scene: Any, told: list[bool]) -> None:
    ct = ctNode()
    node = draw.start(ct, None)
    draw.follow(ct, node)
    assert draw.isDrawing
    draw.follow(ct, scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Another"))
    assert not draw.isDrawing
    assert told == [True, False]


def test_close_leaves_no_node_and_no_observer(draw: Any, scene: Any) -> None:
    draw.start(ctNode(), None)
    draw.close()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == 0
    assert draw._observerTags == []
    draw.close()


def test_the_editor_is_not_saved_with_the_scene(draw: Any, scene: Any, tmp_path: Path) -> None:
    from hostscene import loadScene, saveScene

    draw.start(ctNode(), None)
    draw.stop()
    saveScene(tmp_path / "scene.mrb")
    loadScene(tmp_path / "scene.mrb")
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_without_a_ct_nothing_is_made(draw: Any, scene: Any, told: list[bool]) -> None:
    with pytest.raises(ValueError, match="no CT to draw on"):
        draw.start(None, None)
    with pytest.raises(ValueError, match="no CT to draw on"):
        draw.start(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow"), None)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert told == []


def test_a_ct_under_a_warp_is_refused_before_anything_is_drawn(draw: Any, scene: Any) -> None:
    ct = ctNode()
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    ct.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(ValueError, match="non-linear"):
        draw.start(ct, None)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_segmentation_under_a_warp_is_refused_and_left_as_it_is(draw: Any, scene: Any) -> None:
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    segmentation.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(ValueError, match="segmentation lies under a non-linear"):
        draw.start(ctNode(), segmentation)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 0


@pytest.mark.parametrize("mainWindow", [False])
def test_without_views_the_editor_opens_without_an_effect(draw: Any, told: list[bool]) -> None:
    node = draw.start(ctNode(), None)
    assert editorOf(draw).segmentationNode() is node
    assert editorOf(draw).activeEffect() is None
    draw.stop()
    assert told == [True, False]


class TestRegionsText:
    """Voxels of 10 x 10 x 10 mm are 1 ml each."""

    @pytest.fixture
    def segmentation(self, scene: Any) -> Any:
        from REACTDistillScene.segments import segmentationFromMasks
        from REACTDistillScene.volumes import nodeFromVolume

        grid = np.diag([10.0, 10.0, 10.0, 1.0])
        ct = nodeFromVolume(Volume.from_array(np.zeros((6, 7, 8), dtype=np.float32), grid), "CT")
        shapes = {"liver": (6, 7, 8), "tumor 1": (1, 2, 3), "tumor 2": (1, 1, 1)}
        masks = {name: Volume.from_array(np.ones(shape, dtype=bool), grid) for name, shape in shapes.items()}
        beside = grid.copy()
        beside[0, 3] = 50.0  # mm to the right of the others
        masks["tumor 3"] = Volume.from_array(np.ones((1, 1, 2), dtype=bool), beside)
        return segmentationFromMasks(masks, ct)

    def test_volumes_of_liver_and_tumors(self, segmentation: Any) -> None:
        from REACTDistillScene.regionvolumes import regionsText

        assert regionsText(segmentation, "liver", ["tumor 1"]) == "Liver 336 ml, tumor 6.0 ml"
        assert regionsText(segmentation, "liver", ["tumor 1", "tumor 2"]) == "Liver 336 ml, 2 tumors 7.0 ml"
        assert regionsText(segmentation, "liver", []) == "Liver 336 ml"
        assert regionsText(segmentation, "", ["tumor 2"]) == "Tumor 1.0 ml"

    def test_segments_that_share_a_layer_are_counted_apart(self, segmentation: Any) -> None:
        from REACTDistillScene.regionvolumes import regionsText

        segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
        assert segmentation.GetSegmentation().GetNumberOfLayers() == 3
        assert regionsText(segmentation, "liver", ["tumor 1"]) == "Liver 336 ml, tumor 6.0 ml"
        assert ml(segmentation, "tumor 3") == pytest.approx(2.0)

    def test_nothing_is_said_of_what_is_not_there(self, segmentation: Any) -> None:
        from REACTDistillScene.regionvolumes import isEmpty, regionsText

        segmentation.GetSegmentation().AddEmptySegment("new", "liver")
        assert isEmpty(segmentation, "new")
        assert not isEmpty(segmentation, "tumor 2")
        assert regionsText(segmentation, "new", []) == ""
        assert regionsText(segmentation, "gone", ["gone too"]) == ""
        assert regionsText(None, "", []) == ""
