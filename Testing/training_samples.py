"""A recipe of two small networks in two stages, and a cohort of tiny files, for the tests of training.

As a program it is the command line that also knows this recipe: torchrun and kill need processes of their own.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from REACTDistillLib import recipes
from REACTDistillLib.__main__ import main
from REACTDistillLib.cohort import Cohort, CohortEntry, file_sha256
from REACTDistillLib.files import write_volume
from REACTDistillLib.judgedgrades import judged_grades
from REACTDistillLib.metrics import classification_scores
from REACTDistillLib.recipes import Preparation, Readout, Stage, Update
from REACTDistillLib.volume import Grid, Volume
from torch import nn
from torch.nn import functional

CLASSES = ("low", "high")


class ToyNetwork(nn.Module):
    """Small enough for a thousand steps a second; ``seen`` counts its passes in train mode, as a batch norm does."""

    seen: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(2, width)
        self.head = nn.Linear(width, len(CLASSES))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += 1
        return self.head(self.norm(self.conv(image)).relu().mean(dim=(2, 3, 4)))


class ToyRecipe:
    """A teacher, then a student that also hears the teacher."""

    name = "toy"
    task = "grade"

    def preparation(self, classes, **settings) -> Preparation:
        defaults = {
            "grid_shape_kji": (4, 4, 4),
            "grid_spacing_kji_mm": (1.0, 1.0, 1.0),
            "intensity": {"ct": {"kind": "none"}},
            "network": {"width": 4},
            "regions": {"required": [], "optional": []},
            "sequences": {"required": ["ct"], "optional": []},
            "training": {"pause_seconds": 0.0},
        }
        return Preparation(classes=tuple(classes), **{**defaults, **settings})

    def build_network(self, config):
        return ToyNetwork(config["width"])

    def networks(self, preparation):
        return {"student": ToyNetwork(preparation.network["width"]), "teacher": ToyNetwork(8)}

    def prepare(self, case, preparation):
        image = torch.from_numpy(case.sequences["ct"].array_kji.astype(np.float32))[None]
        return {"image": image, "label": torch.tensor(preparation.classes.index(case.label))}

    def augment(self, sample, generator, preparation):
        return {**sample, "image": sample["image"] + 0.3 * torch.randn(sample["image"].shape, generator=generator)}

    def stages(self, preparation):
        pause = preparation.training["pause_seconds"]

        def teach(networks, batch):
            time.sleep(pause)
            return {"teacher_loss": functional.cross_entropy(networks["teacher"](batch["image"]), batch["label"])}

        def learn(networks, batch):
            time.sleep(pause)
            with torch.no_grad():
                soft = networks["teacher"](batch["image"]).softmax(dim=1)
            logits = networks["student"](batch["image"])
            return {
                "label": functional.cross_entropy(logits, batch["label"]),
                "teacher": functional.cross_entropy(logits, soft),
            }

        return [
            Stage("teach", [Update("teacher", lambda networks: networks["teacher"].parameters(), teach)], 1, "teacher"),
            Stage(
                "learn",
                [Update("student", lambda networks: networks["student"].parameters(), learn)],
                1,
                "student",
                begin=_halve_the_head,
            ),
        ]

    def learns_without_labels(self, preparation):
        return False

    def read(self, network, samples):
        samples = list(samples)
        with torch.inference_mode():
            logits = [network(sample["image"][None])[0].double().numpy() for sample in samples]
        labels = np.array([int(sample["label"]) for sample in samples])
        return Readout(np.array(logits), np.zeros((len(logits), 1), np.float32), labels)

    def evaluate(self, network, samples, *, temperature=1.0):
        readout = self.read(network, samples)
        odds = np.exp(readout.logits / temperature)
        scores = classification_scores(odds / odds.sum(axis=1, keepdims=True), readout.labels)
        return {"score": scores["macro_auc"], "macro_auc": scores["macro_auc"]}

    def judge(self, network, preparation, validation, held_out):
        return judged_grades(self, network, preparation, validation, held_out)


def _halve_the_head(networks) -> None:
    with torch.no_grad():
        networks["student"].head.weight.mul_(0.5)


RECIPE = ToyRecipe()


def register(modules=recipes._MODULES) -> None:
    modules["toy"] = "training_samples"


def toy_cohort(folder: Path, *, patients: int = 24, folds: int = 3) -> Cohort:
    """A cohort of one tiny CT per patient; the high class is brighter by as much as the noise."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(7)
    entries = []
    for number in range(patients):
        label = number % 2
        path = folder / f"{number:03d}.nrrd"
        voxels = draws.normal(0.3 * label, 1.0, (4, 4, 4)).astype(np.float32)
        write_volume(Volume(voxels, Grid(voxels.shape, np.eye(4))), path)
        files = {
            "sequences": {"ct": path.name},
            "regions": {},
            "clinical": {},
            "sha256": {path.name: file_sha256(path)},
        }
        code = f"case_{number:03d}"
        entries.append(CohortEntry(code, code, number // 2 % folds, CLASSES[label], folder=folder, **files))
    cohort = Cohort("toys", True, CLASSES, tuple(entries), folder)
    cohort.write(folder / "cohort.json")
    return cohort


def toy_config(path: Path, **fields) -> Path:
    """A configuration file for the command line."""
    path.write_text(json.dumps({"epochs": 4, "batch_size": 4, **fields}), encoding="utf-8")
    return path


def command(folder: Path, run: str, *options: str, processes: int = 1) -> list[str]:
    """The command that trains on the cohort and configuration in ``folder``, with torchrun for several processes."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    files = ["--cohort", str(folder / "cohort" / "cohort.json"), "--config", str(folder / "config.json")]
    return [*start, __file__, "train", "toy", *files, "--run-folder", str(folder / run), *options]


def killed_and_resumed(start: list[str], run: Path, draws: random.Random, *, kills: int, seconds: float) -> int:
    """Kill the run of this command again and again, at most ``seconds`` after its first sign of life; then let it end.

    Returns how often it was killed: less than ``kills`` when it ended before.
    """
    for done in range(kills):
        resume = ["--resume"] if (run / "config.json").exists() else []
        process = subprocess.Popen([*start, *resume, "--progress", "json"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # the first case is prepared
        try:
            process.wait(draws.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        if (run / "scores.json").exists():  # ended, or killed on its way out
            return done
    subprocess.run([*start, "--resume"], check=True, stdout=subprocess.DEVNULL)
    return kills


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run by name; two runs are the same when these are."""
    return {path.name: path.read_bytes() for path in sorted(run.iterdir())}


if __name__ == "__main__":
    register()
    sys.exit(main())
