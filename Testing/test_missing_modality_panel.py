"""The panel of MissingModalitySeg on the stand-in host, with real MRML nodes: choices, life cycle, parameters."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import temporaryFiles, withAndWithoutMainWindow
from hosttumorpanel import MODULE, SEQUENCES, host, mainWindow, panel, phantom, student  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
UI = MODULE.parent / "Resources" / "UI" / "MissingModalitySeg.ui"


def chosen(panel):
    nodes = {name: getattr(panel._parameterNode, f"{name}Volume") for name in SEQUENCES}
    return {name: None if node is None else node.GetName() for name, node in nodes.items()}


def test_the_panel_binds_each_parameter_to_a_widget_that_exists(panel) -> None:
    bound = [
        node.findtext("string")
        for node in ElementTree.parse(UI).iter("property")
        if node.get("name") == "SlicerParameterName"
    ]
    hidden = {"knownVolumes", "student", "referenceSequence", "shownMap", "resultReference", "resultSegmentation"}
    hidden |= {"resultTable", "resultWTProbability", "resultTCProbability", "resultETProbability"}
    assert sorted([*bound, *hidden]) == sorted(panel.module.MissingModalitySegParameterNode._parameters)


def test_every_control_has_a_tooltip() -> None:
    controls = ("QPushButton", "QComboBox", "QCheckBox", "QTableWidget", "qMRMLNodeComboBox")
    for widget in ElementTree.parse(UI).iter("widget"):
        if widget.get("class") in controls:
            assert any(node.get("name") == "toolTip" for node in widget.findall("property")), widget.get("name")


@withAndWithoutMainWindow
def test_a_disabled_apply_says_what_is_missing(host, panel) -> None:
    import slicer

    def reason():
        host.processEvents()
        button = panel.panel.bar.applyButton
        assert button.enabled is (button.toolTip == "Segment the tumor.")
        return button.toolTip

    parameters = panel._parameterNode
    assert reason() == "No sequence is given; choose at least one of T1, T1ce, T2 and FLAIR."
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Volume 1")
    assert reason() == "No sequence is given; choose at least one of T1, T1ce, T2 and FLAIR."  # its name tells nothing
    parameters.flairVolume = volume
    assert reason() == "Segment the tumor."
    parameters.t2Volume = volume
    assert reason() == "T2 and FLAIR are the same volume; choose another one or missing."
    parameters.t2Volume = None
    parameters.referenceSequence = "t1"
    assert reason() == "The result is to have the grid of T1, which is missing; choose another grid under Output."
    panel.ui.referenceComboBox.currentIndex = panel.ui.referenceComboBox.findData("flair")
    assert reason() == "Segment the tumor."
    parameters.student = 64 * "a"
    assert reason() == "The student of this scene is not installed; add its file under Students."


def test_a_student_that_needs_a_sequence_says_which(host, panel, phantom, monkeypatch) -> None:
    entry = panel.panel.students.entryOf("")
    needs = replace(entry.card, sequences={"required": ["t1ce"], "optional": ["t1"]})
    monkeypatch.setattr(panel.panel.students, "entryOf", lambda key: replace(entry, card=needs))
    for given, expected in {
        ("t1",): "The student needs T1ce as well; choose it or another student.",
        ("t1", "t1ce"): "Segment the tumor.",
    }.items():
        for name in SEQUENCES:
            setattr(panel._parameterNode, f"{name}Volume", phantom[name] if name in given else None)
        host.processEvents()
        assert panel.panel.bar.applyButton.toolTip == expected


def test_new_volumes_are_guessed_and_what_the_user_sets_to_missing_stays_missing(host, panel, phantom) -> None:
    import slicer

    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": "Phantom T1ce", "t2": "Phantom T2", "flair": "Phantom FLAIR"}
    assert panel.ui.guessLabel.text == "Guessed, please check: T1, T1ce, T2, FLAIR by name."
    panel.ui.t1ceVolumeSelector.setCurrentNode(None)
    panel.ui.t2VolumeSelector.setCurrentNode(None)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "liver portal venous")
    host.processEvents()
    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": None, "t2": None, "flair": "Phantom FLAIR"}
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "AX T2 TSE")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "SAG T1 pre")
    host.processEvents()
    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": None, "t2": "AX T2 TSE", "flair": "Phantom FLAIR"}
    panel.ui.guessButton.click()
    host.processEvents()
    assert chosen(panel)["t1ce"] == "Phantom T1ce"


def test_the_price_of_what_is_missing_follows_the_choice(host, panel, phantom) -> None:
    assert "With T1, T1ce, T2 and FLAIR a Dice of 0.83 for WT" in panel.ui.expectationLabel.text
    assert [getattr(panel.ui, f"{name}GainLabel").text for name in SEQUENCES] == ["", "", "", ""]
    panel._parameterNode.t1ceVolume = None
    panel._parameterNode.t2Volume = None
    host.processEvents()
    assert "With T1 and FLAIR alone a Dice of 0.79 for WT" in panel.ui.expectationLabel.text
    assert "T1ce would help most" in panel.ui.expectationLabel.text
    assert panel.ui.t1ceGainLabel.text == "<b>ET +0.42</b>"
    assert panel.ui.t2GainLabel.text == "WT +0.02"
    assert "ET +0.420" in panel.ui.t1ceGainLabel.toolTip
    for name in ("t1", "flair"):
        setattr(panel._parameterNode, f"{name}Volume", None)
    host.processEvents()
    assert (panel.ui.expectationLabel.text, panel.ui.t1ceGainLabel.text) == ("", "")


def test_parameters_and_result_survive_saving_and_loading_the_scene(host, panel, phantom, tmp_path) -> None:
    import slicer

    panel._parameterNode.t1ceVolume = None
    panel._parameterNode.referenceSequence = "flair"
    panel._parameterNode.withProbabilities = True
    host.processEvents()
    panel.panel.bar.applyButton.click()
    assert host.processEvents(60, until=lambda: not panel.panel.bar.isBusy)
    host.processEvents(0.05)
    shown = panel.panel.result.header.headline
    assert shown == "Segmented from <b>T1, T2, FLAIR</b> (missing: T1ce)"
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert not panel.ui.resultButton.isVisibleTo(panel.place)
    assert slicer.mrmlScene.ReadFromMRB(path, True)
    panel.enter()
    host.processEvents()
    parameters = panel._parameterNode
    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": None, "t2": "Phantom T2", "flair": "Phantom FLAIR"}
    assert (parameters.referenceSequence, parameters.withProbabilities) == ("flair", True)
    assert panel.ui.referenceComboBox.currentText == "FLAIR"
    assert panel.panel.result.header.headline == shown
    assert parameters.outputSegmentation is parameters.resultSegmentation is not None
    assert parameters.resultETProbability.GetName().endswith("ET probability")


def test_unreadable_parameters_of_a_scene_are_reset(host, panel, caplog, monkeypatch) -> None:
    wrapper, tries = panel.module.MissingModalitySegParameterNode, []

    def refuseOnce(node):
        tries.append(node)
        if len(tries) == 1:
            raise ValueError("from the future")
        return wrapper(node)

    monkeypatch.setattr(panel.module, "MissingModalitySegParameterNode", refuseOnce)
    panel._parameterNode.withProbabilities = True
    panel.setParameterNode(None)
    panel.enter()
    assert "reset to defaults" in caplog.text
    assert panel._parameterNode.withProbabilities is False


@withAndWithoutMainWindow
def test_reload_uses_the_new_code_and_leaves_a_working_panel(host, panel, phantom, monkeypatch) -> None:
    import slicer

    for name in [name for name in sys.modules if name.startswith("REACTDistill")]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # so that other tests get back what they imported
    stale = sys.modules["REACTDistillScene.job"]
    panel.onReload()
    host.processEvents()
    reloaded = slicer.modules.MissingModalitySegWidget
    assert reloaded is not panel
    assert sys.modules["REACTDistillScene.job"] is not stale
    assert reloaded.ui.t1VolumeSelector.currentNode().GetName() == "Phantom T1"


def test_a_missing_pytorch_extension_is_one_sentence(host, panel, phantom, monkeypatch) -> None:
    from REACTDistillScene import packages

    torch = [package for package in packages.PACKAGES if package.importName == "torch"]
    monkeypatch.setattr(packages, "missingPackages", lambda: torch)
    panel.panel.bar.applyButton.click()
    assert "PyTorch" in panel.panel.bar.status
    assert not panel.panel.bar.isBusy


def test_without_the_module_that_owns_the_shared_code_the_panel_says_so(host, monkeypatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "REACTDistillScene" else find(name, *rest)
    )
    _module, widget, _place = host.openModule(MODULE)
    host.processEvents()
    assert widget.panel is None
    labels = [widget.layout.itemAt(index).widget() for index in range(widget.layout.count())]
    assert any("The module REACTDistill" in getattr(label, "text", "") for label in labels)


def test_a_scene_without_torch_network_and_main_window_opens_the_panel() -> None:
    script = (
        "import sys, socket\n"
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "absent = ('torch', 'monai', 'safetensors', 'requests', 'urllib3')\n"
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
        "assert widget._parameterNode.flairVolume is not None\n"
        "bar.onApply()\n"
        "assert not bar.isBusy and 'PyTorch' in bar.status, bar.status\n"
        "hostapp.quitApplication()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "REACTDistill")}
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
    panel.module.MissingModalitySegTest().runTest()


def test_the_module_file_imports_neither_torch_nor_simpleitk() -> None:
    script = (
        "import sys; from pathlib import Path; sys.path.append('Testing/host'); import hostapp\n"
        "hostapp.install(mainWindow=False)\n"
        f"hostapp.importModule(Path({str(MODULE)!r}))\n"
        "assert not {'torch', 'SimpleITK', 'scipy', 'skimage'} & set(sys.modules), 'imported at start-up'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "REACTDistill")}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment)


def test_nothing_in_the_module_uses_threads() -> None:
    assert not re.search(r"\bthreading\b|QThread", MODULE.read_text(encoding="utf-8"))
