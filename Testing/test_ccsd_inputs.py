"""What the network sees of a brain, and what is refused before it sees anything."""

from __future__ import annotations

import numpy as np
import pytest
from grids import grid_around
from REACTDistillLib.brain import brain_case
from REACTDistillLib.files import read_volume
from REACTDistillLib.recipes.ccsd.brainmask import find_brain, reference_name
from REACTDistillLib.recipes.ccsd.checks import case_warnings, check_brain, check_overlap, covered_shares
from REACTDistillLib.recipes.ccsd.inputs import (
    brain_grid,
    brain_grid_of_tiles,
    brain_images,
    brain_mask,
    check_sequences,
)
from REACTDistillLib.volume import Grid, Volume

RULE = {"kind": "brain_zscore", "clip_percentile": 100.0}
NAMES = ("t1", "t1ce", "t2", "flair")


def head(name: str = "t1", *, radius_mm: float = 90.0, center_ras=(0.0, 0.0, 0.0), seed: int = 0) -> Volume:
    """A head with a bright skin, a dark skull and a gray brain, on 4 mm voxels over 240 mm."""
    grid = Grid.centered(center_ras, shape_kji=(60, 60, 60), spacing_kji_mm=(4, 4, 4))
    k, j, i = np.indices(grid.shape_kji, sparse=True)
    away = 4 * np.sqrt((k - 29.5) ** 2 + (j - 29.5) ** 2 + (i - 29.5) ** 2)
    tissue = np.select([away < radius_mm - 16, away < radius_mm - 8, away < radius_mm], [400.0, 60.0, 800.0])
    noise = np.random.default_rng([seed, NAMES.index(name)]).normal(0, 10, grid.shape_kji)
    return Volume(np.abs(tissue + noise), grid)


def line(*values: float, spacing_mm: float = 1.0) -> Volume:
    return Volume.from_array(np.array(values, np.float32).reshape(1, 1, -1), np.diag([spacing_mm, 1, 1, 1]))


@pytest.fixture(scope="module")
def phantom():
    return brain_case(3)


def test_the_grid_is_the_box_of_the_brain_rounded_up_around_its_middle() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[5:8, 2:12, 3:4] = True
    brain = Volume.from_array(mask, np.diag([2.0, 2, 2, 1]))  # 3 x 10 x 1 voxels of 2 mm
    grid = brain_grid(brain, (2, 2, 2), (4, 4, 4))
    assert grid.shape_kji == (4, 12, 4)
    assert grid.center_ras.tolist() == [6, 13, 12]
    assert brain_grid(brain, (2, 2, 2), (1, 1, 1)).shape_kji == (3, 10, 1)
    assert brain_grid(brain, (2, 2, 2), (8, 8, 8), shape_kji=(8, 9, 10)).shape_kji == (8, 16, 16)
    assert brain_grid_of_tiles(brain, (2, 2, 2), (4, 4, 4), (8, 8, 8)).shape_kji == (8, 12, 8)


def test_the_grid_has_patient_axes_whatever_those_of_the_mask() -> None:
    grid = grid_around((5, -3, 40), (0.4, 0.2, -0.3), (2, 0, 1), (-1, 1, -1), (3, 4, 5), (30, 40, 50))
    brain = Volume(np.ones(grid.shape_kji, bool), grid)
    found = brain_grid(brain, (4, 4, 4), (1, 1, 1))
    assert np.array_equal(found.ijk_to_ras[:3, :3], 4 * np.eye(3))
    assert np.allclose(found.center_ras, (5, -3, 40), atol=1e-6)
    inside = found.to_ijk(grid.to_ras(np.array([[0, 0, 0], [49, 39, 29]])))
    assert (inside > -0.5).all()
    assert (inside < np.array(found.shape_kji[::-1]) - 0.5).all()


def test_a_sequence_becomes_the_z_score_inside_the_brain_and_zero_elsewhere() -> None:
    brain = line(0, 1, 1, 1, 1, 0)
    mask = Volume(brain.array_kji > 0, brain.grid)
    images, present, inside = brain_images(
        {"t2": line(9, 1, 3, 5, 7, -8)}, NAMES, mask, mask.grid, dict.fromkeys(NAMES, RULE)
    )
    assert present.tolist() == [False, False, True, False]
    assert inside.ravel().tolist() == [False, True, True, True, True, False]
    # 1, 3, 5, 7 have the mean 4 and the sd sqrt(5)
    assert images[2].ravel() == pytest.approx(np.array([0, -3, -1, 1, 3, 0]) / 5**0.5)
    assert not images[[0, 1, 3]].any()


def test_both_tails_are_cut_at_the_percentile() -> None:
    values = [*range(101), 0.0]
    volume = line(*values)
    mask = Volume(np.arange(102).reshape(1, 1, -1) < 101, volume.grid)
    rules = {"t1": {"kind": "brain_zscore", "clip_percentile": 90.0}}
    image = brain_images({"t1": volume}, ["t1"], mask, mask.grid, rules)[0][0].ravel()
    cut = np.clip(np.arange(101.0), 10, 90)
    assert image[:101] == pytest.approx((cut - 50) / cut.std(), abs=1e-6)
    assert image[101] == 0


