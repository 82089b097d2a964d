"""Evidence: the ablations of a recipe trained on one cohort, over folds and seeds, as a table with tests."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .card import canonical_json
from .cohort import Cohort, CohortEntry
from .fewerlabels import with_fewer_labels
from .kept import Kept
from .progress import ProgressCallback, silent
from .recipes import Batch, Preparation
from .student import write_whole
from .train import train
from .trainingconfig import TrainingConfig

ALONE, ALL, TEACHER = "student alone", "all", "teacher"


@dataclass(frozen=True)
class Variant:
    """One row of the table: what it changes in the settings of the recipe against ``EvidencePlan.config``.

    ``training`` is laid over ``settings["training"]``, ``settings`` over the other settings. A row that does not learn
    without labels is trained on the labeled cases only, for as many steps as the others.
    """

    name: str
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    uses_unlabeled: bool = True


@dataclass(frozen=True)
class EvidencePlan:
    """What is trained: ``config`` for every run, the ``variants``, the ``folds`` and ``seeds`` in use.

    ``labeled_share``: share of the patients outside the held-out fold whose label is used; the others count as cases
    without one. The first variant trains the teachers; the others use them.
    """

    config: TrainingConfig
    variants: tuple[Variant, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    labeled_share: float = 1.0


def evidence(
    cohort_file: Path, out: Path, plan: EvidencePlan, *, jobs: int = 1, progress: ProgressCallback = silent
) -> dict[str, Any]:
    """Train every variant for every fold and seed, and return the table; ``evidence.json`` in ``out`` holds it too.

    Each pair of fold and seed is one job; several ``jobs`` run at a time, each in a process with one thread. What
    ``out`` already holds of the same plan and cohort is not trained again, so a stopped command goes on where it stood.
    """
    out.mkdir(parents=True, exist_ok=True)
    cohort = Cohort.read(cohort_file)
    units = [(fold, seed) for seed in plan.seeds for fold in plan.folds]
    started = time.perf_counter()
    if jobs == 1:
        for done, (fold, seed) in enumerate(units, start=1):
            _unit(cohort_file, out, plan, fold, seed)
            progress("evidence", done, len(units))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            running = [pool.submit(_unit, cohort_file, out, plan, fold, seed) for fold, seed in units]
            for done, finished in enumerate(as_completed(running), start=1):
                finished.result()
                progress("evidence", done, len(units))
    rows = [json.loads(_unit_file(out, fold, seed).read_text(encoding="utf-8")) for fold, seed in units]
    table = summary([row["scores"] for row in rows])
    content = {
        "cohort": cohort.name,
        "cohort_sha256": cohort.sha256,
        "synthetic": cohort.synthetic,
        "labeled_share": plan.labeled_share,
        "config": plan.config.to_json(),
        "runs": [{"fold": fold, "seed": seed, **row} for (fold, seed), row in zip(units, rows, strict=True)],
        "table": table,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_whole(out / "evidence.json", (json.dumps(content, indent=1) + "\n").encode())
    write_whole(out / "evidence.md", markdown(table).encode())
    return content


def summary(runs: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """One row per variant from the scores of each run: mean, sd, gain over the student alone, p, share of the gap.

    ``p`` is a two-sided Wilcoxon signed-rank test of the paired runs against the student alone, None for fewer than 5
    runs or no difference. ``recovered`` is the gain as a share of the distance from the student alone to the teacher.
    """
    alone = [run[ALONE] for run in runs]
    gap = statistics.mean(run[TEACHER] for run in runs) - statistics.mean(alone)
    rows = []
    for name in sorted(runs[0], key=_row_order):
        values = [run[name] for run in runs]
        gain = statistics.mean(values) - statistics.mean(alone)
        rows.append(
            {
                "variant": name,
                "mean": round(statistics.mean(values), 4),
                "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
                "gain": round(gain, 4),
                "p": _wilcoxon(values, alone),
                "recovered": round(gain / gap, 3) if gap > 0 else None,
            }
        )
    return rows


def _row_order(name: str) -> int:
    """The student alone first, everything together and the teacher last; the order of others stays."""
    return {ALONE: 0, ALL: 2, TEACHER: 3}.get(name, 1)


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown."""
    lines = ["| variant | macro AUC, mean ± sd | gain | p | share of the gap |", "| --- | --- | --- | --- | --- |"]
    for row in table:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
        p = "" if row["p"] is None else f"{row['p']:.3f}"
        share = "" if row["recovered"] is None or row["variant"] == ALONE else f"{row['recovered']:.0%}"
        gain = "" if row["variant"] == ALONE else f"{row['gain']:+.3f}"
        lines.append(f"| {row['variant']} | {row['mean']:.3f}{spread} | {gain} | {p} | {share} |")
    return "\n".join(lines) + "\n"


