"""The grading panel: its sections, tied to the parameters; computes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from REACTDistillLib.errors import sentence_of

from .batchpanel import BatchPanel, BatchWork
from .cardtext import needsText, reliabilityText
from .gradejob import GetReadyWork, GradeInputs, GradeWork
from .gradeparameters import inputsOf, nodesOfResult
from .importregions import ImportWork, LabelmapImportWork
from .job import State, Work
from .jobbar import JobTexts
from .packages import missingPackages
from .readiness import firstCT, firstSegmentation, offerImagesOnly, whyNotReady
from .regionspanel import RegionsPanel
from .resultcheck import ResultCheck
from .resultpanel import ResultPanel
from .results import FindingNodes
from .studentpanel import StudentPanel
from .tables import STUDENT_SHA256, cells
from .translation import tr as _

HOLDER = "REACTDistill"
TASK = "grade"


class GradePanel(StudentPanel):
    """Shows the parameters in the widgets ``ui`` and brings what the user does back into them."""

    def __init__(self, ui: Any, currentParameters: Callable[[], Any]) -> None:
        super().__init__(ui, currentParameters, holder=HOLDER, task=TASK, texts=_texts())
        self._check = ResultCheck()
        self._editsAtStart = 0  # of the run in progress
        self._knownMasks: dict[Hashable, str] = {}  # of the latest result, see ``GradeWork``
        self._masksAhead: dict[Hashable, str] = {}  # those that were read since
        self._wasEdited = False  # while a work was running
        self._isClassPending = False  # chosen while a work was running
        self._isLive = False  # the work that is running was started by an edit
        self.regions = RegionsPanel(
            ui,
            currentParameters,
            onImport=self._onImport,
            onImported=self._onImported,
            onPause=self._onPause,
            onRest=self._onRest,
            onEdit=lambda: self.bar.stopAhead(),
        )
        self.result = ResultPanel(ui, self._onShownClass, self._reliabilityOf)
        self.batch = BatchPanel(ui.batchPlace, self._onBatch)
        ui.liveGradingCheckBox.connect("clicked()", self.regions.watch.again)

    def show(self) -> None:
        parameters = self.parameters
        if parameters is None:
            return
        self._preselect()
        self.regions.show(parameters)
        self.students.show(parameters.student)
        self._showStudent()
        self._showResult()
        self._showReadiness()

    def leave(self) -> None:
        # A run goes on, drawing does not.
        self.regions.leave()

    def closeScene(self) -> None:
        super().closeScene()
        self.result.forget()
        self._check.forget()

    def close(self) -> None:
        self.regions.close()
        super().close()

    # Showing

    def _preselect(self) -> None:
        offerImagesOnly((self._ui.ctVolumeSelector, self._ui.petVolumeSelector))
        if self.parameters.ctVolume is None:
            self.parameters.ctVolume = firstCT()
        if self.parameters.segmentation is None:
            self.parameters.segmentation = firstSegmentation(self.parameters.ctVolume)

    def _showStudent(self) -> None:
        entry = self.students.entryOf(self.parameters.student)
        text = self.students.whyNot(self.parameters.student)
        if entry is not None and entry.card is not None:
            needs = _("Needs: {sequences}").format(sequences=needsText(entry.card))
            text = f"{needs}<br>{reliabilityText(entry.card)}"
        self._ui.studentNeedsLabel.text = text

    def _showResult(self) -> None:
        parameters = self.parameters
        self.result.showTable(parameters.resultTable, parameters.shownClass, warning=self._check.warning(parameters))
        attention = parameters.resultAttention if parameters.showAttention else None
        self.result.showAttention(
            attention, parameters.resultCT, parameters.segmentation, opacity=parameters.attentionOpacity
        )
        _setVisible(parameters.resultGraph, parameters.showGraph)

    def _showReadiness(self) -> None:
        self._showReason(whyNotReady(self.parameters, self.students.whyNot(self.parameters.student)))
        # A live grade is over in an instant; locking the inputs for it would only flicker.
        isLocked = self.bar.isBusy and not self._isLive
        self._ui.importButton.enabled = not self.bar.isBusy
        self.batch.showBusy(isBusy=self.bar.isBusy)
        self._ui.inputsButton.enabled = self._ui.studentButton.enabled = not isLocked

    def _reliabilityOf(self, tensorsSha256: str) -> str:
        return self._cardTextOf(tensorsSha256, reliabilityText)

    # What the user does

    def _onShownClass(self, shownClass: str) -> None:
        if self.parameters is not None and shownClass != self.parameters.shownClass:
            self.parameters.shownClass = shownClass
            self._isClassPending = self.bar.isBusy
            self._gradeAgain()

    def _onRest(self) -> None:
        """The regions were edited, and perhaps the user pauses: what a grade would need is got ready."""
        if self.parameters is not None and self.parameters.liveGrading and self._canGradeAgain():
            known = self._knownMasks | self._masksAhead
            work = GetReadyWork(self._inputs(), unchanged=self._check.fingerprint, known=known)
            self.bar.startAhead(work)
            self._masksAhead = work.known

    def _onPause(self) -> None:
        """The regions were edited and the user pauses."""
        if self.parameters is None:
            return
        if self._gradesByItself():
            self._gradeAgain()
        elif self.regions.watch.wasEdited:
            self._check.noteEdit()
        self.show()

    def _onImport(self, work: ImportWork | LabelmapImportWork) -> None:
        if not self.bar.isBusy:
            self._isLive = False
            self.bar.start(work, running=_("Reading the regions..."))

    def _onImported(self) -> None:
        self.bar.announce(_("The regions were imported; check which is the liver and which are tumors."))

    # Works

    def _workOfApply(self) -> Work | None:
        self._isLive = False
        return super()._workOfApply()

    def _onBatch(self, source: Path, output: Path) -> None:
        if self.parameters is None or self.bar.isBusy:
            return
        self._isLive = False
        try:
            if self._hasPackages():
                work = BatchWork(source, output, self._studentPath(), self.device.device, self._onBatchDone)
                self.bar.start(work, running=_("Grading the cases..."))
        except (ValueError, OSError) as error:
            self.bar.fail(sentence_of(error))

    def _onBatchDone(self, graded: int, failed: int) -> None:
        text = _("{graded} cases graded, {failed} failed; the table in the scene says why.")
        self.bar.announce(text.format(graded=graded, failed=failed))

    def _gradeAgain(self) -> None:
        """Bring the shown result up to date with the regions as they are now, if there is one."""
        parameters = self.parameters
        if self.bar.isBusy:
            self._wasEdited = True
        elif self._canGradeAgain():
            self._isLive = True
            earlier = nodesOfResult(parameters)
            self.bar.start(self._work(earlier=earlier, unchanged=self._check.fingerprint), errors="status")
            self.bar.poll()  # after a pause there may be nothing left to do but to ask the worker

    def _canGradeAgain(self) -> bool:
        parameters = self.parameters
        entry = self.students.entryOf(parameters.student)
        if parameters.resultTable is None or parameters.resultCT is not parameters.ctVolume or entry is None:
            return False
        isSame = dict(cells(parameters.resultTable)).get(STUDENT_SHA256) == entry.key
        return isSame and not whyNotReady(parameters, "") and not missingPackages()

    def _work(self, *, earlier: FindingNodes | None = None, unchanged: str = "") -> GradeWork:
        self._editsAtStart, known = self._check.edits, self._knownMasks | self._masksAhead
        return GradeWork(self._inputs(), self._onGraded, earlier=earlier, unchanged=unchanged, known=known)

    def _inputs(self) -> GradeInputs:
        return inputsOf(self._currentParameters(), self._studentPath(), self.device.device)

    def _onGraded(self, work: GradeWork, finding: Any, nodes: FindingNodes) -> None:
        parameters = self._currentParameters()
        if parameters.resultGraph is not nodes.graph:
            _setVisible(parameters.resultGraph, False)  # two graphs in one place cannot be read
        parameters.resultCT = work.ctVolume
        parameters.resultTable = nodes.table
        parameters.resultRegionTable = nodes.regionTable
        parameters.resultAttention = nodes.attention
        parameters.resultGraph = nodes.graph
        self._check.remember(parameters, work.fingerprint, self._editsAtStart)
        self._knownMasks, self._masksAhead = work.known, {}
        self.bar.announce(
            _("Done in {seconds:.1f} s on {device}.").format(
                seconds=finding.provenance.seconds, device=finding.provenance.device
            )
        )
        self.show()

    def _onJobState(self, state: State) -> None:
        if state is State.FAILED and self._isLive:
            self._check.noteEdit()
            self.show()
        super()._onJobState(state)
        if self._wasEdited and not self.bar.isBusy:
            self._wasEdited = False
            self.regions.watch.again()

    def _gradesByItself(self) -> bool:
        """Whether the result must follow now: after an edit, or to show a class that could not be shown at once."""
        isPending, self._isClassPending = self._isClassPending and not self.bar.isBusy, False
        return isPending or self.parameters.liveGrading


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
            "batch": _("Grading case by case"),
        },
    )
