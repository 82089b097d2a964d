"""REACTDistill: grade of liver tumors on CT by a distilled student network, with heat map and region graph."""
# ruff: noqa: PT009, PT027 - the self-test runs inside the application, where there is no pytest

import importlib.util
import logging
import sys
import time
from typing import Annotated

import slicer
import vtk
from slicer import vtkMRMLModelNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class REACTDistill(ScriptedLoadableModule):
    """Module: what the application shows of it; does no work."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("REACTDistill")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = []
        parent.contributors = ["REACTDistill developers (REACTDistill project)"]
        parent.helpText = _(
            "Grades liver tumors on contrast-enhanced CT with a distilled student network and shows which regions the "
            'grade rests on. Research software, not a medical device. See the <a href="{url}">documentation</a>.'
        ).format(url="https://github.com/REACTDistill/REACTDistill")
        parent.acknowledgementText = _("Students are distilled from PET/CT teachers by the REACT-KD method.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the samples of this module once all modules are there."""
    from REACTDistillScene import sampledata

    sampledata.registerSampleData()


@parameterNodeWrapper
class REACTDistillParameterNode:
    """The user's choices and the nodes of the latest result.

    Segment IDs are text, those of tumors a JSON list. ``student`` is the SHA-256 of the tensors of a student, "" for
    the demo student; ``shownClass`` the class whose evidence is shown, "" for the one predicted.
    """

    ctVolume: vtkMRMLScalarVolumeNode
    petVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    liverSegmentID: str
    tumorSegmentIDs: str
    student: str
    shownClass: str
    liveGrading: bool = False
    showAttention: bool = True
    attentionOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.6
    showGraph: bool = True
    resultCT: vtkMRMLScalarVolumeNode
    resultTable: vtkMRMLTableNode
    resultRegionTable: vtkMRMLTableNode
    resultAttention: vtkMRMLScalarVolumeNode
    resultGraph: vtkMRMLModelNode


class REACTDistillLogic(ScriptedLoadableModuleLogic):
    """Grading without a panel: from the Python console, from scripts and from other modules."""

    def getParameterNode(self):
        node = super().getParameterNode()
        try:
            return REACTDistillParameterNode(node)
        except ValueError as error:  # a scene written by another version
            logging.warning("REACTDistill: the parameters in the scene were reset to defaults (%s).", error)
            node.UnsetAllParameters()
            return REACTDistillParameterNode(node)

    def process(
        self,
        ctVolume,
        segmentation,
        liverSegmentId,
        tumorSegmentId=None,
        student=None,
        *,
        petVolume=None,
        device="auto",
        shownClass=None,
        progress=None,
    ):
        """Grade and show the result; returns (Finding, FindingNodes).

        ``tumorSegmentId`` is a segment ID, a list of them or None; ``student`` a path or None for the demo student;
        ``shownClass`` the class that the heat map is made for, None for the one predicted.
        ``progress(stage, done, total)`` is called between steps. Blocks until done; ValueError if inputs do not fit.
        """
        from REACTDistillLib.predict import predict
        from REACTDistillLib.shipped import demo_student
        from REACTDistillScene.cases import caseFromNodes
        from REACTDistillScene.results import showFinding

        case = caseFromNodes(ctVolume, segmentation, liverSegmentId, tumorSegmentId, petVolume=petVolume)
        student = student or demo_student("grade")
        finding = predict(case, student, device=device, progress=progress, shown_class=shownClass)
        return finding, showFinding(finding, ctVolume)


class REACTDistillWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Widget: its life cycle and the parameter node; what is in it belongs to ``GradePanel``."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.ui = self.panel = None
        self._parameterNode = self._parameterNodeGuiTag = self._updateTimer = None
        self._wasConnected = False

    def setup(self):
        import qt
        from REACTDistillScene.gradepanel import GradePanel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/REACTDistill.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = REACTDistillLogic()
        # Exceptions in VTK observers pass unnoticed, so the work is done in the slot of a timer.
        self._updateTimer = qt.QTimer()
        self._updateTimer.setSingleShot(True)
        self._updateTimer.connect("timeout()", self.updateGUI)
        self.panel = GradePanel(self.ui, self._currentParameters)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.StartImportEvent, self.disconnect)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.reconnect)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self._updateLater)
        self.initializeParameterNode()

    # Life cycle

    def enter(self):
        if self.panel is not None:  # setup() may have failed half-way
            self.initializeParameterNode()

    def exit(self):
        if self.panel is not None:
            self.panel.leave()
        self.setParameterNode(None)

    def cleanup(self):
        if self.panel is not None:
            self.panel.close()
        if self._updateTimer is not None:
            self._updateTimer.stop()
            self._updateTimer.disconnect("timeout()", self.updateGUI)
        self.setParameterNode(None)
        self.panel = None
        self.removeObservers()

    def onReload(self):
        for name in [n for n in sys.modules if n.split(".")[0] in ("REACTDistillLib", "REACTDistillScene")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        self.panel.closeScene()
        self.disconnect()

    # Parameters

    def disconnect(self, caller=None, event=None):
        """Let go of the parameters: while a scene is read they name nodes that are not there yet."""
        self._wasConnected = self._wasConnected or self._parameterNode is not None
        self.setParameterNode(None)

    def reconnect(self, caller, event):
        if self._wasConnected:
            self._wasConnected = False
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        self._updateLater()

    def setParameterNode(self, parameterNode):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateLater)
        self._parameterNode = parameterNode
        if self.panel is not None:
            self.panel.parameters = parameterNode
        if self._parameterNode is not None:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateLater)

    def updateGUI(self):
        """Show the parameters; called once after any number of changes."""
        if self.panel is not None:
            self.panel.show()

    def _currentParameters(self):
        return self._parameterNode or self.logic.getParameterNode()

    def _updateLater(self, caller=None, event=None):
        self._updateTimer.start()


