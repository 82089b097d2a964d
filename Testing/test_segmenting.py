"""From any subset of sequences to masks in the geometry of the patient."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from grids import grid_around
from REACTDistillLib.brain import brain_case
from REACTDistillLib.case import Case
from REACTDistillLib.files import read_volume
from REACTDistillLib.memory import Memory
from REACTDistillLib.predict import get_ready, predict
from REACTDistillLib.progress import Cancelled, silent
from REACTDistillLib.recipes.ccsd import segmenting
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Volume
from segmenting_samples import save_segmenting_student

NAMES = ("t1", "t1ce", "t2", "flair")
SUBSETS = [names for size in range(1, 5) for names in combinations(NAMES, size)]
# One exam, each sequence on a grid of its own: another spacing, other axes, oblique.
GRIDS = {
    "t1": ((0.0, 0.0, 0.0), (2, 0, 1), (1, 1, -1), (2.0, 2.0, 5.0), (70, 75, 36)),
    "t1ce": ((0.0, 0.0, 0.0), (0, 1, 2), (-1, -1, 1), (3.0, 3.0, 3.0), (70, 80, 70)),
    "t2": ((0.3, -0.2, 0.1), (0, 1, 2), (1, -1, 1), (4.0, 4.0, 4.0), (60, 60, 60)),
    "flair": ((-0.2, 0.1, 0.3), (0, 2, 1), (1, 1, 1), (3.0, 4.0, 5.0), (60, 70, 80)),
}


CENTER_RAS, BRAIN_RADII_MM = np.array([10.0, -20, 30]), np.array([70.0, 85, 65])
BALL_RAS, BALL_MM = np.array([30.0, -35, 40]), 25.0


@pytest.fixture(scope="module")
def student_path(tmp_path_factory):
    return save_segmenting_student(tmp_path_factory.mktemp("student") / "segmenter.safetensors")


@pytest.fixture(scope="module")
def student(student_path):
    return load_student(student_path, device="cpu")


@pytest.fixture(scope="module")
def phantom():
    return brain_case(3)


def exam(name):
    """A stripped brain of value 100 with a ball of 400, its edge 6 mm soft, on the grid of a sequence."""
    angles, order, signs, spacing, shape = GRIDS[name]
    grid = grid_around(CENTER_RAS, angles, order, signs, spacing, shape[::-1])
    k, j, i = np.indices(grid.shape_kji, sparse=True)
    ras = grid.to_ras(np.stack(np.broadcast_arrays(i, j, k), axis=-1))
    brain = (((ras - CENTER_RAS) / BRAIN_RADII_MM) ** 2).sum(axis=-1) <= 1
    edge = (BALL_MM + 3 - np.linalg.norm(ras - BALL_RAS, axis=-1)) / 6
    contrast = 1 + NAMES.index(name)  # no sequence is a copy of another
    return Volume(np.where(brain, contrast * (100 + 300 * np.clip(edge, 0, 1)), 0), grid)


@pytest.fixture(scope="module")
def apart():
    return Case({name: exam(name) for name in NAMES})


@pytest.fixture
def pointwise(monkeypatch):
    """In the place of the network: WT where T1 is above its mean, TC above 1 sd, ET above 1.5 sd; and the calls."""
    calls = []

    def forward(student, images, present):
        calls.append(tuple(images.shape))
        seen = images.numpy()[np.flatnonzero(present.numpy())[0]]
        return np.stack([(seen > level).astype(np.float32) for level in (0.0, 1.0, 1.5)])

    monkeypatch.setattr(segmenting, "forward", forward)
    return calls


def run(student, case, **options):
    chosen = {"progress": silent, "reference": None, "with_probabilities": False, "memory": Memory()}
    return segmenting.segment(student, case, **{**chosen, **options})


def only(case, names):
    return replace(case, sequences={name: case.sequences[name] for name in names})


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_every_subset_of_sequences_gives_nested_masks_on_the_grid_of_the_image(student, phantom, names) -> None:
    finding = predict(only(phantom, names), student)
    said = finding.segmentation
    assert finding.grid.same_as(phantom.sequences[names[0]].grid)
    assert list(said.masks) == ["WT", "TC", "ET"]
    tumor, core, enhancing = (mask.array_kji for mask in said.masks.values())
    assert not (core & ~tumor).any()
    assert not (enhancing & ~core).any()
    assert said.volumes_ml["WT"] == pytest.approx(tumor.sum() * 0.064, abs=1e-3)  # voxels of 4 mm
    assert any("Only one sequence" in sentence for sentence in finding.warnings) == (len(names) == 1)
    assert finding.probabilities == {}
    assert said.probability_maps is None


def test_the_order_in_which_sequences_are_given_changes_not_a_bit(student, apart) -> None:
    answers = [
        predict(only(apart, names), student, with_probabilities=True) for names in list(permutations(NAMES))[::7]
    ]
    for other in answers[1:]:
        assert other.grid.same_as(answers[0].grid)
        assert other.warnings == answers[0].warnings
        for name, one in answers[0].segmentation.probability_maps.items():
            assert np.array_equal(one.array_kji, other.segmentation.probability_maps[name].array_kji)


def test_the_finest_image_is_the_reference_unless_another_is_named(student, apart) -> None:
    case = apart
    assert predict(case, student).grid.same_as(case.sequences["t1"].grid)  # 2 x 2 x 5 = 20 mm3, below 27, 64 and 60
    chosen = predict(case, student, reference="t2")
    assert chosen.grid.same_as(case.sequences["t2"].grid)
    with pytest.raises(ValueError, match='The reference "pd" is not among the sequences given: t1, t1ce'):
        predict(case, student, reference="pd")


@pytest.mark.parametrize("names", [*[(name,) for name in NAMES], ("t1ce", "flair")], ids="+".join)
def test_masks_lie_where_the_images_say_whatever_their_grids(apart, monkeypatch, tmp_path, names) -> None:
    """The ball is 4 % of the brain, so mean 112, sd 59, and its edge of 250 lies at z = 2.3."""

    def forward(student, images, present):
        seen = images.numpy()[np.flatnonzero(present.numpy())].min(axis=0)
        return np.stack([(seen > 2.3).astype(np.float32)] * 3)

    monkeypatch.setattr(segmenting, "forward", forward)
    path = save_segmenting_student(tmp_path / "fine.safetensors", grid_spacing_kji_mm=(2.5, 2.5, 2.5))
    for reference in names:
        finding = predict(only(apart, names), path, device="cpu", reference=reference)
        mask = finding.segmentation.masks["WT"]
        place = mask.grid.to_ras(np.argwhere(mask.array_kji)[:, ::-1]).mean(axis=0)
        assert np.abs(place - BALL_RAS).max() < 0.7
        assert finding.segmentation.volumes_ml["WT"] == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.08)


def test_tiles_say_what_the_whole_brain_says_when_the_network_looks_at_points(student, phantom, pointwise) -> None:
    whole = run(student, phantom, with_probabilities=True).segmentation
    assert len(pointwise) == 1
    tiles = run(student, phantom, with_probabilities=True, free_bytes=110_000_000).segmentation
    assert len(pointwise) > 2
    assert set(pointwise[1:]) == {(4, 16, 16, 16)}
    for name, one in whole.probability_maps.items():
        assert np.allclose(one.array_kji, tiles.probability_maps[name].array_kji, atol=1e-5)
        assert np.array_equal(whole.masks[name].array_kji, tiles.masks[name].array_kji)


def test_when_not_even_a_tile_fits_the_memory_both_numbers_are_told(student, phantom) -> None:
    with pytest.raises(ValueError, match=r"takes about 0\.1 GB of memory and 0\.0 GB are free"):
        run(student, phantom, free_bytes=10_000_000)


def test_it_is_cancelled_between_two_tiles(student, phantom, pointwise) -> None:
    def progress(stage: str, done: int, total: int) -> None:
        if stage == "tiles" and done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(student, phantom, free_bytes=110_000_000, progress=progress)
    assert len(pointwise) == 2


def test_another_reference_or_the_maps_cost_no_second_pass(student, phantom, pointwise) -> None:
    memory = Memory()
    first = run(student, phantom, memory=memory)
    again = run(student, phantom, memory=memory, reference="flair", with_probabilities=True)
    assert len(pointwise) == 1
    assert again.segmentation.volumes_ml == first.segmentation.volumes_ml
    run(student, only(phantom, ["t2"]), memory=memory)
    assert len(pointwise) == 2
    swapped = {"t1": phantom.sequences["t2"], "t2": phantom.sequences["t1"]}
    run(student, Case(swapped, phantom.regions), memory=memory)
    run(student, Case({name: swapped[name] for name in ("t2", "t1")}, phantom.regions), memory=memory)
    assert len(pointwise) == 3


def test_what_was_got_ready_is_not_sought_again_and_changes_nothing(student, phantom, pointwise, monkeypatch) -> None:
    memory, sought = Memory(), []
    find_brain = segmenting.find_brain
    monkeypatch.setattr(segmenting, "find_brain", lambda *given: sought.append(given) or find_brain(*given))
    get_ready(phantom, student, memory=memory)
    assert (len(sought), len(pointwise)) == (1, 0)  # the brain is known, the network was not asked
    ready = run(student, phantom, memory=memory)
    assert len(sought) == 1
    assert ready.segmentation.volumes_ml == run(student, phantom).segmentation.volumes_ml
    with pytest.raises(ValueError, match="No sequence was given"):
        get_ready(Case({}), student, memory=memory)


def test_masks_are_the_maps_at_one_half_inside_the_brain_only(student, phantom) -> None:
    said = predict(phantom, student, with_probabilities=True).segmentation
    tumor = said.probability_maps["WT"].array_kji
    assert np.array_equal(said.masks["WT"].array_kji, tumor >= 0.5)
    assert tumor.min() >= 0
    assert tumor.max() <= 1
    box = said.box_in(phantom.sequences["t1"].grid)
    brain = phantom.regions["brain"].array_kji[box.slices]
    ring = ~np.array(brain)
    assert not said.masks["WT"].array_kji[ring].sum() > 0.05 * brain.sum()  # but for one voxel of the coarse grid


def test_outputs_that_contradict_each_other_are_cut_and_named(student, phantom, monkeypatch) -> None:
    def forward(student, images, present):
        inside = np.ones(images.shape[1:], np.float32)
        left = inside.copy()
        left[..., : images.shape[-1] // 2] = 0
        return np.stack([left, inside, 1 - left])

    monkeypatch.setattr(segmenting, "forward", forward)
    finding = predict(phantom, student)
    volumes = finding.segmentation.volumes_ml
    assert volumes["TC"] == volumes["WT"]
    assert volumes["ET"] < 0.2 * volumes["WT"]
    assert any("of TC lay outside WT and was cut off" in sentence for sentence in finding.warnings)


def test_the_price_of_what_is_missing_stands_in_the_finding(student, phantom) -> None:
    expected = predict(only(phantom, ["flair"]), student).segmentation.expectation
    assert expected["dice"] == {"WT": 0.8, "TC": 0.5, "ET": 0.3}
    assert expected["helps_most"] == "t1ce"
    assert "T1ce" in expected["sentence"]


def test_a_student_of_one_region_has_one_mask(phantom, tmp_path) -> None:
    path = save_segmenting_student(tmp_path / "one.safetensors", classes=("WT",))
    finding = predict(phantom, path, device="cpu")
    assert list(finding.segmentation.masks) == ["WT"]


def test_what_cannot_be_segmented_is_one_sentence(student, phantom) -> None:
    flair = phantom.sequences["flair"]
    with pytest.raises(ValueError, match="No sequence was given"):
        predict(Case({}), student)
    with pytest.raises(ValueError, match="takes t1, t1ce, t2, flair, but the case has: pet; name its images so"):
        predict(Case({"pet": flair}), student)
    with pytest.raises(ValueError, match='"flair" and "t2" are the same image'):
        predict(Case({"flair": flair, "t2": flair}), student)
    moved = flair.grid.ijk_to_ras.copy()
    moved[0, 3] += 500
    away = Volume.from_array(phantom.sequences["t1"].array_kji, moved)
    with pytest.raises(ValueError, match=r"0% of the brain lies inside|Only \d+% of the brain lies inside"):
        predict(Case({"flair": flair, "t1": away}), student)


def test_a_sequence_the_student_does_not_know_is_named(student, phantom) -> None:
    case = Case({**phantom.sequences, "dwi": phantom.sequences["t1"]})
    assert any('"dwi" was given but' in sentence for sentence in predict(case, student).warnings)


PEAK = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from segmenting_samples import save_segmenting_student
from REACTDistillLib.freememory import give_memory_back
from REACTDistillLib.recipes.ccsd.peakmemory import network_bytes
from REACTDistillLib.recipes.ccsd.segmenting import forward
from REACTDistillLib.student import load_student
path = save_segmenting_student(Path(sys.argv[2]), network={"channels": [16, 32, 64, 128]})
student = load_student(path, device="cpu")
def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))
present = torch.tensor([True, True, False, True])
images = torch.randn(4, 64, 96, 96)
forward(student, images, present)  # so that the pages of the program itself do not count
give_memory_back()
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = status("VmRSS")
forward(student, images, present)
stated = network_bytes(student.card.network["config"], images.shape[1:], sequences=3)
print(status("VmHWM") - before, int(stated))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a part of a process")
def test_the_memory_that_is_asked_for_is_the_memory_that_is_taken(tmp_path) -> None:
    here = os.path.dirname(__file__)
    # What is freed goes back at once; else what the allocator keeps differs by 100 MB from run to run.
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **returned}
    arguments = [sys.executable, "-c", PEAK, here, str(tmp_path / "peak.safetensors")]
    told = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    taken, stated = map(int, told.stdout.split())
    assert 0.65 * stated < taken < stated


@pytest.mark.parametrize("names", [NAMES, ("t1ce",), ("t1", "flair")], ids="+".join)
def test_a_real_stripped_exam_is_segmented(student, shared_data, names) -> None:
    folder = shared_data("brain_tcga_fg6692/atlas_space/skullstripped")
    files = {"t1": "t1_bet", "t1ce": "t1c_bet", "t2": "t2_bet", "flair": "fla_bet"}
    case = Case({name: read_volume(folder / f"{files[name]}.nii.gz") for name in names})
    finding = predict(case, student)
    assert finding.grid.shape_kji == (155, 240, 240)
    assert finding.segmentation.volumes_ml["WT"] >= finding.segmentation.volumes_ml["ET"]
    assert not any("estimated" in sentence for sentence in finding.warnings)


def test_a_real_exam_on_two_oblique_grids_with_skulls_is_right_in_space(shared_data, pointwise, tmp_path) -> None:
    fine = load_student(
        save_segmenting_student(tmp_path / "fine.safetensors", grid_spacing_kji_mm=(3.0, 3.0, 3.0)), device="cpu"
    )
    folder = shared_data("brain_tcga_fg6692/native_space")
    case = Case({"t1": read_volume(folder / "t1.nii.gz"), "flair": read_volume(folder / "fla.nii.gz")})
    places = []
    for reference in ("t1", "flair"):
        finding = predict(case, fine, reference=reference)
        mask = finding.segmentation.masks["WT"]
        assert finding.grid.same_as(case.sequences[reference].grid)
        places.append(mask.grid.to_ras(np.argwhere(mask.array_kji)[:, ::-1]).mean(axis=0))
        assert any("only estimated" in sentence for sentence in finding.warnings)
    assert np.abs(places[0] - places[1]).max() < 4.0  # the flair shows less of the base


def test_real_exams_without_t1_and_t2_are_segmented(student, shared_data) -> None:
    folder = shared_data("brain_brats2013/brats_2013_pat0006_1")
    sequences = {"flair": "Flair_subtrMeanDivStd.nii.gz", "t1ce": "T1c_subtrMeanDivStd.nii.gz"}
    case = Case({name: read_volume(folder / file) for name, file in sequences.items()})
    finding = predict(case, student)
    assert finding.warnings == () or all("lay outside" in sentence for sentence in finding.warnings)
    assert finding.segmentation.expectation["given"] == ["t1ce", "flair"]
