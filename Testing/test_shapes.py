"""Shapes against numbers worked out by hand."""

import math

import numpy as np
import pytest
from REACTDistillLib.phantoms.anatomy import draw_liver
from REACTDistillLib.phantoms.shapes import Ellipsoid, Joined, Tube, Waves, blurred_ball, blurred_edge

FWHM_OF_SIGMA_ONE = 2 * math.sqrt(2 * math.log(2))


def points(*rows):
    return np.array(rows, np.float32).T


def test_distance_to_a_ball_is_exact_inside_outside_and_in_the_middle():
    ball = Ellipsoid((1.0, 2.0, 3.0), (10.0, 10.0, 10.0))
    np.testing.assert_allclose(ball.distance_mm(points((1, 2, 3), (5, 2, 3), (1, 2, 18))), [-10, -6, 5], atol=1e-5)


def test_an_infinite_semi_axis_makes_a_cylinder():
    pipe = Ellipsoid((0.0, 0.0, 0.0), (4.0, 4.0, math.inf))
    np.testing.assert_allclose(pipe.distance_mm(points((3, 0, 900), (0, 6, -900))), [-1, 2], atol=1e-5)


def test_rotation_turns_the_long_axis():
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # first semi-axis along A
    rod = Ellipsoid((0.0, 0.0, 0.0), (20.0, 5.0, 5.0), quarter)
    np.testing.assert_allclose(rod.distance_mm(points((0, 20, 0), (5, 0, 0))), [0, 0], atol=1e-5)


def test_distance_to_a_tube_counts_from_its_axis_and_its_round_ends():
    tube = Tube((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), 2.0)
    np.testing.assert_allclose(tube.distance_mm(points((5, 3, 0), (13, 4, 0), (5, 0, 0))), [1, 3, -2], atol=1e-5)


def test_joined_shapes_grow_where_they_meet_and_lack_their_hollows():
    left, right = Ellipsoid((-5.0, 0, 0), (6.0,) * 3), Ellipsoid((5.0, 0, 0), (6.0,) * 3)
    neck = points((0, 0, 0))  # 1 mm inside each; the blend adds 20 / 4 mm
    np.testing.assert_allclose(Joined((left, right), blend_mm=20.0).distance_mm(neck), [-6], atol=1e-5)
    aside = points((5, 0, 0))  # 6 mm inside one, 4 mm outside the other: half the blend, squared, of 5 mm
    np.testing.assert_allclose(Joined((left, right), blend_mm=20.0).distance_mm(aside), [-7.25], atol=1e-5)
    hollowed = Joined((left, right), (Ellipsoid((0.0, 0, 0), (2.0,) * 3),))
    np.testing.assert_allclose(hollowed.distance_mm(neck), [2], atol=1e-5)


def test_a_blurred_edge_is_the_normal_distribution():
    share = blurred_edge(np.array([-1.0, 0.0, 1.0], np.float32), FWHM_OF_SIGMA_ONE)
    np.testing.assert_allclose(share, [0.841345, 0.5, 0.158655], atol=2e-4)


def test_a_blurred_ball_of_two_sigma_keeps_74_percent_in_its_middle():
    # erf(sqrt 2) - sqrt(2 / pi) * 2 * exp(-2) = 0.954500 - 0.215964
    middle = blurred_ball(np.array([-2.0], np.float32), 2.0, FWHM_OF_SIGMA_ONE)
    np.testing.assert_allclose(middle, [0.738536], atol=1e-3)


def test_a_blurred_ball_keeps_its_total_uptake():
    r = np.linspace(0.005, 10.0, 2000)
    share = blurred_ball((r - 3.0).astype(np.float32), 3.0, FWHM_OF_SIGMA_ONE)
    assert (share * 4 * math.pi * r**2).sum() * (r[1] - r[0]) == pytest.approx(4 / 3 * math.pi * 27, rel=5e-3)


def test_waves_have_mean_zero_and_variance_one():
    waves = Waves.drawn(np.random.default_rng(3), count=16, shortest=5, longest=15)
    value = waves(np.random.default_rng(4).uniform(-300, 300, (3, 20000)).astype(np.float32))
    assert abs(value.mean()) < 0.03
    assert value.var() == pytest.approx(1.0, abs=0.05)


def test_a_shape_beyond_reach_has_no_point_in_reach():
    rng = np.random.default_rng(5)
    shape = draw_liver(rng).shape
    for center in rng.uniform(-250, 250, (60, 3)):
        if not shape.reaches(center.astype(np.float32), 30.0):
            ball = rng.standard_normal((3, 50))
            ball *= 30.0 / np.linalg.norm(ball, axis=0)
            assert (shape.distance_mm((center[:, None] + ball).astype(np.float32)) > 0).all()
