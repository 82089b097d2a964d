"""The four sequence selectors of a panel: the guess that fills them, and what each missing sequence costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import slicer

from .readiness import offerImagesOnly
from .resultnodes import RESULT_ATTRIBUTE
from .sequenceguess import SEQUENCE_LABELS, SEQUENCES, guessAmong, labelsOf
from .translation import tr as _

if TYPE_CHECKING:
    from REACTDistillLib.card import Card

_SHOWN_FROM = 0.005  # a smaller gain reads as +0.00


class SequencesPanel:
    """Shows which volume is which sequence in the widgets ``ui``, and guesses for volumes that are new in the scene.

    A guess never replaces what is chosen, and a volume that was offered once is not offered again: a sequence that the
    user has set to missing stays missing.
    """

    def __init__(self, ui: Any, currentParameters: Callable[[], Any]) -> None:
        self._ui, self._currentParameters = ui, currentParameters
        ui.guessButton.connect("clicked()", self.guessAnew)

    def show(self, parameters: Any) -> None:
        """Offer the images of the scene and fill empty places by a guess among those that are new."""
        offerImagesOnly([getattr(self._ui, f"{name}VolumeSelector") for name in SEQUENCES])
        images = _images()
        known = _knownIn(parameters.knownVolumes)
        fresh = [node for node in images if node.GetID() not in known]
        if fresh:
            parameters.knownVolumes = json.dumps(sorted(known | {node.GetID() for node in fresh}))
            self._fill(parameters, fresh)

    def showGains(self, card: Card | None, given: Mapping[str, Any]) -> None:
        """Say behind each missing sequence what it would add to the Dice, and in one sentence what is expected."""
        gains, sentence, best = _priceOf(card, given)
        self._ui.expectationLabel.text = sentence
        for name in SEQUENCES:
            label, gain = getattr(self._ui, f"{name}GainLabel"), gains.get(name, {})
            label.text = _gainText(gain, isBest=name == best)
            label.toolTip = _gainToolTip(name, gain)

    def guessAnew(self) -> None:
        """Forget the choice and guess among all images."""
        parameters = self._currentParameters()
        if parameters is None:
            return
        for name in SEQUENCES:
            setattr(parameters, f"{name}Volume", None)
        self._fill(parameters, _images())

    def _fill(self, parameters: Any, nodes: list[Any]) -> None:
        taken = {node.GetID() for node in chosenVolumes(parameters).values()}
        guesses = guessAmong(node for node in nodes if node.GetID() not in taken)
        reasons: dict[str, list[str]] = {}
        for name in SEQUENCES:
            if name in guesses and getattr(parameters, f"{name}Volume") is None:
                node, guess = guesses[name]
                setattr(parameters, f"{name}Volume", node)
                reasons.setdefault(guess.reason, []).append(name)
        self._ui.guessLabel.text = _guessText(reasons)


def chosenVolumes(parameters: Any) -> dict[str, Any]:
    """The volume nodes that are chosen, by sequence, in the order T1, T1ce, T2, FLAIR."""
    volumes = {name: getattr(parameters, f"{name}Volume") for name in SEQUENCES}
    return {name: node for name, node in volumes.items() if node is not None}


def _guessText(reasons: Mapping[str, list[str]]) -> str:
    if not reasons:
        return _("No other volume could be told to be one of the four sequences; choose them.")
    words = [f"{labelsOf(names)} {reason}" for reason, names in reasons.items()]
    return _("Guessed, please check: {guesses}.").format(guesses="; ".join(words))


def _images() -> list[Any]:
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetAttribute(RESULT_ATTRIBUTE) is None
    ]


def _knownIn(text: str) -> set[str]:
    """The node IDs in a JSON list; none for text that is no such list, as a scene of another program may hold."""
    try:
        listed = json.loads(text or "[]")
    except json.JSONDecodeError:
        return set()
    return {one for one in listed if isinstance(one, str)} if isinstance(listed, list) else set()


def _priceOf(card: Card | None, given: Mapping[str, Any]) -> tuple[Mapping[str, Mapping[str, float]], str, str | None]:
    """Gains by missing sequence, the sentence, and the sequence that would help most."""
    known = () if card is None else (*card.sequences["required"], *card.sequences["optional"])
    if card is None or not set(given) & set(known):
        return {}, "", None
    from REACTDistillLib.expectation import expectation

    price = expectation(card, given)
    return price.gains, price.sentence, price.helps_most


def _gainText(gain: Mapping[str, float], *, isBest: bool) -> str:
    """The region that gains most, as "ET +0.31", in bold for the sequence that helps most."""
    if not gain:
        return ""
    region = max(gain, key=gain.__getitem__)
    if gain[region] < _SHOWN_FROM:
        return _("no gain")
    text = f"{region} {gain[region]:+.2f}"
    return f"<b>{text}</b>" if isBest else text


def _gainToolTip(name: str, gain: Mapping[str, float]) -> str:
    if not gain:
        return _("What this sequence would add to the expected Dice, when it is missing and the student's card tells.")
    numbers = ", ".join(f"{region} {value:+.3f}" for region, value in gain.items())
    return _("{sequence} would add to the expected Dice: {numbers}.").format(
        sequence=SEQUENCE_LABELS[name], numbers=numbers
    )
