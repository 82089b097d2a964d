"""Tiles cover everything, count most in their middle, and become one volume again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.tiles import blended_tiles, tile_boxes, tile_weights
from REACTDistillLib.volume import Box

sizes = st.tuples(*[st.integers(1, 12)] * 3)


def test_ten_voxels_in_tiles_of_four_that_share_a_half_begin_at_0_2_4_and_6() -> None:
    boxes = tile_boxes((10, 4, 3), (4, 4, 5), overlap=0.5)
    assert [box.lower_kji for box in boxes] == [(0, 0, 0), (2, 0, 0), (4, 0, 0), (6, 0, 0)]
    assert {box.shape_kji for box in boxes} == {(4, 4, 3)}  # the tile was larger than the array along I


@given(sizes, sizes, st.sampled_from([0.0, 0.25, 0.5, 0.75]))
@settings(max_examples=60, deadline=None)
def test_every_voxel_is_in_a_tile_and_every_tile_in_the_array(shape_kji, tile_kji, overlap) -> None:
    covered = np.zeros(shape_kji, int)
    for box in tile_boxes(shape_kji, tile_kji, overlap=overlap):
        assert min(box.lower_kji) >= 0
        assert box.shape_kji == tuple(map(min, shape_kji, tile_kji))
        covered[box.slices] += 1
    assert covered.min() >= 1


def test_linear_weights_of_four_voxels_are_a_third_one_one_a_third() -> None:
    # the centers lie 1.5, 0.5, 0.5, 1.5 of 4 voxels from the middle: 1 - 2 * 3/8 = 1/4 and 1 - 2 * 1/8 = 3/4
    assert tile_weights((4, 1, 1), "linear").ravel() == pytest.approx([1 / 3, 1, 1, 1 / 3])


def test_gaussian_weights_fall_by_the_square_of_the_way_from_the_middle() -> None:
    # two of five voxels from the middle, sd a quarter of five: exp(-0.5 * (2 / 1.25)^2) = exp(-1.28)
    weights = tile_weights((1, 5, 1), "gaussian").ravel()
    assert weights == pytest.approx([0.278037, 0.726149, 1, 0.726149, 0.278037], abs=1e-6)
    assert tile_weights((64, 64, 64)).min() >= 1e-3


@given(sizes, sizes, st.sampled_from(["gaussian", "linear"]))
@settings(max_examples=40, deadline=None)
def test_tiles_cut_out_of_a_volume_blend_back_into_it(shape_kji, tile_kji, falloff) -> None:
    volume = np.random.default_rng(0).random((2, *shape_kji), dtype=np.float32)
    boxes = tile_boxes(shape_kji, tile_kji)
    again = blended_tiles(boxes, lambda box: volume[(slice(None), *box.slices)], shape_kji, 2, falloff=falloff)
    assert np.allclose(again, volume, atol=1e-6)


def test_where_two_tiles_overlap_the_nearer_one_counts_more() -> None:
    # tiles 0..3 and 2..5 say 0 and 1; linear weights 1/3, 1, 1, 1/3: voxel 2 has (1, 1/3), voxel 3 has (1/3, 1)
    boxes = tile_boxes((1, 1, 6), (1, 1, 4))
    assert [box.lower_kji[2] for box in boxes] == [0, 2]
    said = blended_tiles(
        boxes,
        lambda box: np.full((1, 1, 1, 4), float(box.lower_kji[2] > 0), np.float32),
        (1, 1, 6),
        1,
        falloff="linear",
    )
    assert said.ravel() == pytest.approx([0, 0, 0.25, 0.75, 1, 1])


def test_the_order_of_the_tiles_changes_nothing() -> None:
    noise = np.random.default_rng(1)
    boxes = tile_boxes((9, 10, 11), (4, 5, 6))
    said = {box: noise.random((3, *box.shape_kji), dtype=np.float32) for box in boxes}
    forward = blended_tiles(boxes, said.__getitem__, (9, 10, 11), 3)
    shuffled = [boxes[index] for index in noise.permutation(len(boxes))]
    assert np.allclose(blended_tiles(shuffled, said.__getitem__, (9, 10, 11), 3), forward, atol=1e-6)


def test_progress_comes_before_each_tile_and_cancels_between_two() -> None:
    read: list[Box] = []
    boxes = tile_boxes((1, 1, 8), (1, 1, 4))

    def progress(done: int, total: int) -> None:
        if done == 2:
            raise Cancelled

    def reading(box: Box) -> np.ndarray:
        read.append(box)
        return np.zeros((1, *box.shape_kji), np.float32)

    with pytest.raises(Cancelled):
        blended_tiles(boxes, reading, (1, 1, 8), 1, progress=progress)
    assert read == boxes[:2]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"below 1, got 1\.0"):
        tile_boxes((4, 4, 4), (2, 2, 2), overlap=1.0)
    with pytest.raises(ValueError, match='got "box"'):
        tile_weights((2, 2, 2), "box")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 voxels are in no tile"):
        blended_tiles([Box((0, 0, 0), (1, 1, 2))], lambda box: np.ones((1, 1, 1, 2), np.float32), (1, 1, 4), 1)
