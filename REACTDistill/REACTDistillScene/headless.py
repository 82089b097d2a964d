"""The slicer-core wheel made ready, so that everything in this package also runs outside the application."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from types import SimpleNamespace
from typing import Any

# Name in slicer.modules and class. Segmentations registers the converters between labelmaps and surfaces.
_MODULE_LOGICS = (
    ("Colors", "vtkSlicerColorLogic"),
    ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
    ("Volumes", "vtkSlicerVolumesLogic"),
    ("Terminologies", "vtkSlicerTerminologiesModuleLogic"),
    ("Segmentations", "vtkSlicerSegmentationsModuleLogic"),
    ("Markups", "vtkSlicerMarkupsLogic"),
    ("Models", "vtkSlicerModelsLogic"),
    ("Tables", "vtkSlicerTablesLogic"),
    ("Plots", "vtkSlicerPlotsLogic"),
    ("CropVolume", "vtkSlicerCropVolumeLogic"),
    ("Transforms", "vtkSlicerTransformLogic"),
    ("Texts", "vtkSlicerTextsLogic"),
    ("Sequences", "vtkSlicerSequencesLogic"),
    ("Units", "vtkSlicerUnitsLogic"),
)


def bootHeadless() -> Any:
    """``slicer.app``: the application's own where there is one, else a small stand-in made at the first call.

    Outside the application this makes the scene, the application logic and the module logics, and sets
    ``slicer.mrmlScene``, ``slicer.modules`` and ``slicer.app`` (with ``applicationLogic()``, no layout manager ...).
    A second call changes nothing. Raises ImportError when the slicer-core package is not installed.
    """
    if os.name == "posix" and not os.environ.get("DISPLAY"):
        # Without a display server VTK complains about X before it falls back to EGL; this goes to EGL at once.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    import slicer

    if getattr(slicer, "app", None) is None:
        _boot(slicer)
    return slicer.app


def _boot(slicer: Any) -> None:
    import vtk

    vtk.vtkObject.GlobalWarningDisplayOff()  # the wheel lacks terminology and color files and says so, once per logic
    folder = tempfile.mkdtemp(prefix="reactdistill-scene-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    scene = slicer.vtkMRMLScene()
    applicationLogic = _applicationLogic(slicer, vtk, scene, folder)
    logics = _moduleLogics(slicer, scene, applicationLogic)
    inputOutput = _remoteInputOutput(slicer, scene, applicationLogic, folder)
    vtk.vtkObject.GlobalWarningDisplayOn()
    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(
        **{name.lower(): SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    )
    slicer.app = SimpleNamespace(
        mrmlScene=lambda: scene,
        applicationLogic=lambda: applicationLogic,
        layoutManager=lambda: None,
        mainWindow=lambda: None,
        processEvents=lambda *_: None,
        testingEnabled=lambda: True,
        temporaryPath=folder,
        kept=inputOutput,  # VTK frees what Python does not hold
    )


def _applicationLogic(slicer: Any, vtk: Any, scene: Any, folder: str) -> Any:
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetTemporaryPath(folder)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    return logic


def _moduleLogics(slicer: Any, scene: Any, applicationLogic: Any) -> dict[str, Any]:
    logics = {}
    for name, className in _MODULE_LOGICS:
        logic = getattr(slicer, className)()
        logic.SetMRMLScene(scene)
        logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.SetModuleLogic(name, logic)
        logics[name] = logic
    return logics


def _remoteInputOutput(slicer: Any, scene: Any, applicationLogic: Any, folder: str) -> tuple[Any, Any]:
    """What the scene needs to write and read bundles (.mrb)."""
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.SetMRMLApplicationLogic(applicationLogic)
    remote.GetCacheManager().SetRemoteCacheDirectory(folder)
    remote.AddDataIOToScene()
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLScene(scene)
    manager.SetMRMLApplicationLogic(applicationLogic)
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    return remote, manager
