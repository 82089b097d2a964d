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

from .atomic import write_file
from .card import canonical_json
from .cohort import Cohort, CohortEntry
from .fewerlabels import with_fewer_labels
from .kept import Kept
from .progress import ProgressCallback, silent
from .recipes import Batch, Preparation
from .train import train
from .trainingconfig import TrainingConfig

ALONE, ALL, TEACHER = "student alone", "all", "teacher"
SCORE_NAMES = {
    "macro_auc": "macro AUC",
    "dice": "mean Dice over subsets",
    "aurc": "AURC",
    "dice_1": "Dice, 1 sequence",
    **{f"dice_{n}": f"Dice, {n} sequences" for n in range(2, 5)},
}


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
    without one. ``scores``: the held-out scores that the tables are of, the main one first. ``baseline``: the variant
    that the others are held against. Where there are teachers, the first variant trains them and the others use them.
    """

    config: TrainingConfig
    variants: tuple[Variant, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    labeled_share: float = 1.0
    scores: tuple[str, ...] = ("macro_auc",)
    baseline: str = ALONE


def evidence(
    cohort_file: Path, out: Path, plan: EvidencePlan, *, jobs: int = 1, progress: ProgressCallback = silent
) -> dict[str, Any]:
    """Train every variant for every fold and seed, and return the tables; ``evidence.json`` in ``out`` holds them too.

    "table" is of the main score of the plan, "tables" of each by name.

    Each pair of fold and seed is one job; several ``jobs`` run at a time, each in a process with one thread. What
    ``out`` already holds of the same plan and cohort is not trained again, so a stopped command goes on where it stood.
    Raises ValueError when it holds runs of another plan or cohort, or the cohort lacks a fold.
    """
    cohort = Cohort.read(cohort_file)
    units = [(fold, seed) for seed in plan.seeds for fold in plan.folds]
    absent = sorted(set(plan.folds) - set(cohort.folds))
    if absent:
        raise ValueError(f"The cohort has no fold {absent[0]}, it has the folds {cohort.folds}; ask for fewer folds.")
    _check_out(out, units, _key(cohort, plan))
    out.mkdir(parents=True, exist_ok=True)
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
    tables = {name: summary(_of_score(rows, name), baseline=plan.baseline) for name in plan.scores}
    for row in tables[plan.scores[0]]:
        if row["variant"] in rows[0]["seconds"]:  # the teachers are trained with the first variant
            row["seconds"] = round(statistics.mean(run["seconds"][row["variant"]] for run in rows), 1)
    content = {
        "cohort": cohort.name,
        "cohort_sha256": cohort.sha256,
        "synthetic": cohort.synthetic,
        "labeled_share": plan.labeled_share,
        "config": plan.config.to_json(),
        "runs": [{"fold": fold, "seed": seed, **row} for (fold, seed), row in zip(units, rows, strict=True)],
        "table": tables[plan.scores[0]],
        "tables": tables,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_file(out / "evidence.json", (json.dumps(content, indent=1) + "\n").encode())
    write_file(out / "evidence.md", tables_text(content).encode())
    return content


def tables_text(content: Mapping[str, Any]) -> str:
    """All tables of ``evidence`` as Markdown, one after the other."""
    return "\n".join(markdown(table, SCORE_NAMES.get(name, name)) for name, table in content["tables"].items())


def _of_score(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, float]]:
    """One score of each variant, run by run; a run with one score only has no others."""
    runs = [
        row.get("all_scores") or {variant: {name: score} for variant, score in row["scores"].items()} for row in rows
    ]
    return [{variant: scores[name] for variant, scores in run.items()} for run in runs]


def summary(runs: Sequence[Mapping[str, float]], *, baseline: str = ALONE) -> list[dict[str, Any]]:
    """One row per variant from the scores of each run: mean, sd, gain over the baseline, p, share of the gap.

    ``p`` is a two-sided Wilcoxon signed-rank test of the paired runs against the baseline, None for fewer than 5 runs
    or no difference. ``recovered`` is the gain as a share of the distance from the baseline to the teacher, None
    without a teacher that is better.
    """
    alone = [run[baseline] for run in runs]
    teachers = [run[TEACHER] for run in runs if TEACHER in run]
    gap = statistics.mean(teachers) - statistics.mean(alone) if teachers else 0.0
    rows = []
    for name in sorted(runs[0], key=lambda name: _row_order(name, baseline)):
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


def _row_order(name: str, baseline: str) -> int:
    """The baseline first, everything together and the teacher last; the order of others stays."""
    return {baseline: 0, ALL: 2, TEACHER: 3}.get(name, 1)


def markdown(table: Sequence[Mapping[str, Any]], score: str = "macro AUC") -> str:
    """The table as Markdown, the baseline in its first row; a share of the gap only where there is a teacher."""
    has_teacher, has_seconds = any(row["variant"] == TEACHER for row in table), any("seconds" in row for row in table)
    head = ["variant", f"{score}, mean ± sd", "gain", "p", *(["share of the gap"] if has_teacher else [])]
    head += ["seconds"] * has_seconds
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for number, row in enumerate(table):
        mean = f"{row['mean']:.3f}" + ("" if row["sd"] is None else f" ± {row['sd']:.3f}")
        p = "" if row["p"] is None else f"{row['p']:.3f}"
        gain = f"{row['gain']:+.3f}" if number else ""
        share = [f"{row['recovered']:.0%}" if number and row["recovered"] is not None else ""] if has_teacher else []
        seconds = [f"{row['seconds']:.0f}" if "seconds" in row else ""] * has_seconds
        lines.append(f"| {' | '.join([row['variant'], mean, gain, p, *share, *seconds])} |")
    return "\n".join(lines) + "\n"


def _wilcoxon(values: Sequence[float], alone: Sequence[float]) -> float | None:
    from scipy.stats import wilcoxon

    if len(values) < 5 or list(values) == list(alone):
        return None
    return round(float(wilcoxon(values, alone).pvalue), 5)


def _unit_file(out: Path, fold: int, seed: int) -> Path:
    return out / f"fold{fold}_seed{seed}.json"


def _key(cohort: Cohort, plan: EvidencePlan) -> str:
    return canonical_json({"cohort": cohort.sha256, "plan": _plan_json(plan)})


def _check_out(out: Path, units: Sequence[tuple[int, int]], key: str) -> None:
    for path in (_unit_file(out, fold, seed) for fold, seed in units):
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("key") != key:
            raise ValueError(f'"{out}" holds the runs of another plan or cohort; name a new folder for these.')


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _unit(cohort_file: Path, out: Path, plan: EvidencePlan, fold: int, seed: int) -> None:
    """Train all variants of one fold and seed and write their held-out scores, unless they are there."""
    cohort = Cohort.read(cohort_file)
    key = _key(cohort, plan)
    path = _unit_file(out, fold, seed)
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("key") == key:
        return
    key_of_samples = cohort.sha256
    cohort = with_fewer_labels(cohort, plan.labeled_share, seed=seed, kept_fold=fold)
    memory = _memory_of(key_of_samples)
    scores: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    teachers: dict[str, str] = {}
    for variant in plan.variants:
        started = time.perf_counter()
        folder = out / "runs" / f"fold{fold}_seed{seed}" / variant.name.replace(" ", "_").replace("/", "_")
        held_out = _run(cohort, folder, variant, replace(plan.config, fold=fold, seed=seed, weights=teachers), memory)
        seconds[variant.name] = round(time.perf_counter() - started, 1)
        scores[variant.name] = {name: held_out["student"][name] for name in plan.scores}
        if "teachers" in held_out:
            scores[TEACHER] = {name: held_out["teachers"][name] for name in plan.scores}
            teachers = {"teachers": str(folder / "best_teachers.safetensors")}
    main = {name: of_variant[plan.scores[0]] for name, of_variant in scores.items()}
    more = {"all_scores": scores} if len(plan.scores) > 1 else {}
    content = {"key": key, "scores": main, **more, "seconds": seconds}
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())


def _run(cohort: Cohort, folder: Path, variant: Variant, config: TrainingConfig, memory: _Memory) -> dict[str, Any]:
    """Held-out scores of each network trained for a variant."""
    import shutil

    settings = {**config.settings, **variant.settings}
    settings["training"] = {**config.settings["training"], **variant.training}
    config = replace(config, settings=settings)
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
    """The tensors of each case, made once for all variants that see the same sequences, and what teachers say of them.

    Labels come from the entry: they differ between seeds.
    """

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], Batch] = {}
        self._taught: tuple[str, dict[str, Batch]] = ("", {})

    def sample(self, entry: CohortEntry, preparation: Preparation, make: Callable[[], Batch]) -> Batch:
        import torch

        seen = {"sequences": preparation.sequences, "only": preparation.training.get("only")}
        key = (entry.id, canonical_json(seen))
        if key not in self._samples:
            self._samples[key] = make()
        if entry.label is None:
            return {**self._samples[key], "label": torch.tensor(-1)}
        if entry.label not in preparation.classes:  # the label of a case to segment is no class of the student
            return dict(self._samples[key])
        return {**self._samples[key], "label": torch.tensor(preparation.classes.index(entry.label))}

    def taught(self, entry: CohortEntry, weights_sha256: str, make: Callable[[], Batch]) -> Batch:
        if self._taught[0] != weights_sha256:
            self._taught = (weights_sha256, {})
        said = self._taught[1]
        if entry.id not in said:
            said[entry.id] = make()
        return said[entry.id]


def _plan_json(plan: EvidencePlan) -> dict[str, Any]:
    variants = [[one.name, dict(one.training), dict(one.settings), one.uses_unlabeled] for one in plan.variants]
    content = {"config": plan.config.to_json(), "variants": variants, "labeled_share": plan.labeled_share}
    return content if plan.scores == ("macro_auc",) else {**content, "scores": list(plan.scores)}
