"""Stand-in for the application: real MRML scene, Qt widgets on PySide6, and a loader of scripted modules.

Not the application: what is proven here must be seen once in 3D Slicer too.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import time
import types
from pathlib import Path

import hostfiles
import hostmodules
import hostparameters
import hostscene
import hostscripted
import hostsegments
import hostwidgets
import qt
import slicer
from hosteditor import qMRMLSegmentEditorWidget
from hostlayout import LayoutManager
from hostmodules import importModule
from PySide6.QtCore import Property, Signal
from pythonqt import qtClass
from REACTDistillScene.headless import bootHeadless

__all__ = ["importModule", "install", "openModule", "processEvents", "quitApplication", "restartSettings"]

_TURN_MS = 5  # how often a condition is looked at


@qtClass
class ModuleSelector(qt.QObject):
    def selectModule(self, name):
        slicer.app.moduleManager().selectModule(name)

    selectedModule = Property(str, lambda self: slicer.app.moduleManager().selected())


@qtClass
class MainWindow(qt.QWidget):
    def __init__(self):
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self._standInSelector = ModuleSelector()

    def moduleSelector(self):
        return self._standInSelector

    def statusBar(self):
        return None


@qtClass
class Application(qt.QObject):
    """What modules ask ``slicer.app`` for; the rest comes from the headless application."""

    startupCompleted = Signal()

    def __init__(self, core, *, mainWindow):
        super().__init__()
        self._standInCore, self._standInModules = core, hostmodules.ModuleManager()
        self._standInFolder = tempfile.mkdtemp(prefix="reactdistill-host-")
        atexit.register(shutil.rmtree, self._standInFolder, ignore_errors=True)
        qt.QSettings.file = str(Path(self._standInFolder) / "settings-1.ini")
        self._standInFiles, self._standInExitCode = hostfiles.FileManager(), None
        self._standInOptions = types.SimpleNamespace(
            testingEnabled=True, noMainWindow=not mainWindow, runPythonAndExit=True
        )
        self._standInLayoutManager = LayoutManager(core.applicationLogic()) if mainWindow else None
        self._standInMainWindow = MainWindow() if mainWindow else None

    def mrmlScene(self):
        return slicer.mrmlScene

    def applicationLogic(self):
        return self._standInCore.applicationLogic()

    def moduleManager(self):
        return self._standInModules

    def layoutManager(self):
        return self._standInLayoutManager

    def mainWindow(self):
        return self._standInMainWindow

    def topLevelWidgets(self):
        return () if self._standInMainWindow is None else (self._standInMainWindow,)

    def coreIOManager(self):
        return self._standInFiles

    ioManager = coreIOManager

    def commandOptions(self):
        return self._standInOptions

    def settings(self):
        return qt.QSettings()

    userSettings = settings

    def testingEnabled(self):
        return True

    def processEvents(self, *_):
        qt.application.processEvents()

    def exit(self, code=0):
        self._standInExitCode = code

    def exitCode(self):
        return self._standInExitCode

    def setOverrideCursor(self, *_):
        pass

    def restoreOverrideCursor(self):
        pass

    applicationName = Property(str, lambda self: "Host")
    temporaryPath = Property(str, lambda self: self._standInFolder)
    cachePath = Property(str, lambda self: self._standInFolder)
    slicerUserSettingsFilePath = Property(str, lambda self: qt.QSettings.file)
    majorVersion, minorVersion = Property(int, lambda self: 5), Property(int, lambda self: 13)
    isInstalled = Property(bool, lambda self: False)


def _packageStandIns():
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("Module", "ModuleWidget", "ModuleLogic", "ModuleTest"):
        standIn = getattr(hostscripted, f"ScriptedLoadable{name}")
        setattr(scripted, standIn.__name__, standIn)
    translations = types.ModuleType("slicer.i18n")
    translations.tr = lambda text: text
    translations.translate = lambda context, text: text
    for name, standIn in (
        ("ScriptedLoadableModule", scripted),
        ("i18n", translations),
        ("parameterNodeWrapper", hostparameters),
    ):
        sys.modules[f"slicer.{name}"] = standIn
        setattr(slicer, name, standIn)


def install(*, mainWindow):
    """Put the stand-ins where modules look for them; returns a function that takes them away again."""
    core = bootHeadless()
    hostwidgets.install(
        hostwidgets.qMRMLWidget,
        hostwidgets.qMRMLNodeComboBox,
        hostwidgets.qMRMLCheckableNodeComboBox,
        hostwidgets.qMRMLSliderWidget,
        hostsegments.qMRMLSegmentSelectorWidget,
        hostsegments.qMRMLSegmentsTableView,
        qMRMLSegmentEditorWidget,
    )
    _packageStandIns()
    slicer.qSlicerScriptedLoadableModuleWidget = hostmodules.ModulePanel
    slicer.qSlicerScriptedLoadableModule = hostmodules.ScriptedModule
    waiting, slicer.util.delayDisplay = slicer.util.delayDisplay, lambda message, *_, **__: print(message)
    slicer.app = application = Application(core, mainWindow=mainWindow)
    for name in application.moduleManager().loadedModuleNames():
        if not hasattr(slicer.modules, name.lower()):
            setattr(slicer.modules, name.lower(), application.moduleManager().module(name))
    items = hostscene.SubjectHierarchyItems(slicer.mrmlScene)

    def uninstall():
        quitApplication()
        items.stop()
        if mainWindow:
            application.layoutManager().stop()
        slicer.app, slicer.util.delayDisplay = core, waiting
        shutil.rmtree(application.temporaryPath)

    return uninstall


def openModule(path):
    """Module, widget and panel of a scripted module, loaded, set up and entered.

    Raises RuntimeError when the module cannot be loaded.
    """
    manager = slicer.app.moduleManager()
    if path.stem not in manager.load([path]):
        raise RuntimeError(f"module {path.stem} was not loaded")
    slicer.app.startupCompleted.emit()
    panel = manager.module(path.stem).widgetRepresentation()
    manager.selectModule(path.stem)
    return sys.modules[path.stem], panel.self(), panel


def quitApplication():
    """What the end of the application does: exit of the current module, cleanup of every one that was opened."""
    manager = slicer.app.moduleManager()
    for name in reversed(manager.loadedModuleNames()):
        manager.unload(name)
    processEvents()


def restartSettings():
    """The settings as the next start of the application finds them: booleans and numbers have become text."""
    qt.QSettings().sync()
    old = Path(qt.QSettings.file)
    number = int(old.stem.rpartition("-")[2]) + 1
    new = old.with_name(f"settings-{number}.ini")
    if old.exists():
        shutil.copyfile(old, new)
    qt.QSettings.file = str(new)


def processEvents(seconds=0.0, *, until=lambda: False):
    """Let the application work until the condition holds or the time is over; True when the condition holds."""
    end = time.monotonic() + seconds
    while True:
        qt.application.sendPostedEvents(None, qt.QtCore.QEvent.Type.DeferredDelete.value)
        qt.application.sendPostedEvents()
        qt.application.processEvents()
        if until() or time.monotonic() >= end:
            return until()
        _runEventLoop(_TURN_MS)


def _runEventLoop(milliseconds):
    """Events are handled as they come, as in the application; a pause would add itself to all that is measured."""
    loop = qt.QtCore.QEventLoop()
    qt.QtCore.QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()
