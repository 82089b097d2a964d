"""Going from a Volume to a Grid and back, in world space."""

import numpy as np
import pytest
from grids import grid_around, wild_grids
from hypothesis import given, settings
from hypothesis import strategies as st
from REACTDistillLib.geometry import are_voxels_of, area_average, mask_box, mask_extent_ras, resample
from REACTDistillLib.volume import Box, Grid, Volume


def center_of_mass_ras(volume):
    weights = volume.array_kji.astype(float)
    index = [(weights * axis).sum() / weights.sum() for axis in np.indices(weights.shape)[::-1]]
    return volume.grid.to_ras(index)


@settings(max_examples=50, deadline=None)
@given(source=wild_grids, turn=st.tuples(*[st.floats(-np.pi, np.pi)] * 3), share=st.tuples(*[st.floats(0.3, 0.7)] * 3))
def test_a_known_point_survives_the_way_to_any_grid_and_back(source, turn, share):
    point_ras = source.to_ras(np.array(share) * (np.array(source.shape_kji[::-1]) - 1))
    centers = source.to_ras(np.moveaxis(np.indices(source.shape_kji)[::-1], 0, -1))
    sigma = 1.2 * source.spacing_ijk_mm.max()
    blob = np.exp(-0.5 * ((centers - point_ras) ** 2).sum(axis=-1) / sigma**2)
    volume = Volume(blob, source)
    reach_mm = float(np.linalg.norm(source.spacing_ijk_mm * source.shape_kji[::-1]))
    other = grid_around(point_ras, turn, (2, 0, 1), (1, -1, 1), [reach_mm / 60] * 3, (91, 91, 91))  # all of it
    there = resample(volume, other)
    back = resample(there, source)
    moved = source.to_ijk(center_of_mass_ras(back)) - source.to_ijk(center_of_mass_ras(volume))
    assert np.abs(moved).max() < 0.5


def test_resampling_to_the_same_grid_changes_nothing():
    volume = Volume.from_array(np.arange(8.0).reshape(2, 2, 2), np.eye(4))
    assert np.array_equal(resample(volume, volume.grid).array_kji, volume.array_kji)


