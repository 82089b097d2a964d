"""Slice and 3D views without a screen, drawn by the application's own displayable managers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

VIEW_NAME = "Report"
_SLICE_MANAGERS = ("vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLModelSliceDisplayableManager")
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
)


@contextmanager
def temporaryNodes() -> Iterator[None]:
    """Remove at the end every node that came into the scene inside."""
    before = {node.GetID() for node in _allNodes()}
    try:
        yield
    finally:
        for node in _allNodes():
            if node.GetID() not in before:
                slicer.mrmlScene.RemoveNode(node)


def _allNodes() -> list[Any]:
    nodes = slicer.mrmlScene.GetNodes()
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]


class _View:
    """A window of ``sizePixels`` (width, height) with the scene below and annotations above."""

    def __init__(self, sizePixels: tuple[int, int]) -> None:
        self.sizePixels = sizePixels
        self.renderer = vtk.vtkRenderer()
        self.annotations = vtk.vtkRenderer()
        self.annotations.SetLayer(1)
        self.annotations.InteractiveOff()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetSize(*sizePixels)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(self.renderer)
        self.window.AddRenderer(self.annotations)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        self._interactor.Initialize()
        self._interactor.UpdateSize(*sizePixels)

    def _manage(self, factory: Any, names: tuple[str, ...], viewNode: Any) -> None:
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.Initialize(factory, self.renderer)
        self._managers.SetMRMLDisplayableNode(viewNode)
        viewNode.SetMappedInLayout(1)

    def annotate(self, actors: list[Any]) -> None:
        """Replace the annotations."""
        self.annotations.RemoveAllViewProps()
        for actor in actors:
            self.annotations.AddViewProp(actor)

    def save(self, path: Path) -> Path:
        """Write the picture as PNG."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputConnection(grab.GetOutputPort())
        writer.Write()
        if writer.GetErrorCode() or not path.is_file():
            raise ValueError(
                f'the picture "{path}" could not be written; check the free space and the folder\'s rights.'
            )
        return path


class SliceView(_View):
    """One slice view: CT, foreground over it, outlines of segments and models."""

    def __init__(self, sizePixels: tuple[int, int], background: Any, foreground: Any, *, opacity: float) -> None:
        super().__init__(sizePixels)
        self.window.SetMultiSamples(8)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode(VIEW_NAME)
        self._manage(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _SLICE_MANAGERS, self.node)
        layers = self.logic.GetSliceCompositeNode()
        layers.SetBackgroundVolumeID(background.GetID())
        layers.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
        layers.SetForegroundOpacity(opacity)
        self._drawLayers()

    def _drawLayers(self) -> None:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(self.logic.GetImageDataConnection())
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)

    def look(self, orientation: str, centerRas: Sequence[float]) -> None:
        """Show the whole "Axial", "Coronal" or "Sagittal" slice through a point (world RAS mm)."""
        self.node.SetOrientation(orientation)
        self.logic.ResizeSliceNode(*self.sizePixels)
        self.logic.FitSliceToBackground(*self.sizePixels)
        self.node.JumpSliceByOffsetting(*centerRas)

    def toPixels(self, pointRas: Sequence[float]) -> tuple[float, float, float]:
        """Pixels (x, y from the lower left) of a point in world RAS mm, and its distance from the slice in mm."""
        rasToXy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS()))
        rasToSlice = np.linalg.inv(slicer.util.arrayFromVTKMatrix(self.node.GetSliceToRAS()))
        point = np.append(pointRas, 1.0)
        x, y = (rasToXy @ point)[:2]
        return float(x), float(y), float(abs((rasToSlice @ point)[2]))

    def close(self) -> None:
        """Let go of the scene, so that its nodes can be removed."""
        slicer.app.applicationLogic().GetSliceLogics().RemoveItem(self.logic)
        self._managers.SetMRMLDisplayableNode(None)
        self.logic.SetMRMLScene(None)


class ThreeDView(_View):
    """One 3D view with half-transparent surfaces sorted per pixel."""

    def __init__(self, sizePixels: tuple[int, int]) -> None:
        super().__init__(sizePixels)
        self.window.SetMultiSamples(0)
        self.window.SetAlphaBitPlanes(1)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddViewNode(VIEW_NAME)
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.node.SetUseDepthPeeling(True)
        self.node.SetOrientationMarkerType(slicer.vtkMRMLAbstractViewNode.OrientationMarkerTypeAxes)
        self.node.SetOrientationMarkerSize(slicer.vtkMRMLAbstractViewNode.OrientationMarkerSizeSmall)
        self._manage(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _THREE_D_MANAGERS, self.node)
        self.renderer.SetUseDepthPeeling(True)
        self.renderer.SetMaximumNumberOfPeels(6)
        self.renderer.SetOcclusionRatio(0.0)
        self.renderer.UseFXAAOn()

    def look(self, bounds: Sequence[float], *, backgroundColor: tuple[float, float, float]) -> None:
        """Look at a box (R, A, S in mm) from the front, a little from the patient's right and from above."""
        camera = self.renderer.GetActiveCamera()
        center = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        camera.SetFocalPoint(*center)
        camera.SetPosition(center[0] + 0.30, center[1] + 1.0, center[2] + 0.25)
        camera.SetViewUp(0.0, 0.0, 1.0)
        camera.SetViewAngle(24.0)
        self.node.SetBackgroundColor(*backgroundColor)
        self.node.SetBackgroundColor2(*backgroundColor)
        self.renderer.ResetCamera(bounds)
        camera.Zoom(1.6)  # the box touches the edges of the picture
        self.renderer.ResetCameraClippingRange()

    def toPixels(self, pointRas: Sequence[float]) -> tuple[float, float]:
        """Pixels (x, y from the lower left) of a point in world RAS mm."""
        self.renderer.SetWorldPoint(*pointRas, 1.0)
        self.renderer.WorldToDisplay()
        x, y, _ = self.renderer.GetDisplayPoint()
        return x, y

    def close(self) -> None:
        """Let go of the scene, so that its nodes can be removed."""
        slicer.app.applicationLogic().GetViewLogics().RemoveItem(self.logic)
        self._managers.SetMRMLDisplayableNode(None)
        self.logic.SetMRMLScene(None)
