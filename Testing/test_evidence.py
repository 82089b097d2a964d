"""Ablations over folds and seeds, and their table."""

import json

import pytest
import REACTDistillLib.evidence as evidence_file
from REACTDistillLib.evidence import (
    ALL,
    ALONE,
    TEACHER,
    EvidencePlan,
    Variant,
    evidence,
    markdown,
    summary,
    tables_text,
)
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes.reactkd.ablation import PLANS
from REACTDistillLib.trainingconfig import TrainingConfig
from reactkd_samples import TINY_TEACHER

# Gains of 1, 2, ... 6 hundredths: all six positive, so the exact two-sided p is 2 / 2^6.
RUNS = [{ALL: 0.70 + n / 100, TEACHER: 0.90, ALONE: 0.70} for n in range(1, 7)]


def test_the_table_has_mean_sd_gain_p_and_the_share_of_the_gap_that_is_closed():
    rows = {row["variant"]: row for row in summary(RUNS)}
    assert rows[ALL]["mean"] == pytest.approx(0.735)
    assert rows[ALL]["sd"] == pytest.approx(0.0187, abs=1e-4)  # of 1 to 6 hundredths
    assert rows[ALL]["gain"] == pytest.approx(0.035)
    assert rows[ALL]["p"] == pytest.approx(0.03125)
    assert rows[ALL]["recovered"] == pytest.approx(0.035 / 0.2)
    assert rows[TEACHER]["recovered"] == pytest.approx(1.0)
    assert rows[ALONE]["p"] is None


def test_too_few_runs_have_no_p():
    assert {row["p"] for row in summary(RUNS[:4])} == {None}


def test_the_table_reads_as_markdown():
    lines = markdown(summary(RUNS)).splitlines()
    assert lines[0].startswith("| variant |")
    assert "| all | 0.735 ± 0.019 | +0.035 | 0.031 | 18% |" in lines
    assert lines[2] == "| student alone | 0.700 ± 0.000 |  |  |  |"
    assert lines[-1].startswith("| teacher |")


def test_a_plan_without_teachers_is_held_against_its_own_baseline():
    table = summary([{"both": 0.70 + n / 100, "dropout": 0.70} for n in range(1, 7)], baseline="dropout")
    assert [row["variant"] for row in table] == ["dropout", "both"]
    assert table[1]["gain"] == pytest.approx(0.035)
    assert table[1]["p"] == pytest.approx(0.03125)
    assert table[1]["recovered"] is None
    lines = markdown(table, "AURC").splitlines()
    assert lines[0] == "| variant | AURC, mean ± sd | gain | p |"
    assert lines[2:] == ["| dropout | 0.700 ± 0.000 |  |  |", "| both | 0.735 ± 0.019 | +0.035 | 0.031 |"]


def test_a_plan_of_several_scores_has_a_table_of_each(tmp_path, monkeypatch):
    write_phantom_cohort(tmp_path / "cohort", count=4, folds=2, shape_kji=(12, 12, 12))
    trained = []

    def run(cohort, folder, variant, config, memory):
        trained.append((variant.name, config.fold, dict(config.weights)))
        gain = 0.1 if variant.name == "both" else 0.0
        return {"student": {"dice": 0.5 + gain, "aurc": 0.6 + config.fold / 10 + gain, "other": 1.0}}

    monkeypatch.setattr(evidence_file, "_run", run)
    plan = EvidencePlan(
        TrainingConfig(),
        (Variant("dropout"), Variant("both")),
        folds=(0, 1),
        seeds=(0,),
        scores=("dice", "aurc"),
        baseline="dropout",
    )
    content = evidence(tmp_path / "cohort" / "cohort.json", tmp_path / "out", plan)
    assert trained == [("dropout", 0, {}), ("both", 0, {}), ("dropout", 1, {}), ("both", 1, {})]
    assert content["runs"][0]["scores"] == {"dropout": 0.5, "both": 0.6}
    means = {name: [row["mean"] for row in table] for name, table in content["tables"].items()}
    assert means == {"dice": [0.5, 0.6], "aurc": [0.65, 0.75]}
    assert content["table"] == content["tables"]["dice"]
    assert "| variant | mean Dice over subsets, mean ± sd | gain | p |" in tables_text(content)
    assert (tmp_path / "out" / "evidence.md").read_text() == tables_text(content)
    assert evidence(tmp_path / "cohort" / "cohort.json", tmp_path / "out", plan)["tables"] == content["tables"]
    assert len(trained) == 4


@pytest.mark.parametrize("name", ["phantoms", "glioma"])
def test_the_plans_train_the_teachers_first_and_each_term_by_itself(name):
    plan = PLANS[name](3, 2)
    assert [variant.name for variant in plan.variants] == [
        ALL,
        "all but modality dropout",
        ALONE,
        "+ logits (SF)",
        "+ logits (SF + dose)",
        "+ node/edge",
        "+ GW",
        "+ modality dropout",
    ]
    assert (plan.folds, plan.seeds) == ((0, 1, 2), (0, 1))
    assert [one.name for one in plan.variants if not one.uses_unlabeled] == [ALONE, "+ modality dropout"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    write_phantom_cohort(folder / "cohort", count=12, folds=2, unlabeled=3, shape_kji=(24, 24, 24))
    settings = {
        "grid_shape_kji": [8, 8, 8],
        "grid_spacing_kji_mm": [30.0, 30.0, 30.0],
        "network": {"classes": 3, "stem_stride": [1, 1, 1], "channels": [4, 8], "strides": [1]},
        "training": {
            "privileged": {"pet_fdg": {"kind": "organ_ratio"}},
            "teacher": TINY_TEACHER,
            "doses": [1e4],
            "teacher_share": 0.5,
        },
    }
    nothing = {"alpha": 0.0, "graph_weight": 0.0, "share_attention": False}
    return folder, EvidencePlan(
        TrainingConfig(epochs=4, batch_size=4, steps_per_epoch=2, settings=settings),
        (Variant(ALL), Variant(ALONE, nothing, uses_unlabeled=False)),
        folds=(0,),
        seeds=(0,),
        labeled_share=1.0,
    )


def test_a_plan_is_trained_once_and_found_again(tiny):
    folder, plan = tiny
    seen = []
    content = evidence(
        folder / "cohort" / "cohort.json",
        folder / "out",
        plan,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("evidence", 1, 1)]
    assert set(content["runs"][0]["scores"]) == {ALL, ALONE, TEACHER}
    assert all(0 <= score <= 1 for score in content["runs"][0]["scores"].values())
    runs = folder / "out" / "runs" / "fold0_seed0"
    parts = json.loads((runs / "all" / "config.json").read_text())["parts"]
    assert {"phantom_00012", "phantom_00013", "phantom_00014"} <= set(parts["training"])
    assert not set(parts["held_out"]) & {*parts["training"], *parts["validation"]}
    alone = [json.loads(line) for line in (runs / "student_alone" / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in alone] == ["student"] * 2  # as long as that of the row that trains the teachers
    whole = [json.loads(line)["stage"] for line in (runs / "all" / "metrics.jsonl").read_text().splitlines()]
    assert whole == ["teachers"] * 2 + ["student"] * 2
    assert "logits" not in alone[0]
    before = (runs / "all" / "student.safetensors").stat().st_mtime_ns
    again = evidence(folder / "cohort" / "cohort.json", folder / "out", plan)
    assert again["table"] == content["table"]
    assert (runs / "all" / "student.safetensors").stat().st_mtime_ns == before
