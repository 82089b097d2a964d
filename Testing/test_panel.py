"""The module driven through its panel on the stand-in host, with real MRML nodes and the real child process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "REACTDistill" / "REACTDistill.py"
UI = ROOT / "REACTDistill" / "Resources" / "UI" / "REACTDistill.ui"
sys.path.append(str(Path(__file__).parent / "host"))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """An untrained student on a coarse grid: every number it gives is real, and it is quick."""
    import torch

    from REACTDistillLib.card import Card
    from REACTDistillLib.recipes import recipe_named
    from REACTDistillLib.student import save_student

    recipe = recipe_named("reactkd")
    shape, spacing, classes = (32, 32, 32), (8.0, 8.0, 8.0), ("well", "moderate", "poor")
    preparation = recipe.preparation(classes, grid_shape_kji=shape, grid_spacing_kji_mm=spacing)
    torch.manual_seed(0)
    card = Card(
        name="Untrained student",
        version="0.1.0",
        recipe="reactkd",
        task="grade",
        network={"name": "GradeStudent", "config": preparation.network},
        sequences=preparation.sequences,
        regions=preparation.regions,
        grid={"shape_kji": list(shape), "spacing_kji_mm": list(spacing)},
        intensity=preparation.intensity,
        classes=classes,
        metrics={"ct": {"macro_auc": 0.5}},
        training={
            "cohort": "none",
            "cohort_sha256": "0" * 64,
            "cases": 1,
            "synthetic": True,
            "software_version": "0.1.0",
            "seed": 0,
        },
        licence="Apache-2.0",
        intended_use="Tests.",
        limitations="Untrained <on purpose>: its answers mean nothing.",
    )
    path = tmp_path_factory.mktemp("student") / "untrained.safetensors"
    save_student(path, recipe.build_network(preparation.network), card)
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["main window", "no main window"])
def host(request):
    import hostapp

    uninstall = hostapp.install(mainWindow=request.param)
    yield hostapp
    uninstall()


@pytest.fixture()
def panel(host, student, monkeypatch):
    """The module's widget, entered, on an empty scene; errors in slots, observers and connections fail the test."""
    import qt
    import slicer

    import REACTDistillLib.shipped

    monkeypatch.setattr(REACTDistillLib.shipped, "demo_student", lambda task: student)
    observerErrors = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: observerErrors.append(error[1]))
    slicer.mrmlScene.Clear(0)
    for collected in (qt.slotErrors, qt.failedConnections, qt.textsFromNone):
        collected.clear()
    module, widget, place = host.openModule(MODULE)
    widget.module, widget.place = module, place  # a Python object: it takes any attribute
    host.processEvents()
    yield widget
    current = slicer.modules.REACTDistillWidget
    current.exit()
    current.cleanup()
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    place.deleteLater()
    host.processEvents()
    assert (qt.slotErrors, qt.failedConnections, qt.textsFromNone, observerErrors) == ([], [], [], [])


@pytest.fixture()
def phantom(host, panel):
    """CT and segmentation nodes of a phantom, chosen in the panel."""
    nodes = panel.module._phantomNodes(seed=3)
    panel.enter()
    host.processEvents()
    return nodes


def run(host, widget, seconds=60.0):
    widget.ui.applyButton.click()
    assert host.processEvents(seconds, until=lambda: not widget.job.isBusy), "the job did not end"
    host.processEvents(0.05)


def temporaryFiles():
    import slicer

    return list(Path(slicer.app.temporaryPath).glob("REACTDistill-*"))


def layers():
    import slicer

    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    composites = [manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()]
    return [(node.GetBackgroundVolumeID(), node.GetForegroundVolumeID()) for node in composites]


def test_the_panel_binds_each_parameter_to_a_widget_that_exists(panel) -> None:
    bound = [
        node.findtext("string")
        for node in ElementTree.parse(UI).iter("property")
        if node.get("name") == "SlicerParameterName"
    ]
    hidden = {"liverSegmentID", "tumorSegmentIDs", "resultCT", "resultTable", "resultAttention", "resultGraph"}
    assert sorted([*bound, *hidden]) == sorted(panel.module.REACTDistillParameterNode._parameters)


