"""The card of a student as text for a panel."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .translation import tr as _

if TYPE_CHECKING:
    from REACTDistillLib.card import Card

_MOST_SUBSETS = 3
_GIGABYTE = 1e9
_CASES = "cases"  # the metric that says how many cases the others rest on
_WRITTEN = {"auc": "AUC", "f1": "F1", "dice": "Dice"}  # words in the names of metrics that are not written small


def cardAsRichText(card: Card) -> str:
    """The whole card, one line per item: needs, scores, training, use and limits, license, checksum."""
    items = [
        (_("Task"), f"{card.task}: {', '.join(card.classes)}"),
        (_("Needs"), needsText(card)),
        (_("Scores"), scoresText(card)),
        (_("Training"), _trainingText(card)),
        (_("Grid"), _voxelsText(card.grid_shape_kji, card.grid_spacing_kji_mm)),
        (_("Memory"), _memoryText(card)),
        (_("Intended use"), card.intended_use),
        (_("Limitations"), card.limitations),
        (_("License"), card.licence),
        (_("Method"), card.recipe),
        (_("Tensors SHA-256"), card.tensors_sha256),
    ]
    title = f"<b>{html.escape(card.name)} {html.escape(card.version)}</b>"
    return "<br>".join([title, *(f"<i>{name}:</i> {html.escape(value)}" for name, value in items if value)])


def reliabilityText(card: Card) -> str:
    """Rich text, one line on the scores and one more when the student knows no patients, to stand beside a result."""
    lines = [_("Scores of the student: {scores}.").format(scores=scoresText(card) or _("none in its card"))]
    if card.is_synthetic:
        lines.append(_("It was trained on synthetic images only: for a patient its scores mean nothing."))
    return "<br>".join(html.escape(line) for line in lines)


def needsText(card: Card) -> str:
    """Required sequences and regions, then the optional ones."""
    needs = [*card.sequences["required"], *card.regions["required"]]
    options = [*card.sequences["optional"], *card.regions["optional"]]
    required = ", ".join(needs) or _("any of its sequences")
    return (
        _("{required} (optional: {options})").format(required=required, options=", ".join(options))
        if options
        else required
    )


def sequencesText(card: Card) -> str:
    """Required sequences, then the optional ones in parentheses; "any of" these when none is required."""
    required, optional = ", ".join(card.sequences["required"]), ", ".join(card.sequences["optional"])
    if not required:
        return _("any of {sequences}").format(sequences=optional)
    return f"{required} ({optional})" if optional else required


def scoresText(card: Card) -> str:
    """Scores for each subset of sequences with the number of cases they rest on; "" when the card has none.

    Of many subsets only the largest is told; the panel that uses them tells what another one costs.
    """
    subsets = dict(card.metrics)
    if len(subsets) > _MOST_SUBSETS:
        largest = max(subsets, key=lambda subset: subset.count("+"))
        subsets = {largest: subsets[largest]}
    return "; ".join(_scoresOfSubset(subset, values) for subset, values in subsets.items())


def _scoresOfSubset(subset: str, values: Mapping[str, float]) -> str:
    numbers = ", ".join(f"{_metricText(name)} {value:.3g}" for name, value in values.items() if name != _CASES)
    if _CASES not in values:
        return f"{subset}: {numbers}"
    return _("{subset}: {scores} ({cases} cases)").format(subset=subset, scores=numbers, cases=round(values[_CASES]))


def _metricText(name: str) -> str:
    return " ".join(_WRITTEN.get(word, word) for word in name.split("_"))


def _trainingText(card: Card) -> str:
    kind = _("synthetic images") if card.is_synthetic else _("images of patients")
    return _("{cases} cases, {kind}: {cohort}").format(
        cases=card.training["cases"], kind=kind, cohort=card.training["cohort"]
    )


def _memoryText(card: Card) -> str:
    """What a run takes at its peak, beside the images and the program; "" when the card does not say it."""
    if not card.memory:
        return ""
    return _("up to {whole} GB, in tiles {tiled} GB, beside the images: {count} sequences of {voxels}").format(
        whole=f"{card.memory['whole_bytes'] / _GIGABYTE:.1f}",
        tiled=f"{card.memory['tiled_bytes'] / _GIGABYTE:.1f}",
        count=card.memory["sequences"],
        voxels=_voxelsText(card.memory["image_shape_kji"], card.memory["image_spacing_kji_mm"]),
    )


def _voxelsText(shapeKji: Sequence[int], spacingKjiMm: Sequence[float]) -> str:
    shape = " × ".join(str(count) for count in shapeKji)
    spacing = " × ".join(f"{mm:g}" for mm in spacingKjiMm)
    return _("{shape} voxels of {spacing} mm (slices, rows, columns)").format(shape=shape, spacing=spacing)
