"""Dice and HD95 of masks whose overlap and distance are known."""

import math

import numpy as np
import pytest
from REACTDistillLib.segmentationscores import BRATS_MISSED_MM, dice, empty_rule, hd95_mm, missed_mm

SHAPE = (20, 24, 30)
EMPTY = np.zeros(SHAPE, bool)


def box(k, j, i, size=10):
    mask = EMPTY.copy()
    mask[k : k + size, j : j + size, i : i + size] = True
    return mask


def test_dice_of_two_boxes_that_share_a_half():
    # 1000 voxels each, 10 x 10 x 5 of them in both: 2 * 500 / 2000.
    assert dice(box(3, 3, 3), box(3, 3, 8)) == pytest.approx(0.5)


def test_dice_of_boxes_of_unequal_size():
    # 8 voxels inside 1000: 2 * 8 / 1008.
    assert dice(box(5, 5, 5, size=2), box(3, 3, 3)) == pytest.approx(16 / 1008)


def test_dice_of_equal_apart_and_empty_masks():
    assert dice(box(3, 3, 3), box(3, 3, 3)) == 1.0
    assert dice(box(3, 3, 3), box(3, 3, 15)) == 0.0
    assert dice(EMPTY, EMPTY) == 1.0
    assert dice(box(3, 3, 3), EMPTY) == dice(EMPTY, box(3, 3, 3)) == 0.0


@pytest.mark.parametrize(
    ("shift_kji", "expected_mm"), [((0, 0, 4), 4 * 0.5), ((0, 3, 0), 3 * 2.0), ((2, 0, 0), 2 * 4.0)]
)
def test_hd95_of_a_shifted_cube_is_the_shift_in_mm(shift_kji, expected_mm):
    moved = box(*(3 + shift for shift in shift_kji))
    assert hd95_mm(box(3, 3, 3), moved, (4.0, 2.0, 0.5)) == pytest.approx(expected_mm)
    assert hd95_mm(moved, box(3, 3, 3), (4.0, 2.0, 0.5)) == pytest.approx(expected_mm)


def test_hd95_leaves_out_the_twentieth_part_of_the_surface_that_is_farthest():
    # A line of 100 voxels against itself and one voxel more, 100 voxels away: 1 of 101 distances, which is below 5 %.
    line, more = np.zeros((1, 1, 300), bool), np.zeros((1, 1, 300), bool)
    line[..., :100] = more[..., :100] = True
    more[..., 199] = True
    assert hd95_mm(line, more, (1.0, 1.0, 1.0)) == 0.0
    # Of 10 voxels and one more it is 1 of 11; between ranks 9 and 10 of 0 to 10, at 9.5: half of 50.
    line[..., 10:], more[..., 10:] = False, False
    more[..., 59] = True
    assert hd95_mm(line, more, (1.0, 1.0, 1.0)) == pytest.approx(25.0)


def test_hd95_at_the_border_of_the_image_is_that_within():
    first, other = box(0, 0, 0), box(0, 0, 3)
    assert hd95_mm(first, other, (1.0, 1.0, 1.0)) == pytest.approx(3.0)


def test_a_missed_region_costs_what_the_rule_says():
    diagonal = math.sqrt((20 * 4) ** 2 + (24 * 2) ** 2 + (30 * 0.5) ** 2)
    assert hd95_mm(EMPTY, box(3, 3, 3), (4.0, 2.0, 0.5)) == pytest.approx(diagonal)
    assert hd95_mm(box(3, 3, 3), EMPTY, (4.0, 2.0, 0.5), missed="brats") == 373.13
    assert hd95_mm(EMPTY, EMPTY, (4.0, 2.0, 0.5)) == 0.0
    assert missed_mm((155, 240, 240), (1.0, 1.0, 1.0), "image_diagonal") == pytest.approx(BRATS_MISSED_MM, abs=0.005)
    assert "373.13" in empty_rule("brats")
    assert "diagonal" in empty_rule("image_diagonal")


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="two bool masks on one grid"):
        dice(EMPTY, EMPTY[:5])
    with pytest.raises(ValueError, match="two bool masks on one grid"):
        hd95_mm(EMPTY.astype(float), EMPTY, (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="three numbers above 0"):
        hd95_mm(EMPTY, EMPTY, (1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match='no rule "zero"'):
        hd95_mm(EMPTY, box(3, 3, 3), (1.0, 1.0, 1.0), missed="zero")
