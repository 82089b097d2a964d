"""Whether two images show the same brain or head in the same place, told from their outlines."""

from __future__ import annotations

import numpy as np
import pytest
from REACTDistillLib.recipes.ccsd.brainmask import find_brain
from REACTDistillLib.recipes.ccsd.checks import case_warnings, check_sequences
from REACTDistillLib.recipes.ccsd.outlines import agreement, outline_of
from REACTDistillLib.volume import Grid, Volume

NAMES = ("t1", "t1ce", "t2", "flair")


def block(
    lower_ijk, upper_ijk, *, inside: float = 100.0, air: float = 0.0, first_ras=(0.0, 0.0, 0.0), size=60
) -> Volume:
    """A box of voxels of 2.5 mm, all a little different, around it one value: a stripped brain."""
    array = np.full((size, size, size), air, np.float32)
    (i, j, k), (to_i, to_j, to_k) = lower_ijk, upper_ijk
    part = array[k:to_k, j:to_j, i:to_i]
    part[:] = inside + np.arange(part.size, dtype=np.float32).reshape(part.shape) / part.size
    matrix = np.diag([2.5, 2.5, 2.5, 1.0])
    matrix[:3, 3] = first_ras
    return Volume(array, Grid(array.shape, matrix))


def head(radius_mm: float, *, center_ras=(0.0, 0.0, 0.0), seed: int = 0) -> Volume:
    """A ball of tissue in air, with noise, on 5 mm voxels over 300 mm: no background of one value."""
    grid = Grid.centered((0, 0, 0), shape_kji=(60, 60, 60), spacing_kji_mm=(5, 5, 5))
    k, j, i = np.indices(grid.shape_kji, sparse=True)
    ras = grid.to_ras(np.stack(np.broadcast_arrays(i, j, k), axis=-1))
    away_mm = np.linalg.norm(ras - np.array(center_ras), axis=-1)
    noise = np.random.default_rng(seed).normal(0, 5, grid.shape_kji)
    return Volume(np.abs(np.where(away_mm < radius_mm, 400.0, 0.0) + noise), grid)


def test_the_agreement_is_the_smaller_share_of_one_outline_inside_the_other() -> None:
    whole = outline_of(block((10, 10, 10), (50, 50, 50)))  # 40 voxels along each axis
    moved = outline_of(block((18, 10, 10), (58, 50, 50)))  # 8 of 40 voxels to the side: 32 shared
    part = outline_of(block((10, 10, 10), (50, 50, 30)))  # all of it inside, half of the other
    assert agreement(whole, moved) == agreement(moved, whole) == pytest.approx(0.8)
    assert agreement(whole, part) == agreement(part, whole) == pytest.approx(0.5)
    assert agreement(whole, whole) == 1.0


def test_only_what_both_images_reach_is_compared() -> None:
    whole = block((10, 10, 10), (50, 50, 50))
    lower_half = Volume(whole.array_kji[:30], Grid((30, 60, 60), whole.grid.ijk_to_ras))
    assert agreement(outline_of(whole), outline_of(lower_half)) == 1.0
    away = block((10, 10, 10), (50, 50, 50), first_ras=(900.0, 0.0, 0.0))
    assert agreement(outline_of(whole), outline_of(away)) == 1.0


def test_a_background_below_zero_and_another_place_of_the_voxels_change_nothing() -> None:
    one = outline_of(block((10, 10, 10), (50, 50, 50)))
    scored = outline_of(block((0, 0, 0), (40, 40, 40), inside=1.0, air=-3.5, first_ras=(25.0, 25.0, 25.0)))
    assert agreement(one, scored) == 1.0
    assert np.allclose(one.center_ras, 2.5 * 29.5)
    assert np.allclose(scored.center_ras, 2.5 * 29.5)


def test_a_stripped_brain_lies_inside_its_head_but_not_the_head_in_it() -> None:
    brain = outline_of(block((18, 18, 18), (42, 42, 42), first_ras=(-75.0, -75.0, -75.0)))
    inside = outline_of(head(90.0))
    assert brain.is_brain
    assert not inside.is_brain
    assert agreement(brain, inside) == agreement(inside, brain) == 1.0


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (head(90.0, seed=1), None),
        (head(90.0, center_ras=(0.0, 0.0, 20.0), seed=1), "agree by only"),
        (head(80.0, seed=1), "agree by only"),  # (80 / 90)^3 = 70 %
        (head(90.0, center_ras=(0.0, 0.0, 40.0), seed=1), "lie 40 mm apart"),
    ],
    ids=["same", "moved", "smaller", "far"],
)
def test_images_that_do_not_fit_are_named_in_one_sentence(other, words) -> None:
    sequences = {"t1": head(90.0), "flair": other}
    brain = find_brain(sequences)
    warnings = case_warnings(sequences, NAMES, brain, dict.fromkeys(sequences, 1.0))
    told = [sentence for sentence in warnings if '"flair" and "t1"' in sentence]
    assert len(told) == (words is not None)
    assert all(words in sentence for sentence in told)


@pytest.mark.parametrize("values", [2, 4, 7])
def test_a_label_map_is_no_sequence(values) -> None:
    image = head(90.0)
    labels = Volume(np.floor(image.array_kji / (image.array_kji.max() + 1) * values), image.grid)
    with pytest.raises(ValueError, match='"flair" holds fewer than 8 different values, as masks and label maps do'):
        check_sequences({"t1": image, "flair": labels})


def test_an_image_with_few_values_on_most_voxels_is_an_image() -> None:
    """Of 150 x 150 x 150 voxels every third along each axis is looked at first, and these hold two values."""
    image = Volume(
        np.zeros((150, 150, 150), np.float32), Grid.centered((0, 0, 0), shape_kji=(150,) * 3, spacing_kji_mm=(2.0,) * 3)
    )
    image.array_kji[30:120, 30:120, 30:120] = 100.0
    with pytest.raises(ValueError, match="fewer than 8 different values"):
        check_sequences({"t1": image})
    image.array_kji[31, 31, 31:80:3] = np.arange(17)
    check_sequences({"t1": image})