def test_the_part_of_the_brain_that_an_image_does_not_show_stays_zero() -> None:
    mask = Volume(np.ones((1, 1, 6), bool), Grid((1, 1, 6), np.eye(4)))
    image = brain_images({"t1": line(1, 3)}, ["t1"], mask, mask.grid, {"t1": RULE})[0][0]
    assert image.ravel().tolist() == [-1, 1, 0, 0, 0, 0]


def test_gain_offset_and_the_order_of_names_given_change_nothing(phantom) -> None:
    brain = phantom.regions["brain"]
    grid = brain_grid(brain, (4, 4, 4), (8, 8, 8))
    rules = {name: {"kind": "brain_zscore", "clip_percentile": 99.9} for name in NAMES}
    plain = brain_images(phantom.sequences, NAMES, brain, grid, rules)
    scaled = {name: Volume(7 * one.array_kji + 90, one.grid) for name, one in phantom.sequences.items()}
    assert np.allclose(plain[0], brain_images(scaled, NAMES, brain, grid, rules)[0], atol=1e-4)
    turned = dict(reversed(phantom.sequences.items()))
    assert all(
        np.array_equal(a, b) for a, b in zip(plain, brain_images(turned, NAMES, brain, grid, rules), strict=True)
    )
    assert np.array_equal(brain_mask(turned).array_kji, brain_mask(phantom.sequences).array_kji)


def test_a_stripped_image_tells_the_brain_itself(phantom) -> None:
    found = find_brain({"flair": phantom.sequences["flair"]})
    truth = phantom.regions["brain"].array_kji
    assert not found.is_estimated
    assert 2 * (found.mask.array_kji & truth).sum() / (found.mask.array_kji.sum() + truth.sum()) > 0.98
    given = find_brain(phantom.sequences, phantom.regions["brain"])
    assert given.mask is phantom.regions["brain"]


def test_of_a_head_with_a_skull_the_brain_is_estimated_and_this_is_said() -> None:
    found = find_brain({"t1": head()})
    assert found.is_estimated
    volume_ml = found.mask.array_kji.sum() * found.mask.grid.voxel_ml
    truth_ml = 4 / 3 * np.pi * 7.4**3  # a ball of 74 mm
    assert 0.8 * truth_ml < volume_ml < 1.2 * truth_ml
    check_brain(found)
    warnings = case_warnings({"t1": head()}, NAMES, found, {"t1": 1.0})
    assert any("only estimated" in sentence for sentence in warnings)
    assert any('Only one sequence was given ("t1")' in sentence for sentence in warnings)


def test_stray_voxels_of_a_given_brain_are_told(phantom) -> None:
    brain = phantom.regions["brain"]
    shares = {"t1": 1.0}
    assert case_warnings({"t1": head()}, ["t1"], find_brain({"t1": head()}, brain), shares) == []
    dotted = brain.array_kji.copy()
    assert not dotted[:2].any()
    dotted[0, 0, 0] = True
    found = find_brain({"t1": head()}, Volume(dotted, brain.grid))
    assert case_warnings({"t1": head()}, ["t1"], found, shares) == [
        "The mask of the brain has stray voxels far from it, which do not count; check the mask."
    ]


def test_the_finest_image_is_the_reference_and_equal_ones_go_in_order() -> None:
    fine, coarse = line(1, 2), line(1, 2, spacing_mm=2)
    assert reference_name({"flair": fine, "t1": coarse}) == "flair"
    assert reference_name({"flair": fine, "t2": fine, "t1ce": fine}) == "t1ce"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a * np.nan, "voxels without a number"),
        (lambda a: a * 0, 'Every voxel of "t2" is 0'),
        (lambda a: a * 0 + 7, 'Every voxel of "t2" is 7'),
        (lambda a: np.where(a < 100, -1000, a), "as air in a CT"),
    ],
)
def test_what_is_no_mr_image_is_one_sentence(change, words) -> None:
    image = head("t2")
    with pytest.raises(ValueError, match=words):
        check_sequences({"t1": head("t1"), "t2": Volume(change(image.array_kji), image.grid)})


def test_no_sequence_one_image_under_two_names_and_a_small_view_are_refused() -> None:
    check_sequences({"t1": head("t1"), "t2": head("t2")})
    with pytest.raises(ValueError, match="No sequence was given"):
        check_sequences({})
    with pytest.raises(ValueError, match='"t1" and "t2" are the same image'):
        check_sequences({"t2": head("t1"), "t1": head("t1")})
    small = Volume(head().array_kji, Grid.centered((0, 0, 0), shape_kji=(60, 60, 60), spacing_kji_mm=(1, 1, 1)))
    with pytest.raises(ValueError, match="60 x 60 x 60 mm, which is less than a brain"):
        check_sequences({"t1": small})


