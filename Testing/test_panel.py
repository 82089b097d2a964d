"""The panel on the stand-in host, with real MRML nodes: choices, life cycle, parameters."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import (  # noqa: F401
    MODULE,
    host,
    mainWindow,
    panel,
    phantom,
    run,
    student,
    temporaryFiles,
    withAndWithoutMainWindow,
)

ROOT = Path(__file__).resolve().parent.parent
UI_FOLDER = ROOT / "REACTDistill" / "Resources" / "UI"
UI = UI_FOLDER / "REACTDistill.ui"


def test_the_panel_binds_each_parameter_to_a_widget_that_exists(panel) -> None:
    bound = [
        node.findtext("string")
        for node in ElementTree.parse(UI).iter("property")
        if node.get("name") == "SlicerParameterName"
    ]
    hidden = {"liverSegmentID", "tumorSegmentIDs", "student", "shownClass"}
    hidden |= {"resultCT", "resultTable", "resultRegionTable", "resultAttention", "resultGraph"}
    assert sorted([*bound, *hidden]) == sorted(panel.module.REACTDistillParameterNode._parameters)


@pytest.mark.parametrize("path", sorted(UI_FOLDER.glob("*.ui")), ids=lambda path: path.stem)
def test_every_control_has_a_tooltip(path) -> None:
    controls = (
        "QPushButton",
        "QToolButton",
        "QComboBox",
        "QCheckBox",
        "QListWidget",
        "QTableWidget",
        "ctkSliderWidget",
    )
    for widget in ElementTree.parse(path).iter("widget"):
        if widget.get("class") in (*controls, "qMRMLNodeComboBox"):
            tips = [node for node in widget.findall("property") if node.get("name") == "toolTip"]
            assert tips, widget.get("name")


@withAndWithoutMainWindow
def test_a_disabled_apply_says_what_is_missing(host, panel) -> None:
    import slicer

    def reason():
        host.processEvents()
        assert panel.panel.bar.applyButton.enabled is (panel.panel.bar.applyButton.toolTip == "Grade the tumor.")
        return panel.panel.bar.applyButton.toolTip

    assert reason() == "Choose a CT volume."
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    assert reason() == "Choose a segmentation with a liver segment."
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    assert reason() == "Choose a segmentation with a liver segment."  # it may be of something else
    panel._parameterNode.segmentation = segmentation
    assert reason() == "Choose the segment of the liver."
    segmentation.GetSegmentation().AddEmptySegment("a", "Whole Liver")
    host.processEvents(0.4)  # past the pause after an edit
    assert reason() == "Grade the tumor."
    panel._parameterNode.petVolume = panel._parameterNode.ctVolume
    assert reason() == "The PET is the same volume as the CT; choose another one or none."
    panel._parameterNode.petVolume = None
    panel._parameterNode.student = 64 * "a"
    assert reason() == "The student of this scene is not installed; add its file under Students."
    panel._parameterNode.student = ""
    assert reason() == "Grade the tumor."


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


def test_what_the_student_needs_and_its_scores_are_shown(panel) -> None:
    text = panel.ui.studentNeedsLabel.text
    assert "Needs: ct, liver" in text
    assert "macro auc 0.5" in text


def test_parameters_and_result_survive_saving_and_loading_the_scene(host, panel, phantom, tmp_path) -> None:
    import slicer

    run(host, panel)
    panel.ui.attentionOpacitySlider.value = 0.3
    host.processEvents()
    shown = panel.panel.result.header.headline
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
    assert panel.panel.result.header.headline == shown
    assert panel.ui.resultButton.isVisibleTo(panel.place)


def test_unreadable_parameters_of_a_scene_are_reset(host, panel, caplog) -> None:
    node = panel._parameterNode.parameterNode
    panel.setParameterNode(None)
    node.SetParameter("attentionOpacity", "from the future")
    panel.enter()
    assert "reset to defaults" in caplog.text
    assert panel._parameterNode.attentionOpacity == pytest.approx(0.6)


def test_leaving_and_coming_back_keeps_a_run_going(host, panel, phantom) -> None:
    panel.panel.bar.applyButton.click()
    panel.exit()
    assert host.processEvents(60, until=lambda: not panel.panel.bar.isBusy)
    panel.enter()
    host.processEvents()
    assert panel._parameterNode.resultTable is not None


@withAndWithoutMainWindow
def test_reload_uses_the_new_code_and_leaves_a_working_panel(host, panel, phantom, monkeypatch) -> None:
    import slicer

    for name in [name for name in sys.modules if name.startswith("REACTDistill")]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # so that other tests get back what they imported
    stale = sys.modules["REACTDistillScene.job"]
    panel.onReload()
    host.processEvents()
    reloaded = slicer.modules.REACTDistillWidget
    assert reloaded is not panel
    assert sys.modules["REACTDistillScene.job"] is not stale
    assert reloaded.ui.liverSegmentComboBox.currentText == "liver"


def test_missing_packages_are_asked_for_and_a_no_starts_nothing(host, panel, phantom, monkeypatch) -> None:
    import slicer
    from REACTDistillScene import packages

    questions = []
    safetensors = [package for package in packages.PACKAGES if package.importName == "safetensors"]
    monkeypatch.setattr(packages, "missingPackages", lambda: safetensors)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: questions.append(text))
    panel.panel.bar.applyButton.click()
    assert "safetensors" in questions[0]
    assert panel.panel.bar.status.startswith("Not started: Python packages are missing (safetensors")
    assert not panel.panel.bar.isBusy


def test_a_missing_pytorch_extension_is_one_sentence(host, panel, phantom, monkeypatch) -> None:
    from REACTDistillScene import packages

    torch = [package for package in packages.PACKAGES if package.importName == "torch"]
    monkeypatch.setattr(packages, "missingPackages", lambda: torch)
    panel.panel.bar.applyButton.click()
    assert "PyTorch" in panel.panel.bar.status
    assert "Extensions Manager" in panel.panel.bar.status
    assert not panel.panel.bar.isBusy


def test_a_scene_without_torch_network_and_main_window_opens_the_panel() -> None:
    script = (
        "import sys, socket\n"
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "absent = ('torch', 'monai', 'safetensors', 'requests', 'urllib3', 'SampleData')\n"
        "PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in absent else find(name, *rest)\n"
        "def refuse(*arguments): raise AssertionError('the network was used')\n"
        "socket.socket.connect = refuse\n"
        "sys.path.append('Testing/host')\n"
        "import hostapp, slicer\n"
        "from pathlib import Path\n"
        "hostapp.install(mainWindow=False)\n"
        f"module, widget, panel = hostapp.openModule(Path({str(MODULE)!r}))\n"
        "module._phantomNodes(seed=3)\n"
        "hostapp.processEvents(0.1)\n"
        "bar = widget.panel.bar\n"
        "bar.applyButton.click()\n"
        "assert not bar.isBusy and 'PyTorch' in bar.status, bar.status\n"
        "hostapp.quitApplication()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(MODULE.parent)}
    environment.pop("REACTDISTILL_PYTHON", None)
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment)


def test_cleanup_in_the_middle_of_a_run_leaves_no_process_and_no_file(host, panel, phantom) -> None:
    panel.panel.bar.applyButton.click()
    assert host.processEvents(30, until=lambda: panel.panel.bar.worker.processGroup is not None)
    pid = panel.panel.bar.worker.processGroup
    panel.cleanup()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert temporaryFiles() == []


@withAndWithoutMainWindow
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
