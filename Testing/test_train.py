"""A run from cohort to student file."""

import json
from dataclasses import replace

import pytest
import torch
from REACTDistillLib.phantom import write_phantom_cohort
from REACTDistillLib.predict import predict
from REACTDistillLib.student import load_student, read_card
from REACTDistillLib.train import TrainingConfig, train

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
        tmp_path_factory.mktemp("cohort") / "phantoms", count=15, folds=3, shape_kji=(24, 24, 24)
    )


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(cohort, folder, TINY)
    return folder


def test_a_run_is_one_folder_with_all_that_is_needed_to_know_it(run, cohort):
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "metrics.jsonl", "last.safetensors", "best.safetensors", "student.safetensors"}
    config = json.loads((run / "config.json").read_text())
    assert config["cohort_sha256"] == cohort.sha256
    assert config["seed"] == 0
    assert config["versions"]["torch"] == torch.__version__
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[0]["best"] is True
    assert lines[0]["focal"] > 0


def test_the_card_tells_the_cohort_the_scores_and_that_phantoms_are_no_patients(run, cohort):
    card = read_card(run / "student.safetensors")
    assert card.training["cohort_sha256"] == cohort.sha256
    assert card.is_synthetic
    assert "phantoms only" in card.limitations
    assert card.metrics["ct"]["cases"] == 5
    assert 0 <= card.metrics["ct"]["macro_auc"] <= 1


def test_the_student_file_holds_the_best_weights_and_predicts(run, cohort):
    from safetensors.torch import load_file

    student = load_student(run / "student.safetensors")
    best = load_file(run / "best.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in student.network.state_dict().items())
    finding = predict(cohort.entries[0].load(), student)
    assert set(finding.probabilities) == set(cohort.classes)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run, cohort, tmp_path):
    train(cohort, tmp_path / "again", TINY)
    train(cohort, tmp_path / "other", replace(TINY, seed=1))
    first = read_card(run / "student.safetensors").tensors_sha256
    assert read_card(tmp_path / "again" / "student.safetensors").tensors_sha256 == first
    assert read_card(tmp_path / "other" / "student.safetensors").tensors_sha256 != first


def test_training_lowers_the_loss(cohort, tmp_path):
    train(cohort, tmp_path / "run", replace(TINY, epochs=60))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["focal"] < 0.7 * lines[0]["focal"]


def test_a_used_folder_and_a_missing_fold_are_refused(run, cohort, tmp_path):
    with pytest.raises(ValueError, match="not empty"):
        train(cohort, run, TINY)
    with pytest.raises(ValueError, match="validates on fold 7"):
        train(cohort, tmp_path / "run", replace(TINY, fold=7))


@pytest.mark.parametrize(
    ("label", "words"), [("well", 'held out part has no case of class "moderate"'), (None, "no label")]
)
def test_labels_that_cannot_be_scored_are_refused_before_training(cohort, tmp_path, label, words):
    entries = tuple(
        replace(entry, label=label) if entry.fold == 1 and entry.label != "poor" else entry for entry in cohort.entries
    )
    with pytest.raises(ValueError, match=words):
        train(replace(cohort, entries=entries), tmp_path / "run", TINY)
    assert not (tmp_path / "run").exists()


def test_no_patient_of_the_held_out_fold_is_trained_on(cohort):
    from REACTDistillLib import train as module

    parts = {name: {entry.patient for entry in entries} for name, entries in module._split(cohort, TINY).items()}
    assert len(parts["training"]) == len(parts["validation"]) == len(parts["held out"]) == 5
    assert not parts["training"] & (parts["validation"] | parts["held out"])
    assert not parts["validation"] & parts["held out"]
