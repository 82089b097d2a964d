"""The stand-in host: segments and their editor, what tests do as a user, what they measure."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent


def test_segment_widgets_have_methods_where_the_node_combo_box_has_properties(host) -> None:
    import qt
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    for name in ("liver", "tumor"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    selector, table = slicer.qMRMLSegmentSelectorWidget(), slicer.qMRMLSegmentsTableView()
    received, checked = [], []
    for signal in ("currentNodeChanged(vtkMRMLNode*)", "currentSegmentChanged(QString)"):
        assert selector.connect(signal, received.append)
    selector.setMRMLScene(slicer.mrmlScene)
    assert (selector.currentNodeID(), selector.currentSegmentID()) == (segmentation.GetID(), "liver")
    selector.setCurrentSegmentID("tumor")
    assert received == ["liver", segmentation, "tumor"]
    table.setSegmentationNode(segmentation)
    assert table.connect("selectionChanged(QItemSelection,QItemSelection)", received.clear)
    table.setSelectedSegmentIDs(["tumor"])
    assert (table.segmentCount, table.selectedSegmentIDs(), received) == (2, ("tumor",), [])
    checkable, kind = slicer.qMRMLCheckableNodeComboBox(), "vtkMRMLScalarVolumeNode"
    first, second = (slicer.mrmlScene.AddNewNodeByClass(kind) for _ in range(2))
    checkable.nodeTypes = [kind]
    checkable.setMRMLScene(slicer.mrmlScene)
    assert checkable.connect("checkedNodesChanged()", lambda: checked.append("once"))
    checkable.setCheckState(second, qt.Qt.Checked)
    assert (checkable.checkedNodes(), checkable.uncheckedNodes(), checked) == ((second,), (first,), ["once"])


@pytest.fixture
def editor(host):
    """A segment editor on a liver of 8 x 8 x 8 voxels and an empty tumor, on a CT of 1 mm."""
    import numpy as np
    import slicer

    volume = slicer.util.addVolumeFromArray(np.zeros((20, 20, 20), np.int16), np.eye(4))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("liver", "tumor"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[6:14, 6:14, 6:14] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "liver", volume)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setSegmentationNode(segmentation)
    assert editor.segmentationNode() is None  # it has no node of its own yet
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNode(slicer.vtkMRMLSegmentEditorNode()))
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("tumor")
    editor.setActiveEffectByName("Paint")
    yield editor
    editor.setActiveEffect(None)


def voxels(editor, segmentId):
    import slicer

    array = slicer.util.arrayFromSegmentBinaryLabelmap(editor.segmentationNode(), segmentId, editor.sourceVolumeNode())
    return int(array.sum())


def test_a_stroke_eats_other_segments_unless_overwriting_is_off(editor) -> None:
    import hosteditor
    import slicer

    counts = {"SourceRepresentationModified": 0, "SegmentModified": 0}
    for event in counts:
        code = getattr(slicer.vtkSegmentation, event)
        editor.segmentationNode().AddObserver(code, lambda *_, e=event: counts.update({e: counts[e] + 1}))
    hosteditor.paintBall(editor, (10, 10, 10), 1.0)  # the center and its six neighbours
    assert (voxels(editor, "liver"), voxels(editor, "tumor")) == (505, 7)
    assert counts["SourceRepresentationModified"] in (1, 2)
    assert counts["SegmentModified"] <= 2
    editor.undo()
    assert (voxels(editor, "liver"), voxels(editor, "tumor")) == (512, 0)
    assert counts["SourceRepresentationModified"] in (1, 2)  # an undo does not fire it
    node = editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(node.OverwriteNone)
    hosteditor.paintBall(editor, (10, 10, 10), 1.0)
    assert (voxels(editor, "liver"), voxels(editor, "tumor")) == (512, 7)
    editor.setActiveEffectByName("Erase")
    hosteditor.paintBall(editor, (10, 10, 10), 0.5)
    assert voxels(editor, "tumor") == 6


def test_closing_the_scene_with_an_active_effect_is_a_crash(editor) -> None:
    import hosterrors
    import slicer

    slicer.mrmlScene.Clear(0)
    assert "segmentation fault" in hosterrors.crashes[0]
    hosterrors.clear()
    assert (editor.segmentationNode(), editor.mrmlSegmentEditorNode()) == (None, None)


def test_closing_the_scene_after_the_effect_was_switched_off_is_none(editor) -> None:
    import slicer

    scene = slicer.mrmlScene
    tag = scene.AddObserver(scene.StartCloseEvent, lambda *_: editor.setActiveEffect(None))
    scene.Clear(0)
    scene.RemoveObserver(tag)


def test_the_user_can_save_and_load_transform_rename_and_delete(host, tmp_path) -> None:
    import hostscene
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "A")
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V")
    hostscene.translateNode(volume, (30, 0, 0))
    hostscene.renameNode(node, "B")
    hostscene.saveScene(tmp_path / "scene.mrb")
    hostscene.closeScene()
    hostscene.loadScene(tmp_path / "scene.mrb")
    loaded = slicer.util.getNode("V")
    assert loaded.GetParentTransformNode().GetName() == "moved"
    hostscene.untransformNode(loaded)
    hostscene.deleteNode(slicer.util.getNode("B"))
    assert slicer.mrmlScene.GetFirstNodeByName("B") is None


def test_the_watch_sees_how_long_the_main_thread_was_away(host) -> None:
    from hostwatch import MainThreadWatch

    with MainThreadWatch() as watch:
        host.processEvents(0.1)
        time.sleep(0.15)
        host.processEvents(0.05)
    assert 150 <= watch.longestGapMs < 1000
    assert len(watch.gapsMs) > 5


def test_what_is_left_behind_is_found(host, tmp_path) -> None:
    import hostorphans
    import slicer

    ledger = hostorphans.ObserverLedger(slicer.mrmlScene)
    before = hostorphans.belongings(ledger)
    code = compile("def callback(*_): pass", str(ROOT / "REACTDistill" / "left.py"), "exec")
    exec(code, names := {})  # a callback of the extension's own code
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    tags = [node.AddObserver("ModifiedEvent", names["callback"]) for _ in range(2)]
    node.RemoveObserver(tags[0])
    slicer.mrmlScene.AddNode(slicer.vtkMRMLScalarVolumeDisplayNode())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left = hostorphans.belongings(ledger).leftSince(before)
    child.communicate(b"\n")
    kinds = [line.split(":")[0] for line in left]
    assert kinds == ["observers", "nodes", "processes"]
    assert "vtkMRMLTextNode" in left[0]
    node.RemoveObserver(tags[1])
    slicer.mrmlScene.Clear(0)
    assert hostorphans.belongings(ledger).leftSince(before) == []
    ledger.stop()
