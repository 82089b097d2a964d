"""Training: one loop for all recipes, one folder per run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from . import __version__
from .card import Card
from .cohort import Cohort, CohortEntry
from .progress import ProgressCallback, silent
from .recipes import Batch, Preparation, Recipe, Stage, recipe_named

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

PHANTOMS_ONLY = (
    "Trained on analytic phantoms only: it has never seen a patient, and its answer for one means nothing. "
    "Not for clinical use."
)
RESEARCH_ONLY = "Trained for research on the cohort named in this card. Not for clinical use."


@dataclass(frozen=True)
class TrainingConfig:
    """What the user may choose of a run; written to ``config.json`` of the run folder."""

    recipe: str = "reactkd"
    name: str = "Grade student"
    version: str = "0.1.0"
    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 2e-3  # peak; cosine to zero over the stage
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    fold: int = 0  # validates; the next fold is held out for the scores of the card
    seed: int = 0
    device: str = "cpu"
    settings: dict[str, Any] = field(default_factory=dict)  # replace defaults of the recipe's preparation


def train(
    cohort: Cohort, run_folder: Path | str, config: TrainingConfig, *, progress: ProgressCallback = silent
) -> Path:
    """Train a recipe on a cohort and return the student file.

    The new folder ``run_folder`` receives ``config.json`` (with cohort hash, seed and versions), ``metrics.jsonl`` (one
    line per epoch), ``last.safetensors`` and ``best.safetensors`` (weights, best by the score on the validation fold)
    and ``student.safetensors``, whose card carries the scores of the best weights on the held-out fold. Raises
    ValueError when the folder is not empty or the cohort lacks the folds or classes that are needed.
    """
    import torch

    split = _split(cohort, config)
    folder = _new_folder(Path(run_folder))
    recipe = recipe_named(config.recipe)
    preparation = recipe.preparation(cohort.classes, **config.settings)
    _write_config(folder, cohort, config)
    torch.manual_seed(config.seed)
    parts = {name: _prepared(recipe, preparation, entries, name, progress) for name, entries in split.items()}
    networks = _on_device(recipe.networks(preparation), config.device)
    loader = _loader(parts["training"], config)
    best = -math.inf
    for stage, epochs in _epochs(recipe.stages(), config.epochs):
        steps = _Steps(stage, networks, config, epochs * len(loader))
        for epoch in range(1, epochs + 1):
            losses = _run_epoch(recipe, loader, networks, steps, config)
            scores = _scores(recipe, networks["student"], parts["validation"])
            improved = scores["score"] > best
            best = max(best, scores["score"])
            _write_weights(networks["student"], folder / "last.safetensors")
            if improved:
                _write_weights(networks["student"], folder / "best.safetensors")
            _log(folder, {"stage": stage.name, "epoch": epoch, "best": improved, **losses, "validation": scores})
            progress(stage.name, epoch, epochs)
    return _export(recipe, preparation, cohort, config, folder, parts["held out"])


class _Steps:
    """The optimizer steps of one stage: each update with its own optimizer and cosine schedule."""

    def __init__(self, stage: Stage, networks: dict[str, torch.nn.Module], config: TrainingConfig, steps: int) -> None:
        import torch

        self._networks, self._clip, self._done = networks, config.clip_norm, 0
        self._plan = []
        for update in stage.updates:
            parameters = list(update.parameters(networks))
            optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, config.learning_rate, total_steps=math.ceil(steps / update.every), pct_start=0.15
            )
            self._plan.append((update, parameters, optimizer, schedule))

    def run(self, batch: Batch) -> dict[str, float]:
        """Do every update that is due on this batch; returns its loss terms."""
        import torch

        terms = {}
        for update, parameters, optimizer, schedule in self._plan:
            if self._done % update.every:
                continue
            device = batch["image"].device.type
            # bfloat16 has the range of float32, so gradients need no scaling.
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                losses = update.loss(self._networks, batch)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(parameters, self._clip)
            optimizer.step()
            schedule.step()
            terms.update({name: float(loss.detach()) for name, loss in losses.items()})
        self._done += 1
        return terms


def _on_device(networks: dict[str, torch.nn.Module], device: str) -> dict[str, torch.nn.Module]:
    import torch

    # Channels last makes 3D convolutions of few channels up to twice as fast on a CPU.
    return {name: one.to(device).to(memory_format=torch.channels_last_3d) for name, one in networks.items()}  # type: ignore[call-overload]


def _run_epoch(
    recipe: Recipe, loader: DataLoader, networks: dict[str, torch.nn.Module], steps: _Steps, config: TrainingConfig
) -> dict[str, float]:
    for network in networks.values():
        network.train()
    sums: dict[str, float] = {}
    for batch in loader:
        on_device = {name: tensor.to(config.device) for name, tensor in batch.items()}
        for name, value in steps.run(recipe.augment(on_device)).items():
            sums[name] = sums.get(name, 0.0) + value / len(loader)
    return sums


def _scores(recipe: Recipe, network: torch.nn.Module, samples: Sequence[Batch]) -> dict[str, float]:
    import torch

    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        return recipe.evaluate(network, ({k: v.to(device) for k, v in sample.items()} for sample in samples))


def _epochs(stages: Sequence[Stage], epochs: int) -> Iterator[tuple[Stage, int]]:
    total = sum(stage.share for stage in stages)
    for stage in stages:
        yield stage, max(1, round(epochs * stage.share / total))


def _split(cohort: Cohort, config: TrainingConfig) -> dict[str, list[CohortEntry]]:
    folds = cohort.folds
    if len(folds) < 3 or config.fold not in folds:
        raise ValueError(
            f"Training needs at least 3 folds and validates on fold {config.fold}; the cohort has the folds {folds}."
        )
    held_out = folds[(folds.index(config.fold) + 1) % len(folds)]
    others, validation = cohort.split(config.fold)
    parts = {
        "training": [entry for entry in others if entry.fold != held_out],
        "validation": validation,
        "held out": [entry for entry in others if entry.fold == held_out],
    }
    for name, entries in parts.items():  # found now, not after hours of training
        _check_labels(name, entries, cohort.classes)
    return parts


def _check_labels(name: str, entries: Sequence[CohortEntry], classes: Sequence[str]) -> None:
    labels = {entry.label for entry in entries}
    if None in labels:
        unlabeled = next(entry.id for entry in entries if entry.label is None)
        raise ValueError(f'Case "{unlabeled}" has no label; supervised training needs one for every case.')
    missing = sorted(set(classes) - labels)
    if missing:
        raise ValueError(f'The {name} part has no case of class "{missing[0]}"; use fewer folds or more cases.')


def _prepared(
    recipe: Recipe, preparation: Preparation, entries: Sequence[CohortEntry], name: str, progress: ProgressCallback
) -> Sequence[Batch]:
    """All cases of one part as tensors in memory: prepared once, read in every epoch."""
    from monai.data import CacheDataset
    from monai.transforms import Transform

    class Prepare(Transform):  # a plain function would not be cached: it counts as random
        done = 0

        def __call__(self, entry: CohortEntry) -> Batch:
            self.done += 1
            progress(f"prepare {name}", self.done, len(entries))
            return recipe.prepare(entry.load(), preparation)

    dataset = CacheDataset(list(entries), transform=Prepare(), num_workers=0, progress=False, copy_cache=False)
    return cast("Sequence[Batch]", dataset)


def _loader(samples: Sequence[Batch], config: TrainingConfig) -> DataLoader:
    import torch

    order = torch.Generator().manual_seed(config.seed)
    size = min(config.batch_size, len(samples))
    return torch.utils.data.DataLoader(samples, size, shuffle=True, drop_last=True, generator=order)  # type: ignore[arg-type]


def _export(
    recipe: Recipe,
    preparation: Preparation,
    cohort: Cohort,
    config: TrainingConfig,
    folder: Path,
    held_out: Sequence[Batch],
) -> Path:
    from safetensors.torch import load_file

    from .student import save_student

    network = recipe.build_network(preparation.network)
    network.load_state_dict(load_file(folder / "best.safetensors"))
    scores = {name: round(value, 4) for name, value in _scores(recipe, network, held_out).items() if name != "score"}
    card = _card(recipe, preparation, cohort, config, {**scores, "cases": len(held_out)})
    save_student(folder / "student.safetensors", network, card)
    return folder / "student.safetensors"


def _card(
    recipe: Recipe, preparation: Preparation, cohort: Cohort, config: TrainingConfig, scores: dict[str, float]
) -> Card:
    return Card(
        name=config.name,
        version=config.version,
        recipe=recipe.name,
        task=recipe.task,
        network={"name": "student", "config": preparation.network},
        sequences=preparation.sequences,
        regions=preparation.regions,
        grid={
            "shape_kji": list(preparation.grid_shape_kji),
            "spacing_kji_mm": list(preparation.grid_spacing_kji_mm),
        },
        intensity=preparation.intensity,
        classes=preparation.classes,
        metrics={"+".join(preparation.sequences["required"]): scores},
        training={
            "cohort": cohort.name,
            "cohort_sha256": cohort.sha256,
            "cases": len(cohort.entries),
            "synthetic": cohort.synthetic,
            "seed": config.seed,
            "software_version": __version__,
        },
        licence="Apache-2.0",
        intended_use="Demonstration of the software." if cohort.synthetic else "Research.",
        limitations=PHANTOMS_ONLY if cohort.synthetic else RESEARCH_ONLY,
    )


def _new_folder(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f'"{folder}" is not empty; a run needs a folder of its own, name a new one.')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_config(folder: Path, cohort: Cohort, config: TrainingConfig) -> None:
    import torch

    versions = {"software": __version__, "torch": torch.__version__}
    content = {**asdict(config), "cohort": cohort.name, "cohort_sha256": cohort.sha256, "versions": versions}
    (folder / "config.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def _write_weights(network: torch.nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}")
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, temporary)
    temporary.replace(path)


def _log(folder: Path, line: dict[str, Any]) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
