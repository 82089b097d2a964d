"""The runner of the self-tests: what it finds, what it calls a failure, its exit code."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import re
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow, withAndWithoutMainWindow  # noqa: F401

SCRIPT = Path(__file__).with_name("run_in_slicer.py")
MODULE_TEXT = """
import qt
import slicer
from slicer.ScriptedLoadableModule import *
class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "A title"
class {name}Widget(ScriptedLoadableModuleWidget):
    def setup(self):
        {setup}
class {name}Test(ScriptedLoadableModuleTest):
    def runTest(self):
        self.test_something()
    def test_something(self):
        {test}
"""
SLOT_RAISES = 'b = qt.QPushButton(); b.connect("clicked()", lambda: 1 / 0); b.click()'
OBSERVER_RAISES = (
    'n = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode"); '
    'n.AddObserver("ModifiedEvent", lambda *_: 1 / 0); n.Modified()'
)


@pytest.fixture
def folder(host, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if re.fullmatch(r"Self[A-Z]\w*", name)]:
        del sys.modules[name]


def write(folder, name, *, test="pass", setup="pass", flat=False):
    path = folder / f"{name}.py" if flat else folder / name / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(MODULE_TEXT.format(name=name, test=test, setup=setup), encoding="utf-8")
    return path


def exitCode(folder, paths, monkeypatch):
    """Load the modules, run the script as the application does and return the code it asks to exit with."""
    import hosterrors
    import slicer

    slicer.app.moduleManager().load(paths)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(folder)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    hosterrors.clear()
    return slicer.app.exitCode()


@withAndWithoutMainWindow
def test_every_test_is_run_without_and_with_the_panel(folder, monkeypatch, capsys, mainWindow) -> None:
    assert exitCode(folder, [write(folder, "SelfB"), write(folder, "SelfA")], monkeypatch) == 0
    lines = [re.sub(r" \(\d.*", "", line) for line in capsys.readouterr().out.splitlines()]
    visited = ["ok       {} panel is entered and left"] if mainWindow else []
    expected = ["ok       {} is loaded", "ok       {}.test_something", "ok       {} panel is made", *visited]
    expected.append("ok       {}.runTest with its panel")
    modules = [line.format(name) for name in ("SelfA", "SelfB") for line in expected]
    assert lines == ["ok       modules found: SelfA, SelfB", *modules, "all passed"]


@pytest.mark.parametrize(
    ("broken", "failures"),
    [
        ({"test": "self.assertEqual(1, 2)"}, 2),
        ({"test": OBSERVER_RAISES}, 2),
        ({"setup": "raise ValueError(1)"}, 1),
        ({"test": SLOT_RAISES}, 2),
    ],
    ids=["a failed assertion", "an exception in an observer", "an exception in setup", "an exception in a slot"],
)
def test_the_exit_code_is_1_after(folder, monkeypatch, capsys, broken, failures) -> None:
    paths = [write(folder, "SelfBroken", **broken), write(folder, "SelfFine")]
    assert exitCode(folder, paths, monkeypatch) == 1
    output = capsys.readouterr().out
    assert output.count("FAILED   SelfBroken") == failures
    assert "FAILED   SelfFine" not in output
    assert output.endswith(f"{failures} failed\n")


def test_a_module_that_is_there_but_not_loaded_is_a_failure(folder, monkeypatch, capsys) -> None:
    write(folder, "SelfAbsent")
    assert exitCode(folder, [write(folder, "SelfFine")], monkeypatch) == 1
    assert "FAILED   SelfAbsent is loaded" in capsys.readouterr().out


def test_a_skipped_test_says_why_and_is_no_failure(folder, monkeypatch, capsys) -> None:
    path = write(folder, "SelfSkips", test='self.skipTest("no torch")')
    assert exitCode(folder, [path], monkeypatch) == 0
    assert "skipped (no torch) SelfSkips.test_something" in capsys.readouterr().out


def test_installed_modules_lie_side_by_side(folder, monkeypatch, capsys) -> None:
    paths = [write(folder, "SelfA", flat=True), write(folder, "SelfB", flat=True)]
    (folder / "SelfLibrary.py").write_text("VALUE = 1", encoding="utf-8")
    assert exitCode(folder, paths, monkeypatch) == 0
    assert "modules found: SelfA, SelfB (" in capsys.readouterr().out


def test_an_empty_folder_is_a_failure(folder, monkeypatch) -> None:
    assert exitCode(folder, [], monkeypatch) == 1
