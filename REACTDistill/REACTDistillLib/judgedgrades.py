"""What the card of a grading student tells: its temperature and its scores with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .calibration import fit_temperature
from .recipes import Batch, Judgment, Preparation, Recipe

if TYPE_CHECKING:
    from torch.nn import Module


def judged_grades(
    recipe: Recipe, network: Module, preparation: Preparation, validation: Sequence[Batch], held_out: Sequence[Batch]
) -> Judgment:
    """The temperature fitted on the validation samples, and the scores of the held-out ones with it, as in use."""
    readout = recipe.read(network, validation)
    temperature = round(float(fit_temperature(readout.logits, readout.labels)), 6)
    calibration: dict[str, Any] = {"temperature": temperature, "fitted_on": "validation", "cases": len(validation)}
    scores = recipe.evaluate(network, held_out, temperature=temperature)
    return Judgment({"+".join(preparation.sequences["required"]): _rounded(scores, len(held_out))}, calibration)


def _rounded(scores: Mapping[str, float], cases: int) -> dict[str, float]:
    """The scores for the card; "score" is one of the others."""
    return {**{name: round(value, 4) for name, value in scores.items() if name != "score"}, "cases": cases}
