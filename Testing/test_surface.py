"""Voxels inside closed surfaces, counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from REACTDistillLib.steps import result_of
from REACTDistillLib.surface import OpenSurfaceError, surface_box, surface_mask_in_steps
from REACTDistillLib.volume import Box

# The six sides of a box whose corner number is 4 k + 2 j + i, two triangles each.
SIDES = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
TRIANGLES = np.array([triangle for a, b, c, d in SIDES for triangle in ((a, b, c), (a, c, d))])


def cuboid(lower_ijk, upper_ijk):
    ends = list(zip(lower_ijk, upper_ijk, strict=True))
    return np.array([(ends[0][i], ends[1][j], ends[2][k]) for k, j, i in itertools.product((0, 1), repeat=3)])


def mask_of(points, triangles=TRIANGLES, box=None):
    return result_of(surface_mask_in_steps(points, triangles, box or surface_box(points)))


def test_a_box_holds_the_voxels_whose_centers_are_inside():
    points = cuboid((0.5, 1.5, 2.5), (2.5, 4.5, 6.5))
    assert surface_box(points) == Box((3, 2, 1), (7, 5, 3))
    mask = mask_of(points)
    assert mask.shape == (4, 3, 2)
    assert mask.all()
    wider = mask_of(points, box=Box((0, 0, 0), (9, 9, 9)))
    assert wider[3:7, 2:5, 1:3].all()
    assert wider.sum() == 4 * 3 * 2


def test_a_box_cut_off_holds_what_is_left():
    inside = mask_of(cuboid((-3.5, -3.5, -3.5), (3.5, 3.5, 3.5)), box=Box((0, 0, 0), (2, 9, 9)))
    assert inside[:, :4, :4].all()
    assert inside.sum() == 2 * 4 * 4


def test_a_surface_through_voxel_centers_takes_each_of_them_once():
    """From 1 to 3 along each axis: of the centers on the surface one side counts, so two of three, eight in all."""
    assert mask_of(cuboid((1, 1, 1), (3, 3, 3))).sum() == 8


def test_a_surface_within_a_surface_is_a_hole():
    points = np.concatenate([cuboid((0.5,) * 3, (6.5,) * 3), cuboid((2.5,) * 3, (4.5,) * 3)])
    mask = mask_of(points, np.concatenate([TRIANGLES, TRIANGLES + 8]))
    assert mask.sum() == 6**3 - 2**3
    assert not mask[2:4, 2:4, 2:4].any()


def test_a_tetrahedron_has_the_voxels_below_its_plane():
    """i + j + k < 3.5 with i, j, k from 0: the 20 voxels with a sum of 0, 1, 2 or 3 (1 + 3 + 6 + 10)."""
    points = np.array([(-0.5, -0.5, -0.5), (4.5, -0.5, -0.5), (-0.5, 4.5, -0.5), (-0.5, -0.5, 4.5)])
    mask = mask_of(points, np.array([(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]))
    indices = np.indices(mask.shape).sum(axis=0)
    assert np.array_equal(mask, indices < 3.5)
    assert mask.sum() == 20


def test_a_surface_between_voxel_centers_has_none():
    assert not mask_of(cuboid((0.2, 0.2, 0.2), (0.4, 0.4, 0.4))).any()


def test_a_surface_with_a_hole_is_refused():
    with pytest.raises(OpenSurfaceError, match="has a hole; close it"):
        mask_of(cuboid((0.5,) * 3, (4.5,) * 3), TRIANGLES[:-1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_convex_body_in_any_position_has_the_voxels_on_the_inner_side_of_all_its_planes(seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    half = rng.uniform(1, 6, 3)
    center = rng.uniform(8, 10, 3)
    points = cuboid(-half, half) @ turn.T + center
    box = Box((0, 0, 0), (20, 20, 20))
    centers_ijk = np.indices(box.shape_kji)[::-1].reshape(3, -1).T
    inside = (np.abs((centers_ijk - center) @ turn) < half).all(axis=1)
    assert np.array_equal(mask_of(points, box=box).ravel(), inside)
    # Neither the direction of the triangles nor their order matters.
    shuffled = rng.permuted(TRIANGLES, axis=1)[rng.permutation(len(TRIANGLES))]
    assert np.array_equal(mask_of(points, shuffled, box).ravel(), inside)


def test_work_in_many_steps_gives_the_same_as_in_one(monkeypatch):
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    points = cuboid((-4.0,) * 3, (4.0,) * 3) @ turn.T
    whole = mask_of(points)
    monkeypatch.setattr("REACTDistillLib.surface._VOXELS_PER_STEP", 1)
    assert np.array_equal(mask_of(points), whole)
    assert len(list(surface_mask_in_steps(points, TRIANGLES, surface_box(points)))) >= len(whole) > 8
