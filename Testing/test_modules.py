"""What holds for the panel of every module on the stand-in host: widgets, life cycle, parameters, packages."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "host"))

from hostdriver import ROOT, startRun, temporaryFiles, waitUntilIdle, withAndWithoutMainWindow
from hosteverymodule import MODULES, driven, forEachModule, host, mainWindow, panel, phantom, student  # noqa: F401

ADAPTER = ROOT / "REACTDistill" / "REACTDistillScene"
OTHERS = [driven for driven in MODULES if driven.file.parent != ADAPTER.parent]  # that do not own the shared code
SOURCES = [*[driven.file for driven in MODULES], *sorted(ADAPTER.glob("*.py"))]
UI_FILES = sorted(path for driven in MODULES for path in (driven.file.parent / "Resources" / "UI").glob("*.ui"))
CONTROLS = (
    "QPushButton",
    "QToolButton",
    "QComboBox",
    "QCheckBox",
    "QListWidget",
    "QTableWidget",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
)


def inAFreshPython(*lines):
    """Run lines in a new process in which the host has no main window; one that fails there fails here."""
    head = ("import sys; from pathlib import Path; sys.path.append('Testing/host')",)
    environment = {**os.environ, "PYTHONPATH": str(ADAPTER.parent)}
    environment.pop("REACTDISTILL_PYTHON", None)
    subprocess.run([sys.executable, "-c", "\n".join(head + lines)], check=True, cwd=ROOT, env=environment)


@pytest.fixture
def importsAreRestored():
    """What a reload imports anew is forgotten afterwards, so that other tests get back what they imported."""

    def shared():
        return {name: module for name, module in sys.modules.items() if name.startswith("REACTDistill")}

    before = shared()
    yield
    for name in shared():
        del sys.modules[name]
    sys.modules.update(before)


# The files


def test_every_module_of_the_extension_is_tested_here() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    names = re.findall(r"^add_subdirectory\((\w+)\)", text, re.MULTILINE)
    assert sorted(names) == sorted(driven.name for driven in MODULES)


def test_each_parameter_is_bound_to_a_widget_that_exists(driven, panel) -> None:
    path = driven.file.parent / "Resources" / "UI" / f"{driven.name}.ui"
    properties = ElementTree.parse(path).findall(".//property[@name='SlicerParameterName']")
    bound = [node.findtext("string") for node in properties]
    wrapper = getattr(panel.module, f"{driven.name}ParameterNode")
    assert sorted([*bound, *driven.unbound]) == sorted(wrapper._parameters)


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_every_control_has_a_tooltip(path) -> None:
    for widget in ElementTree.parse(path).iter("widget"):
        if widget.get("class") in CONTROLS:
            tips = [node for node in widget.findall("property") if node.get("name") == "toolTip"]
            assert tips, widget.get("name")


@pytest.mark.parametrize(
    "path", [*[driven.file for driven in MODULES], *sorted(ADAPTER.glob("*.py"))], ids=lambda p: p.name
)
def test_nothing_in_modules_and_adapter_uses_threads(path) -> None:
    assert not re.search(r"\bthreading\b|QThread", path.read_text(encoding="utf-8"))


@forEachModule
def test_the_module_file_imports_neither_torch_nor_simpleitk(driven) -> None:
    inAFreshPython(
        "import hostapp; hostapp.install(mainWindow=False)",
        f"hostapp.importModule(Path({str(driven.file)!r}))",
        "assert not {'torch', 'SimpleITK', 'scipy', 'skimage'} & set(sys.modules), 'imported at start-up'",
    )


# Life cycle


@withAndWithoutMainWindow
def test_the_self_test_passes(driven, host, panel) -> None:
    getattr(panel.module, f"{driven.name}Test")().runTest()


@withAndWithoutMainWindow
def test_reload_uses_the_new_code_and_leaves_a_working_panel(driven, host, importsAreRestored, panel, phantom) -> None:
    import slicer

    stale, node = sys.modules["REACTDistillScene.job"], driven.inputOf(panel)
    assert node is not None
    panel.onReload()
    host.processEvents()
    reloaded = getattr(slicer.modules, f"{driven.name}Widget")
    assert reloaded is not panel
    assert sys.modules["REACTDistillScene.job"] is not stale
    assert isinstance(reloaded, sys.modules["REACTDistillScene.panelwidget"].PanelWidget)
    assert driven.inputOf(reloaded) is node
    assert reloaded.panel.bar.applyButton.toolTip == driven.apply


def test_a_module_goes_on_with_its_code_until_it_is_reloaded_too(driven, host, importsAreRestored, panel) -> None:
    import slicer

    other = MODULES[MODULES.index(driven) - 1]
    _module, neighbor, _place = host.openModule(other.file)
    panel.onReload()
    new = sys.modules["REACTDistillScene.panelwidget"].PanelWidget
    assert not isinstance(neighbor, new)
    slicer.mrmlScene.Clear(0)
    neighbor.enter()
    host.processEvents()
    assert neighbor.panel.bar.applyButton.toolTip == other.emptyScene
    neighbor.onReload()
    newest = sys.modules["REACTDistillScene.panelwidget"].PanelWidget
    assert isinstance(getattr(slicer.modules, f"{other.name}Widget"), newest)


@forEachModule
@pytest.mark.parametrize("hook", ["makeLogic", "makePanel"])
def test_a_setup_that_fails_half_way_gives_one_error_and_not_another(driven, host, monkeypatch, hook) -> None:
    import hosterrors
    import slicer

    def refuse(widget):
        raise ValueError("not today")

    manager = slicer.app.moduleManager()
    manager.load([driven.file])
    monkeypatch.setattr(getattr(sys.modules[driven.name], f"{driven.name}Widget"), hook, refuse)
    manager.selectModule(driven.name)
    assert [str(error) for error in hosterrors.slotErrors] == ["not today"]
    hosterrors.clear()
    slicer.mrmlScene.Clear(0)
    manager.selectModule("Data")
    manager.selectModule(driven.name)
    host.quitApplication()


@pytest.mark.parametrize(
    "driven", [driven for driven in MODULES if driven.name != "REACTDistill"], ids=lambda d: d.name
)
def test_without_the_module_that_owns_the_shared_code_the_panel_says_so(driven, host, monkeypatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    absent = "REACTDistillScene"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == absent else find(name, *rest))
    _module, widget, _place = host.openModule(driven.file)
    host.processEvents()
    assert widget.panel is None
    labels = [widget.layout.itemAt(index).widget() for index in range(widget.layout.count())]
    assert any("The module REACTDistill" in getattr(label, "text", "") for label in labels)


def test_leaving_and_coming_back_keeps_a_run_going(driven, host, panel, phantom) -> None:
    panel.panel.bar.applyButton.click()
    panel.exit()
    waitUntilIdle(host, panel)
    panel.enter()
    host.processEvents()
    assert driven.resultOf(panel) is not None


def test_a_module_that_was_left_or_cleaned_up_hears_and_changes_nothing(driven, host, panel, phantom) -> None:
    parameters, node = panel._parameterNode, driven.inputOf(panel)
    selector = getattr(panel.ui, f"{driven.inputParameter}Selector")
    assert selector.currentNode() is node is not None
    panel.exit()
    host.processEvents()
    parameters.student = 64 * "a"
    assert not panel._updateTimer.active
    setattr(parameters, driven.inputParameter, None)
    assert selector.currentNode() is node
    panel.enter()
    assert panel._updateTimer.active
    panel.cleanup()
    assert not panel._updateTimer.active


def test_cleanup_in_the_middle_of_a_run_leaves_no_process_and_no_file(host, panel, phantom) -> None:
    pid = startRun(host, panel)
    panel.cleanup()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert temporaryFiles() == []


# Parameters and packages


def test_unreadable_parameters_of_a_scene_are_reset(driven, host, panel, caplog, monkeypatch) -> None:
    name, tries = f"{driven.name}ParameterNode", []
    wrapper = getattr(panel.module, name)

    def refuseOnce(node):
        tries.append(node)
        if len(tries) == 1:
            raise ValueError("from the future")
        return wrapper(node)

    monkeypatch.setattr(panel.module, name, refuseOnce)
    panel._parameterNode.student = 64 * "a"
    panel.setParameterNode(None)
    panel.enter()
    assert f"{driven.name}: the parameters in the scene were reset to defaults (from the future)." in caplog.text
    assert panel._parameterNode.student == ""


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


def test_a_missing_pytorch_extension_is_one_sentence(panel, phantom, monkeypatch) -> None:
    from REACTDistillScene import packages

    torch = [package for package in packages.PACKAGES if package.importName == "torch"]
    monkeypatch.setattr(packages, "missingPackages", lambda: torch)
    panel.panel.bar.applyButton.click()
    assert "PyTorch" in panel.panel.bar.status
    assert "Extensions Manager" in panel.panel.bar.status
    assert not panel.panel.bar.isBusy


@forEachModule
def test_a_scene_without_torch_network_and_main_window_opens_the_panel(driven) -> None:
    inAFreshPython(
        "import socket",
        "from importlib.machinery import PathFinder",
        "find = PathFinder.find_spec",
        "absent = ('torch', 'monai', 'safetensors', 'requests', 'urllib3', 'SampleData')",
        "PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in absent else find(name, *rest)",
        "def refuse(*arguments): raise AssertionError('the network was used')",
        "socket.socket.connect = refuse",
        "import hostapp; hostapp.install(mainWindow=False)",
        f"module, widget, panel = hostapp.openModule(Path({str(driven.file)!r}))",
        "module._phantomNodes(seed=3)",
        "hostapp.processEvents(0.1)",
        f"assert widget._parameterNode.{driven.inputParameter} is not None",
        "bar = widget.panel.bar",
        "bar.applyButton.click()",
        "assert not bar.isBusy and 'PyTorch' in bar.status, bar.status",
        "hostapp.quitApplication()",
    )
