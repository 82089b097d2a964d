"""Settings and cases that a run of REACT-KD refuses before anything is computed, each with one sentence."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from REACTDistillLib.__main__ import main
from REACTDistillLib.cohort import Cohort, CohortEntry
from REACTDistillLib.errors import missing_package
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.recipes.reactkd.curriculum import SMALL_TEACHER, Curriculum
from REACTDistillLib.recipes.reactkd.inputs import sequence_image
from REACTDistillLib.recipes.reactkd.losses import GraphWeights, Nodes, graph_terms
from REACTDistillLib.train import TrainingConfig, train
from REACTDistillLib.volume import Grid, Volume
from reactkd_samples import TINY_TEACHER

TRAINING = {"privileged": {"pet_fdg": {"kind": "organ_ratio"}}, "teacher": TINY_TEACHER, "doses": [1e3]}
SETTINGS = {
    "grid_shape_kji": [8, 8, 8],
    "grid_spacing_kji_mm": [30.0, 30.0, 30.0],
    "network": {"stem_stride": [1, 1, 1], "channels": [4, 8], "strides": [1]},
    "training": TRAINING,
}
CT_RULE = {"kind": "window_zscore", "low": -160.0, "high": 240.0}
CONFIG = TrainingConfig(epochs=2, steps_per_epoch=1, batch_size=4, settings=SETTINGS)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "phantoms"
    return write_phantom_cohort(folder, count=15, folds=3, shape_kji=(24, 24, 24))


def refused(cohort, folder, config) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        train(cohort, folder / "run", config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"grid_shape_kji": [8, 8]}, '"grid.shape_kji" of the settings is [8, 8], expected three whole numbers'),
        ({"network": 5}, '"network" of the settings is 5, expected an object'),
        ({"network": {"width": 3}}, "\"network\" of the settings has the unknown field 'width'"),
        ({"network": {"classes": 2}}, '"network" has 2 classes, but there are 3; leave "classes" out'),
        ({"network": {"sequences": 3}}, '"network" has 3 sequences, but there are 1'),
        ({"sequences": {"required": [], "optional": ["ct"]}}, "needs a required sequence"),
        ({"regions": {"required": [], "optional": []}}, "needs a required region"),
        ({"intensity": {}}, 'no rule for the sequence "ct"'),
        ({"intensity": {"ct": {"kind": "window_zscore"}}}, 'the intensity rule of "ct" needs "low" below "high"'),
        (
            {"grid_shape_kji": [8, 8, 9], "network": {**SETTINGS["network"], "stem_stride": [1, 1, 2]}},
            '"grid_shape_kji" [8, 8, 9] must hold multiples of the stride of the student, [1, 1, 2]',
        ),
        (
            {"intensity": {"ct": {**CT_RULE, "statistic": "liver"}}},
            '"window_zscore" of "ct" has no setting "statistic"',
        ),
        ({"intensity": {"ct": {**CT_RULE, "statistics": "organ"}}}, 'must be "liver" or "volume", got "organ"'),
        ({"intensity": {"ct": {"kind": "rank"}}}, 'the intensity rule of "ct" must have one of the kinds'),
    ],
)
def test_settings_that_cannot_be_are_named(cohort, tmp_path, changed, sentence):
    assert sentence in refused(cohort, tmp_path, replace(CONFIG, settings={**SETTINGS, **changed}))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"teacher": 5}, '"teacher" must be an object of settings, got 5'),
        ({"teacher": {**TINY_TEACHER, "heads": [5, 5, 5, 5]}}, "must divide the widths"),
        ({"teacher_rate": -1}, '"teacher_rate" must be above 0'),
        ({"privileged": ["pet_fdg"]}, '"privileged" must give a rule for each sequence'),
        ({"privileged": {"pet_fdg": 5}}, 'the intensity rule of "pet_fdg" must have one of the kinds'),
        ({"privileged": {"pet_fgd": {"kind": "organ_ratio"}}}, 'No case of the cohort has the sequence "pet_fgd"'),
        ({"teacher_share": 0}, '"teacher_share" must lie between 0 and 1, got 0'),
        ({"teacher_share": 1}, '"teacher_share" must lie between 0 and 1, got 1'),
        ({"share_attention": "false"}, '"share_attention" must be true or false, got "false"'),
        ({"logits": "l2"}, '"logits" must be one of kl, mse, got "l2"'),
        ({"doses": []}, '"doses" must be a list of numbers above 0'),
        ({"doses": ["a"]}, '"doses" must be a list of numbers above 0'),
        ({"most_nodes": 2}, '"most_nodes" is 2, but'),
        ({"focal_weight": -1.0}, '"focal_weight" must be null or 0 or above, got -1.0'),
        ({"class_weights": 2.0}, '"class_weights" must be a list of numbers above 0, got 2.0'),
        ({"class_weights": [1.0, 0.0, 1.0]}, '"class_weights" must be a list of numbers above 0'),
        ({"class_weights": [1.0, 2.0]}, '"class_weights" has 2 numbers for the 3 classes'),
    ],
)
def test_settings_of_the_training_that_cannot_be_are_named(cohort, tmp_path, changed, sentence):
    settings = {**SETTINGS, "training": {**TRAINING, **changed}}
    assert sentence in refused(cohort, tmp_path, replace(CONFIG, settings=settings))


@pytest.mark.parametrize(("kind", "name"), [("sequence", "ct"), ("region", "liver")])
def test_a_case_without_what_each_needs_is_named_before_any_is_prepared(cohort, tmp_path, kind, name):
    entries = list(cohort.entries)
    field = f"{kind}s"
    entries[7] = replace(entries[7], **{field: {k: v for k, v in getattr(entries[7], field).items() if k != name}})
    sentence = refused(replace(cohort, entries=tuple(entries)), tmp_path, CONFIG)
    assert sentence.startswith(f'case "{entries[7].id}": there is no {kind} "{name}", which the student needs')


def test_a_case_that_cannot_be_prepared_is_named(cohort, tmp_path, monkeypatch):
    recipe = recipe_named("reactkd")

    def prepare(case, preparation):
        raise ValueError("Every voxel inside the liver is 40 HU.")

    monkeypatch.setattr(recipe, "prepare", prepare)
    sentence = refused(cohort, tmp_path, CONFIG)
    assert sentence.startswith('case "phantom_')
    assert sentence.endswith("cannot be prepared: Every voxel inside the liver is 40 HU.")


@pytest.mark.parametrize("device", ["foo", "cuda:77"])
def test_a_device_that_is_not_there_is_named(cohort, tmp_path, device):
    assert "device" in refused(cohort, tmp_path, replace(CONFIG, device=device))


def test_auto_is_a_device(cohort, tmp_path):
    settings = {**SETTINGS, "training": {}}
    assert train(cohort, tmp_path / "run", replace(CONFIG, settings=settings, device="auto")).is_file()


def test_the_card_tells_how_the_student_was_distilled(cohort, tmp_path):
    from REACTDistillLib.student import read_card

    card = read_card(train(cohort, tmp_path / "run", CONFIG))
    assert card.training["settings"] == json.loads(json.dumps(TRAINING))


def test_the_small_teacher_has_a_name():
    assert Curriculum.from_json({"teacher": "small"}) == Curriculum.from_json({"teacher": SMALL_TEACHER})
    with pytest.raises(ValueError, match='"teacher" must be an object of settings, got "large"'):
        Curriculum.from_json({"teacher": "large"})


@pytest.mark.parametrize("arguments", [["--folds", "0"], ["--seeds", "0"], ["--jobs", "0"]])
def test_evidence_of_nothing_is_refused(cohort, tmp_path, capsys, arguments):
    path = str(cohort.folder / "cohort.json")
    out = ["evidence", "reactkd", "--plan", "phantoms", "--cohort", path, "--out", str(tmp_path / "out")]
    assert main([*out, *arguments]) == 2
    assert f"{arguments[0]} must be 1 or more, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--shape", "0", "8", "8"], ["--unlabeled", "-1"]])
def test_phantoms_of_nothing_are_refused(tmp_path, capsys, arguments):
    assert main(["phantoms", "--out", str(tmp_path / "out"), "--count", "6", "--folds", "3", *arguments]) == 2
    assert "of 1 voxel or more each way" in capsys.readouterr().err


def test_a_voxel_without_a_number_outside_the_organ_changes_nothing():
    grid = Grid((8, 8, 8), np.eye(4))
    organ = np.zeros(grid.shape_kji, bool)
    organ[2:6, 2:6, 2:6] = True
    values = np.random.default_rng(0).normal(5.0, 1.0, grid.shape_kji).astype(np.float32)
    rule = {"kind": "percentile_zscore"}
    broken = values.copy()
    broken[0, 0, 0] = np.nan
    image = sequence_image(Volume(broken, grid), Volume(organ, grid), grid, rule)
    clean = sequence_image(Volume(values, grid), Volume(organ, grid), grid, rule)
    assert np.isfinite(image).all()
    np.testing.assert_allclose(image, clean, atol=0.02)  # the percentiles are those of 511 voxels instead of 512


def graphs(distance: float) -> tuple[Nodes, Nodes]:
    torch.manual_seed(0)
    shared, mask = torch.randn(1, 1, 16), torch.ones(1, 6, dtype=torch.bool)
    return (
        Nodes((shared + distance * torch.randn(1, 6, 16)).requires_grad_(), mask),
        Nodes(shared + distance * torch.randn(1, 6, 16), mask),
    )


def test_reduced_precision_around_them_does_not_change_the_graph_terms():
    def gradient(*, reduced: bool) -> torch.Tensor:
        student, teacher = graphs(0.05)  # distances of about 0.002
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            terms = graph_terms(student, teacher, GraphWeights())
        torch.stack(list(terms.values())).sum().backward()
        return student.features.grad

    assert torch.equal(gradient(reduced=True), gradient(reduced=False))


def test_the_entropy_of_the_topology_is_that_of_the_settings():
    values = [
        float(
            graph_terms(*graphs(1.0), GraphWeights(node=0.0, edge=0.0, topology="entropic", epsilon=epsilon))[
                "gw"
            ].detach()
        )
        for epsilon in (0.005, 5.0)
    ]
    assert values[0] < 0.9 * values[1]


def test_a_run_in_reduced_precision_learns_as_one_in_full(cohort, tmp_path):
    """The gradient of a 7x7x7 convolution in bfloat16, channels last, was garbage or NaN on a CPU."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        train(cohort, folder, replace(CONFIG, steps_per_epoch=4, precision=precision))
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        losses[precision] = [line[name] for line in lines for name in ("focal", "structure_function") if name in line]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_package_that_is_missing_is_named(monkeypatch, capsys, tmp_path):
    def missing(*arguments, **options):
        raise ModuleNotFoundError("No module named 'monai'", name="monai")

    monkeypatch.setattr(Cohort, "read", missing)
    assert main(["train", "reactkd", "--cohort", "c.json", "--run", str(tmp_path / "run")]) == 2
    assert 'The Python package "monai" is missing; run pip install' in capsys.readouterr().err


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    from REACTDistillLib.runfolder import RunFolder

    content = {"name": "a run"}
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    first.start(content)
    with pytest.raises(ValueError, match="Another process is training in"):
        second.resume(content)
    first.release()
    second.resume(content)
    with pytest.raises(ValueError, match="Another process is training in"):
        first.resume(content)
    second.release()


