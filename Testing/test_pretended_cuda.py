"""On a device nothing is mixed with the CPU: both demo students and runs of both recipes on a pretended one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pretended_cuda import pretended_cuda
from REACTDistillLib.gromov import gromov_wasserstein
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.phantomcohort import write_phantom_cohort
from REACTDistillLib.predict import predict
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from REACTDistillLib.train import TrainingConfig, train
from reactkd_samples import CONFIG, TRAINING

ON_DEVICE = {"device": "cuda", "loader_threads": 0, "epochs": 2, "steps_per_epoch": 2}
SMALL_BRAINS = {
    "grid_shape_kji": [16, 16, 16],
    "grid_spacing_kji_mm": [9.0, 11.0, 10.0],
    "network": {"channels": [4, 8, 8, 8]},
}


@pytest.fixture(scope="module")
def livers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("livers") / "cohort"
    return write_phantom_cohort(folder, count=15, folds=3, unlabeled=2, shape_kji=(24, 24, 24))


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brains") / "cohort"
    return write_phantom_cohort(folder, count=9, folds=3, kind="brain", shape_kji=(32, 32, 32))


def test_the_pretended_device_finds_what_a_real_one_refuses():
    with pretended_cuda() as mixed:
        there, here = torch.ones(2, 3).to("cuda"), torch.ones(2, 3)
        assert (there.device.type, (2 * there).device.type, there.cpu().device.type) == ("cuda", "cuda", "cpu")
        assert torch.zeros(2, device=there.device).is_cuda
        assert mixed == []
        there + here
        np.asarray(there.numpy())
    assert [line.split(" of ")[0] for line in mixed] == ["add", "numpy"]


def test_demo_students_answer_on_the_device_as_on_the_cpu(brains):
    liver, brain = phantom_case(100_007, shape_kji=(24, 24, 24)), brains.entries[0].load()
    expected = predict(liver, demo_student("grade"), device="cpu").probabilities
    with pretended_cuda() as mixed:
        found = predict(liver, load_student(demo_student("grade"), device="cuda"))
        segmented = predict(brain, load_student(demo_student("segment"), device="cuda"))
    assert mixed == []
    assert found.provenance.device == segmented.provenance.device == "cuda"
    assert found.probabilities == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"graph": {"topology": "fused"}, "logits": "mse"},
        {"graph": {"topology": "entropic", "alignment": "sinkhorn"}},
        {"graph": {"topology": "surrogate"}, "class_weights": [1.0, 2.0, 3.0]},
    ],
    ids=["gw", "fused", "entropic", "surrogate"],
)
def test_teachers_and_student_train_on_the_device(livers, tmp_path, changed):
    settings = {**CONFIG.settings, "training": {**TRAINING, **changed}}
    with pretended_cuda() as mixed:
        train(livers, tmp_path / "run", replace(CONFIG, settings=settings, **ON_DEVICE))
    assert mixed == []


@pytest.mark.parametrize(
    "training",
    [{}, {"subsets": "all", "criticality": "exact"}, {"method": "shaspec", "alignment": 0.1, "classification": 0.1}],
    ids=["ccsd", "exact", "shaspec"],
)
def test_students_of_any_subset_train_on_the_device(brains, tmp_path, training):
    settings = {**SMALL_BRAINS, "training": training}
    with pretended_cuda() as mixed:
        train(brains, tmp_path / "run", TrainingConfig(recipe="ccsd", batch_size=2, settings=settings, **ON_DEVICE))
    assert mixed == []


@pytest.mark.parametrize("solver", ["gw", "entropic", "pot", "best"])
def test_graphs_of_the_device_are_compared_there(solver):
    torch.manual_seed(0)
    points, others = torch.rand(3, 6, 4), torch.rand(3, 5, 4)
    with pretended_cuda() as mixed:
        first, second = (torch.cdist(one, one).to("cuda") for one in (points, others))
        found = gromov_wasserstein(first.requires_grad_(), second, solver=solver)
        assert found.value.device.type == found.plan.device.type == "cuda"
    assert mixed == []
