"""What the self-tests of all modules share; ``test`` is a ``ScriptedLoadableModuleTest``."""
# ruff: noqa: PT009 - the self-test runs inside the application, where there is no pytest

from __future__ import annotations

import logging
import time
import unittest
from collections.abc import Iterable
from typing import Any

import slicer
import vtk


def runAll(test: Any) -> None:
    """Run the methods ``test_...`` in alphabetical order, each after a ``setUp``; skip when one of them was skipped."""
    reasons = []
    for name in dir(test):
        if name.startswith("test_"):
            test.setUp()
            try:
                getattr(test, name)()
            except unittest.SkipTest as reason:
                reasons.append(f"{name}: {reason}")
    if not reasons:
        return
    application = getattr(slicer, "app", None)
    if application is None or application.testingEnabled():
        test.skipTest("; ".join(reasons))
    logging.warning("Skipped: %s", "; ".join(reasons))  # "Reload and Test" shows a skipped test as a failure


def moveToTheRight(nodes: Iterable[Any], distanceMm: float) -> Any:
    """The new linear transform under which the nodes lie now."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, distanceMm)
    transform.SetMatrixTransformToParent(matrix)
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def shownWidget(moduleName: str) -> Any:
    """The widget of a module, made if need be, with the panel up to date."""
    widget = slicer.util.getModuleWidget(moduleName)
    widget.initializeParameterNode()
    widget.updateGUI()
    return widget


def cancelThenRun(test: Any, bar: Any, resultClassName: str) -> None:
    """Cancel a run, which must leave no node of the class in the scene, and then let one come to its end."""
    bar.applyButton.click()
    test.assertTrue(bar.isBusy, bar.status)
    bar.applyButton.click()
    waitUntilIdle(test, bar)
    test.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass(resultClassName), 0)
    bar.applyButton.click()
    waitUntilIdle(test, bar)


def waitUntilIdle(test: Any, bar: Any, seconds: float = 120.0) -> None:
    """Let the application work until the run in the bar has ended; the test fails when that takes longer."""
    end = time.monotonic() + seconds
    while bar.isBusy:
        test.assertLess(time.monotonic(), end, bar.status)
        slicer.app.processEvents()
        time.sleep(0.01)