def test_a_run_that_failed_before_it_trained_gives_its_folder_back(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(CohortEntry, "load", lambda entry: (_ for _ in ()).throw(ValueError("the file is gone.")))
    assert "the file is gone" in refused(cohort, tmp_path, CONFIG)
    assert (tmp_path / "run" / "config.json").is_file()
    monkeypatch.undo()
    student = train(cohort, tmp_path / "run", replace(CONFIG, learning_rate=1e-3))
    assert student.is_file()
    assert "is not empty" in refused(cohort, tmp_path, CONFIG)


def test_a_run_that_has_just_begun_elsewhere_is_not_taken_for_one_that_failed(tmp_path):
    from REACTDistillLib.runfolder import RunFolder

    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    first.start({"name": "first"})
    with pytest.raises(ValueError, match="Another process is training in"):
        second.start({"name": "second"})
    assert "first" in (tmp_path / "run" / "config.json").read_text()
    first.release()
    second.start({"name": "second"})
    second.release()


def test_without_locks_no_run_is_taken_for_one_that_failed(tmp_path, monkeypatch):
    from REACTDistillLib.runfolder import RunFolder

    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    RunFolder(tmp_path / "run").start({"name": "first"})
    with pytest.raises(ValueError, match="is not empty; a run needs a folder of its own"):
        RunFolder(tmp_path / "run").start({"name": "second"})
    assert "first" in (tmp_path / "run" / "config.json").read_text()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"weight_decay": -5.0}, "weight_decay is -5.0; a run needs 0 or more."),
        ({"weight_decay": float("nan")}, "weight_decay is nan; a run needs a finite number."),
        ({"learning_rate": float("inf")}, "learning_rate is inf; a run needs a finite number."),
    ],
)
def test_numbers_that_no_optimizer_takes_are_refused(changed, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        replace(CONFIG, **changed)


def test_a_package_is_named_as_pip_knows_it():
    assert missing_package("sklearn.metrics") == (
        'The Python package "scikit-learn" is missing; run pip install ".[train]" in the folder of the source.'
    )
    assert missing_package("highdicom") == 'The Python package "highdicom" is missing; install it and try again.'
