"""Stand-in for the application's modules: finding, loading, selecting, reloading and unloading them."""

from __future__ import annotations

import importlib.util
import sys
import traceback
import types
from pathlib import Path

import hosterrors
import qt
import slicer
from hosteditor import qMRMLSegmentEditorWidget
from hostwidgets import qMRMLWidget
from PySide6.QtCore import Signal
from pythonqt import qtClass

# Modules of the application itself that others may depend on or switch to.
_BUILT_IN = ("Data", "Welcome", "Volumes", "Segmentations", "SegmentEditor", "SampleData", "Tables", "Models")


def importModule(path):
    """Import a module file as the application does, replacing an earlier import."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


@qtClass
class ModulePanel(qMRMLWidget):
    """The place of a scripted module's widget in the application (``widget.parent``)."""

    def __init__(self, module):
        super().__init__()
        self._standInEntered, self._standInModule, self._standInWidget = False, module, None
        qt.QVBoxLayout(self)

    def self(self):
        return self._standInWidget

    def reload(self):
        """A new widget of the class as it is now, set up; a half-built one stays."""
        widget = getattr(sys.modules[self._standInModule.name], f"{self._standInModule.name}Widget")(self)
        self._standInWidget = widget
        setattr(slicer.modules, f"{self._standInModule.name}Widget", widget)
        _called(widget.setup)

    def enterModule(self):
        self._standInEntered = True
        _called(getattr(self._standInWidget, "enter", None))

    def exitModule(self):
        self._standInEntered = False
        _called(getattr(self._standInWidget, "exit", None))

    isEntered = qt.QtCore.Property(bool, lambda self: self._standInEntered)


def _called(method):
    """Exceptions of a module's life cycle are printed, go on, and make the exit code 1."""
    if method is None:
        return
    try:
        method()
    except Exception as error:  # noqa: BLE001 - the application goes on, whatever a module raises
        hosterrors.report(error)


class ScriptedModule:
    """Description of a scripted module (``module.parent`` and ``slicer.modules.<name>``)."""

    def __init__(self, path):
        self.path, self.name = str(path), Path(path).stem
        self.title, self.dependencies, self.hidden = "", [], False
        self._panel = None

    def widgetRepresentation(self):
        """The panel; made and set up, but not entered, when it is first asked for."""
        if self._panel is None:
            self._panel = ModulePanel(self)
            self._panel.setMRMLScene(slicer.mrmlScene)
            self._panel.reload()
        return self._panel

    def hasWidget(self):
        return self._panel is not None

    def forgetWidget(self):
        self._panel = None

    def logic(self):
        return slicer.vtkSlicerScriptedLoadableModuleLogic() if _hasScriptedLogic() else None


def _hasScriptedLogic():
    return hasattr(slicer, "vtkSlicerScriptedLoadableModuleLogic")


class BuiltInModule(ScriptedModule):
    """A module of the application itself; the segment editor has its widget."""

    def widgetRepresentation(self):
        if self._panel is None:
            self._panel = ModulePanel(self)
            if self.name == "SegmentEditor":
                self._panel._standInWidget = _segmentEditorModule()
                slicer.modules.SegmentEditorWidget = self._panel.self()
        return self._panel


def _segmentEditorModule():
    editor = qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    widget = types.SimpleNamespace(editor=editor)

    def enter():
        editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNode(node))

    def leave():
        editor.setActiveEffect(None)

    widget.enter, widget.exit = enter, leave
    enter()
    return widget


@qtClass
class ModuleManager(qt.QObject):
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self):
        super().__init__()
        self._standInModules = {name: BuiltInModule(f"{name}.py") for name in _BUILT_IN}
        self._standInSelected = "Welcome"

    def module(self, name):
        return self._standInModules.get(name)

    def factoryManager(self):
        return self

    def loadedModuleNames(self):
        return tuple(self._standInModules)

    def isLoaded(self, name):
        return name in self._standInModules

    def load(self, paths):
        """Load module files as at start-up; returns the names of those that are there afterwards.

        A module that raises, has no title or lacks a declared dependency is left out without an error.
        """
        paths = sorted((Path(path) for path in paths), key=lambda path: path.stem)
        for path in paths:  # all folders are there before the first module is imported
            if str(path.parent) not in sys.path:
                sys.path.append(str(path.parent))
        constructed = [module for module in map(_constructed, paths) if module is not None]
        missing = True
        while missing:
            known = {*self._standInModules, *(module.name for module in constructed)}
            missing = [module for module in constructed if set(module.dependencies) - known]
            for module in missing:
                print(f'When loading module "{module.name}", a dependency failed to be loaded.', file=sys.stderr)
                constructed.remove(module)
        for module in constructed:
            self._standInModules[module.name] = module
            setattr(slicer.modules, module.name.lower(), module)
        return [module.name for module in constructed]

    def unload(self, name):
        """End a module: exit when it is the current one, cleanup when it was ever opened, and forget it."""
        module = self._standInModules[name]
        if module.hasWidget():
            if module.widgetRepresentation().isEntered:
                module.widgetRepresentation().exitModule()
            self.moduleAboutToBeUnloaded.emit(name)
            module.widgetRepresentation().deleteLater()
            module.forgetWidget()
        if not isinstance(module, BuiltInModule):
            del self._standInModules[name]
            for attribute in (name.lower(), f"{name}Widget"):
                if hasattr(slicer.modules, attribute):
                    delattr(slicer.modules, attribute)

    def selectModule(self, name):
        """Leave the current module, then make and enter the other one; an unknown name does nothing."""
        current, other = self.module(self._standInSelected), self.module(name)
        if name == self._standInSelected:
            return
        if current is not None and current.hasWidget():
            current.widgetRepresentation().exitModule()
        self._standInSelected = name
        if other is not None:
            other.widgetRepresentation().enterModule()

    def selected(self):
        return self._standInSelected


def _constructed(path):
    """Description of a module that was imported and constructed; None when that raised or gave no title."""
    description = ScriptedModule(path)
    hidden, slicer.modules = slicer.modules, types.SimpleNamespace()  # a constructor sees no module at all
    try:
        getattr(importModule(path), path.stem)(description)
    except Exception:  # noqa: BLE001 - the application prints it and goes on without the module
        traceback.print_exc()
        return None
    finally:
        slicer.modules = hidden
    if not description.title:
        print(f'Failed to retrieve module title: "{path.stem}"', file=sys.stderr)
        return None
    return description
