"""REACTDistill: grade of liver tumors on CT by a distilled student network, with heat map and region graph."""
# ruff: noqa: PT009, PT027 - the self-test runs inside the application, where there is no pytest

import json
import logging
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import ctk
import qt
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

DEVICES = ("auto", "cpu", "cuda")
DEVICE_SETTING = "REACTDistill/Device"


class REACTDistill(ScriptedLoadableModule):
    """Module: what the application shows of it; does no work."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("REACTDistill")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = []
        parent.contributors = ["REACTDistill developers"]
        parent.helpText = _(
            "Grades liver tumors on contrast-enhanced CT with a distilled student network and shows which regions the "
            'grade rests on. Research software, not a medical device. See the <a href="{url}">documentation</a>.'
        ).format(url="https://github.com/REACTDistill/REACTDistill")
        parent.acknowledgementText = _("Students are distilled from PET/CT teachers by the REACT-KD method.")


class StudentSource(Enum):
    """Where the student comes from; the member names are stored in scenes and must not change."""

    demo = "demo"
    file = "file"

    def label(self):
        return {"demo": _("Demo student (knows phantoms only)"), "file": _("Student file...")}[self.value]


@parameterNodeWrapper
class REACTDistillParameterNode:
    """The user's choices and the nodes of the latest result; segment IDs as text, those of tumors as a JSON list."""

    ctVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    liverSegmentID: str
    tumorSegmentIDs: str
    studentSource: StudentSource = StudentSource.demo
    studentPath: Path
    showAttention: bool = True
    attentionOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.6
    showGraph: bool = True
    resultCT: vtkMRMLScalarVolumeNode
    resultTable: vtkMRMLTableNode
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
        self, ctVolume, segmentation, liverSegmentId, tumorSegmentId=None, student=None, *, device="auto", progress=None
    ):
        """Grade and show the result; returns (Finding, FindingNodes).

        ``tumorSegmentId`` is a segment ID, a list of them or None; ``student`` a path or None for the demo student;
        ``progress(stage, done, total)`` is called between steps. Blocks until done. Raises ValueError with one sentence
        when the inputs do not fit the student.
        """
        from REACTDistillLib.predict import predict
        from REACTDistillLib.shipped import demo_student
        from REACTDistillScene.cases import caseFromNodes
        from REACTDistillScene.results import showFinding

        case = caseFromNodes(ctVolume, segmentation, liverSegmentId, tumorSegmentId)
        finding = predict(case, student or demo_student("grade"), device=device, progress=progress)
        return finding, showFinding(finding, ctVolume)


class REACTDistillWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Panel: shows parameters, job and result; computes nothing."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.job = None
        self.ui = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._segmentationNode = None
        self._updateTimer = None
        self._runCT = None  # of the run in progress
        self.resultPanel = None
        self._shownStudent = None
        self._cancelMessage = ""

    def setup(self):
        from REACTDistillScene.job import Job, JobCallbacks
        from REACTDistillScene.resultpanel import ResultPanel
        from REACTDistillScene.segmentpanel import SegmentPanel
        from REACTDistillScene.transport import QtTransport

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/REACTDistill.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = REACTDistillLogic()
        callbacks = JobCallbacks(self.onJobState, self.onJobProgress, self.onJobResult, self.onJobError)
        self.job = Job(QtTransport(), callbacks)
        self.resultPanel = ResultPanel(self.ui)
        self.segmentPanel = SegmentPanel(self.ui.liverSegmentComboBox, self.ui.tumorSegmentsList, self.onSegmentChoice)
        self._updateTimer = qt.QTimer()
        self._updateTimer.setSingleShot(True)
        self._updateTimer.setInterval(0)
        self._setUpControls()
        self._connectControls()
        self.initializeParameterNode()

    def _setUpControls(self):
        self.ui.studentPathLineEdit.filters = ctk.ctkPathLineEdit.Files
        self.ui.studentPathLineEdit.nameFilters = [_("Student files") + " (*.safetensors)"]
        for device in DEVICES:
            self.ui.deviceComboBox.addItem(device, device)
        self.ui.deviceComboBox.currentIndex = DEVICES.index(_deviceSetting())
        self.ui.progressBar.visible = False
        self.ui.resultButton.visible = False
        self.ui.probabilityTable.columnCount = 2

    def _connectControls(self):
        self._updateTimer.connect("timeout()", self.updateGUI)
        self.ui.applyButton.connect("clicked()", self.onApplyButton)
        self.ui.deviceComboBox.connect("currentIndexChanged(int)", self.onDeviceChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self._updateLater)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._updateLater)

    # Life cycle

    def enter(self):
        if self.ui is not None:  # setup() may have failed half-way
            self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def cleanup(self):
        if self.job is not None:
            self.job.close()
        if self._updateTimer is not None:
            self._updateTimer.stop()
            self._updateTimer.disconnect("timeout()", self.updateGUI)
        self.setParameterNode(None)
        self.removeObservers()

    def onReload(self):
        for name in [n for n in sys.modules if n.split(".")[0] in ("REACTDistillLib", "REACTDistillScene")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        self.ui.statusLabel.text = ""
        if self.job.isBusy:
            self._cancelMessage = _("The scene was closed, so the calculation was stopped.")
            self.job.cancel()
        self.resultPanel.forget()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    # Parameters

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        self._updateLater()

    def setParameterNode(self, parameterNode):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateLater)
        self._parameterNode = parameterNode
        self._observeSegmentation(None)
        if self._parameterNode is not None:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateLater)

    def _observeSegmentation(self, node):
        events = (
            slicer.vtkSegmentation.SegmentAdded,
            slicer.vtkSegmentation.SegmentRemoved,
            slicer.vtkSegmentation.SegmentModified,
        )
        if node is self._segmentationNode:
            return
        for event in events:
            if self._segmentationNode is not None:
                self.removeObserver(self._segmentationNode, event, self._updateLater)
            if node is not None:
                self.addObserver(node, event, self._updateLater)
        self._segmentationNode = node

    def _updateLater(self, caller=None, event=None):
        # Exceptions in VTK observers pass unnoticed, so the work is done in the slot of a timer.
        self._updateTimer.start()

    def updateGUI(self):
        """Show the parameters; called once after any number of changes."""
        if self._parameterNode is None:
            return
        parameters = self._parameterNode
        self._preselect()
        self._observeSegmentation(parameters.segmentation)
        self.segmentPanel.show(parameters.segmentation, parameters.liverSegmentID, parameters.tumorSegmentIDs)
        self._showStudent()
        self._showResult()
        self._showApply()

    def _preselect(self):
        from REACTDistillScene.readiness import firstCT

        if self._parameterNode.ctVolume is None:
            self._parameterNode.ctVolume = firstCT()
        if self._parameterNode.segmentation is None:
            self._parameterNode.segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")

    def onDeviceChanged(self, index):
        qt.QSettings().setValue(DEVICE_SETTING, DEVICES[index])

    def onSegmentChoice(self, liverSegmentID, tumorSegmentIDs):
        if self._parameterNode is not None:
            self._parameterNode.liverSegmentID = liverSegmentID
            self._parameterNode.tumorSegmentIDs = tumorSegmentIDs

    def _showStudent(self):
        from REACTDistillScene.cardtext import cardText
        from REACTDistillScene.readiness import studentOf

        fromFile = self._parameterNode.studentSource.name == "file"
        self.ui.studentPathLabel.visible = fromFile
        self.ui.studentPathLineEdit.visible = fromFile
        student, reason = studentOf(self._parameterNode)
        if (student, reason) != self._shownStudent:
            self._shownStudent = (student, reason)
            self.ui.cardLabel.text = cardText(student) if student else reason

    # Apply and job

    def onApplyButton(self):
        from REACTDistillScene.gradejob import startGrading

        if self.job.isBusy:
            self._cancelMessage = _("Canceled.")
            self.job.cancel()
            return
        try:
            if not self._packagesAreReady():
                return
            with slicer.util.WaitCursor():
                startGrading(self.job, self._inputs())
        except (ValueError, OSError) as error:
            self.job.fail(str(error))

    def _inputs(self):
        from REACTDistillScene.gradejob import GradeInputs
        from REACTDistillScene.readiness import studentOf

        parameters = self._parameterNode
        return GradeInputs(
            parameters.ctVolume,
            parameters.segmentation,
            parameters.liverSegmentID,
            tuple(json.loads(parameters.tumorSegmentIDs or "[]")),
            studentOf(parameters)[0],
            self.ui.deviceComboBox.currentText,
        )

    def _packagesAreReady(self):
        from REACTDistillScene import packages

        missing = packages.missingPackages()
        if not missing:
            return True
        question = _("Grading needs Python packages that are not installed: {packages}. Install them now?")
        if not slicer.util.confirmOkCancelDisplay(question.format(packages=packages.describe(missing))):
            self.ui.statusLabel.text = _("Not started: Python packages are missing.")
            return False
        packages.install(missing)
        return True

    def _showApply(self):
        from REACTDistillScene.job import State
        from REACTDistillScene.readiness import whyNotReady

        busy, cancelling = self.job.isBusy, self.job.state is State.CANCELLING
        reason = "" if busy else whyNotReady(self._parameterNode)
        self.ui.applyButton.text = _("Cancel") if busy else _("Apply")
        self.ui.applyButton.enabled = not reason and not cancelling
        self.ui.applyButton.toolTip = reason or (_("Stop the calculation.") if busy else _("Grade the tumor."))
        for section in (self.ui.inputsButton, self.ui.studentButton, self.ui.advancedButton):
            section.enabled = not busy
        self.ui.progressBar.visible = busy

    def onJobState(self, state):
        texts = {
            "starting": _("Starting..."),
            "running": _("Grading..."),
            "importing": _("Loading the result..."),
            "cancelling": _("Canceling..."),
            "idle": self._cancelMessage,
        }
        if state.value == "starting":
            self._runCT, self._cancelMessage = self._parameterNode.ctVolume, ""
            self.ui.progressBar.setRange(0, 0)
        self.ui.statusLabel.text = texts.get(state.value, self.ui.statusLabel.text)
        self._showApply()

    def onJobProgress(self, stage, done, total):
        self.ui.progressBar.setRange(0, max(total, 1))
        self.ui.progressBar.value = min(done, max(total, 1))
        self.ui.statusLabel.text = _("Grading: {stage}").format(stage=stage)

    def onJobError(self, message, details):
        self.ui.statusLabel.text = message
        slicer.util.errorDisplay(message, detailedText=details)

    def onJobResult(self, folder):
        from REACTDistillScene.gradejob import importFinding

        ctVolume, self._runCT = self._runCT, None
        finding, nodes = importFinding(folder, ctVolume)
        parameters = self._parameterNode or self.logic.getParameterNode()
        parameters.resultCT = ctVolume
        parameters.resultTable = nodes.table
        parameters.resultAttention = nodes.attention
        parameters.resultGraph = nodes.graph
        self._cancelMessage = _("Done in {seconds:.1f} s on {device}.").format(
            seconds=finding.provenance.seconds, device=finding.provenance.device
        )

    def _showResult(self):
        parameters = self._parameterNode
        self.resultPanel.showTable(parameters.resultTable)
        attention = parameters.resultAttention if parameters.showAttention else None
        self.resultPanel.showAttention(
            attention, parameters.resultCT, parameters.segmentation, opacity=parameters.attentionOpacity
        )
        graph = parameters.resultGraph
        if graph is not None and graph.GetDisplayNode() is not None:
            graph.GetDisplayNode().SetVisibility(parameters.showGraph)