def test_linear_resampling_takes_the_mean_halfway_between_voxels():
    volume = Volume.from_array([[[0.0, 10.0, 20.0]]], np.eye(4))
    halfway = Grid((1, 1, 2), np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert resample(volume, halfway).array_kji.ravel().tolist() == [5.0, 15.0]


def test_points_outside_get_the_outside_value_and_grids_apart_are_all_outside():
    volume = Volume.from_array(np.ones((2, 2, 2)), np.eye(4))
    shifted = np.eye(4)
    shifted[0, 3] = 1.0
    assert resample(volume, Grid((1, 1, 2), shifted), outside=-7.0).array_kji.ravel().tolist() == [1.0, -7.0]
    shifted[0, 3] = 1000.0
    assert (resample(volume, Grid((1, 1, 2), shifted), outside=-7.0).array_kji == -7.0).all()


def test_a_sheared_grid_is_followed_exactly():
    matrix = np.eye(4)
    matrix[1, 2] = 0.5  # each slice lies half a voxel further along A: a tilted gantry
    tilted = Volume.from_array(np.repeat(np.arange(6.0)[None, :, None], 3, axis=0).repeat(2, axis=2), matrix)
    straight = resample(tilted, Grid((3, 6, 2), np.eye(4)), outside=-1.0)
    assert straight.array_kji[2, :, 0].tolist() == [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_mask_stays_a_mask_under_nearest_and_becomes_shares_under_linear():
    mask = Volume.from_array(np.array([[[True, False]]]), np.eye(4))
    halfway = Grid((1, 1, 1), np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert resample(mask, mask.grid, interpolation="nearest").is_mask
    assert resample(mask, halfway).array_kji.ravel().tolist() == [0.5]


def test_an_unknown_interpolation_is_refused():
    volume = Volume.from_array(np.ones((1, 1, 1)), np.eye(4))
    with pytest.raises(ValueError, match='"cubic"'):
        resample(volume, volume.grid, interpolation="cubic")


def test_mask_box_and_extent_hold_the_true_voxels():
    array = np.zeros((4, 5, 6), bool)
    array[1, 2, 3] = array[2, 4, 3] = True
    assert mask_box(array) == Box((1, 2, 3), (3, 5, 4))
    assert mask_box(np.zeros((1, 1, 1), bool)) is None
    lower, upper = mask_extent_ras(Volume.from_array(array, np.diag([-1.0, 2.0, 3.0, 1.0])))
    assert lower.tolist() == [-3.0, 4.0, 3.0]
    assert upper.tolist() == [-3.0, 8.0, 6.0]
    with pytest.raises(ValueError, match="empty"):
        mask_extent_ras(Volume.from_array(np.zeros((1, 1, 1), bool), np.eye(4)))


def test_area_average_of_aligned_voxels_is_the_share_of_true_ones():
    mask = np.zeros((2, 2, 4), bool)
    mask[:, :, 0] = True
    mask[0, 0, 2] = True
    fine = Volume.from_array(mask, np.eye(4))
    coarse_matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    coarse_matrix[:3, 3] = 0.5
    assert area_average(fine, Grid((1, 1, 2), coarse_matrix)).ravel().tolist() == [0.5, 0.125]


@settings(max_examples=50, deadline=None)
@given(source=wild_grids, target=wild_grids)
def test_area_average_keeps_the_volume_of_a_single_voxel_on_any_grid(source, target):
    mask = np.zeros(source.shape_kji, bool)
    mask[5, 6, 7] = True
    place = source.to_ras((7, 6, 5))
    matrix = target.ijk_to_ras.copy()
    matrix[:3, 3] += place - target.center_ras  # the voxel lies well inside
    grid = Grid((20, 20, 20), matrix)
    share = area_average(Volume(mask, source), grid)
    inside = share.sum() * grid.voxel_ml
    assert share.max() > 0
    assert inside <= source.voxel_ml * (1 + 1e-5)
    if share.max() < 1:
        assert inside == pytest.approx(source.voxel_ml, rel=1e-4)


OBLIQUE = Grid((10, 12, 14), np.array([[0.6, 0.1, 0.0, 5], [-0.1, 0.7, 0.2, 6], [0.0, -0.2, 2.5, 7], [0, 0, 0, 1.0]]))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (OBLIQUE, True),
        (OBLIQUE.cropped(Box((2, 3, 4), (10, 12, 14))), True),
        (OBLIQUE.cropped(Box((2, 3, 4), (10, 12, 14))).strided((1, 2, 3)), True),
        (Grid((5, 6, 7), OBLIQUE.strided((2, 2, 2)).ijk_to_ras), True),
        (Grid((6, 6, 7), OBLIQUE.strided((2, 2, 2)).ijk_to_ras), False),  # beyond the last slice
        (Grid((2, 2, 2), OBLIQUE.ijk_to_ras + np.array([[0, 0, 0, 0.2], *[[0.0] * 4] * 3])), False),
        (Grid((2, 2, 2), np.eye(4)), False),
    ],
)
def test_voxels_of_a_grid_are_all_of_a_box_or_every_nth(part, expected):
    assert are_voxels_of(part, OBLIQUE) is expected


def test_a_grid_holds_what_lies_in_its_voxels_to_their_outer_edges():
    grid = Grid((2, 3, 4), np.diag([-2.0, 1.0, 5.0, 1.0]))  # I runs to the left, 2 mm; J 1 mm; K 5 mm
    points = [
        (0, 0, 0),
        (1.0, 0, 0),
        (1.01, 0, 0),
        (-6.99, 0, 0),
        (-7.0, 0, 0),
        (0, 2.49, 7.49),
        (0, 2.5, 0),
        (0, 0, -2.6),
    ]
    assert grid.holds(points).tolist() == [True, True, False, True, False, True, False, False]
