"""Training: one loop for all recipes, one folder per run, in one process or in several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .batches import Batches, check_batch_size
from .checkpoint import load_tensors, load_weights, under_prefix, with_prefix
from .cohort import Cohort, CohortEntry, file_sha256
from .cohortsplit import CohortParts, split_cohort
from .deploy import Trained, check_card, deploy, final_scores, scores_of
from .errors import check_names
from .kept import Kept, Said, prepared, taught
from .origin import check_unseen, origin_of
from .parallel import Processes, joined, met_alike
from .progress import ProgressCallback, silent
from .recipes import Batch, Preparation, Recipe, Stage, recipe_named
from .runfolder import STUDENT_FILE, RunFolder
from .trainingconfig import TrainingConfig
from .updates import StageUpdates

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["TrainingConfig", "train"]


def train(
    cohort: Cohort,
    run_folder: Path | str,
    config: TrainingConfig,
    *,
    resume: bool = False,
    kept: Kept | None = None,
    progress: ProgressCallback = silent,
) -> Path:
    """Train a recipe on a cohort and return the student file, or the folder when no stage trains the student.

    The new folder ``run_folder`` receives ``config.json`` (with cohort hash, parts and versions), ``metrics.jsonl``
    (one line per epoch), ``checkpoint.safetensors``, ``best_<network>.safetensors`` of each stage (best by the score on
    the validation part, of equal ones the last), ``student.safetensors``, whose card carries scores on the held-out
    fold, and at last ``scores.json`` of all networks trained. A run that was stopped, however, goes on with ``resume``
    and the same cohort and configuration, and on a CPU ends in the same weights to the bit. Under torchrun all
    processes train one run; they must see the same folders, and the first one writes.

    Raises ValueError with one sentence when the folder, cohort or configuration do not fit, a file of a case is missing
    or changed, a loss is no number, or the disk is full; the last checkpoint then is intact. What ``progress`` raises
    (Cancelled) stops the run and leaves it resumable.
    """
    with joined(config.device) as processes:
        report = progress if processes.is_first else silent
        folder = RunFolder(Path(run_folder))
        try:
            run = _opened(cohort, folder, config, kept or Kept(), resume=resume, processes=processes, progress=report)
            run.train()
            processes.first(run.finish)
        finally:
            folder.release()
        student = folder.path / STUDENT_FILE
        return student if student.exists() else folder.path


@dataclass
class _State:
    """Where a run stands; with the tensors of a checkpoint all that it needs to go on."""

    stage: str = ""
    epoch: int = 0  # done in this stage
    step: int = 0  # done in the epoch under way
    best: float | None = None
    lines: int = 0  # of the log
    sums: dict[str, list[float]] = field(default_factory=dict)  # of the losses of the epoch under way


@dataclass
class _Run:
    """A run under way, seen from one process."""

    trained: Trained
    folder: RunFolder
    networks: dict[str, Module]
    origin: Mapping[str, Any]  # which cases its weights have seen
    samples: Mapping[str, Sequence[Batch]]
    entries: Sequence[CohortEntry]  # of the training samples
    kept: Kept
    processes: Processes
    progress: ProgressCallback
    state: _State = field(default_factory=_State)
    best: dict[str, Tensor] = field(default_factory=dict)

    def train(self) -> None:
        """Train every stage that is not done yet; each ends with the best weights in its network."""
        plan = _plan(self.trained)
        saved = self.processes.together(self._restored)
        names = [stage.name for stage, _ in plan]
        for stage, epochs in plan[names.index(self.state.stage) if saved else 0 :]:
            self._train_stage(stage, epochs, saved)

    def finish(self) -> None:
        """Score the best weights of all networks and write the student file."""
        scores = final_scores(self.trained.recipe, self.networks, self.samples, self.folder)
        if "student" in scores:
            deploy(self.trained, self.samples, self.folder)
        self.folder.finish(scores)

    def _train_stage(self, stage: Stage, epochs: int, saved: dict[str, Tensor]) -> None:
        """Train one stage from its beginning, or on from the tensors ``saved`` in a checkpoint, which it uses up."""
        samples = self.processes.together(lambda: self._samples_for(stage))
        batches = Batches(self.trained, samples, self.processes, stage)
        updates = StageUpdates(stage, self.networks, self.trained.config, self.processes, epochs * len(batches))
        if saved:
            updates.restore(under_prefix("optimizer", saved), self.state.sums)
            saved.clear()  # they are of this stage only, and as large as networks and optimizers together
        else:
            self._begin(stage)
        while self.state.epoch < epochs:
            self._train_epoch(stage, updates, batches)
            self._close_epoch(stage, updates)
            self.processes.first(lambda: self.progress(self.state.stage, self.state.epoch, epochs))
        updates.leave_training()
        load_weights(self.networks[stage.network], self.best, "best weights")

    def _begin(self, stage: Stage) -> None:
        self.state = _State(stage.name, lines=self.state.lines)
        self.best = {}
        if stage.begin is not None:
            stage.begin(self.networks)

    def _samples_for(self, stage: Stage) -> list[Batch]:
        samples = list(self.samples["training"])
        if stage.taught is None:
            return samples
        said = Said(stage, self.networks, self.processes.device)
        return taught(said, self.entries, samples, self.kept, self.progress)

    def _train_epoch(self, stage: Stage, updates: StageUpdates, batches: Batches) -> None:
        state, every = self.state, self.trained.config.checkpoint_steps
        updates.enter_training()
        for batch in batches.epoch(state.epoch, state.step):
            done = state.epoch * len(batches) + state.step
            updates.run(batch, done, f"stage {stage.name}, epoch {state.epoch + 1}, step {state.step + 1}")
            state.step += 1
            if every and state.step % every == 0 and state.step < len(batches):
                self._save(stage, updates)

    def _close_epoch(self, stage: Stage, updates: StageUpdates) -> None:
        """Score the epoch on the validation part, keep its weights when they are the best, log it, save."""
        state, losses, network = self.state, updates.losses(), self.networks[stage.network]
        scores: dict[str, float] = {}
        self.processes.first(lambda: scores.update(self._validation_scores(network)))
        score = self.processes.from_first(scores.get("score", math.nan))
        with met_alike():
            _check_score(score, f"stage {stage.name}, epoch {state.epoch + 1}")
        improved = state.best is None or score >= state.best  # of equal ones the later, which is trained longer
        if improved:
            state.best = score
            self.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        updates.forget()
        state.epoch, state.step, state.lines = state.epoch + 1, 0, state.lines + 1
        line = {"stage": stage.name, "epoch": state.epoch, "best": improved, **losses, "validation": scores}
        self.processes.first(lambda: self.folder.log(line))
        self._save(stage, updates)
        if improved:  # after the checkpoint, which holds the same weights: it is the one that counts
            self.processes.first(lambda: self.folder.save_best(stage.network, self.best, self.origin))

    def _validation_scores(self, network: Module) -> dict[str, float]:
        return scores_of(self.trained.recipe, network, self.samples["validation"])

    def _save(self, stage: Stage, updates: StageUpdates) -> None:
        import torch

        self.state.sums = updates.sums()
        tensors = {**with_prefix("optimizer", updates.tensors()), **with_prefix("best", self.best)}
        for name, network in self.networks.items():
            tensors |= with_prefix(f"network/{name}", network.state_dict())
        tensors["random"] = torch.get_rng_state()
        self.processes.first(lambda: self.folder.save_checkpoint(tensors, asdict(self.state)))

    def _restored(self) -> dict[str, Tensor]:
        """Bring networks, state, log and best weights to the last checkpoint; its tensors, empty when there is none."""
        import torch

        found = self.folder.checkpoint()
        tensors, state = found if found is not None else ({}, asdict(_State()))
        self.state = _State(**state)
        self.best = under_prefix("best", tensors)
        if tensors:
            torch.set_rng_state(tensors["random"])
            for name, network in self.networks.items():
                load_weights(network, under_prefix(f"network/{name}", tensors), "checkpoint")
        if self.processes.is_first:
            self.folder.cut_log(self.state.lines)
            if self.best:
                stage = next(stage for stage, _ in _plan(self.trained) if stage.name == self.state.stage)
                self.folder.save_best(stage.network, self.best, self.origin)
        return tensors


def _opened(
    cohort: Cohort,
    folder: RunFolder,
    config: TrainingConfig,
    kept: Kept,
    *,
    resume: bool,
    processes: Processes,
    progress: ProgressCallback,
) -> _Run:
    """A run with its folder open, its networks built and its cases prepared; what can be refused early is."""
    with met_alike():
        recipe = recipe_named(config.recipe)
        trained = Trained(cohort, config, recipe, _preparation(recipe, cohort, config))
        _check_cases(cohort.entries, trained.preparation)
        unlabeled_train = any(stage.unlabeled for stage, _ in _plan(trained))
        parts = split_cohort(cohort, config, unlabeled_train=unlabeled_train)
        check_batch_size(config, len(parts.training), processes)
        check_batch_size(config, sum(entry.label is not None for entry in parts.training), processes)
        networks, origins = _networks(trained, parts, processes)
        if "student" in networks:
            check_card(trained)
        content = _content(cohort, config, parts)
    open_folder = folder.resume if resume else folder.start
    processes.first(lambda: open_folder(content))
    used = parts.by_name() if processes.is_first else {"training": parts.training}
    samples = processes.together(
        lambda: {name: prepared(trained, entries, name, kept, progress) for name, entries in used.items()}
    )
    origin = origin_of([*parts.training, *parts.validation], *origins)
    return _Run(trained, folder, networks, origin, samples, parts.training, kept, processes, progress)


def _preparation(recipe: Recipe, cohort: Cohort, config: TrainingConfig) -> Preparation:
    check_names("settings", config.settings, [one.name for one in fields(Preparation) if one.name != "classes"])
    try:
        return recipe.preparation(cohort.classes, **config.settings)
    except TypeError as error:
        raise ValueError(f"A value in the settings is of the wrong kind: {error}.") from error


def _check_cases(entries: Sequence[CohortEntry], preparation: Preparation) -> None:
    """Raise ValueError for a case that lacks what each needs, or for a sequence that no case has: a name misspelled."""
    if not entries:
        raise ValueError("The cohort has no cases.")
    for entry in entries:
        try:
            preparation.check_case(entry.sequences, entry.regions)
        except ValueError as error:
            raise ValueError(f'case "{entry.id}": {error}') from error
    found = {name for entry in entries for name in entry.sequences}
    unknown = [name for name in preparation.sequences_in_training if name not in found]
    if unknown:
        raise ValueError(
            f'No case of the cohort has the sequence "{unknown[0]}" that the settings name; there are '
            f"{', '.join(sorted(found))}."
        )


def _plan(trained: Trained) -> list[tuple[Stage, int]]:
    """The stages to train and the epochs of each: a stage left out takes nothing from the epochs of the others."""
    stages = trained.recipe.stages(trained.preparation)
    total = sum(stage.share for stage in stages)
    return [
        (stage, max(1, round(trained.config.epochs * stage.share / total)))
        for stage in stages
        if stage.network not in trained.config.weights
    ]


def _networks(
    trained: Trained, parts: CohortParts, processes: Processes
) -> tuple[dict[str, Module], list[dict[str, Any]]]:
    """All networks with their first weights, drawn by the seed or taken from files, and the origins of the latter."""
    import torch

    torch.manual_seed(trained.config.seed)
    try:
        networks = trained.recipe.networks(trained.preparation)
    except TypeError as error:  # an unknown setting of a network is an unknown argument
        words = str(error).partition("unexpected keyword argument ")[2]
        problem = f"the unknown field {words}" if words else f"a value of the wrong kind: {error}"
        raise ValueError(f'"network" of the settings has {problem}; the README lists its fields.') from error
    origins: list[dict[str, Any]] = []
    for name, file in trained.config.weights.items():
        if name not in networks:
            raise ValueError(f'There is no network "{name}" to load weights into; there are {", ".join(networks)}.')
        tensors, origin = load_tensors(Path(file))
        check_unseen(origin, parts.held_out, Path(file).name)
        load_weights(networks[name], tensors, file)
        origins.append(origin)
    for name, network in networks.items():
        if processes.count > 1 and any(
            isinstance(one, torch.nn.modules.batchnorm._BatchNorm) for one in network.modules()
        ):
            raise ValueError(f'The network "{name}" has a batch norm, which sees one process only; train it in one.')
        network.to(processes.device)
        # Channels last makes 3D convolutions of few channels up to twice as fast on a CPU, but in bfloat16 the
        # gradients of large kernels there are wrong (seen with torch 2.13).
        if processes.device != "cpu" or trained.config.precision != "bfloat16":
            for tensor in [*network.parameters(), *network.buffers()]:
                if tensor.dim() == 5:
                    tensor.data = tensor.data.contiguous(memory_format=torch.channels_last_3d)
    return networks, origins


def _content(cohort: Cohort, config: TrainingConfig, parts: CohortParts) -> dict[str, Any]:
    """What ``config.json`` tells of a run, and what must be the same when it is resumed."""
    import torch

    return {
        **config.to_json(),
        "cohort": cohort.name,
        "cohort_sha256": cohort.sha256,
        "weights_sha256": {name: file_sha256(file) for name, file in config.weights.items()},
        "parts": parts.identifiers(),
        "versions": {"software": __version__, "torch": torch.__version__},
    }


def _check_score(score: float, place: str) -> None:
    if not math.isfinite(score):
        raise ValueError(f'The validation score "score" is {score} at {place}; the recipe must give a number.')
