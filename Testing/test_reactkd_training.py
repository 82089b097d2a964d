"""Whole runs of REACT-KD: two teachers and a student on tiny synthetic patients."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from REACTDistillLib.phantom import GRADES, phantom_case
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.predict import predict
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.student import load_student
from REACTDistillLib.train import TrainingConfig, train
from reactkd_samples import CONFIG, TRAINING
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "phantoms"
    return write_phantom_cohort(folder, count=15, folds=3, unlabeled=2, shape_kji=(24, 24, 24))


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(cohort, folder, CONFIG)
    return folder


def test_a_run_trains_the_teachers_then_the_student_and_scores_both(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["teachers", "teachers", "student", "student"]
    assert {"structure_function", "dose_aware"} <= lines[0].keys()
    assert {"focal", "logits", "node", "edge", "gw"} <= lines[2].keys()
    assert set(json.loads((run / "scores.json").read_text())) == {"teachers", "student"}


def test_the_student_has_the_attention_of_its_teachers_to_the_bit(run):
    student, teachers = load_file(run / "best_student.safetensors"), load_file(run / "best_teachers.safetensors")
    shared = [name for name in student if name.startswith("cbam.")]
    assert len(shared) == 3
    assert all(torch.equal(student[name], teachers[name]) for name in shared)


def test_the_teachers_do_not_change_while_the_student_learns(run):
    last, best = load_file(run / "checkpoint.safetensors"), load_file(run / "best_teachers.safetensors")
    assert all(torch.equal(last[f"network/teachers/{name}"], tensor) for name, tensor in best.items())


def test_the_student_grades_from_ct_alone_and_with_pet(run):
    student, case = load_student(run / "student.safetensors"), phantom_case(3, shape_kji=(24, 24, 24))
    assert student.card.calibration["fitted_on"] == "validation"
    alone = predict(type(case)({"ct": case.sequences["ct"]}, case.regions), student)
    both = predict(case, student)
    assert sum(alone.probabilities.values()) == pytest.approx(1.0)
    assert alone.probabilities != both.probabilities


def test_the_grade_of_a_case_is_that_of_training_divided_by_the_temperature(run):
    student, case = load_student(run / "student.safetensors"), phantom_case(4, shape_kji=(24, 24, 24))
    recipe = recipe_named("reactkd")
    sample = recipe.prepare(case, recipe.preparation(student.card.classes, **CONFIG.settings))
    logits = torch.from_numpy(recipe.read(student.network, [sample]).logits[0])
    expected = (logits / student.card.temperature).softmax(dim=0).tolist()
    found = predict(type(case)({"ct": case.sequences["ct"]}, case.regions), student).probabilities
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("last", [("teachers", 1), ("teachers", 2), ("teach student", 3), ("student", 1)])
def test_a_run_that_was_stopped_ends_in_the_same_weights(cohort, run, tmp_path, last):
    def cancel(stage, done, total):
        if (stage, done) == last:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(cohort, tmp_path / "run", CONFIG, progress=cancel)
    train(cohort, tmp_path / "run", CONFIG, resume=True)
    for name in ("checkpoint.safetensors", "student.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes()


def test_two_processes_train_as_one(cohort, tmp_path):
    config = replace(
        CONFIG, learning_rate=2e-4
    )  # larger steps enlarge rounding, in so small a network, from step to step
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    train(cohort, tmp_path / "one", config)
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
    ]
    files = ["--cohort", str(cohort.folder / "cohort.json"), "--config", str(tmp_path / "config.json")]
    options = ["-m", "REACTDistillLib", "train", "reactkd", *files, "--run-folder", str(tmp_path / "two")]
    subprocess.run([*start, *options], check=True, stdout=subprocess.DEVNULL, timeout=300)
    one, two = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path / "one", tmp_path / "two"))
    weights = [name for name in one if name.startswith("network/")]
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in weights) < 1e-5  # after 24 steps


def test_cases_without_a_label_need_a_teacher(cohort, tmp_path):
    alone = {**CONFIG.settings, "training": {}}
    config = TrainingConfig(**{**CONFIG.to_json(), "settings": alone})
    with pytest.raises(ValueError, match='Case "phantom_00015" has no label'):
        train(cohort, tmp_path / "run", config)


def test_weights_of_the_classes_and_of_the_focal_loss_reach_the_losses():
    recipe, case = recipe_named("reactkd"), phantom_case(3, shape_kji=(24, 24, 24))

    def losses(**changed):
        training = {**TRAINING, "alpha": 0.0, "graph_weight": 0.0, **changed}
        preparation = recipe.preparation(GRADES, **{**CONFIG.settings, "training": training})
        torch.manual_seed(0)
        networks = recipe.networks(preparation)
        batch = {name: tensor[None] for name, tensor in recipe.prepare(case, preparation).items()}
        batch["dosed"], batch["progress"] = batch["dosed"][:, :1], torch.tensor(1.0)
        teachers, student = (stage.updates[0].loss for stage in recipe.stages(preparation))
        return {name: term.item() for loss in (teachers, student) for name, term in loss(networks, batch).items()}

    plain, weighed = losses(), losses(class_weights=[3.0, 3.0, 3.0], focal_weight=0.5)
    assert list(plain) == ["structure_function", "dose_aware", "focal"]
    expected = {name: factor * plain[name] for name, factor in zip(plain, (3.0, 3.0, 1.5), strict=True)}
    assert weighed == pytest.approx(expected, rel=1e-5)
