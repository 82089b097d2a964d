"""Stand-in for the layout manager: three slice views with real slice logics, and what their selectors do."""

from __future__ import annotations

import qt
import slicer
import vtk
from PySide6.QtCore import Property, Signal
from pythonqt import qtClass

_VIEWS = ("Red", "Yellow", "Green")
_LAYERS = ("Background", "Foreground", "Label")


class SliceView:
    """The part of a slice view that a panel may ask for; it draws nothing."""

    def __init__(self):
        self._interactor = vtk.vtkRenderWindowInteractor()

    def interactor(self):
        return self._interactor

    def forceRender(self):
        pass

    def scheduleRender(self):
        pass


class SliceWidget:
    def __init__(self, logic):
        self._logic, self._view = logic, SliceView()

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def sliceView(self):
        return self._view


@qtClass
class LayoutManager(qt.QObject):
    """Puts another volume into a layer when the one that is shown is removed, as the selectors of the views do."""

    layoutChanged = Signal(int)

    def __init__(self, applicationLogic):
        super().__init__()
        self._standInLayout = 0
        self._standInLogics = applicationLogic.GetSliceLogics()
        self._standInWidgets = {name: SliceWidget(self._sliceLogic(name, applicationLogic)) for name in _VIEWS}
        scene = slicer.mrmlScene
        self._standInLeaving = []
        self._standInTags = [
            scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onLeaving),
            scene.AddObserver(scene.NodeRemovedEvent, self._onLeft),
        ]

    def _sliceLogic(self, name, applicationLogic):
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(applicationLogic)
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.AddSliceNode(name)
        self._standInLogics.AddItem(logic)
        return logic

    def stop(self):
        for tag in self._standInTags:
            slicer.mrmlScene.RemoveObserver(tag)
        for widget in self._standInWidgets.values():
            logic = widget.sliceLogic()
            self._standInLogics.RemoveItem(logic)
            logic.SetMRMLScene(None)

    def sliceViewNames(self):
        return _VIEWS

    def sliceWidget(self, name):
        return self._standInWidgets.get(name)

    def mrmlSliceLogics(self):
        return self._standInLogics

    def setLayout(self, layout):
        self._standInLayout = layout
        self.layoutChanged.emit(layout)

    def resetSliceViews(self):
        pass

    threeDViewCount = Property(int, lambda self: 0)
    layout = Property(int, lambda self: self._standInLayout, setLayout)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onLeaving(self, caller, event, node):
        if caller.IsClosing() or not node.IsA("vtkMRMLScalarVolumeNode"):
            return
        for widget in self._standInWidgets.values():
            composite = widget.mrmlSliceCompositeNode()
            for layer in _LAYERS:
                if getattr(composite, f"Get{layer}VolumeID")() == node.GetID():
                    self._standInLeaving.append((composite, layer))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onLeft(self, caller, event, node):
        leaving, self._standInLeaving = self._standInLeaving, []
        for composite, layer in leaving:
            kind = "vtkMRMLLabelMapVolumeNode" if layer == "Label" else "vtkMRMLScalarVolumeNode"
            remaining = caller.GetFirstNodeByClass(kind)
            getattr(composite, f"Set{layer}VolumeID")(None if remaining is None else remaining.GetID())
