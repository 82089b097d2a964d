"""The panel that segments brain tumors from the sequences there are: its sections, tied to the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .jobbar import JobTexts
from .segmentjob import SegmentInputs, SegmentWork, checkVolumes
from .sequenceguess import SEQUENCE_LABELS, SEQUENCES, labelsOf
from .sequencespanel import SequencesPanel, chosenVolumes
from .studentpanel import StudentPanel
from .translation import tr as _
from .tumorresultpanel import TumorResultPanel
from .tumorresults import SegmentationNodes

HOLDER = "MissingModalitySeg"
REGIONS = ("WT", "TC", "ET")
TASK = "segment"
_MAP_OPACITY = 0.6


class TumorPanel(StudentPanel):
    """Shows the parameters in the widgets ``ui`` and brings what the user does back into them."""

    def __init__(self, ui: Any, currentParameters: Callable[[], Any]) -> None:
        super().__init__(ui, currentParameters, holder=HOLDER, task=TASK, texts=_texts())
        self._choice: tuple[Any, ...] | None = None  # that led to the result that is shown, None when not known
        self.sequences = SequencesPanel(ui, lambda: self.parameters)
        self.result = TumorResultPanel(ui, self._onShownMap, self._reliabilityOf)
        self._fillReferences()
        ui.referenceComboBox.connect("currentIndexChanged(int)", self._onReference)

    def show(self) -> None:
        parameters = self.parameters
        if parameters is None:
            return
        self.sequences.show(parameters)
        self.students.show(parameters.student)
        self._showStudent()
        self._showReference()
        self._showResult()
        self._showReadiness()

    def closeScene(self) -> None:
        super().closeScene()
        self.result.forget()
        self._choice = None
        self._ui.guessLabel.text = ""

    # Showing

    def _showStudent(self) -> None:
        entry = self.students.entryOf(self.parameters.student)
        card = None if entry is None else entry.card
        self.sequences.showGains(card, chosenVolumes(self.parameters))
        note = self.students.whyNot(self.parameters.student) if card is None else _trainingText(card)
        self._ui.studentNoteLabel.text = note
        self._ui.studentNoteLabel.visible = bool(note)

    def _fillReferences(self) -> None:
        comboBox = self._ui.referenceComboBox
        comboBox.blockSignals(True)
        comboBox.addItem(_("Finest of the sequences given"), "")
        for name in SEQUENCES:
            comboBox.addItem(SEQUENCE_LABELS[name], name)
        comboBox.blockSignals(False)

    def _showReference(self) -> None:
        comboBox = self._ui.referenceComboBox
        comboBox.blockSignals(True)
        comboBox.currentIndex = max(0, comboBox.findData(self.parameters.referenceSequence))
        comboBox.blockSignals(False)

    def _showResult(self) -> None:
        parameters = self.parameters
        self.result.showTable(parameters.resultTable, warning=self._warning())
        maps = {region: getattr(parameters, f"result{region}Probability") for region in REGIONS}
        self.result.showMap(
            maps, parameters.shownMap, parameters.resultReference, parameters.resultSegmentation, _MAP_OPACITY
        )

    def _showReadiness(self) -> None:
        self._showReason(whyNotReady(self.parameters, self._whyNoStudent()))
        for button in (self._ui.inputsButton, self._ui.studentButton, self._ui.outputButton):
            button.enabled = not self.bar.isBusy

    def _whyNoStudent(self) -> str:
        """One sentence that says why the student cannot segment what is chosen; "" when it can."""
        entry, given = self.students.entryOf(self.parameters.student), chosenVolumes(self.parameters)
        if entry is None or entry.card is None:
            return self.students.whyNot(self.parameters.student)
        required, optional = entry.card.sequences["required"], entry.card.sequences["optional"]
        missing = [name for name in required if name not in given]
        if missing:
            text = _("The student needs {missing} as well; choose it or another student.")
        elif not set(given) & {*required, *optional}:
            missing, text = list(optional), _("The student knows only {missing}; choose one of these.")
        return text.format(missing=labelsOf(missing)) if missing else ""

    def _reliabilityOf(self, tensorsSha256: str) -> str:
        return self._cardTextOf(tensorsSha256, _trainingText)

    def _warning(self) -> str:
        """One sentence that must stand before the result, or ""."""
        parameters = self.parameters
        if parameters.resultReference is None:
            return _("The sequence of this result is no longer there.")
        if self._choice is not None and self._choice != _choiceIn(parameters):
            return _("Other sequences or another student are chosen now than those of this result.")
        if self._choice is None and parameters.resultReference not in chosenVolumes(parameters).values():
            return _('This is the result of "{name}", which is not chosen now.').format(
                name=parameters.resultReference.GetName()
            )
        return ""

    # What the user does

    def _onReference(self, index: int) -> None:
        if self.parameters is not None:
            self.parameters.referenceSequence = self._ui.referenceComboBox.itemData(index) or ""

    def _onShownMap(self, region: str) -> None:
        if self.parameters is not None:
            self.parameters.shownMap = region

    # Works

    def _work(self) -> SegmentWork:
        parameters = self._currentParameters()
        return SegmentWork(
            SegmentInputs(
                chosenVolumes(parameters),
                self._studentPath(),
                self.device.device,
                parameters.referenceSequence,
                parameters.withProbabilities,
                _outputIn(parameters),
                nodesOfResult(parameters),
            ),
            self._onSegmented,
        )

    def _onSegmented(self, work: SegmentWork, finding: Any, nodes: SegmentationNodes) -> None:
        parameters = self._currentParameters()
        isKept = work.inputs.output is None or nodes.segmentation is work.inputs.output
        parameters.outputSegmentation = parameters.resultSegmentation = nodes.segmentation
        parameters.resultReference = work.referenceVolume
        parameters.resultTable = nodes.table
        for region in REGIONS:
            setattr(parameters, f"result{region}Probability", nodes.probabilityMaps.get(region))
        self._choice = _choiceOf(work.inputs.volumes, parameters)
        self._ui.guessLabel.text = ""  # what was guessed has been used: the user has confirmed it
        text = _("Done in {seconds:.1f} s on {device}.").format(
            seconds=finding.provenance.seconds, device=finding.provenance.device
        )
        if not isKept:
            text += " " + _("The chosen segmentation holds other work, so the result is in a new one.")
        self.bar.announce(text)
        self.show()


def whyNotReady(parameters: Any, whyNoStudent: str) -> str:
    """One sentence that says what is missing before segmenting can start; empty when nothing is.

    ``whyNoStudent`` is the sentence of the student choice, empty when there is a student.
    """
    volumes = chosenVolumes(parameters)
    try:
        checkVolumes(volumes)
    except ValueError as error:
        return str(error)
    reference = parameters.referenceSequence
    if reference and reference not in volumes:
        text = _("The result is to have the grid of {sequence}, which is missing; choose another grid under Output.")
        return text.format(sequence=SEQUENCE_LABELS.get(reference, reference))
    return whyNoStudent


def nodesOfResult(parameters: Any) -> SegmentationNodes:
    """The nodes of the result that the parameters hold, None where they are gone."""
    maps = {region: getattr(parameters, f"result{region}Probability") for region in REGIONS}
    return SegmentationNodes(parameters.resultSegmentation, parameters.resultTable, maps)


def _outputIn(parameters: Any) -> Any:
    """The segmentation chosen for the result; None where that is the result of images that are not chosen now."""
    output = parameters.outputSegmentation
    isOfOthers = parameters.resultReference not in chosenVolumes(parameters).values()
    return None if output is parameters.resultSegmentation and isOfOthers else output


def _choiceIn(parameters: Any) -> tuple[Any, ...]:
    return _choiceOf(chosenVolumes(parameters), parameters)


def _choiceOf(volumes: Any, parameters: Any) -> tuple[Any, ...]:
    return (*[(name, node.GetID()) for name, node in volumes.items()], parameters.student)


def _trainingText(card: Any) -> str:
    """What must be known of a student beside its scores, which are told for the sequences that are given."""
    if not card.is_synthetic:
        return ""
    return _("The student was trained on synthetic images only: for a patient its scores mean nothing.")


def _texts() -> JobTexts:
    return JobTexts(
        apply=_("Segment the tumor."),
        running=_("Segmenting..."),
        stages={
            "load": _("Segmenting: loading the student"),
            "check": _("Segmenting: checking the images"),
            "prepare": _("Segmenting: preparing the images"),
            "student": _("Segmenting: asking the student"),
            "tiles": _("Segmenting: asking the student"),
            "write": _("Segmenting: bringing the result to the grid of the image"),
        },
    )
