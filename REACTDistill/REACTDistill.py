"""REACTDistill: grade of liver tumors on CT by a distilled student network, with heat map and region graph."""
# ruff: noqa: PT009, PT027 - the self-test runs inside the application, where there is no pytest

from typing import Annotated

import slicer
from REACTDistillScene.panelwidget import PanelWidget
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
        from REACTDistillScene.parameters import readParameters

        return readParameters(REACTDistillParameterNode, super().getParameterNode())

    def process(
        self,
        ctVolume,
        segmentation,
        liverSegmentId,
        tumorSegmentIds=(),
        student=None,
        *,
        petVolume=None,
        device="auto",
        shownClass=None,
        progress=None,
    ):
        """Grade and show the result; returns (Finding, FindingNodes).

        ``tumorSegmentIds`` is a list of segment IDs, a single one or None; ``student`` a path or None for the demo
        student; ``shownClass`` the class that the heat map is made for, None for the one predicted.
        ``progress(stage, done, total)`` is called between steps. Works in a child process and blocks until it is done;
        ValueError if the inputs do not fit.
        """
        from REACTDistillLib.shipped import demo_student
        from REACTDistillScene.blockingjob import runBlocking
        from REACTDistillScene.gradejob import GradeInputs, GradeWork

        results = []
        inputs = GradeInputs(
            ctVolume,
            petVolume,
            segmentation,
            liverSegmentId,
            (tumorSegmentIds,) if isinstance(tumorSegmentIds, str) else tuple(tumorSegmentIds or ()),
            student or demo_student("grade"),
            device,
            shownClass or "",
        )
        work = GradeWork(inputs, lambda _work, finding, nodes: results.append((finding, nodes)))
        runBlocking(work, progress=progress)
        return results[0]


class REACTDistillWidget(PanelWidget, ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Widget: ``PanelWidget`` has its life cycle and the parameter node; what is in it belongs to ``GradePanel``."""

    def makeLogic(self):
        return REACTDistillLogic()

    def makePanel(self):
        from REACTDistillScene.gradepanel import GradePanel

        return GradePanel(self.ui, self.currentParameters)


class REACTDistillTest(ScriptedLoadableModuleTest):
    """Self-test on a phantom: the same nodes, the same grading and the same panel as for a patient."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        from REACTDistillScene import selftest

        selftest.runAll(self)

    def test_phantomIsGradedUnderATransform(self):
        from REACTDistillScene import packages, selftest

        if packages.missingPackages():
            self.skipTest(f"packages are missing: {packages.describe(packages.missingPackages())}")
        ctVolume, segmentation = _phantomNodes(seed=3)
        transform = selftest.moveToTheRight((ctVolume, segmentation), distanceMm=30.0)
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
        from REACTDistillScene import packages, selftest

        if packages.missingPackages():
            self.skipTest("torch or safetensors is not installed: the worker cannot grade")
        ctVolume, _segmentation = _phantomNodes(seed=3)
        widget = selftest.shownWidget("REACTDistill")
        bar = widget.panel.bar
        selftest.cancelThenRun(self, bar, "vtkMRMLTableNode")
        parameters = widget.logic.getParameterNode()
        self.assertIsNotNone(parameters.resultTable, bar.status)
        self.assertEqual(parameters.resultCT.GetID(), ctVolume.GetID())
        self.assertEqual(parameters.resultAttention.GetSpacing(), ctVolume.GetSpacing())


def _phantomNodes(seed):
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillScene.segments import segmentationFromMasks
    from REACTDistillScene.volumes import nodeFromVolume

    case = phantom_case(seed)
    ctVolume = nodeFromVolume(case.sequences["ct"], "Phantom CT")
    segmentation = segmentationFromMasks(case.regions, ctVolume)
    return ctVolume, segmentation
