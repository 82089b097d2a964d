"""A run that was stopped ends as one that was left alone, and two processes train as one."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

import random
import subprocess
from dataclasses import replace

import pytest
import torch
import training_samples
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.train import train
from safetensors.torch import load_file
from toy_runs import log, toy, toy_recipe, toys  # noqa: F401
from training_samples import command, contents, killed_and_resumed, toy_config

# Stopping and going on.


def test_a_run_killed_at_random_moments_ends_in_the_same_files(toys):
    start = command(toys, "killed")
    kills = killed_and_resumed(start, toys / "killed", random.Random(5), kills=3, seconds=0.25)
    assert kills > 0
    assert contents(toys / "killed") == contents(toys / "whole")


@pytest.mark.parametrize("last", [("prepare training", 3), ("teach", 1), ("teach", 5), ("learn", 2), ("learn", 5)])
def test_a_cancelled_run_goes_on_where_it_stopped(toys, tmp_path, last):
    def cancel(stage, done, total):
        if (stage, done) == last:
            raise Cancelled

    cohort, config = toy(toys, epochs=10, checkpoint_steps=2, settings={"training": {"pause_seconds": 0.0}})
    with pytest.raises(Cancelled):
        train(cohort, tmp_path / "run", config, progress=cancel)
    train(cohort, tmp_path / "run", config, resume=True)
    assert contents(tmp_path / "run").keys() == contents(toys / "whole").keys()
    for name in ("checkpoint.safetensors", "student.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (toys / "whole" / name).read_bytes()


def test_a_run_stopped_within_an_epoch_repeats_no_step(toys, tmp_path, monkeypatch):
    recipe, seen, stopped = training_samples.RECIPE, [], []
    augment = type(recipe).augment

    def watched(self, sample, generator, preparation):
        seen.append(int(generator.initial_seed()))
        if (
            len(seen) == 4 * 8 + 1 and not stopped
        ):  # 3 steps of 4 samples an epoch: the first sample of step 3 of epoch 3
            stopped.append(seen.pop())
            raise Cancelled
        return augment(self, sample, generator, preparation)

    monkeypatch.setattr(type(recipe), "augment", watched)
    cohort, config = toy(toys, checkpoint_steps=1)
    with pytest.raises(Cancelled):
        train(cohort, tmp_path / "run", config)
    train(cohort, tmp_path / "run", config, resume=True)
    assert seen[4 * 8] == stopped[0]
    assert len(seen) == len(set(seen)) == 6 * 3 * 4
    assert [line["epoch"] for line in log(tmp_path / "run")] == [1, 2, 3, 1, 2, 3]
    monkeypatch.undo()
    train(cohort, tmp_path / "whole", config)
    assert log(tmp_path / "run") == log(tmp_path / "whole")


def test_a_finished_run_an_absent_one_and_a_changed_one_are_not_resumed(toys, tmp_path):
    cohort, config = toy(toys, epochs=10, checkpoint_steps=2, settings={"training": {"pause_seconds": 0.0}})
    with pytest.raises(ValueError, match="is finished"):
        train(cohort, toys / "whole", config, resume=True)
    with pytest.raises(ValueError, match="holds no run that could be resumed"):
        train(cohort, tmp_path / "absent", config, resume=True)

    def cancel(stage, done, total):
        if stage == "teach":
            raise Cancelled

    with pytest.raises(Cancelled):
        train(cohort, tmp_path / "run", config, progress=cancel)
    with pytest.raises(ValueError, match=r"was started with learning_rate 0\.01 and cannot go on with 0\.02"):
        train(cohort, tmp_path / "run", replace(config, learning_rate=0.02), resume=True)
    with pytest.raises(ValueError, match="was started with cohort_sha256"):
        train(replace(cohort, synthetic=False), tmp_path / "run", config, resume=True)
    with pytest.raises(ValueError, match="is not empty"):
        train(cohort, tmp_path / "run", config)


# Two processes.


def test_two_processes_train_as_one(toys, tmp_path):
    cohort, config = toy(toys, epochs=14, checkpoint_steps=0)
    toy_config(tmp_path / "config.json", **{**config.to_json(), "recipe": "toy"})
    (tmp_path / "cohort").symlink_to(toys / "cohort")
    start = command(tmp_path, "two", processes=2)
    result = subprocess.run(start, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    assert result.stdout.strip().splitlines() == [str(tmp_path / "two" / "student.safetensors")]  # one process speaks
    train(cohort, tmp_path / "one", config)
    one, two = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert len(log(tmp_path / "two")) == 14  # of 3 steps each
    first = load_file(toys / "whole" / "checkpoint.safetensors")
    weights = [name for name in one if name.startswith("network/")]
    assert any(not torch.equal(one[name], first[name]) for name in weights)
    for name in weights:
        assert torch.allclose(one[name].double(), two[name].double(), rtol=0, atol=1e-5), name