def test_a_body_is_no_head_and_a_fruit_no_brain() -> None:
    # as wide as a head can be with 4 mm voxels of which the object fills 45 of 60, so 410 of 540 mm with 9 mm
    body = Volume(head().array_kji, Grid.centered((0, 0, 0), shape_kji=(60, 60, 60), spacing_kji_mm=(9, 9, 9)))
    with pytest.raises(ValueError, match="mm wide, more than a head"):
        check_sequences({"t1": body})
    with pytest.raises(ValueError, match="looks like the brain measures"):
        check_brain(find_brain({"t1": head(radius_mm=55)}))


def test_a_label_map_in_the_place_of_an_image_is_no_brain_but_a_given_mask_is_taken() -> None:
    grid = head().grid
    lesion = np.zeros(grid.shape_kji, bool)
    lesion[20:30, 20:30, 20:30] = True  # 64 ml
    with pytest.raises(ValueError, match="measures 64 ml; check that this is an MR image of the head"):
        check_brain(find_brain({"t1": Volume(lesion * 2.0, grid)}))
    check_brain(find_brain({"t1": head()}, Volume(lesion, grid)))
    with pytest.raises(ValueError, match='The region "brain" is empty'):
        check_brain(find_brain({"t1": head()}, Volume(np.zeros_like(lesion), grid)))


def test_images_that_lie_apart_are_refused_or_named() -> None:
    sequences = {
        "t1": head("t1"),
        "t2": head("t2", center_ras=(0, 150, 0)),
        "flair": head("flair", center_ras=(40, 0, 0)),
    }
    brain = find_brain(sequences)
    shares = covered_shares(sequences, brain.mask)
    assert shares["t1"] == 1
    assert shares["t2"] < 0.5
    with pytest.raises(ValueError, match='0% of the brain lies inside "t2"'):
        check_overlap({"t1": 1.0, "t2": 0.0})
    warnings = case_warnings(sequences, NAMES, brain, shares)
    assert any('of the brain lies inside "t2"' in sentence for sentence in warnings)
    far = next(sentence for sentence in warnings if "apart" in sentence)
    assert far.startswith('The heads in "flair" and "t2" lie 155 mm apart')  # sqrt(40^2 + 150^2)


def test_a_rule_of_another_kind_and_a_flat_sequence_are_refused() -> None:
    mask = Volume(np.ones((1, 1, 3), bool), Grid((1, 1, 3), np.eye(4)))
    with pytest.raises(ValueError, match='"window" is not known'):
        brain_images({"t1": line(1, 2, 3)}, ["t1"], mask, mask.grid, {"t1": {"kind": "window"}})
    with pytest.raises(ValueError, match='"t1" inside the brain is 5'):
        brain_images({"t1": line(5, 5, 5)}, ["t1"], mask, mask.grid, {"t1": RULE})
    away = Grid.centered((500, 0, 0), shape_kji=(1, 1, 3), spacing_kji_mm=(1, 1, 1))
    with pytest.raises(ValueError, match='"t1" does not reach the brain'):
        brain_images({"t1": line(1, 2, 3)}, ["t1"], Volume(mask.array_kji, away), away, {"t1": RULE})


@pytest.mark.parametrize("patient", ["brats_2013_pat0005_1", "brats_2013_pat0006_1"])
def test_the_brain_of_real_stripped_images_is_their_brain_mask(shared_data, patient) -> None:
    folder = shared_data(f"brain_brats2013/{patient}")
    sequences = {"flair": read_volume(folder / "Flair_subtrMeanDivStd.nii.gz")}
    check_sequences(sequences)
    found = find_brain(sequences)
    assert not found.is_estimated
    truth = read_volume(folder / "brainmask.nii.gz").array_kji > 0
    assert 2 * (found.mask.array_kji & truth).sum() / (found.mask.array_kji.sum() + truth.sum()) > 0.999


def test_of_a_real_exam_with_skulls_a_brain_of_plausible_size_is_found(shared_data) -> None:
    folder = shared_data("brain_tcga_fg6692/native_space")
    sequences = {"t1": read_volume(folder / "t1.nii.gz"), "flair": read_volume(folder / "fla.nii.gz")}
    check_sequences(sequences)
    found = find_brain(sequences)
    check_brain(found)
    assert found.is_estimated
    assert 1300 < found.mask.array_kji.sum() * found.mask.grid.voxel_ml < 2300
    shares = covered_shares(sequences, found.mask)
    check_overlap(shares)
    assert min(shares.values()) > 0.9


def test_real_images_of_the_abdomen_are_refused(shared_data) -> None:
    folder = shared_data("abdomen_lowres_totalseg")
    with pytest.raises(ValueError, match="as air in a CT"):
        check_sequences({"t1": read_volume(folder / "example_ct_sm.nii.gz")})
    with pytest.raises(ValueError, match="mm wide, more than a head"):
        check_sequences({"t1": read_volume(folder / "example_mr_sm.nii.gz")})