def _wilcoxon(values: Sequence[float], alone: Sequence[float]) -> float | None:
    from scipy.stats import wilcoxon

    if len(values) < 5 or list(values) == list(alone):
        return None
    return round(float(wilcoxon(values, alone).pvalue), 5)


def _unit_file(out: Path, fold: int, seed: int) -> Path:
    return out / f"fold{fold}_seed{seed}.json"


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _unit(cohort_file: Path, out: Path, plan: EvidencePlan, fold: int, seed: int) -> None:
    """Train all variants of one fold and seed and write their held-out scores, unless they are there."""
    cohort = Cohort.read(cohort_file)
    key = canonical_json({"cohort": cohort.sha256, "plan": _plan_json(plan)})
    path = _unit_file(out, fold, seed)
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("key") == key:
        return
    key_of_samples = cohort.sha256
    cohort = with_fewer_labels(cohort, plan.labeled_share, seed=seed, kept_fold=fold)
    memory = _memory_of(key_of_samples)
    scores: dict[str, float] = {}
    seconds: dict[str, float] = {}
    teachers: dict[str, str] = {}
    for variant in plan.variants:
        started = time.perf_counter()
        folder = out / "runs" / f"fold{fold}_seed{seed}" / variant.name.replace(" ", "_").replace("/", "_")
        held_out = _run(cohort, folder, variant, replace(plan.config, fold=fold, seed=seed, weights=teachers), memory)
        seconds[variant.name] = round(time.perf_counter() - started, 1)
        scores[variant.name] = held_out["student"]["macro_auc"]
        if "teachers" in held_out:
            scores[TEACHER] = held_out["teachers"]["macro_auc"]
            teachers = {"teachers": str(folder / "best_teachers.safetensors")}
    write_whole(path, (json.dumps({"key": key, "scores": scores, "seconds": seconds}, indent=1) + "\n").encode())


def _run(cohort: Cohort, folder: Path, variant: Variant, config: TrainingConfig, memory: _Memory) -> dict[str, Any]:
    """Held-out scores of each network trained for a variant."""
    import shutil

    settings = {**config.settings, **variant.settings}
    settings["training"] = {**config.settings["training"], **variant.training}
    config = replace(config, settings=settings)
    if config.weights:
        config = replace(config, epochs=max(1, round(config.epochs * (1 - settings["training"]["teacher_share"]))))
    if not variant.uses_unlabeled:
        labeled = tuple(entry for entry in cohort.entries if entry.label is not None)
        cohort = replace(cohort, entries=labeled)
    shutil.rmtree(folder, ignore_errors=True)  # what a stopped command left
    train(cohort, folder, config, kept=memory)
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return {name: parts["held_out"] for name, parts in scores.items()}


@cache
def _memory_of(cohort_sha256: str) -> _Memory:
    """One memory per process and cohort, for all its jobs."""
    return _Memory()


class _Memory(Kept):
    """The tensors of each case, made once for all variants with the same sequences, and what teachers say of them.

    Labels come from the entry: they differ between seeds.
    """

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], Batch] = {}
        self._taught: tuple[str, dict[str, Batch]] = ("", {})

    def sample(self, entry: CohortEntry, preparation: Preparation, make: Callable[[], Batch]) -> Batch:
        import torch

        key = (entry.id, canonical_json(dict(preparation.sequences)))
        if key not in self._samples:
            self._samples[key] = make()
        label = -1 if entry.label is None else preparation.classes.index(entry.label)
        return {**self._samples[key], "label": torch.tensor(label)}

    def taught(self, entry: CohortEntry, weights_sha256: str, make: Callable[[], Batch]) -> Batch:
        if self._taught[0] != weights_sha256:
            self._taught = (weights_sha256, {})
        said = self._taught[1]
        if entry.id not in said:
            said[entry.id] = make()
        return said[entry.id]


def _plan_json(plan: EvidencePlan) -> dict[str, Any]:
    variants = [[one.name, dict(one.training), dict(one.settings), one.uses_unlabeled] for one in plan.variants]
    return {"config": plan.config.to_json(), "variants": variants, "labeled_share": plan.labeled_share}
