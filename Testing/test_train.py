"""A run from cohort to student file: what it leaves, how it learns, what it refuses."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import training_samples
from REACTDistillLib import recipes
from REACTDistillLib.checkpoint import load_tensors
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.predict import predict
from REACTDistillLib.student import load_student, read_card
from REACTDistillLib.train import TrainingConfig, train
from safetensors.torch import load_file
from toy_runs import TOY, log, toy, toy_recipe, toys  # noqa: F401
from training_samples import contents, toy_cohort, toy_config

TINY = TrainingConfig(
    name="Tiny",
    epochs=2,
    batch_size=4,
    learning_rate=5e-3,
    settings={
        "grid_shape_kji": (12, 16, 16),
        "grid_spacing_kji_mm": (20.0, 18.0, 18.0),
        "network": {"classes": 3, "stem_stride": (1, 1, 1), "channels": (8, 8), "strides": (1,)},
    },
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_phantom_cohort(
        tmp_path_factory.mktemp("cohort") / "phantoms", count=18, folds=3, shape_kji=(24, 24, 24)
    )


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(cohort, folder, TINY)
    return folder


# What a run leaves.


def test_a_run_is_one_folder_with_all_that_is_needed_to_know_it(run, cohort):
    files = "config.json metrics.jsonl checkpoint.safetensors best_student.safetensors student.safetensors scores.json"
    assert {path.name for path in run.iterdir()} == set(files.split())
    config = json.loads((run / "config.json").read_text())
    assert config["cohort_sha256"] == cohort.sha256
    assert config["seed"] == 0
    assert config["versions"]["torch"] == torch.__version__
    in_parts = sorted(name for part in config["parts"].values() for name in part)
    assert in_parts == sorted(entry.id for entry in cohort.entries)
    assert [line["epoch"] for line in log(run)] == [1, 2]
    assert log(run)[0]["best"] is True
    assert log(run)[0]["focal"] > 0


def test_the_card_tells_the_cohort_the_scores_and_that_phantoms_are_no_patients(run, cohort):
    card = read_card(run / "student.safetensors")
    assert card.training["cohort_sha256"] == cohort.sha256
    assert card.training["fold"] == 0
    assert card.is_synthetic
    assert "phantoms only" in card.limitations
    assert card.metrics["ct"]["cases"] == 6
    assert card.licence == "Apache-2.0"
    recipe = recipes.recipe_named("reactkd")
    preparation = recipe.preparation(cohort.classes, **TINY.settings)
    samples = [recipe.prepare(entry.load(), preparation) for entry in cohort.split(0)[1]]
    # Of calibrated probabilities: the temperature changes which case has more of a class.
    network = load_student(run / "student.safetensors").network
    scores = recipe.evaluate(network, samples, temperature=card.temperature)
    assert card.metrics["ct"]["macro_auc"] == pytest.approx(scores["macro_auc"], abs=5e-5)


def test_the_student_file_holds_the_best_weights_and_predicts(run, cohort):
    student = load_student(run / "student.safetensors")
    best = load_file(run / "best_student.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in student.network.state_dict().items())
    finding = predict(cohort.entries[0].load(), student)
    assert set(finding.probabilities) == set(cohort.classes)


def test_the_card_holds_the_temperature_of_the_validation_part(toys):
    from REACTDistillLib.calibration import fit_temperature

    student = load_student(toys / "whole" / "student.safetensors")
    cohort, _ = toy(toys)
    parts = json.loads((toys / "whole" / "config.json").read_text())["parts"]
    recipe = training_samples.RECIPE
    preparation = recipe.preparation(cohort.classes)
    entries = [entry for entry in cohort.entries if entry.id in parts["validation"]]
    readout = recipe.read(student.network, [recipe.prepare(entry.load(), preparation) for entry in entries])
    expected = fit_temperature(readout.logits, readout.labels)
    assert student.card.calibration["temperature"] == pytest.approx(expected, rel=1e-4)
    assert student.card.calibration["cases"] == len(entries)


def test_a_student_of_real_patients_has_the_license_that_was_stated_or_none(toys, tmp_path):
    cohort, config = toy(toys, epochs=1)
    real = replace(cohort, synthetic=False)
    stated = replace(config, licence="CC-BY-NC-4.0")
    assert read_card(train(real, tmp_path / "a", config)).licence == "not stated"
    assert read_card(train(real, tmp_path / "b", stated)).licence == "CC-BY-NC-4.0"
    assert read_card(train(cohort, tmp_path / "c", stated)).licence == "CC-BY-NC-4.0"


def test_weights_that_have_seen_a_held_out_case_are_refused(toys, tmp_path):
    cohort, config = toy(toys, epochs=1)
    used = replace(config, weights={"student": str(toys / "whole" / "best_student.safetensors")})
    train(cohort, tmp_path / "same", used)
    with pytest.raises(
        ValueError, match=r"The weights in \"best_student\.safetensors\" have seen 8 of the 8 held-out cas"
    ):
        train(cohort, tmp_path / "other", replace(used, fold=1))
    renamed = replace(cohort, entries=tuple(replace(one, id=f"x{one.id}") for one in cohort.entries))
    with pytest.raises(ValueError, match=r"such as \"x"):
        train(renamed, tmp_path / "renamed", replace(used, fold=1))


def test_the_same_seed_gives_the_same_student_and_another_seed_another(toys, tmp_path):
    cohort, config = toy(toys)
    first = [read_card(train(cohort, tmp_path / name, config)).tensors_sha256 for name in ("a", "b")]
    assert first[0] == first[1]
    assert read_card(train(cohort, tmp_path / "c", replace(config, seed=1))).tensors_sha256 != first[0]


def test_training_lowers_the_loss_and_the_rate_follows_a_cosine(toys, tmp_path):
    cohort, config = toy(toys, epochs=40)
    train(cohort, tmp_path / "run", config)
    lines = [line for line in log(tmp_path / "run") if line["stage"] == "learn"]
    assert lines[-1]["label"] < 0.8 * lines[0]["label"]


# Stages.


def test_each_stage_trains_its_network_and_leaves_the_best_weights_in_it(toys):
    checkpoint, _ = load_tensors(toys / "whole" / "checkpoint.safetensors")
    best = load_file(toys / "whole" / "best_teacher.safetensors")
    # The second stage must not have changed the teacher: neither weights nor what it counts in train mode.
    assert all(torch.equal(checkpoint[f"network/teacher/{name}"], tensor) for name, tensor in best.items())
    lines = log(toys / "whole")
    assert [line["stage"] for line in lines] == ["teach"] * 5 + ["learn"] * 5
    assert set(lines[0]) >= {"teacher_loss"}
    assert set(lines[-1]) >= {"label", "teacher"}
    assert set(json.loads((toys / "whole" / "scores.json").read_text())) == {"teacher", "student"}


def test_the_best_weights_are_those_of_the_epoch_with_the_highest_score(toys):
    for stage in ("teach", "learn"):
        lines = [line for line in log(toys / "whole") if line["stage"] == stage]
        scores = [line["validation"]["score"] for line in lines]
        assert [line["best"] for line in lines] == [
            score >= max(scores[:number], default=-math.inf) for number, score in enumerate(scores)
        ]
        network = {"teach": "teacher", "learn": "student"}[stage]
        final = json.loads((toys / "whole" / "scores.json").read_text())[network]["validation"]["score"]
        assert final == max(scores)


def test_a_stage_ends_with_its_best_weights_and_not_its_last(toys, tmp_path, monkeypatch):
    scores = iter([0.5, 0.9, 0.7] + [0.5] * 20)
    monkeypatch.setattr(type(training_samples.RECIPE), "evaluate", lambda *_, **__: {"score": next(scores)})
    checkpoint, second = tmp_path / "run" / "checkpoint.safetensors", {}

    def keep(stage, done, total):
        if (stage, done) == ("teach", 2):
            second.update(load_tensors(checkpoint)[0])

    cohort, config = toy(toys)
    train(cohort, tmp_path / "run", config, progress=keep)
    best = load_file(tmp_path / "run" / "best_teacher.safetensors")
    for name, tensor in best.items():
        assert torch.equal(tensor, second[f"network/teacher/{name}"])
        assert torch.equal(tensor, load_tensors(checkpoint)[0][f"network/teacher/{name}"])


def test_begin_runs_once_before_the_first_step_of_its_stage(toys, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(training_samples, "_halve_the_head", lambda networks: calls.append(set(networks)))
    cohort, config = toy(toys)
    train(cohort, tmp_path / "run", config)
    assert calls == [{"student", "teacher"}]


def test_weights_of_an_earlier_run_take_the_place_of_a_stage_and_give_the_same_student(toys, tmp_path):
    cohort, config = toy(toys, epochs=10, settings={"training": {"pause_seconds": 0.0}})
    teacher = toys / "whole" / "best_teacher.safetensors"
    train(cohort, tmp_path / "run", replace(config, weights={"teacher": str(teacher)}))
    assert {line["stage"] for line in log(tmp_path / "run")} == {"learn"}
    again, whole = (read_card(folder / "student.safetensors") for folder in (tmp_path / "run", toys / "whole"))
    assert again.tensors_sha256 == whole.tensors_sha256


# What is refused, and what stays.


def test_a_used_folder_and_a_missing_fold_are_refused(run, cohort, tmp_path):
    with pytest.raises(ValueError, match="not empty"):
        train(cohort, run, TINY)
    with pytest.raises(ValueError, match="holds out fold 7"):
        train(cohort, tmp_path / "run", replace(TINY, fold=7))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": {"nurse": "x.safetensors"}}, 'no network "nurse"'),
        ({"weights": {"teacher": "absent.safetensors"}}, 'no file "absent.safetensors"'),
        ({"settings": {"colour": 3}}, 'settings" has the unknown field "colour"; known are'),
        ({"recipe": "other"}, 'no recipe "other"'),
    ],
)
def test_what_does_not_fit_is_refused_before_the_folder_is_made(toys, tmp_path, changes, words):
    cohort, config = toy(toys, **changes)
    with pytest.raises(ValueError, match=words):
        train(cohort, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_name_the_tensor(toys, tmp_path):
    student = str(toys / "whole" / "best_student.safetensors")
    cohort, config = toy(toys, weights={"teacher": student})
    with pytest.raises(ValueError, match=r'tensor "conv.weight" is \(4, 1, 3, 3, 3\), the network needs \(8, 1,'):
        train(cohort, tmp_path / "run", config)


@pytest.mark.parametrize("change", ["missing", "changed"])
def test_a_missing_or_changed_file_is_one_sentence_with_the_case(tmp_path, change):
    cohort = toy_cohort(tmp_path / "cohort")
    path = tmp_path / "cohort" / "004.nrrd"
    path.unlink() if change == "missing" else path.write_bytes(b"no image")
    words = {"missing": "there is no file", "changed": "has changed"}[change]
    with pytest.raises(ValueError, match=f'case "case_004": .*{words}'):
        train(cohort, tmp_path / "run", TOY)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_the_place_and_leaves_the_checkpoint(toys, tmp_path, monkeypatch, value):
    steps, cross_entropy = [], torch.nn.functional.cross_entropy

    def broken(*arguments):
        steps.append(1)
        return cross_entropy(*arguments) * (value if len(steps) == 8 else 1)

    monkeypatch.setattr(training_samples.functional, "cross_entropy", broken)
    cohort, config = toy(toys, checkpoint_steps=1)
    words = f'loss term "teacher_loss" is {value} at stage teach, epoch 3, step 2'
    with pytest.raises(ValueError, match=words):
        train(cohort, tmp_path / "run", config)
    tensors, state = load_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert (state["epoch"], state["step"]) == (2, 1)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_a_gradient_that_is_no_number_is_found_before_it_is_saved(toys, tmp_path, monkeypatch):
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(context, loss):
            return loss.clone()

        @staticmethod
        def backward(context, gradient):
            return gradient * math.nan

    cross_entropy, steps = torch.nn.functional.cross_entropy, []

    def broken(*arguments):
        steps.append(1)
        loss = cross_entropy(*arguments)
        return Broken.apply(loss) if len(steps) == 3 else loss  # the last step of the first epoch

    monkeypatch.setattr(training_samples.functional, "cross_entropy", broken)
    cohort, config = toy(toys)
    with pytest.raises(ValueError, match="norm of the gradient is nan at stage teach, epoch 1, step 3"):
        train(cohort, tmp_path / "run", config)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_can_go_on(toys, tmp_path, monkeypatch):
    import errno
    import os

    real, saved = os.fsync, []

    def full(descriptor):
        saved.append(descriptor)
        if len(saved) == 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    cohort, config = toy(toys)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ValueError, match="cannot be written: No space left on device"):
            train(cohort, tmp_path / "run", config)
    _, state = load_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert state["epoch"] > 0
    train(cohort, tmp_path / "run", config, resume=True)
    train(cohort, tmp_path / "whole", config)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


# The command.


def test_the_command_trains_a_fold_with_a_seed_and_resumes(toys, tmp_path, capsys):
    from REACTDistillLib.__main__ import main

    toy_config(tmp_path / "config.json", epochs=2)
    arguments = ["train", "toy", "--cohort", str(toys / "cohort" / "cohort.json"), "--run", str(tmp_path / "run")]
    options = ["--config", str(tmp_path / "config.json"), "--fold", "1", "--seed", "3", "--progress", "json"]
    assert main([*arguments, *options]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "result"
    assert {event["stage"] for event in events[:-1]} >= {"prepare training", "prepare held out", "teach", "learn"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["recipe"], config["fold"], config["seed"], config["epochs"]) == ("toy", 1, 3, 2)
    assert main([*arguments, *options, "--resume"]) == 2
    assert "is finished" in json.loads(capsys.readouterr().out)["message"]


def test_a_field_given_twice_with_two_values_is_refused(tmp_path, capsys):
    from REACTDistillLib.__main__ import main

    toy_config(tmp_path / "config.json", seed=2)
    arguments = ["train", "toy", "--cohort", "c", "--run", "r", "--config", str(tmp_path / "config.json")]
    assert main([*arguments, "--seed", "3"]) == 2
    assert '"config.json" has seed 2, the command 3' in capsys.readouterr().err


def test_the_trainer_can_be_imported_without_torch():
    code = "import sys, REACTDistillLib.train, REACTDistillLib.traincommand; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
