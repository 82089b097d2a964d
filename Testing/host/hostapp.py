"""Stand-in for the application: real MRML scene, Qt widgets on PySide6, and a loader of scripted modules.

Not the application: what is proven here must be seen once in 3D Slicer too.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
import types
import unittest
from pathlib import Path

import hostparameters
import hostwidgets
import qt
import slicer
from PySide6.QtCore import Signal
from REACTDistillScene.headless import bootHeadless


class Application(qt.QObject):
    """What modules ask ``slicer.app`` for; the rest comes from the headless application."""

    startupCompleted = Signal()

    def __init__(self, core, *, mainWindow):
        super().__init__()
        self._core, self._modules = core, {}
        self._layoutManager = LayoutManager() if mainWindow else None
        self.applicationName = "Host"
        self.temporaryPath = tempfile.mkdtemp(prefix="reactdistill-host-")
        self._settings = qt.QSettings(str(Path(self.temporaryPath) / "host.ini"), qt.QSettings.IniFormat)

    def mrmlScene(self):
        return slicer.mrmlScene

    def applicationLogic(self):
        return self._core.applicationLogic()

    def layoutManager(self):
        return self._layoutManager

    def settings(self):
        return self._settings

    def testingEnabled(self):
        return True

    def processEvents(self, *_):
        qt.application.processEvents()

    def setOverrideCursor(self, *_):
        pass

    def restoreOverrideCursor(self):
        pass


class LayoutManager:
    """Three slice views, each with a real composite node."""

    def __init__(self):
        self.layout = 0
        self._composites = {}

    def sliceViewNames(self):
        return ("Red", "Yellow", "Green")

    def sliceWidget(self, name):
        node = self._composites.get(name)
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            node = slicer.vtkMRMLSliceCompositeNode()
            node.SetSingletonTag(name)
            node = self._composites[name] = slicer.mrmlScene.AddNode(node)
        return types.SimpleNamespace(mrmlSliceCompositeNode=lambda: node)


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent, self.moduleName = parent, type(self).__name__
        parent.title, parent.categories, parent.dependencies, parent.contributors = "", [], [], []
        parent.helpText = parent.acknowledgementText = ""


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent, self.layout = parent, parent.layout()

    def resourcePath(self, name):
        return str(Path(sys.modules[self.moduleName].__file__).parent / "Resources" / name)

    def setup(self):
        pass

    def cleanup(self):
        pass

    def onReload(self):
        """As in the application: cleanup, new module, new widget, setup; neither exit nor enter."""
        self.cleanup()
        for child in self.parent.children():
            if child.isWidgetType():
                self.layout.removeWidget(child)
                child.deleteLater()
        module = importModule(Path(sys.modules[self.moduleName].__file__))
        widget = getattr(module, f"{self.moduleName}Widget")(self.parent)
        setattr(slicer.modules, f"{self.moduleName}Widget", widget)
        widget.setup()


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def runTest(self):
        pass


class Panel(hostwidgets.qMRMLWidget):
    """The place of a module's widget in the application."""

    def __init__(self):
        super().__init__()
        self.isEntered = False
        qt.QVBoxLayout(self)


def install(*, mainWindow):
    """Put the stand-ins where modules look for them; returns a function that takes them away again."""
    core = bootHeadless()
    hostwidgets.install()
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for standIn in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(scripted, standIn.__name__, standIn)
    translations = types.ModuleType("slicer.i18n")
    translations.tr = lambda text: text
    translations.translate = lambda context, text: text
    sys.modules["slicer.ScriptedLoadableModule"] = scripted
    sys.modules["slicer.i18n"] = translations
    sys.modules["slicer.parameterNodeWrapper"] = hostparameters
    slicer.app = Application(core, mainWindow=mainWindow)

    def uninstall():
        slicer.app = core

    return uninstall


def importModule(path):
    """Import a module file as the application does, replacing an earlier import."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


def openModule(path):
    """Module, widget and panel of a scripted module, set up and entered."""
    module = importModule(path)
    description = types.SimpleNamespace(path=str(path))
    getattr(module, path.stem)(description)
    if not description.title:
        raise RuntimeError("Failed to retrieve module title")
    panel = Panel()
    panel.setMRMLScene(slicer.mrmlScene)
    widget = getattr(module, f"{path.stem}Widget")(panel)
    setattr(slicer.modules, f"{path.stem}Widget", widget)
    try:
        widget.setup()
    finally:  # the application enters a half-built panel too
        panel.isEntered = True
        widget.enter()
    return module, widget, panel


def processEvents(seconds=0.0, *, until=lambda: False):
    """Let the application work until the condition holds or the time is over; True when the condition holds."""
    end = time.monotonic() + seconds
    while True:
        qt.application.sendPostedEvents()
        qt.application.processEvents()
        if until() or time.monotonic() >= end:
            return until()
        time.sleep(0.005)
