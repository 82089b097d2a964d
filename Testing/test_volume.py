"""Volume, Grid and Box."""

import numpy as np
import pytest
from REACTDistillLib.volume import Box, Grid, Volume


def test_ints_become_float32_and_bool_stays_a_mask():
    assert Volume.from_array(np.zeros((1, 2, 3), np.int16), np.eye(4)).array_kji.dtype == np.float32
    assert Volume.from_array(np.zeros((1, 2, 3), bool), np.eye(4)).is_mask


def test_spacing_voxel_volume_and_corners_follow_the_matrix():
    grid = Grid((4, 3, 2), np.diag([0.5, 2.0, 5.0, 1.0]))  # I, J, K spacing in mm
    assert grid.spacing_ijk_mm.tolist() == [0.5, 2.0, 5.0]
    assert grid.voxel_ml == pytest.approx(0.005)
    assert grid.corners_ras().min(axis=0).tolist() == [-0.25, -1.0, -2.5]
    assert grid.corners_ras().max(axis=0).tolist() == [0.75, 5.0, 17.5]


def test_a_centered_grid_has_its_middle_where_it_was_asked_for():
    grid = Grid.centered((10.0, -20.0, 30.0), shape_kji=(4, 6, 8), spacing_kji_mm=(4.0, 2.0, 1.0))
    assert grid.center_ras.tolist() == [10.0, -20.0, 30.0]
    assert grid.to_ras((0, 0, 0)).tolist() == [6.5, -25.0, 24.0]


def test_to_ijk_inverts_to_ras_on_an_oblique_flipped_grid():
    matrix = np.array([[0.0, -2.0, 0.3, 5.0], [-0.8, 0.1, 0.0, -7.0], [0.0, 0.2, 4.0, 11.0], [0, 0, 0, 1]])
    grid = Grid((5, 6, 7), matrix)
    assert np.allclose(grid.to_ijk(grid.to_ras((1.5, 2.0, 3.25))), (1.5, 2.0, 3.25))


def test_a_strided_grid_keeps_the_first_voxel_and_rounds_its_size_up():
    grid = Grid((5, 6, 7), np.diag([1.0, 2.0, 3.0, 1.0])).strided((2, 3, 4))
    assert grid.shape_kji == (3, 2, 2)
    assert grid.spacing_ijk_mm.tolist() == [4.0, 6.0, 6.0]
    assert grid.to_ras((0, 0, 0)).tolist() == [0.0, 0.0, 0.0]


def test_a_cropped_volume_shares_memory_and_keeps_its_place():
    volume = Volume.from_array(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0]))
    part = volume.cropped(Box((1, 1, 2), (2, 3, 4)))
    assert part.array_kji.tolist() == [[[18.0, 19.0], [22.0, 23.0]]]
    assert part.grid.to_ras((0, 0, 0)).tolist() == [2.0, 2.0, 3.0]
    assert np.shares_memory(part.array_kji, volume.array_kji)


def test_a_grown_box_stops_at_the_array():
    assert Box((1, 1, 1), (2, 2, 2)).grown((2, 1, 0), (3, 5, 5)) == Box((0, 0, 1), (3, 3, 2))


def test_last_bits_of_a_matrix_do_not_make_another_grid():
    third = np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    assert Grid((1, 1, 1), third).same_as(Grid((1, 1, 1), third * np.array([1 + 1e-15, 1, 1, 1])))


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(3), "4x4"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "no volume"),
        (np.diag([1.0, np.nan, 1.0, 1.0]), "finite"),
        (np.diag([1.0, 1.0, 1.0, 2.0]), "last row"),
    ],
)
def test_a_matrix_that_is_no_place_is_refused(matrix, words):
    with pytest.raises(ValueError, match=words):
        Grid((1, 1, 1), matrix)


def test_wrong_shapes_and_types_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Volume(np.zeros((1, 2, 3)), Grid((3, 2, 1), np.eye(4)))
    with pytest.raises(ValueError, match="three axes"):
        Volume.from_array(np.zeros((1, 2)), np.eye(4))
    with pytest.raises(ValueError, match="real numbers"):
        Volume.from_array(np.zeros((1, 1, 1), complex), np.eye(4))
    with pytest.raises(ValueError, match="at least 1"):
        Grid((0, 1, 1), np.eye(4))
