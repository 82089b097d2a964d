"""A student judged on synthetic patients, from the files to the report."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation_samples import WITH_PET, write_cohort, write_run, write_student
from REACTDistillLib.__main__ import main
from REACTDistillLib.calibration import softmax
from REACTDistillLib.cohort import Cohort
from REACTDistillLib.evaluate import evaluate, tsne_map
from REACTDistillLib.evaluation import EvaluationConfig
from REACTDistillLib.metrics import classification_scores
from REACTDistillLib.predict import predict
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.readings import AS_MEASURED, REQUIRED_ONLY, Conditions
from REACTDistillLib.student import load_student
from REACTDistillLib.traininglog import training_lines

QUICK = EvaluationConfig(conditions=Conditions(deletion_cases=2), samples=20)
TABLES = {"scores.csv", "predictions.csv", "roc.csv", "decision.csv", "reliability.csv", "deletion.csv"}
FIGURES = {"roc.png", "confusion.png", "decision.png", "reliability.png", "deletion.png"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort") / "phantoms")


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first", cohort)


@pytest.fixture(scope="module")
def whole(cohort, run, tmp_path_factory):
    """The student file on all cases, and the folder of its report."""
    folder = tmp_path_factory.mktemp("reports") / "whole"
    return evaluate(run / "student.safetensors", cohort, folder, replace(QUICK, fold="all")), folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_run_is_judged_on_its_held_out_fold_and_shows_its_training(cohort, run, tmp_path):
    evaluation = evaluate(run, cohort, tmp_path / "report", QUICK)
    held_out = [entry.id for entry in cohort.entries if entry.fold == 1]
    assert list(evaluation.readings.identifiers) == held_out
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *TABLES,
        *FIGURES,
        "training.png",
        "scores.json",
        "report.html",
    }
    assert [line["losses"] for line in evaluation.training] == [{"focal": 0.9}, {"focal": 0.8, "graph": 0.1}]
    assert "5 cases are too few" in evaluation.omitted["t-SNE"]


def test_the_predictions_are_those_of_the_student_in_use(cohort, run, whole):
    _, folder = whole
    rows = rows_of(folder / "predictions.csv")
    assert len(rows) == len(cohort.entries)
    finding = predict(cohort.entries[3].load(), load_student(run / "student.safetensors"))
    assert rows[3]["case"] == cohort.entries[3].id
    assert rows[3]["label"] == cohort.entries[3].label
    for name, probability in finding.probabilities.items():
        assert float(rows[3][name]) == pytest.approx(probability, abs=2e-6)
    assert rows[3]["predicted_class"] == finding.predicted_class
    said = {path.name: {row["notice"] for row in rows_of(path)} for path in folder.glob("*.csv")}
    assert len(said) == len(TABLES) + 1  # the map of the features has one as well
    assert all(len(one) == 1 and "not a medical device" in next(iter(one)) for one in said.values())


def test_the_scores_are_those_of_the_predictions(whole, cohort):
    _, folder = whole
    rows = rows_of(folder / "predictions.csv")
    probabilities = np.array([[float(row[name]) for name in cohort.classes] for row in rows])
    labels = np.array([cohort.classes.index(row["label"]) for row in rows])
    scores = json.loads((folder / "scores.json").read_text())
    overall = scores["conditions"][AS_MEASURED]["overall"]
    for name, value in classification_scores(probabilities, labels).items():
        assert overall[name]["value"] == pytest.approx(value, abs=1e-5)
        assert overall[name]["low"] <= overall[name]["high"]
    assert scores["part"]["held_out"] is False
    assert scores["part"]["cases_of_class"] == {"well": 5, "moderate": 5, "poor": 5}
    assert any("seen in training" in text or "trained on this cohort" in text for text in scores["notices"])
    assert rows_of(folder / "scores.csv")[0]["score"] == "macro_auc"


def test_the_curves_of_a_few_cases_begin_with_the_probability_of_the_predicted_class(whole):
    evaluation, folder = whole
    rows = rows_of(folder / "deletion.csv")
    highest = evaluation.conditions[AS_MEASURED].probabilities.max(axis=1)
    starts = [row for row in rows if float(row["taken_out"]) == 0]
    assert [row["case"] for row in starts] == list(evaluation.readings.identifiers[:2])
    for row, value in zip(starts, highest, strict=False):
        assert float(row["most important first"]) == pytest.approx(value, abs=2e-6)
        assert float(row["a random place, growing"]) == pytest.approx(value, abs=2e-6)
    ends = [row for row in rows if float(row["taken_out"]) == 1]
    assert all(row["most important first"] == row["least important first"] for row in ends)


def test_there_is_a_map_of_the_features_for_enough_cases(whole):
    evaluation, folder = whole
    assert (folder / "tsne.png").is_file()
    assert len(rows_of(folder / "tsne.csv")) == 15
    assert evaluation.tsne.shape == (15, 2)
    assert np.array_equal(evaluation.tsne, tsne_map(evaluation.readings.features, 0))


def test_the_temperature_of_the_card_divides_the_logits(cohort, tmp_path):
    write_student(tmp_path / "warm.safetensors", cohort, calibration={"temperature": 2.0})
    config = replace(QUICK, conditions=Conditions(deletion_cases=0))
    other = evaluate(tmp_path / "warm.safetensors", cohort, tmp_path / "report", config)
    expected = softmax(other.readings.logits[AS_MEASURED], 2.0)
    assert np.array_equal(other.conditions[AS_MEASURED].probabilities, expected)
    assert list(other.diagrams) == ["temperature 1", "with the temperature of the card"]
    assert "no case was chosen" in other.omitted["deletion curve"]


def test_an_optional_sequence_is_used_as_in_use_and_left_out_as_a_condition(cohort, tmp_path):
    path = tmp_path / "pet.safetensors"
    write_student(path, cohort, WITH_PET)
    config = replace(QUICK, conditions=Conditions(deletion_cases=0))
    evaluation = evaluate(path, cohort, tmp_path / "report", config)
    assert list(evaluation.conditions) == [AS_MEASURED, REQUIRED_ONLY]
    assert evaluation.readings.sequences == {"ct": 5, "pet_fdg": 5}
    case = next(entry for entry in cohort.entries if entry.fold == 1).load()
    without = replace(case, sequences={"ct": case.sequences["ct"]})
    for name, shown in ((AS_MEASURED, case), (REQUIRED_ONLY, without)):
        expected = list(predict(shown, load_student(path)).probabilities.values())
        assert evaluation.conditions[name].probabilities[0].tolist() == pytest.approx(expected, abs=1e-6)
    first, second = (one.probabilities for one in evaluation.conditions.values())
    assert not np.allclose(first, second, atol=1e-4)


def test_each_dose_is_judged_and_named(cohort, run, tmp_path):
    pytest.importorskip("astra", reason="astra-toolbox is not installed")
    conditions = Conditions(doses=(1e6, 5e2), deletion_cases=0)
    evaluation = evaluate(run, cohort, tmp_path / "report", replace(QUICK, conditions=conditions))
    assert list(evaluation.conditions) == [AS_MEASURED, "dose 1e+06", "dose 500"]
    distance = [
        np.abs(evaluation.readings.logits[name] - evaluation.readings.logits[AS_MEASURED]).mean()
        for name in ("dose 1e+06", "dose 500")
    ]
    assert 0 < distance[0] < distance[1]
    assert (tmp_path / "report" / "conditions.png").is_file()
    assert {row["condition"] for row in rows_of(tmp_path / "report" / "predictions.csv")} == set(evaluation.conditions)


def test_nothing_is_left_when_it_is_cancelled_and_a_used_folder_is_kept(cohort, run, tmp_path):
    def cancel_at_third(stage, done, total):
        assert (stage, total) == ("evaluate", 5)
        if done == 2:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        evaluate(run, cohort, tmp_path / "report", QUICK, progress=cancel_at_third)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        evaluate(run, cohort, tmp_path, QUICK)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_case_that_cannot_be_read_ends_it_and_is_named(cohort, run, tmp_path):
    missing = {"ct": "gone.nrrd"}
    entries = tuple(
        replace(entry, sequences=missing, sha256={**entry.sha256, "gone.nrrd": ""}) for entry in cohort.entries
    )
    with pytest.raises(ValueError, match=r'^case "phantom_\d+" cannot be evaluated: .*no file "gone.nrrd"'):
        evaluate(run, replace(cohort, entries=entries), tmp_path / "report", QUICK)


def test_a_missing_package_is_one_sentence_before_anything_is_read(cohort, run, tmp_path, monkeypatch):
    monkeypatch.setattr("REACTDistillLib.evaluation.find_spec", lambda name: None if name == "sklearn" else name)
    with pytest.raises(ValueError, match='package "sklearn"; install it with the extra "train"'):
        evaluate(tmp_path / "no file", cohort, tmp_path / "report", QUICK)


def test_a_cohort_without_cases_is_one_sentence(cohort, run, tmp_path):
    with pytest.raises(ValueError, match="among the 0 labeled cases"):
        evaluate(run, replace(cohort, entries=()), tmp_path / "report", QUICK)


@pytest.mark.parametrize("text", ["{", '{"stage": "a"}', "[1]", '{"stage": "a", "best": true, "validation": 3}'])
def test_a_damaged_log_is_one_sentence(tmp_path, text):
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.jsonl that holds no epochs"):
        training_lines(tmp_path)
    assert training_lines(tmp_path / "nothing") == []


def test_the_command_prints_scores_with_intervals_and_where_the_report_is(cohort, run, tmp_path, capsys):
    path = str(cohort.folder / "cohort.json")
    arguments = ["--cohort", path, "--out", str(tmp_path / "report"), "--samples", "20"]
    assert main(["evaluate", "--run", str(run), *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "fold 1" in printed[0]
    assert printed[1].split()[0] == "macro_auc"
    assert "not a medical device" in printed[-2]
    scores = json.loads((tmp_path / "report" / "scores.json").read_text())
    words = "reactdistill evaluate --run first --cohort cohort.json --out report --samples 20 --seed 0"
    assert scores["config"]["command"] == words


def test_what_the_command_refuses_is_one_sentence_or_one_event(cohort, tmp_path, capsys):
    arguments = ["evaluate", "--run", str(tmp_path), "--cohort", str(cohort.folder / "cohort.json")]
    assert main([*arguments, "--out", str(tmp_path / "report")]) == 2
    assert "is no run folder" in capsys.readouterr().err
    assert main([*arguments, "--out", str(tmp_path / "report"), "--progress", "json"]) == 2
    assert "is no run folder" in json.loads(capsys.readouterr().out)["message"]


def test_a_student_of_other_classes_is_refused(cohort, tmp_path):
    other = Cohort(cohort.name, True, ("well", "moderate", "bad"), (), cohort.folder)
    write_student(tmp_path / "tiny.safetensors", cohort)
    with pytest.raises(ValueError, match="the cohort has well, moderate, bad"):
        evaluate(tmp_path / "tiny.safetensors", other, tmp_path / "report", QUICK)