def _deviceSetting():
    device = slicer.util.settingsValue(DEVICE_SETTING, DEVICES[0])
    return device if device in DEVICES else DEVICES[0]


class REACTDistillTest(ScriptedLoadableModuleTest):
    """Self-test on a phantom: the same nodes, the same grading and the same result nodes as for a patient."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        self.setUp()
        self.test_phantomIsGradedUnderATransform()
        self.setUp()
        self.test_wrongInputIsRefusedWithOneSentence()

    def test_phantomIsGradedUnderATransform(self):
        from REACTDistillScene import packages

        if packages.missingPackages():
            self.skipTest("torch or safetensors is not installed: grading cannot be tested")
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
        self.assertEqual(nodes.attention.GetImageData().GetDimensions(), ctVolume.GetImageData().GetDimensions())
        self.assertGreater(nodes.table.GetNumberOfRows(), 3)
        self.assertGreater(nodes.graph.GetPolyData().GetNumberOfPoints(), 0)

    def test_wrongInputIsRefusedWithOneSentence(self):
        ctVolume, segmentation = _phantomNodes(seed=3)
        with self.assertRaises(ValueError) as refusal:
            REACTDistillLogic().process(ctVolume, segmentation, "no such segment")
        self.assertIn("no such segment", str(refusal.exception))


def _phantomNodes(seed):
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillScene.segments import segmentationFromMasks
    from REACTDistillScene.volumes import nodeFromVolume

    case = phantom_case(seed)
    ctVolume = nodeFromVolume(case.sequences["ct"], "Phantom CT")
    segmentation = segmentationFromMasks(case.regions, ctVolume)
    return ctVolume, segmentation