def test_every_control_has_a_tooltip() -> None:
    controls = ("QPushButton", "QComboBox", "QCheckBox", "QListWidget", "ctkSliderWidget", "ctkPathLineEdit")
    for widget in ElementTree.parse(UI).iter("widget"):
        if widget.get("class") in (*controls, "qMRMLNodeComboBox"):
            tips = [node for node in widget.findall("property") if node.get("name") == "toolTip"]
            assert tips, widget.get("name")


def test_a_disabled_apply_says_what_is_missing(host, panel) -> None:
    import slicer

    def reason():
        panel.enter()
        host.processEvents()
        assert panel.ui.applyButton.enabled is (panel.ui.applyButton.toolTip == "Grade the tumor.")
        return panel.ui.applyButton.toolTip

    assert reason() == "Choose a CT volume."
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    assert reason() == "Choose a segmentation with a liver segment."
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    assert reason() == "Choose the segment of the liver."
    segmentation.GetSegmentation().AddEmptySegment("a", "Whole Liver")
    assert reason() == "Grade the tumor."
    panel._parameterNode.studentSource = panel.module.StudentSource.file
    assert reason() == "Choose a student file."
    panel._parameterNode.studentPath = Path("/no/such/student.safetensors")
    assert reason() == "The student file student.safetensors does not exist; choose another one."


def test_segments_are_preselected_by_name_and_kept_when_renamed(host, panel) -> None:
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    names = {"t1": "livertumor1", "s": "Spleen", "h": "HCC segment 7", "l": "Liver", "t2": "Leber"}
    for segmentId, name in names.items():
        segmentation.GetSegmentation().AddEmptySegment(segmentId, name)
    panel.enter()
    host.processEvents()
    assert panel._parameterNode.liverSegmentID == "l"
    assert json.loads(panel._parameterNode.tumorSegmentIDs) == ["t1", "h"]
    segmentation.GetSegmentation().GetSegment("h").SetName("old biopsy")
    segmentation.GetSegmentation().RemoveSegment("t1")
    host.processEvents()
    assert json.loads(panel._parameterNode.tumorSegmentIDs) == ["h"]
    assert [panel.ui.tumorSegmentsList.item(row).text() for row in range(3)] == ["Spleen", "old biopsy", "Leber"]


def test_the_user_chooses_another_liver_and_no_tumor(host, panel, phantom) -> None:
    import qt

    panel.ui.tumorSegmentsList.item(0).setCheckState(qt.Qt.Unchecked)
    host.processEvents()
    assert panel._parameterNode.tumorSegmentIDs == "[]"
    panel.ui.liverSegmentComboBox.currentIndex = 1
    host.processEvents()
    assert (panel._parameterNode.liverSegmentID, panel._parameterNode.tumorSegmentIDs) == ("tumor", "[]")
    assert panel.ui.tumorSegmentsList.item(0).text() == "liver"


def test_the_card_of_the_student_is_shown_as_text(panel) -> None:
    text = panel.ui.cardLabel.text
    for words in ("Untrained student 0.1.0", "well, moderate, poor", "ct, liver", "macro_auc 0.50", "Tests.", "Apache"):
        assert words in text
    assert "Untrained &lt;on purpose&gt;" in text


def test_apply_shows_what_the_logic_says_and_leaves_no_file(host, panel, phantom, student) -> None:
    import slicer

    ctVolume, segmentation = phantom
    before = slicer.util.arrayFromVolume(ctVolume).copy()
    shownBefore = layers()
    run(host, panel)
    parameters = panel._parameterNode
    assert panel.ui.statusLabel.text.startswith("Done in ")
    finding, _ = panel.module.REACTDistillLogic().process(
        ctVolume, segmentation, "liver", "tumor", str(student), device="cpu"
    )
    bars = panel.ui.probabilityTable
    shown = {bars.item(row, 0).text(): bars.cellWidget(row, 1).value for row in range(bars.rowCount)}
    assert shown == pytest.approx({name: 1000 * value for name, value in finding.probabilities.items()}, abs=1)
    assert finding.predicted_class in panel.ui.predictionLabel.text
    assert "not a medical device" in panel.ui.noticesLabel.text
    assert np.array_equal(slicer.util.arrayFromVolume(parameters.resultAttention), finding.attention.array_kji)
    assert np.array_equal(slicer.util.arrayFromVolume(ctVolume), before)
    assert temporaryFiles() == []
    if shownBefore:
        assert layers() == [(ctVolume.GetID(), parameters.resultAttention.GetID())] * 3
        panel.ui.showAttentionCheckBox.checked = False
        host.processEvents()
        assert layers() == shownBefore


