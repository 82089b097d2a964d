"""A toy cohort with a run of it that was left alone: fixtures of the tests of training."""

import json
from dataclasses import replace

import pytest
from REACTDistillLib import recipes
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.train import TrainingConfig, train
from training_samples import toy_cohort, toy_config

TOY = TrainingConfig(recipe="toy", name="Toy", epochs=6, batch_size=4, learning_rate=1e-2)


@pytest.fixture(scope="module", autouse=True)
def toy_recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes._MODULES, "toy", "training_samples")
        yield


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Folder of a toy cohort, its configuration and a run of it that was left alone."""
    folder = tmp_path_factory.mktemp("toys")
    cohort = toy_cohort(folder / "cohort")
    settings = {"training": {"pause_seconds": 0.0}}
    config = replace(TOY, epochs=10, checkpoint_steps=2, settings=settings)
    toy_config(folder / "config.json", **{**config.to_json(), "recipe": "toy"})
    train(cohort, folder / "whole", config)
    return folder


def toy(toys, **changes):
    """The toy cohort and a configuration of it."""
    return Cohort.read(toys / "cohort" / "cohort.json"), replace(TOY, **changes)


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
