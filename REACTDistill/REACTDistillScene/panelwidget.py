"""What the widgets of all modules share: the life of a panel, and of the parameter node that it shows."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import slicer
import vtk

# Typed as anything, because the application's classes come behind this one in the bases of a module's widget.
_Widget: Any = object
_SHARED_PACKAGES = ("REACTDistillLib", "REACTDistillScene")


class Panel(Protocol):
    """What a widget asks of its panel; ``parameters`` is None while the user is elsewhere or a scene is read."""

    parameters: Any

    def show(self) -> None:
        """Show the parameters; called once after any number of changes."""

    def leave(self) -> None:
        """The user goes to another module."""

    def closeScene(self) -> None:
        """The scene is about to be closed."""

    def close(self) -> None:
        """End everything; for ``cleanup``."""


class PanelWidget(_Widget):
    """Life cycle and parameter node of a module's widget; what is in it belongs to its panel.

    class XWidget(PanelWidget, ScriptedLoadableModuleWidget, VTKObservationMixin): a module adds ``makeLogic`` and
    ``makePanel``; its widgets are in Resources/UI/X.ui. The application may call every method after ``setup`` failed
    half-way, and ``setup`` without ``enter``. ``logic``, ``ui`` and ``panel`` are None before ``setup``.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        slicer.util.VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.ui: Any = None
        self.panel: Panel | None = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._updateTimer: Any = None
        self._wasConnected = False

    # What a module adds

    def makeLogic(self) -> Any:
        """The module's logic; its ``getParameterNode()`` returns the parameter node in its wrapper."""
        raise NotImplementedError(f"{type(self).__name__} must say what its logic is")

    def makePanel(self) -> Panel:
        """The panel in the widgets ``self.ui``."""
        raise NotImplementedError(f"{type(self).__name__} must say what its panel is")

    # Life cycle

    def setup(self) -> None:
        import qt

        super().setup()
        uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = self.makeLogic()
        # Exceptions in VTK observers pass unnoticed, so the work is done in the slot of a timer.
        self._updateTimer = qt.QTimer()
        self._updateTimer.setSingleShot(True)
        self._updateTimer.connect("timeout()", self.updateGUI)
        self.panel = self.makePanel()
        self._observeScene(slicer.mrmlScene)
        self.initializeParameterNode()

    def enter(self) -> None:
        if self.panel is not None:
            self.initializeParameterNode()

    def exit(self) -> None:
        if self.panel is not None:
            self.panel.leave()
        self.setParameterNode(None)

    def cleanup(self) -> None:
        if self.panel is not None:
            self.panel.close()
        if self._updateTimer is not None:
            self._updateTimer.stop()
            self._updateTimer.disconnect("timeout()", self.updateGUI)
        self.setParameterNode(None)
        self.panel = None
        self.removeObservers()

    def onReload(self) -> None:
        """Reload the module with the shared code as it is now; other modules keep theirs until they are reloaded."""
        for name in [name for name in sys.modules if name.split(".")[0] in _SHARED_PACKAGES]:
            del sys.modules[name]
        super().onReload()  # runs the file of the module again, which imports the new one of this class

    # Scene

    def _observeScene(self, scene: Any) -> None:
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.StartImportEvent, self.disconnect)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.reconnect)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self._updateLater)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        if self.panel is not None:
            self.panel.closeScene()
        self.disconnect()

    def disconnect(self, caller: Any = None, event: Any = None) -> None:
        """Let go of the parameters: while a scene is read they name nodes that are not there yet."""
        self._wasConnected = self._wasConnected or self._parameterNode is not None
        self.setParameterNode(None)

    def reconnect(self, caller: Any, event: Any) -> None:
        """Take the parameters of the scene as it is now, if the module had any before ``disconnect``."""
        if self._wasConnected:
            self._wasConnected = False
            self.initializeParameterNode()

    # Parameters

    def initializeParameterNode(self) -> None:
        self.setParameterNode(self.logic.getParameterNode())
        self._updateLater()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Connect the widgets and the panel to the parameters, None for none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateLater)
        self._parameterNode = parameterNode
        if self.panel is not None:
            self.panel.parameters = parameterNode
        if self._parameterNode is not None:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateLater)

    def currentParameters(self) -> Any:
        """The parameters also while the user is elsewhere, for results that come then."""
        return self._parameterNode or self.logic.getParameterNode()

    def updateGUI(self) -> None:
        """Show the parameters; called once after any number of changes."""
        if self.panel is not None:
            self.panel.show()

    def _updateLater(self, caller: Any = None, event: Any = None) -> None:
        self._updateTimer.start()
