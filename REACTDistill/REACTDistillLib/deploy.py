"""The end of a run: scores on the held-out fold, student file with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import __version__
from .card import Card
from .checkpoint import load_tensors, load_weights
from .cohort import Cohort
from .recipes import Batch, Judgment, Preparation, Recipe
from .runfolder import STUDENT_FILE, RunFolder
from .student import save_student
from .trainingconfig import TrainingConfig

if TYPE_CHECKING:
    from torch.nn import Module

PHANTOMS_ONLY = (
    "Trained on analytic phantoms only: it has never seen a patient, and its answer for one means nothing. "
    "Not for clinical use."
)
RESEARCH_ONLY = "Trained for research on the cohort named in this card. Not for clinical use."


@dataclass(frozen=True)
class Trained:
    """What the card of a student tells of its training."""

    cohort: Cohort
    config: TrainingConfig
    recipe: Recipe
    preparation: Preparation


def scores_of(
    recipe: Recipe, network: Module, samples: Sequence[Batch], *, temperature: float = 1.0
) -> dict[str, float]:
    """The scores of a network in eval mode on prepared samples."""
    import torch

    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        on_device = ({name: tensor.to(device) for name, tensor in sample.items()} for sample in samples)
        return recipe.evaluate(network, on_device, temperature=temperature)


def final_scores(
    recipe: Recipe, networks: Mapping[str, Module], samples: Mapping[str, Sequence[Batch]], folder: RunFolder
) -> dict[str, dict[str, Any]]:
    """For each network with best weights in the folder, scores and number of cases of both parts it did not train on.

    The networks are left with these weights.
    """
    scores: dict[str, dict[str, Any]] = {}
    for name, network in networks.items():
        if folder.best_path(name).is_file():
            load_weights(network, load_tensors(folder.best_path(name))[0], folder.best_path(name).name)
            scores[name] = {
                part: {**scores_of(recipe, network, samples[part]), "cases": len(samples[part])}
                for part in ("validation", "held_out")
            }
    return scores


def deploy(trained: Trained, samples: Mapping[str, Sequence[Batch]], folder: RunFolder) -> None:
    """Write the student file of a run: best weights, and a card with what the recipe judges of them."""
    network = trained.recipe.build_network(trained.preparation.network)
    best = folder.best_path("student")
    load_weights(network, load_tensors(best)[0], best.name)
    network.eval()
    judgment = trained.recipe.judge(network, trained.preparation, samples["validation"], samples["held_out"])
    save_student(folder.path / STUDENT_FILE, network, _card(trained, judgment))


def check_card(trained: Trained) -> None:
    """Raise ValueError when the card of the student to come could not be written: now, not after the last epoch."""
    content = _card(trained, Judgment({})).to_json()
    tensors = {"tensors": {"one": {"shape": [1], "dtype": "F32"}}, "tensors_sha256": "0" * 64}
    Card.from_json({**content, **tensors}, STUDENT_FILE)


def _card(trained: Trained, judgment: Judgment) -> Card:
    cohort, config, preparation = trained.cohort, trained.config, trained.preparation
    return Card(
        name=config.name,
        version=config.version,
        recipe=trained.recipe.name,
        task=trained.recipe.task,
        network={"name": "student", "config": preparation.network},
        sequences=preparation.sequences,
        regions=preparation.regions,
        grid={
            "shape_kji": list(preparation.grid_shape_kji),
            "spacing_kji_mm": list(preparation.grid_spacing_kji_mm),
        },
        intensity=preparation.intensity,
        classes=preparation.classes,
        metrics=judgment.metrics,
        calibration=judgment.calibration,
        memory=judgment.memory,
        training={
            "cohort": cohort.name,
            "cohort_sha256": cohort.sha256,
            "cases": len(cohort.entries),
            "synthetic": cohort.synthetic,
            "seed": config.seed,
            "fold": config.fold,
            "software_version": __version__,
            **({"settings": dict(preparation.training)} if preparation.training else {}),
        },
        licence=config.licence or ("Apache-2.0" if cohort.synthetic else "not stated"),
        intended_use="Demonstration of the software." if cohort.synthetic else "Research.",
        limitations=PHANTOMS_ONLY if cohort.synthetic else RESEARCH_ONLY,
    )
