"""The stand-in host against what was observed in the application: dialogs, scene, modules, settings, drivers."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow, withAndWithoutMainWindow  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
MODULE_TEXT = """
import slicer
from slicer.ScriptedLoadableModule import *
EVENTS = slicer.hostEvents
class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title, parent.dependencies = "{title}", {dependencies}
        EVENTS.append("{name} sees " + (",".join(vars(slicer.modules)) or "nothing"))
class {name}Widget(ScriptedLoadableModuleWidget):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        EVENTS.append("{name} init")
    def setup(self):
        EVENTS.append("{name} setup")
        {setup}
    def enter(self): EVENTS.append("{name} enter")
    def exit(self): EVENTS.append("{name} exit")
    def cleanup(self): EVENTS.append("{name} cleanup")
"""


@pytest.fixture
def events(host, monkeypatch):
    import slicer

    collected = []
    monkeypatch.setattr(slicer, "hostEvents", collected, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield collected
    for name in [name for name in sys.modules if re.fullmatch(r"Host[A-Z]\w*", name)]:
        del sys.modules[name]


@pytest.fixture
def module(events, tmp_path):
    """Writes a module file and returns its path."""

    def write(name, *, title="A title", dependencies=(), setup="pass"):
        path = tmp_path / name / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        text = MODULE_TEXT.format(name=name, title=title, dependencies=list(dependencies), setup=setup)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_confirmations_are_false_in_testing_mode(host) -> None:
    import slicer

    util = slicer.util
    assert [util.confirmOkCancelDisplay("?"), util.confirmYesNoDisplay("?"), util.confirmRetryCloseDisplay("?")] == [
        False
    ] * 3
    assert util.messageBox("!") == 1024
    assert [util.infoDisplay("!"), util.warningDisplay("!"), util.errorDisplay("!")] == [None] * 3


def test_subject_hierarchy_items_are_made_for_data_nodes_only(host) -> None:
    import hostscene
    import slicer

    def hasItem(node):
        hierarchy = hostscene.hierarchyNode()
        return hierarchy.GetItemByDataNode(node) != hierarchy.GetInvalidItemID()

    scene = slicer.mrmlScene
    for kind in ("ScalarVolume", "Segmentation", "Table", "Model", "Text", "LinearTransform", "PlotChart"):
        assert hasItem(scene.AddNewNodeByClass(f"vtkMRML{kind}Node")), kind
    for kind in ("ColorTable", "ScriptedModule"):
        assert not hasItem(scene.AddNewNodeByClass(f"vtkMRML{kind}Node")), kind
    hidden = slicer.vtkMRMLModelNode()
    hidden.SetHideFromEditors(True)
    assert not hasItem(scene.AddNode(hidden))
    hidden.SetHideFromEditors(False)
    shown = scene.AddNewNodeByClass("vtkMRMLModelNode")
    shown.SetHideFromEditors(True)
    assert hasItem(shown)


def test_modules_load_by_name_and_a_missing_dependency_removes_one_silently(host, events, module) -> None:
    import slicer

    paths = [
        module("HostB"),
        module("HostA"),
        module("HostC", dependencies=["NoSuchModule"]),
        module("HostD", title=""),
        module("HostE", dependencies=["HostC"]),
    ]
    assert slicer.app.moduleManager().load(paths) == ["HostA", "HostB"]
    assert events == [f"{name} sees nothing" for name in ("HostA", "HostB", "HostC", "HostD", "HostE")]
    assert all(str(path.parent) in sys.path for path in paths)
    assert hasattr(slicer.modules, "hosta")
    assert not hasattr(slicer.modules, "hostc")
    assert slicer.util.selectModule("HostC") is None
    assert slicer.util.selectedModule() == "HostC"


def test_the_life_of_a_module_goes_as_in_the_application(host, events, module) -> None:
    import hosterrors
    import slicer

    slicer.app.moduleManager().load([module("HostA", setup="1 / 0"), module("HostB")])
    events.clear()
    slicer.util.selectModule("HostA")
    slicer.util.selectModule("HostB")
    assert events == [
        "HostA init",
        "HostA setup",
        "HostA enter",
        "HostA exit",
        "HostB init",
        "HostB setup",
        "HostB enter",
    ]
    assert [type(error) for error in hosterrors.slotErrors] == [ZeroDivisionError]
    hosterrors.clear()
    widget = slicer.util.getModuleWidget("HostB")
    events.clear()
    widget.onReload()
    assert events == ["HostB cleanup", "HostB init", "HostB setup"]
    assert slicer.modules.HostBWidget is slicer.util.getModuleWidget("HostB") is not widget
    assert widget.parent.isEntered
    events.clear()
    host.quitApplication()
    assert events == ["HostB exit", "HostB cleanup", "HostA cleanup"]


def test_a_widget_that_is_asked_for_is_set_up_but_not_entered(host, events, module) -> None:
    import slicer

    slicer.app.moduleManager().load([module("HostA"), module("HostB")])
    events.clear()
    slicer.util.getModuleWidget("HostB")
    host.quitApplication()
    assert events == ["HostB init", "HostB setup", "HostB cleanup"]


@withAndWithoutMainWindow
def test_the_layout_manager_is_there_with_a_main_window_only(host, mainWindow) -> None:
    import slicer

    manager = slicer.app.layoutManager()
    assert (manager is not None, slicer.util.mainWindow() is not None) == (mainWindow, mainWindow)
    assert slicer.app.commandOptions().noMainWindow is not mainWindow
    if not mainWindow:
        with pytest.raises(RuntimeError, match="Could not find main window"):
            slicer.util.selectModule("Data")
        return
    assert (manager.layout, manager.sliceViewNames()) == (0, ("Red", "Yellow", "Green"))
    manager.setLayout(34)
    assert manager.layout == 34
    red = manager.sliceWidget("Red")
    assert red.mrmlSliceCompositeNode() is red.sliceLogic().GetSliceCompositeNode()
    assert red.sliceView().interactor() is not None


def test_a_removed_foreground_is_replaced_by_another_volume(host) -> None:
    import slicer

    ct, overlay = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("CT", "overlay"))
    slicer.util.setSliceViewerLayers(background=ct, foreground=overlay, foregroundOpacity=0.7)
    slicer.mrmlScene.RemoveNode(overlay)
    composite = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceCompositeNode()
    assert (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()) == (ct.GetID(), 0.7)


def test_settings_are_fresh_and_become_text_at_the_next_start(host) -> None:
    import qt
    import slicer

    settings = qt.QSettings()
    assert settings.allKeys() == []
    for key, value in (("flag", True), ("number", 3), ("list", ["a", "b"])):
        settings.setValue(key, value)
    assert slicer.app.settings().value("flag") is True
    host.restartSettings()
    after = qt.QSettings()
    assert (after.value("flag"), after.value("number"), after.value("list")) == ("true", "3", ("a", "b"))
    assert slicer.util.settingsValue("flag", False, converter=slicer.util.toBool) is True
    assert slicer.app.slicerUserSettingsFilePath == after.fileName()


def test_no_module_and_no_adapter_uses_a_thread() -> None:
    # Here a thread runs; in the application it stands still while the user does nothing.
    files = [*ROOT.glob("*/*.py"), *ROOT.glob("*/REACTDistillScene/*.py")]
    used = [path.name for path in files if path.parent.name != "Testing" and _usesThreads(path)]
    assert files
    assert used == []


def _usesThreads(path):
    return re.search(r"\bthreading\b|\bThreadPoolExecutor\b|QThread|QtConcurrent", path.read_text(encoding="utf-8"))
