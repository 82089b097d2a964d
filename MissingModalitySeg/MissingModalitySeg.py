"""MissingModalitySeg: brain tumor segmentation from whichever of T1, T1ce, T2 and FLAIR there are."""
# ruff: noqa: PT009, PT027 - the self-test runs inside the application, where there is no pytest

import importlib.util
import logging
import sys
import time

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class MissingModalitySeg(ScriptedLoadableModule):
    """Module: what the application shows of it; does no work."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Missing Modality Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        # The shared code is in the module REACTDistill. As a declared dependency its absence would make this module
        # vanish without a word; so the panel says it.
        parent.dependencies = []
        parent.contributors = ["REACTDistill developers (REACTDistill project)"]
        parent.helpText = _(
            "Segments brain tumors (whole tumor, tumor core, enhancing tumor) from any of the MRI sequences T1, T1 "
            "after contrast agent, T2 and FLAIR, and says what each missing one costs. Research software, not a "
            'medical device. See the <a href="{url}">documentation</a>.'
        ).format(url="https://github.com/REACTDistill/REACTDistill")
        parent.acknowledgementText = _("Students teach themselves from all sequences to few by the CCSD method.")


@parameterNodeWrapper
class MissingModalitySegParameterNode:
    """The user's choices and the nodes of the latest result.

    ``student`` is the SHA-256 of the tensors of a student, "" for the demo student; ``referenceSequence`` the sequence
    whose grid the result has, "" for the finest; ``shownMap`` the region whose probability map is shown, "" for none;
    ``knownVolumes`` a JSON list of the volumes for which a sequence has been guessed.
    """

    t1Volume: vtkMRMLScalarVolumeNode
    t1ceVolume: vtkMRMLScalarVolumeNode
    t2Volume: vtkMRMLScalarVolumeNode
    flairVolume: vtkMRMLScalarVolumeNode
    knownVolumes: str
    student: str
    outputSegmentation: vtkMRMLSegmentationNode
    referenceSequence: str
    withProbabilities: bool = False
    shownMap: str
    resultReference: vtkMRMLScalarVolumeNode
    resultSegmentation: vtkMRMLSegmentationNode
    resultTable: vtkMRMLTableNode
    resultWTProbability: vtkMRMLScalarVolumeNode
    resultTCProbability: vtkMRMLScalarVolumeNode
    resultETProbability: vtkMRMLScalarVolumeNode


class MissingModalitySegLogic(ScriptedLoadableModuleLogic):
    """Segmenting without a panel: from the Python console, from scripts and from other modules."""

    def getParameterNode(self):
        node = super().getParameterNode()
        try:
            return MissingModalitySegParameterNode(node)
        except ValueError as error:  # a scene written by another version
            logging.warning("MissingModalitySeg: the parameters in the scene were reset to defaults (%s).", error)
            node.UnsetAllParameters()
            return MissingModalitySegParameterNode(node)

    def process(
        self,
        volumesBySequence,
        student=None,
        outputSegmentation=None,
        *,
        device="auto",
        reference="",
        withProbabilities=False,
        progress=None,
    ):
        """Segment and show the result; returns (Finding, SegmentationNodes).

        ``volumesBySequence`` has one to four volume nodes under "t1", "t1ce", "t2" and "flair", in any order; None is a
        missing one. ``student`` is a path or None for the demo student. The result is in ``outputSegmentation`` if that
        holds nothing or only an earlier result that nobody has edited, else in a new segmentation, on the grid of the
        sequence ``reference`` ("": the finest). ``progress(stage, done, total)`` is called between steps. Works in a
        child process and blocks until it is done; ValueError if the inputs do not fit.
        """
        from REACTDistillLib.shipped import demo_student
        from REACTDistillScene.blockingjob import runBlocking
        from REACTDistillScene.segmentjob import SegmentInputs, SegmentWork
        from REACTDistillScene.sequenceguess import sequencesOf

        results = []
        inputs = SegmentInputs(
            sequencesOf(volumesBySequence),
            student or demo_student("segment"),
            device,
            reference,
            withProbabilities,
            outputSegmentation,
        )
        work = SegmentWork(inputs, lambda _work, finding, nodes: results.append((finding, nodes)))
        runBlocking(work, progress=progress)
        return results[0]


class MissingModalitySegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Widget: its life cycle and the parameter node; what is in it belongs to ``TumorPanel``."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.ui = self.panel = None
        self._parameterNode = self._parameterNodeGuiTag = self._updateTimer = None
        self._wasConnected = False

    def setup(self):
        import qt

        ScriptedLoadableModuleWidget.setup(self)
        if importlib.util.find_spec("REACTDistillScene") is None:
            self.layout.addWidget(qt.QLabel(_missingOwnerText()))
            return
        from REACTDistillScene.tumorpanel import TumorPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MissingModalitySeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MissingModalitySegLogic()
        # Exceptions in VTK observers pass unnoticed, so the work is done in the slot of a timer.
        self._updateTimer = qt.QTimer()
        self._updateTimer.setSingleShot(True)
        self._updateTimer.connect("timeout()", self.updateGUI)
        self.panel = TumorPanel(self.ui, self._currentParameters)
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


def _missingOwnerText():
    return _("The module REACTDistill, which holds the shared code, is missing; install the whole extension.")


class MissingModalitySegTest(ScriptedLoadableModuleTest):
    """Self-test on a phantom: the same nodes, the same segmentation and the same panel as for a patient."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        for name in dir(self):
            if name.startswith("test_"):
                self.setUp()
                getattr(self, name)()

    def test_phantomWithoutT1ceIsSegmentedUnderATransform(self):
        _skipWithoutStudent(self)
        volumes = _phantomNodes(seed=3)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 30.0)  # mm to the right
        transform.SetMatrixTransformToParent(matrix)
        for node in volumes.values():
            node.SetAndObserveTransformNodeID(transform.GetID())
        given = {name: node for name, node in volumes.items() if name != "t1ce"}
        finding, nodes = MissingModalitySegLogic().process(given, device="cpu")
        self.assertIn("WT", finding.segmentation.volumes_ml)
        self.assertEqual(nodes.segmentation.GetTransformNodeID(), transform.GetID())
        self.assertEqual(list(nodes.segmentation.GetSegmentation().GetSegmentIDs()), list(finding.segmentation.masks))
        self.assertGreater(nodes.table.GetNumberOfRows(), 3)

    def test_wrongInputIsRefusedWithOneSentence(self):
        with self.assertRaises(ValueError) as refusal:
            MissingModalitySegLogic().process({"t3": None}, "no student is needed to see this")
        self.assertIn('"t3"', str(refusal.exception))

    def test_panelGuessesSegmentsAndCanBeCanceled(self):
        _skipWithoutStudent(self)
        volumes = _phantomNodes(seed=3)
        widget = slicer.util.getModuleWidget("MissingModalitySeg")
        widget.initializeParameterNode()
        widget.updateGUI()
        parameters = widget.logic.getParameterNode()
        self.assertEqual(parameters.t1ceVolume.GetID(), volumes["t1ce"].GetID())
        bar = widget.panel.bar
        bar.applyButton.click()
        self.assertTrue(bar.isBusy, bar.status)
        bar.applyButton.click()
        self._wait(bar)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)
        bar.applyButton.click()
        self._wait(bar)
        parameters = widget.logic.getParameterNode()
        self.assertIsNotNone(parameters.resultSegmentation, bar.status)

    def _wait(self, bar, seconds=120.0):
        end = time.monotonic() + seconds
        while bar.isBusy:
            self.assertLess(time.monotonic(), end, bar.status)
            slicer.app.processEvents()
            time.sleep(0.01)


def _skipWithoutStudent(test):
    from REACTDistillLib.shipped import demo_student
    from REACTDistillScene import packages

    if packages.missingPackages():
        test.skipTest("torch or safetensors is not installed: the worker cannot segment")
    try:
        demo_student("segment")
    except ValueError as error:
        test.skipTest(str(error))


def _phantomNodes(seed):
    """Volume nodes of a synthetic patient, by sequence."""
    from REACTDistillLib.brain import brain_case
    from REACTDistillScene.sequenceguess import SEQUENCE_LABELS
    from REACTDistillScene.volumes import nodeFromVolume

    case = brain_case(seed)
    nodes = {}
    for name, volume in case.sequences.items():
        displayRange = (float(volume.array_kji.min()), float(volume.array_kji.max()))
        nodes[name] = nodeFromVolume(volume, f"Phantom {SEQUENCE_LABELS[name]}", displayRange=displayRange)
    return nodes
