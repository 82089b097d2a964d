"""MissingModalitySeg: brain tumor segmentation from whichever of T1, T1ce, T2 and FLAIR there are."""
# ruff: noqa: PT009, PT027 - the self-test runs inside the application, where there is no pytest

import importlib.util

import slicer
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

if importlib.util.find_spec("REACTDistillScene") is not None:
    from REACTDistillScene.panelwidget import PanelWidget
else:

    class PanelWidget:
        """In place of the panel one sentence: the user has added only a part of the extension."""

        panel = None

        def setup(self):
            import qt

            super().setup()
            text = _("The module REACTDistill, which holds the shared code, is missing; install the whole extension.")
            self.layout.addWidget(qt.QLabel(text))


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
        parent.acknowledgementText = _(
            "Method: CCSD (arXiv 2511.14599), self-distillation from the full set of sequences to its subsets."
        )


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
        from REACTDistillScene.parameters import readParameters

        return readParameters(MissingModalitySegParameterNode, super().getParameterNode())

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


class MissingModalitySegWidget(PanelWidget, ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Widget: ``PanelWidget`` has its life cycle and the parameter node; what is in it belongs to ``TumorPanel``."""

    def makeLogic(self):
        return MissingModalitySegLogic()

    def makePanel(self):
        from REACTDistillScene.tumorpanel import TumorPanel

        return TumorPanel(self.ui, self.currentParameters)


class MissingModalitySegTest(ScriptedLoadableModuleTest):
    """Self-test on a phantom: the same nodes, the same segmentation and the same panel as for a patient."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        from REACTDistillScene import selftest

        selftest.runAll(self)

    def test_phantomWithoutT1ceIsSegmentedUnderATransform(self):
        from REACTDistillScene import selftest

        _skipWithoutStudent(self)
        volumes = _phantomNodes(seed=3)
        transform = selftest.moveToTheRight(volumes.values(), distanceMm=30.0)
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
        from REACTDistillScene import selftest

        _skipWithoutStudent(self)
        volumes = _phantomNodes(seed=3)
        widget = selftest.shownWidget("MissingModalitySeg")
        self.assertEqual(widget.logic.getParameterNode().t1ceVolume.GetID(), volumes["t1ce"].GetID())
        bar = widget.panel.bar
        selftest.cancelThenRun(self, bar, "vtkMRMLSegmentationNode")
        self.assertIsNotNone(widget.logic.getParameterNode().resultSegmentation, bar.status)


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
