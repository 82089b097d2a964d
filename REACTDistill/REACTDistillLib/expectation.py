"""The price of a missing sequence: what a card says of the sequences that are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .subsets.scores import Subset, in_order, subset_name

if TYPE_CHECKING:
    from .card import Card

SHOWN_NAMES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
_NUMBERS = {2: "both", 3: "all three", 4: "all four"}
_NO_GAIN = 0.005  # below it a gain reads as +0.00


@dataclass(frozen=True)
class Expectation:
    """What the card of a student says of a subset of its sequences.

    ``dice`` is the mean Dice by region with the sequences ``given``, ``full_dice`` with all; each is empty where the
    card does not tell. ``gains`` is what each missing sequence would add by region, ``helps_most`` the one that adds
    most on average over regions; None when none adds or nothing is known. ``sentence`` says it for the reader.
    """

    given: Subset
    dice: Mapping[str, float]
    full_dice: Mapping[str, float]
    gains: Mapping[str, Mapping[str, float]]
    helps_most: str | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for a Finding."""
        return {**asdict(self), "given": list(self.given)}


def expectation(card: Card, given: Iterable[str]) -> Expectation:
    """What ``card.metrics`` says of the sequences ``given``; names that the student does not take are left out.

    No number is made up: a subset that was not evaluated has none. Raises ValueError when no sequence is left.
    """
    known = (*card.sequences["required"], *card.sequences["optional"])
    present = in_order(set(given) & set(known))
    if not present:
        raise ValueError(f'None of the sequences is one of "{card.name}"; it takes {", ".join(known)}.')
    dice, full = _dice(card, present), _dice(card, known)
    gains = {name: _gains(dice, _dice(card, (*present, name))) for name in in_order(set(known) - set(present))}
    gains = {name: gain for name, gain in gains.items() if gain}
    best = max(gains, key=lambda name: _mean(gains[name]), default=None)
    if best is not None and _mean(gains[best]) < _NO_GAIN:
        best = None
    sentence = _sentence(card, present, dice, full, gains, best)
    return Expectation(present, dice, full, gains, best, sentence)


def _dice(card: Card, names: Iterable[str]) -> dict[str, float]:
    row = card.metrics.get(subset_name(names), {})
    return {region: float(row[f"dice_{region}"]) for region in card.classes if f"dice_{region}" in row}


def _gains(dice: Mapping[str, float], richer: Mapping[str, float]) -> dict[str, float]:
    return {region: round(richer[region] - dice[region], 4) for region in dice if region in richer}


def _mean(gain: Mapping[str, float]) -> float:
    return sum(gain.values()) / len(gain)


def _sentence(
    card: Card,
    given: Subset,
    dice: Mapping[str, float],
    full: Mapping[str, float],
    gains: Mapping[str, Mapping[str, float]],
    best: str | None,
) -> str:
    with_given = f"With {listed([SHOWN_NAMES.get(name, name) for name in given])}"
    missing = len(card.sequences["required"]) + len(card.sequences["optional"]) - len(given)
    alone = " alone" if missing else ""
    if not dice:
        return f'{with_given}{alone} the Dice to expect is not known: the card of "{card.name}" does not tell it.'
    expected = listed([f"{value:.2f} for {region}" for region, value in dice.items()])
    cases = int(card.metrics[subset_name(given)].get("cases", 0))
    counted = f"{cases} " if cases else ""
    source = f"as measured in {counted}{'synthetic ' if card.is_synthetic else ''}{'case' if cases == 1 else 'cases'}"
    sentence = f"{with_given}{alone} a Dice of {expected} is expected, {source}"
    if missing and set(full) >= set(dice):
        every = _NUMBERS.get(len(given) + missing, "with all sequences")
        sentence += f" ({every}: {', '.join(f'{full[region]:.2f}' for region in dice)})"
    return f"{sentence}{_help(gains, best)}."


def _help(gains: Mapping[str, Mapping[str, float]], best: str | None) -> str:
    if best is None:
        return "; no missing sequence was found to help" if gains else ""
    region = max(gains[best], key=gains[best].__getitem__)
    more = f"{region} {gains[best][region]:+.2f}"
    if len(gains) == 1:
        return f"; {SHOWN_NAMES.get(best, best)} would help ({more})"
    return f"; {SHOWN_NAMES.get(best, best)} would help most ({more})"


def listed(words: Sequence[str]) -> str:
    """The words as a list in a sentence: "T1, T2 and FLAIR"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