class REACTDistillTest(ScriptedLoadableModuleTest):
    """Self-test on a phantom: the same nodes, the same grading and the same panel as for a patient."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        for name in dir(self):
            if name.startswith("test_"):
                self.setUp()
                getattr(self, name)()

    def test_phantomIsGradedUnderATransform(self):
        if importlib.util.find_spec("torch") is None:
            self.skipTest("torch is not installed in the application: only the worker can grade")
        ctVolume, segmentation = _phantomNodes(seed=3)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        for node in (ctVolume, segmentation):
            node.SetAndObserveTransformNodeID(transform.GetID())
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 30.0)  # mm to the right
        transform.SetMatrixTransformToParent(matrix)
        finding, nodes = REACTDistillLogic().process(ctVolume, segmentation, "liver", ["tumor"], device="cpu")
        self.assertAlmostEqual(sum(finding.probabilities.values()), 1.0, places=5)
        self.assertGreaterEqual(len(finding.graph.names), 4)
        self.assertEqual(nodes.attention.GetTransformNodeID(), transform.GetID())
        self.assertEqual(nodes.attention.GetSpacing(), ctVolume.GetSpacing())
        inner, outer = [0.0] * 6, [0.0] * 6
        nodes.attention.GetRASBounds(inner)
        ctVolume.GetRASBounds(outer)
        for axis in (0, 2, 4):
            self.assertGreaterEqual(inner[axis], outer[axis] - 0.01)
            self.assertLessEqual(inner[axis + 1], outer[axis + 1] + 0.01)
        self.assertGreater(nodes.table.GetNumberOfRows(), 3)
        self.assertGreater(nodes.graph.GetPolyData().GetNumberOfPoints(), 0)

    def test_wrongInputIsRefusedWithOneSentence(self):
        ctVolume, segmentation = _phantomNodes(seed=3)
        with self.assertRaises(ValueError) as refusal:
            REACTDistillLogic().process(ctVolume, segmentation, "no such segment")
        self.assertIn("no such segment", str(refusal.exception))

    def test_panelGradesInTheWorkerAndCanBeCanceled(self):
        from REACTDistillScene import packages

        if packages.missingPackages():
            self.skipTest("torch or safetensors is not installed: the worker cannot grade")
        ctVolume, _segmentation = _phantomNodes(seed=3)
        widget = slicer.util.getModuleWidget("REACTDistill")
        widget.initializeParameterNode()
        widget.updateGUI()
        bar = widget.panel.bar
        bar.applyButton.click()
        self.assertTrue(bar.isBusy, bar.status)
        bar.applyButton.click()
        self._wait(bar)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode"), 0)
        bar.applyButton.click()
        self._wait(bar)
        parameters = widget.logic.getParameterNode()
        self.assertIsNotNone(parameters.resultTable, bar.status)
        self.assertEqual(parameters.resultCT.GetID(), ctVolume.GetID())
        self.assertEqual(parameters.resultAttention.GetSpacing(), ctVolume.GetSpacing())

    def _wait(self, bar, seconds=120.0):
        end = time.monotonic() + seconds
        while bar.isBusy:
            self.assertLess(time.monotonic(), end, bar.status)
            slicer.app.processEvents()
            time.sleep(0.01)


def _phantomNodes(seed):
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillScene.segments import segmentationFromMasks
    from REACTDistillScene.volumes import nodeFromVolume

    case = phantom_case(seed)
    ctVolume = nodeFromVolume(case.sequences["ct"], "Phantom CT")
    segmentation = segmentationFromMasks(case.regions, ctVolume)
    return ctVolume, segmentation
