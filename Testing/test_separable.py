"""The way between parallel grids, axis by axis, gives what the way between any two grids gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from REACTDistillLib import geometry
from REACTDistillLib.geometry import area_average, resample
from REACTDistillLib.separable import parallel_axes
from REACTDistillLib.volume import Box, Grid, Volume


def aligned(order, signs, spacing_mm, shape_kji, origin_ras):
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[:, list(order)] * np.array(signs) * np.array(spacing_mm)
    matrix[:3, 3] = np.array(origin_ras) - matrix[:3, :3] @ ((np.array(shape_kji[::-1]) - 1) / 2)
    return Grid(shape_kji, matrix)


aligned_grids = st.builds(
    aligned,
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    st.tuples(*[st.floats(0.6, 6.0)] * 3),
    st.tuples(*[st.integers(3, 14)] * 3),
    st.tuples(*[st.floats(-8.0, 8.0)] * 3),
)


@settings(max_examples=80, deadline=None)
@given(
    source=aligned_grids,
    target=aligned_grids,
    seed=st.integers(0, 99),
    kind=st.sampled_from(["float", "mask", "nearest"]),
)
def test_resampling_between_parallel_grids_is_that_between_any_grids(source, target, seed, kind):
    values = np.random.default_rng(seed).normal(size=source.shape_kji)
    volume = Volume(values if kind == "float" else values > 0, source)
    interpolation = "nearest" if kind == "nearest" else "linear"
    found = resample(volume, target, interpolation=interpolation, outside=0.0 if kind == "nearest" else -7.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "parallel_axes", lambda *_: None)
        expected = resample(volume, target, interpolation=interpolation, outside=0.0 if kind == "nearest" else -7.0)
    assert found.is_mask == expected.is_mask == (kind == "nearest")
    alike = np.isclose(found.array_kji, expected.array_kji, atol=2e-5) | _on_the_border(source, target)
    assert alike.all()


def _on_the_border(source, target):
    """Voxels of the target whose center lies on the outermost voxel centers of the source: rounding decides on them."""
    ijk = source.to_ijk(target.to_ras(np.indices(target.shape_kji)[::-1].transpose(1, 2, 3, 0)))
    last = np.array(source.shape_kji[::-1]) - 1
    return (np.minimum(abs(ijk), abs(ijk - last)) < 1e-9).any(axis=-1)


@settings(max_examples=80, deadline=None)
@given(source=aligned_grids, target=aligned_grids, seed=st.integers(0, 99))
def test_area_averages_between_parallel_grids_are_those_between_any_grids(source, target, seed):
    mask = Volume(np.random.default_rng(seed).random(source.shape_kji) > 0.5, source)
    found = area_average(mask, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "parallel_axes", lambda *_: None)
        assert np.allclose(found, area_average(mask, target), atol=1e-6)


def test_values_halfway_by_hand_with_flipped_and_exchanged_axes():
    source = Volume.from_array([[[0.0, 10.0], [20.0, 30.0]]], np.eye(4))  # K 1, J 2, I 2
    matrix = np.array([[0, -0.5, 0, 1.0], [0.5, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # i runs along A, j along L
    found = resample(source, Grid((1, 3, 3), matrix)).array_kji
    assert found.tolist() == [[[10.0, 20.0, 30.0], [5.0, 15.0, 25.0], [0.0, 10.0, 20.0]]]


def test_a_voxel_without_weight_may_be_nan():
    source = Volume.from_array([[[1.0, 2.0, np.nan]]], np.eye(4))
    shifted = np.diag([0.5, 1.0, 1.0, 1.0])
    shifted[0, 3] = 0.5  # at 0.5 and 1.0
    assert resample(source, Grid((1, 1, 2), shifted)).array_kji.ravel().tolist() == [1.5, 2.0]


def test_what_is_constant_stays_exactly_constant():
    source = Volume.from_array(np.full((4, 5, 6), 60.1), np.diag([0.7, 0.7, 1.6, 1.0]))
    target = Grid((3, 3, 3), np.diag([0.9, 0.9, 1.1, 1.0]))
    assert np.unique(resample(source, target).array_kji).tolist() == [np.float32(60.1)]


def test_a_grid_on_the_same_voxels_copies_them():
    source = Volume(np.arange(60.0).reshape(3, 4, 5), Grid((3, 4, 5), np.diag([-0.7, 0.7, 1.6, 1.0])))
    part = source.grid.cropped(Box((1, 2, 3), (3, 4, 5)))
    assert np.array_equal(resample(source, part).array_kji, source.array_kji[1:3, 2:4, 3:5])
    back = resample(source.cropped(Box((1, 2, 3), (3, 4, 5))), source.grid, outside=-1.0).array_kji
    assert np.array_equal(back[1:3, 2:4, 3:5], source.array_kji[1:3, 2:4, 3:5])
    assert (back == -1).sum() == 60 - 8
    away = Grid((2, 2, 2), source.grid.cropped(Box((1, 2, 3), (3, 4, 5))).ijk_to_ras)
    mask = Volume(source.array_kji > 30, source.grid)
    assert resample(mask, away, interpolation="nearest").array_kji.tolist() == [[[True] * 2] * 2] * 2


def test_grids_that_are_turned_against_each_other_have_no_parallel_axes():
    assert parallel_axes(np.diag([-2.0, 1.0, 0.5, 1.0]), (10, 10, 10)) is not None
    for angle, is_parallel in ((1e-9, True), (1e-3, False)):
        turned = np.eye(4)
        turned[0, 1], turned[1, 0] = -angle, angle
        assert (parallel_axes(turned, (10, 10, 10)) is not None) == is_parallel


def test_pieces_of_more_slices_than_a_byte_can_count_are_counted():
    mask = Volume.from_array(np.ones((700, 2, 2), dtype=bool), np.diag([1.0, 1.0, 0.1, 1.0]))
    whole = Grid((1, 1, 1), np.array([[2.0, 0, 0, 0.5], [0, 2.0, 0, 0.5], [0, 0, 70.0, 34.95], [0, 0, 0, 1]]))
    assert area_average(mask, whole).item() == pytest.approx(1.0)