def test_switches_act_on_the_result(host, panel, phantom) -> None:
    import slicer

    run(host, panel)
    graphDisplay = panel._parameterNode.resultGraph.GetDisplayNode()
    assert graphDisplay.GetVisibility() == 1
    panel.ui.showGraphCheckBox.checked = False
    panel.ui.attentionOpacitySlider.value = 0.25
    host.processEvents()
    assert graphDisplay.GetVisibility() == 0
    if slicer.app.layoutManager() is not None:
        composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        assert composite.GetForegroundOpacity() == pytest.approx(0.25)


def test_while_it_runs_apply_is_cancel_and_cancel_leaves_nothing(host, panel, phantom) -> None:
    import slicer

    panel.ui.applyButton.click()
    assert panel.ui.applyButton.text == "Cancel"
    assert not panel.ui.inputsButton.enabled
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    pid = panel.job._processGroup
    panel.ui.applyButton.click()
    assert panel.ui.statusLabel.text == "Canceling..."
    assert host.processEvents(5, until=lambda: not panel.job.isBusy)
    host.processEvents(0.05)
    assert (panel.ui.applyButton.text, panel.ui.statusLabel.text) == ("Apply", "Canceled.")
    assert panel.ui.inputsButton.enabled
    assert temporaryFiles() == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_child_is_one_sentence_and_the_next_run_works(host, panel, phantom) -> None:
    panel.ui.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    os.kill(panel.job._processGroup, signal.SIGKILL)
    assert host.processEvents(5, until=lambda: not panel.job.isBusy)
    assert panel.ui.statusLabel.text.startswith("The calculation was killed by the system")
    run(host, panel)
    assert panel.ui.statusLabel.text.startswith("Done in ")


def test_closing_the_scene_stops_the_run_and_says_so(host, panel, phantom) -> None:
    import slicer

    panel.ui.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    slicer.mrmlScene.Clear(0)
    assert host.processEvents(5, until=lambda: not panel.job.isBusy)
    host.processEvents(0.05)
    assert panel.ui.statusLabel.text == "The scene was closed, so the calculation was stopped."
    assert panel.ui.applyButton.toolTip == "Choose a CT volume."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_the_result_of_a_removed_ct_is_dropped_with_a_sentence(host, panel, phantom) -> None:
    import slicer

    panel.ui.applyButton.click()
    slicer.mrmlScene.RemoveNode(phantom[0])
    assert host.processEvents(60, until=lambda: not panel.job.isBusy)
    assert panel.ui.statusLabel.text == "The CT was removed while it was graded, so the result was dropped."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert temporaryFiles() == []


def test_an_image_that_is_no_ct_ends_in_one_sentence(host, panel, phantom) -> None:
    import slicer

    slicer.util.arrayFromVolume(phantom[0])[:] += 5000
    slicer.util.arrayFromVolumeModified(phantom[0])
    run(host, panel)
    assert re.fullmatch(r"The median inside the liver is \d+, .*\.", panel.ui.statusLabel.text)
    assert panel.ui.applyButton.enabled
    assert temporaryFiles() == []


def test_an_empty_liver_segment_ends_in_one_sentence_before_anything_starts(host, panel, phantom) -> None:
    phantom[1].GetSegmentation().AddEmptySegment("empty", "empty liver")
    host.processEvents()
    panel.ui.liverSegmentComboBox.currentIndex = panel.ui.liverSegmentComboBox.findData("empty")
    host.processEvents()
    panel.ui.applyButton.click()
    assert not panel.job.isBusy
    assert "empty liver" in panel.ui.statusLabel.text
    assert temporaryFiles() == []


