"""The healthy part of an analytic brain: folds, ventricles, vessels."""

import numpy as np
import pytest
from REACTDistillLib.phantoms.brainanatomy import Folds, draw_brain_anatomy
from REACTDistillLib.phantoms.shapes import Ellipsoid, Joined, Waves


def column(*point):
    return np.array(point, np.float32)[:, None]


@pytest.fixture(scope="module")
def folds():
    """A ball of 50 mm whose sulci are planes 10 pi mm apart in A, with a small cerebellum at its lowest end."""
    along_a = Waves(np.array([[0.0, 0.1, 0.0]], np.float32), np.zeros(1, np.float32))
    return Folds(
        hull=Joined((Ellipsoid((0.0, 0.0, 0.0), (50.0, 50.0, 50.0)),)),
        cerebellum=Joined((Ellipsoid((0.0, 0.0, -40.0), (8.0, 8.0, 8.0)),)),
        stem=Joined((Ellipsoid((0.0, 0.0, 0.0), (10.0, 10.0, 10.0)),)),
        sulci=along_a,
        folia=along_a,
    )


class TestFolds:
    def test_near_the_surface_the_depth_counts(self, folds):
        # sqrt(47^2 + 5^2) = 47.265 mm from the middle of a ball of 50 mm; the next sheet is 6.8 mm away
        assert folds.distance_mm(column(47.0, 5.0, 0.0))[0] == pytest.approx(2.735, abs=1e-3)

    def test_a_sheet_is_as_far_as_the_field_over_its_slope(self, folds):
        # sqrt(2) sin(0.1 a) / 0.1 at a = 2 mm: 2.8096 mm; 10 mm deep is less than a sulcus reaches
        assert folds.distance_mm(column(40.0, 2.0, 0.0))[0] == pytest.approx(2.8096, abs=1e-3)

    def test_sheets_end_at_the_depth_of_a_sulcus(self, folds):
        # at 25 mm the ball is 25 mm deep, a sulcus reaches 14 mm: 11 mm to its end
        assert folds.distance_mm(column(25.0, 0.0, 0.0))[0] == pytest.approx(11.0, abs=1e-3)

    def test_the_midline_parts_the_halves_but_not_the_stem(self, folds):
        assert folds.distance_mm(column(1.5, 0.0, 25.0))[0] == pytest.approx(1.5, abs=1e-3)
        assert folds.distance_mm(column(0.0, 0.0, 4.0))[0] == pytest.approx(6.0, abs=1e-3)

    def test_outside_of_the_hull_it_is_negative(self, folds):
        assert folds.distance_mm(column(0.0, 60.0, 0.0))[0] == pytest.approx(-10.0, abs=1e-3)


@pytest.fixture(scope="module")
def brains():
    return [draw_brain_anatomy(np.random.default_rng(seed)) for seed in range(12)]


class TestDraw:
    def test_ventricles_hold_10_to_90_ml_and_lie_inside(self, brains):
        line = np.arange(-69, 70, 3, dtype=np.float32)
        points = np.stack(np.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
        volumes = []
        for brain in brains:
            inside = brain.ventricle_mm(points) <= 0
            volumes.append(inside.sum() * 27 / 1000)
            assert brain.folds.hull.distance_mm(points[:, inside]).max() < -4
        assert min(volumes) > 10
        assert max(volumes) < 90

    def test_vessels_run_inside_the_hull(self, brains):
        for brain in brains:
            tubes = [layer.shape for layer in brain.vessels if layer.tissue == "vessel"]
            assert len(tubes) >= 20
            ends = np.array([end for tube in tubes for end in (tube.start_mm, tube.end_mm)], np.float32).T
            assert brain.folds.hull.distance_mm(ends).max() < 0

    def test_cortex_is_between_a_third_and_two_thirds_of_the_cerebrum(self, brains):
        # Half of a real cerebrum is gray matter.
        line = np.arange(-90, 91, 4, dtype=np.float32)
        points = np.stack(np.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
        for brain in brains:
            inside = points[:, (brain.folds.hull.distance_mm(points) < 0) & (points[2] > -10)]
            cortex = brain.folds.distance_mm(inside) < brain.gray_mm
            assert 1 / 3 < cortex.mean() < 2 / 3

    def test_every_brain_is_another_one(self, brains):
        assert len({brain.gray_mm for brain in brains}) == len(brains)
