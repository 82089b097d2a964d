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
UI = ROOT / "REACTDistill" / "Resources" / "UI" / "REACTDistill.ui"


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


@withAndWithoutMainWindow
def test_a_disabled_apply_says_what_is_missing(host, panel) -> None:
    import slicer

    def reason():
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
    for words in ("Untrained student 0.1.0", "well, moderate, poor", "ct, liver", "macro auc 0.5", "Tests.", "Apache"):
        assert words in text
    assert "Untrained &lt;on purpose&gt;" in text


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