def test_parameters_and_result_survive_saving_and_loading_the_scene(host, panel, phantom, tmp_path) -> None:
    import slicer

    run(host, panel)
    panel.ui.attentionOpacitySlider.value = 0.3
    host.processEvents()
    shown = panel.ui.predictionLabel.text
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert not panel.ui.resultButton.isVisibleTo(panel.place)
    assert slicer.mrmlScene.ReadFromMRB(path, True)
    panel.enter()
    host.processEvents()
    parameters = panel._parameterNode
    assert (parameters.ctVolume.GetName(), parameters.liverSegmentID) == ("Phantom CT", "liver")
    assert parameters.tumorSegmentIDs == '["tumor"]'
    assert parameters.attentionOpacity == pytest.approx(0.3)
    assert panel.ui.predictionLabel.text == shown
    assert panel.ui.resultButton.isVisibleTo(panel.place)


def test_unreadable_parameters_of_a_scene_are_reset(host, panel, caplog) -> None:
    node = panel._parameterNode.parameterNode
    panel.setParameterNode(None)
    node.SetParameter("studentSource", "from the future")
    panel.enter()
    assert "reset to defaults" in caplog.text
    assert panel._parameterNode.studentSource is panel.module.StudentSource.demo


def test_leaving_and_coming_back_keeps_a_run_going(host, panel, phantom) -> None:
    panel.ui.applyButton.click()
    panel.exit()
    assert host.processEvents(60, until=lambda: not panel.job.isBusy)
    panel.enter()
    host.processEvents()
    assert panel._parameterNode.resultTable is not None


def test_reload_uses_the_new_code_and_leaves_a_working_panel(host, panel, phantom) -> None:
    import slicer

    stale = sys.modules["REACTDistillScene.job"]
    panel.onReload()
    host.processEvents()
    reloaded = slicer.modules.REACTDistillWidget
    assert reloaded is not panel
    assert sys.modules["REACTDistillScene.job"] is not stale
    assert reloaded.ui.liverSegmentComboBox.currentText == "liver"


def test_missing_packages_are_installed_only_after_a_yes(host, panel, phantom, monkeypatch) -> None:
    import slicer

    from REACTDistillScene import packages

    questions = []
    monkeypatch.setattr(packages, "missingPackages", lambda: [packages.Package("torch", "", "2 GB")])
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: questions.append(text))
    panel.ui.applyButton.click()
    assert "torch (2 GB)" in questions[0]
    assert panel.ui.statusLabel.text == "Not started: Python packages are missing."
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: True)
    panel.ui.applyButton.click()
    assert 'install the extension "PyTorch"' in panel.ui.statusLabel.text
    assert not panel.job.isBusy


def test_cleanup_in_the_middle_of_a_run_leaves_no_process_and_no_file(host, panel, phantom) -> None:
    panel.ui.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.job._processGroup is not None)
    pid = panel.job._processGroup
    panel.cleanup()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert temporaryFiles() == []


def test_the_self_test_passes(host, panel) -> None:
    panel.module.REACTDistillTest().runTest()


def test_the_module_file_imports_neither_torch_nor_simpleitk() -> None:
    script = (
        "import sys; from pathlib import Path; sys.path.append('Testing/host'); import hostapp\n"
        "hostapp.install(mainWindow=False)\n"
        f"hostapp.importModule(Path({str(MODULE)!r}))\n"
        "assert not {'torch', 'SimpleITK', 'scipy', 'skimage'} & set(sys.modules), 'imported at start-up'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(MODULE.parent)}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment)


def test_nothing_in_module_and_adapter_uses_threads() -> None:
    for path in [MODULE, *(MODULE.parent / "REACTDistillScene").glob("*.py")]:
        assert not re.search(r"\bthreading\b|QThread", path.read_text(encoding="utf-8")), path.name
