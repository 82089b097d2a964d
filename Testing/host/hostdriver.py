"""Driving a module's panel on the stand-in host: what the tests of all modules share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class DrivenModule:
    """A module, and what the tests that all modules share must know of it."""

    name: str
    saveStudent: Callable[[Path], None]  # one that is quick
    unbound: frozenset[str]  # parameters that no widget is bound to
    inputParameter: str  # a node that a run needs; the module chooses that of its phantom by itself
    resultParameter: str  # a node that a run makes
    apply: str  # tooltip of Apply when all is there
    emptyScene: str  # tooltip of Apply when nothing is there
    inputRemoved: str  # status when the input is gone before the result comes

    @property
    def file(self) -> Path:
        return ROOT / self.name / f"{self.name}.py"

    def inputOf(self, panel):
        return getattr(panel._parameterNode, self.inputParameter)

    def resultOf(self, panel):
        return getattr(panel._parameterNode, self.resultParameter)


@pytest.fixture
def mainWindow():
    """Tests that must also pass without a main window are parametrized with it."""
    return True


withAndWithoutMainWindow = pytest.mark.parametrize("mainWindow", [True, False], ids=["main window", "no main window"])


@pytest.fixture
def host(mainWindow):
    """The stand-in host; anything that went wrong on it fails the test."""
    import hostapp
    import hosterrors
    import slicer

    uninstall = hostapp.install(mainWindow=mainWindow)
    previous = hosterrors.collectObserverErrors()
    hosterrors.clear()
    slicer.mrmlScene.Clear(0)
    yield hostapp
    uninstall()
    slicer.mrmlScene.Clear(0)
    sys.excepthook = previous
    assert hosterrors.problems() == []


def savedStudent(driven, tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "untrained.safetensors"
    driven.saveStudent(path)
    return path


@contextmanager
def openedPanel(host, driven, student, monkeypatch):
    """The module's widget, entered, on an empty scene; what it leaves behind fails the test."""
    import hostorphans
    import REACTDistillLib.shipped
    import slicer

    monkeypatch.setattr(REACTDistillLib.shipped, "demo_student", lambda task: student)
    ledger = hostorphans.ObserverLedger(slicer.mrmlScene)
    before = hostorphans.belongings(ledger)
    module, widget, place = host.openModule(driven.file)
    widget.module, widget.place = module, place  # a Python object: it takes any attribute
    host.processEvents()
    yield widget
    host.quitApplication()
    slicer.mrmlScene.Clear(0)
    host.processEvents(2.0, until=lambda: not hostorphans.belongings(ledger).leftSince(before))
    left = hostorphans.belongings(ledger).leftSince(before)
    ledger.stop()
    assert left == []


def loadedPhantom(host, panel):
    """What the module's phantom consists of, loaded while the panel is open: it chooses the nodes by itself."""
    nodes = panel.module._phantomNodes(seed=3)
    host.processEvents()
    return nodes


def fixturesOf(driven):
    """The fixtures ``student``, ``panel`` and ``phantom`` for the tests of one module."""

    @pytest.fixture(scope="module")
    def student(tmp_path_factory):
        return savedStudent(driven, tmp_path_factory)

    @pytest.fixture
    def panel(host, student, monkeypatch):
        with openedPanel(host, driven, student, monkeypatch) as widget:
            yield widget

    @pytest.fixture
    def phantom(host, panel):
        return loadedPhantom(host, panel)

    return student, panel, phantom


def run(host, widget, seconds=60.0):
    """Click Apply and wait for the end of the run."""
    widget.panel.bar.applyButton.click()
    waitUntilIdle(host, widget, seconds)


def startRun(host, widget):
    """Click Apply and wait for the worker; returns its process group."""
    bar = widget.panel.bar
    bar.applyButton.click()
    assert host.processEvents(30, until=lambda: bar.worker.processGroup is not None), "no worker was started"
    return bar.worker.processGroup


def waitUntilIdle(host, widget, seconds=60.0):
    assert host.processEvents(seconds, until=lambda: not widget.panel.bar.isBusy), "the job did not end"
    host.processEvents(0.05)


def cancelAtStage(widget, stage):
    """Cancel the coming run at the very event that tells the stage: a moment later the answer may be there."""
    bar = widget.panel.bar
    hear = bar.job.onEvent

    def hearAndCancel(event) -> None:
        hear(event)
        if event.get("stage") == stage and bar.applyButton.text == "Cancel":
            bar.applyButton.click()

    bar.job.onEvent = hearAndCancel


def saveAndReadAgain(host, widget, folder):
    """Save the scene, close it, which takes the result away, read it again and come back to the module."""
    import slicer

    path = str(folder / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert not widget.ui.resultButton.isVisibleTo(widget.place)
    assert slicer.mrmlScene.ReadFromMRB(path, True)
    widget.enter()
    host.processEvents()
    assert widget.ui.resultButton.isVisibleTo(widget.place)


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
