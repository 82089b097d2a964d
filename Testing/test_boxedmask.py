"""Masks that are kept in a box of the image."""

import numpy as np
import pytest
from REACTDistillLib.boxedmask import BoxedMask, overlap, union
from REACTDistillLib.volume import Box, Grid

IMAGE = Grid((8, 9, 10), np.diag([2.0, 3.0, 4.0, 1.0]))


def boxed(lower_kji, upper_kji, *holes_kji):
    box = Box(lower_kji, upper_kji)
    array = np.ones(box.shape_kji, dtype=bool)
    for hole in holes_kji:
        array[hole] = False
    return BoxedMask(box, array)


def on_image(mask):
    whole = np.zeros(IMAGE.shape_kji, dtype=bool)
    whole[mask.box.slices] = mask.array_kji
    return whole


def test_count_profiles_and_center_by_hand():
    mask = boxed((1, 2, 3), (3, 3, 6), (0, 0, 0))  # slice 1: i 4, 5; slice 2: i 3, 4, 5; all in row 2
    assert mask.count == 5
    assert [profile.tolist() for profile in mask.profiles_kji] == [[2, 3], [5], [1, 2, 2]]
    assert mask.center_ijk.tolist() == pytest.approx([(3 + 4 * 2 + 5 * 2) / 5, 2.0, (1 * 2 + 2 * 3) / 5])


def test_profiles_of_more_slices_than_a_byte_can_count():
    mask = boxed((0, 0, 0), (600, 1, 2))
    assert [profile.sum() for profile in mask.profiles_kji] == [1200] * 3
    assert mask.profiles_kji[2].tolist() == [600, 600]


def test_the_same_voxels_in_other_boxes():
    mask = boxed((1, 2, 3), (4, 5, 6), (1, 1, 1))
    for box in (
        Box((2, 3, 4), (3, 5, 6)),
        Box((0, 0, 0), (8, 9, 10)),
        Box((3, 4, 5), (6, 7, 8)),
        Box((6, 6, 6), (7, 7, 7)),
    ):
        assert np.array_equal(mask.within(box), on_image(mask)[box.slices])
    assert np.array_equal(
        on_image(mask.inside(boxed((2, 0, 0), (8, 4, 9)))), on_image(mask) & on_image(boxed((2, 0, 0), (8, 4, 9)))
    )


def test_union_and_difference():
    one, other = boxed((1, 2, 3), (4, 5, 6), (1, 1, 1)), boxed((3, 3, 3), (7, 4, 8))
    assert np.array_equal(on_image(union([one, other])), on_image(one) | on_image(other))
    assert np.array_equal(on_image(one.without([other])), on_image(one) & ~on_image(other))
    assert one.without([]).count == one.count == 26
    assert overlap(one.box, other.box) == Box((3, 3, 3), (4, 4, 6))
    assert overlap(one.box, Box((4, 0, 0), (5, 9, 9))) is None


def test_trimming_keeps_the_voxels_and_their_place():
    mask = boxed((1, 1, 1), (6, 7, 8), np.s_[:2], np.s_[:, 4:], np.s_[:, :, 0])
    assert mask.trimmed().box == Box((3, 1, 2), (6, 5, 8))
    assert np.array_equal(on_image(mask.trimmed()), on_image(mask))
    with pytest.raises(ValueError, match="empty mask"):
        boxed((0, 0, 0), (2, 2, 2), np.s_[:]).trimmed()


def test_a_mask_lies_at_its_place_in_the_image():
    volume = boxed((1, 2, 3), (2, 3, 4)).on(IMAGE)
    assert volume.grid.to_ras((0, 0, 0)).tolist() == [6.0, 6.0, 4.0]
