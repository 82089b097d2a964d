"""The grading panel: its sections, tied to the parameters; computes nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import slicer
from REACTDistillLib.store import StudentStore
from slicer.i18n import tr as _

from .cardtext import needsText, reliabilityText
from .devicechoice import DeviceChoice
from .drawpanel import DrawPanel
from .gradejob import GradeInputs, GradeWork
from .importmenu import ImportMenu
from .importregions import importWork
from .job import State
from .jobbar import JobBar, JobTexts
from .packages import ensurePackages, missingPackages, whyNoGpu
from .readiness import firstCT, whyNotReady
from .regionvolumes import regionsText
from .resultpanel import ResultPanel
from .results import FindingNodes
from .segmentpanel import SegmentPanel
from .segmentwatch import SegmentationWatch
from .studentchoice import StudentChoice
from .studentlist import StudentList, studentsFolder
from .tables import STUDENT_SHA256, cells

HOLDER = "REACTDistill"


class GradePanel:
    """Shows the parameters in the widgets ``ui`` and brings what the user does back into them.

    ``parameters`` is the parameter node while the module is entered, else None; ``currentParameters()`` returns it even
    then, for results that come while the user is elsewhere.
    """

    def __init__(self, ui: Any, currentParameters: Callable[[], Any]) -> None:
        self._ui, self._currentParameters = ui, currentParameters
        self.parameters: Any = None
        self._fingerprint = ""  # of what the shown result was made from
        self._wasEdited = False  # while a work was running
        self._isLive = False  # the work that is running was started by an edit
        store = StudentStore(studentsFolder())
        self.segments = SegmentPanel(ui.liverSegmentComboBox, ui.tumorSegmentsList, self._onSegmentChoice)
        self.students = StudentChoice(ui.studentComboBox, store, "grade", self._onStudentChoice)
        self.studentList = StudentList(ui.studentsPlace, store, self._onStudentsChanged)
        self.device = DeviceChoice(ui.deviceComboBox)
        self.result = ResultPanel(ui, self._onShownClass, self._reliabilityOf)
        self.draw = DrawPanel(ui.editorPlace, self._onDrawing)
        self.importMenu = ImportMenu(ui.importButton, self._onImport)
        self.watch = SegmentationWatch(self._onPause)
        self.bar = JobBar(
            ui.jobPlace, holder=HOLDER, texts=_texts(), makeWork=self._workOfApply, onState=self._onJobState
        )
        ui.drawButton.connect("clicked(bool)", self._onDrawButton)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self.show)
        ui.liveGradingCheckBox.connect("clicked()", self.watch.again)

    def show(self) -> None:
        """Show the parameters; called once after any number of changes."""
        parameters = self.parameters
        if parameters is None:
            return
        self._preselect()
        self.draw.follow(parameters.ctVolume, parameters.segmentation)
        self.watch.watch(parameters.segmentation)
        self.segments.show(parameters.segmentation, parameters.liverSegmentID, parameters.tumorSegmentIDs)
        self.students.show(parameters.student)
        self._showStudent()
        self._showResult()
        self._showReadiness()

    def leave(self) -> None:
        """The user goes to another module: a run goes on, drawing does not."""
        self.draw.stop()
        self.watch.watch(None)

    def closeScene(self) -> None:
        """The scene is about to be closed."""
        self.leave()
        self.bar.showStatus("")
        self.bar.stop(_("The scene was closed, so the calculation was stopped."))
        self.result.forget()
        self._fingerprint = ""

    def close(self) -> None:
        """End everything; for ``cleanup``."""
        self.draw.close()
        self.watch.close()
        self.bar.close()

    # Showing

    def _preselect(self) -> None:
        if self.parameters.ctVolume is None:
            self.parameters.ctVolume = firstCT()
        if self.parameters.segmentation is None:
            self.parameters.segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")

    def _showStudent(self) -> None:
        entry = self.students.entryOf(self.parameters.student)
        text = self.students.whyNot(self.parameters.student)
        if entry is not None and entry.card is not None:
            needs = _("Needs: {sequences}").format(sequences=needsText(entry.card))
            text = f"{needs}<br>{reliabilityText(entry.card)}"
        self._ui.studentNeedsLabel.text = text

    def _showResult(self) -> None:
        parameters = self.parameters
        self.result.showTable(parameters.resultTable, parameters.shownClass)
        attention = parameters.resultAttention if parameters.showAttention else None
        self.result.showAttention(
            attention, parameters.resultCT, parameters.segmentation, opacity=parameters.attentionOpacity
        )
        _setVisible(parameters.resultGraph, parameters.showGraph)

    def _showReadiness(self) -> None:
        reason = whyNotReady(self.parameters, self.students.whyNot(self.parameters.student))
        if not reason and self.device.device == "cuda":
            reason = whyNoGpu()
        self.bar.showReason(reason)
        # A live grade is over in an instant; locking the inputs for it would only flicker.
        isLocked = self.bar.isBusy and not self._isLive
        self._ui.importButton.enabled = not self.bar.isBusy
        self._ui.inputsButton.enabled = self._ui.studentButton.enabled = not isLocked
        self._ui.drawButton.enabled = self.parameters.ctVolume is not None

    def _reliabilityOf(self, tensorsSha256: str) -> str:
        entry = self.students.entryOf(tensorsSha256)
        if entry is None or entry.card is None:
            return _("Its file is not installed here, so its card cannot be shown.")
        return reliabilityText(entry.card)

    # What the user does

    def _onSegmentChoice(self, liverSegmentId: str, tumorSegmentIds: str) -> None:
        if self.parameters is not None:
            self.parameters.liverSegmentID = liverSegmentId
            self.parameters.tumorSegmentIDs = tumorSegmentIds

    def _onStudentChoice(self, key: str) -> None:
        if self.parameters is not None:
            self.parameters.student = key

    def _onStudentsChanged(self) -> None:
        self.students.refresh()
        self.show()

    def _onDrawButton(self, checked: bool) -> None:
        if not checked or self.parameters is None:
            self.draw.stop()
            return
        parameters = self.parameters
        try:
            segmentation = self.draw.start(
                parameters.ctVolume, parameters.segmentation, parameters.liverSegmentID, parameters.tumorSegmentIDs
            )
        except ValueError as error:
            self._ui.drawButton.checked = False
            slicer.util.errorDisplay(str(error))
            return
        parameters.segmentation, drawing = segmentation, self.draw.drawing
        if drawing is not None:
            parameters.liverSegmentID = drawing.liverSegmentId
            if drawing.tumorSegmentId not in json.loads(parameters.tumorSegmentIDs or "[]"):
                parameters.tumorSegmentIDs = json.dumps([drawing.tumorSegmentId])

    def _onDrawing(self, isDrawing: bool) -> None:
        self._ui.drawButton.checked = isDrawing
        self._ui.drawButton.text = _("Done drawing") if isDrawing else _("Draw")

    def _onImport(self, source: Any) -> None:
        if self.parameters is None or self.bar.isBusy:
            return
        try:
            work = importWork(source, self.parameters.ctVolume, self._onImported)
        except (ValueError, OSError) as error:
            slicer.util.errorDisplay(str(error))
            return
        self._isLive = False
        self.bar.start(work, running=_("Reading the regions..."))

    def _onImported(self, segmentation: Any) -> None:
        parameters = self._currentParameters()
        parameters.liverSegmentID = parameters.tumorSegmentIDs = ""  # those of another segmentation
        parameters.segmentation = segmentation
        self.bar.announce(_("The regions were imported; check which is the liver and which are tumors."))

    def _onShownClass(self, shownClass: str) -> None:
        if self.parameters is not None and shownClass != self.parameters.shownClass:
            self.parameters.shownClass = shownClass
            self._gradeAgain()

    def _onPause(self) -> None:
        """The segmentation was edited and the user pauses."""
        if self.parameters is None:
            return
        self.show()
        chosen = json.loads(self.parameters.tumorSegmentIDs or "[]")
        self._ui.regionsLabel.text = regionsText(self.parameters.segmentation, self.parameters.liverSegmentID, chosen)
        if self.parameters.liveGrading:
            self._gradeAgain()

    # Works

    def _workOfApply(self) -> GradeWork | None:
        self._isLive = False
        wasMissing = bool(missingPackages())
        whyNot = ensurePackages()
        if whyNot:
            self.bar.showStatus(whyNot)
            return None
        if wasMissing:
            self.bar.worker.restart()
        return self._work()

    def _gradeAgain(self) -> None:
        """Bring the shown result up to date with the regions as they are now, if there is one."""
        parameters = self.parameters
        if self.bar.isBusy:
            self._wasEdited = True
        elif self._canGradeAgain():
            self._isLive = True
            earlier = nodesOfResult(parameters)
            self.bar.start(self._work(earlier=earlier, unchanged=self._fingerprint), errors="status")

    def _canGradeAgain(self) -> bool:
        parameters = self.parameters
        entry = self.students.entryOf(parameters.student)
        if parameters.resultTable is None or parameters.resultCT is not parameters.ctVolume or entry is None:
            return False
        isSame = dict(cells(parameters.resultTable)).get(STUDENT_SHA256) == entry.key
        return isSame and not whyNotReady(parameters, "") and not missingPackages()

    def _work(self, *, earlier: FindingNodes | None = None, unchanged: str = "") -> GradeWork:
        parameters = self.parameters
        entry = self.students.entryOf(parameters.student)
        if entry is None:
            raise ValueError(self.students.whyNot(parameters.student))
        inputs = GradeInputs(
            parameters.ctVolume,
            parameters.petVolume,
            parameters.segmentation,
            parameters.liverSegmentID,
            tuple(json.loads(parameters.tumorSegmentIDs or "[]")),
            entry.path,
            self.device.device,
            parameters.shownClass,
        )
        return GradeWork(inputs, self._onGraded, earlier=earlier, unchanged=unchanged)

    def _onGraded(self, work: GradeWork, finding: Any, nodes: FindingNodes) -> None:
        parameters = self._currentParameters()
        if parameters.resultGraph is not nodes.graph:
            _setVisible(parameters.resultGraph, False)  # two graphs in one place cannot be read
        self._fingerprint = work.fingerprint
        parameters.resultCT = work.ctVolume
        parameters.resultTable = nodes.table
        parameters.resultRegionTable = nodes.regionTable
        parameters.resultAttention = nodes.attention
        parameters.resultGraph = nodes.graph
        self.bar.announce(
            _("Done in {seconds:.1f} s on {device}.").format(
                seconds=finding.provenance.seconds, device=finding.provenance.device
            )
        )
        self.show()

    def _onJobState(self, state: State) -> None:
        if self.parameters is not None:
            self._showReadiness()
        if self._wasEdited and not self.bar.isBusy:
            self._wasEdited = False
            self.watch.again()


def nodesOfResult(parameters: Any) -> FindingNodes:
    """The nodes of the result that the parameters hold, None where they are gone."""
    return FindingNodes(
        table=parameters.resultTable,
        regionTable=parameters.resultRegionTable,
        attention=parameters.resultAttention,
        attentionColors=_colorsOf(parameters.resultAttention),
        graph=parameters.resultGraph,
        graphColors=_colorsOf(parameters.resultGraph),
    )


def _colorsOf(node: Any) -> Any:
    display = None if node is None else node.GetDisplayNode()
    return None if display is None else display.GetColorNode()


def _setVisible(node: Any, visible: bool) -> None:
    if node is not None and node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetVisibility(visible)


def _texts() -> JobTexts:
    return JobTexts(
        apply=_("Grade the tumor."),
        running=_("Grading..."),
        stages={
            "load": _("Grading: loading the student"),
            "regions": _("Grading: finding the regions"),
            "prepare": _("Grading: preparing the image"),
            "student": _("Grading: asking the student"),
        },
    )
