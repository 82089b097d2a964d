"""The glioma of an analytic brain: distances of its regions worked out by hand, and where it may lie."""

import dataclasses

import numpy as np
import pytest
from REACTDistillLib.phantoms.brainanatomy import draw_brain_anatomy
from REACTDistillLib.phantoms.gliomas import Glioma, draw_glioma
from REACTDistillLib.phantoms.shapes import Ellipsoid, Waves

FLAT = Waves(np.array([[0.1, 0.0, 0.0]], np.float32), np.array([-np.pi / 2], np.float32))  # -1.414 in the middle


def ball(radius_mm):
    return Ellipsoid((0.0, 0.0, 0.0), (radius_mm, radius_mm, radius_mm))


@pytest.fixture
def glioma():
    """Balls around the origin: core 20 mm, necrosis 12 mm, edema 30 mm."""
    return Glioma("ring", ball(20.0), ball(12.0), ball(30.0), 3.0, FLAT, 2.0, FLAT, 4.0)


def distances(glioma, radius_mm, *, cortex_mm=100.0, ventricle_mm=100.0):
    point = np.array([[0.0], [radius_mm], [0.0]], np.float32)
    near = (np.array([mm], np.float32) for mm in (cortex_mm, ventricle_mm))
    return {name: float(value[0]) for name, value in glioma.distances_mm(point, *near).items()}


class TestRegions:
    def test_balls_are_as_far_as_their_surfaces(self, glioma):
        found = distances(glioma, 16.0)
        assert found == pytest.approx({"wt": -14.0, "tc": -4.0, "et": -4.0, "necrosis": 4.0}, abs=1e-3)

    def test_necrosis_does_not_enhance(self, glioma):
        assert distances(glioma, 10.0)["et"] == pytest.approx(2.0, abs=1e-3)

    def test_the_rim_is_at_least_as_wide_as_it_says(self, glioma):
        wide = dataclasses.replace(glioma, necrosis=ball(19.0))
        assert distances(wide, 18.0)["necrosis"] == pytest.approx(1.0, abs=1e-3)  # 19 mm, but the rim begins at 17 mm

    def test_edema_retreats_5_mm_at_a_sulcus_and_1_84_mm_at_3_mm_from_it(self, glioma):
        # 5 exp(-3 / 3) = 1.839
        assert distances(glioma, 28.0, cortex_mm=0.0)["wt"] == pytest.approx(3.0, abs=1e-3)
        assert distances(glioma, 28.0, cortex_mm=3.0)["wt"] == pytest.approx(-0.161, abs=1e-3)

    def test_edema_spares_a_ventricle_and_the_core_does_not(self, glioma):
        assert distances(glioma, 28.0, ventricle_mm=-2.0)["wt"] == pytest.approx(3.0, abs=1e-3)
        assert distances(glioma, 16.0, ventricle_mm=-2.0)["wt"] == pytest.approx(-4.0, abs=1e-3)

    def test_what_a_tumor_lacks_is_infinitely_far(self, glioma):
        none = distances(dataclasses.replace(glioma, kind="none"), 16.0)
        solid = distances(dataclasses.replace(glioma, kind="solid"), 5.0)
        assert none["et"] == none["necrosis"] == solid["necrosis"] == np.inf
        assert solid["et"] == pytest.approx(-15.0, abs=1e-3)

    def test_the_enhancing_part_is_broken_up_where_the_field_exceeds_its_level(self, glioma):
        broken = dataclasses.replace(glioma, patch_level=-2.0)  # the field is -1.414 there: above it
        assert distances(broken, 16.0)["et"] == pytest.approx((-np.sqrt(2) + 2.0) / 0.1, abs=1e-2)


class TestGrowth:
    def test_tissue_is_pushed_most_at_one_scale_from_the_middle(self, glioma):
        # scale 20 + 8 mm; there the push is 4 mm: what lies at 28 mm came from 24 mm
        at = np.array([[28.0, 0.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
        assert glioma.before_growth(at)[0] == pytest.approx([24.0, 0.0], abs=1e-4)

    def test_far_away_nothing_moves(self, glioma):
        at = np.array([[glioma.reach_mm], [0.0], [0.0]], np.float32)
        assert np.abs(glioma.before_growth(at) - at).max() < 0.01

    def test_order_along_a_ray_is_kept(self):
        brain = draw_brain_anatomy(np.random.default_rng(0))
        for seed in range(8):
            glioma = draw_glioma(np.random.default_rng(seed), brain)
            ray = np.array(glioma.core.center_mm)[:, None] + np.array([[1.0], [0.0], [0.0]]) * np.arange(80.0)
            assert (np.diff(glioma.before_growth(ray.astype(np.float32))[0]) > 0.2).all()


class TestDraw:
    def test_sizes_places_and_shapes_vary_and_the_middle_is_in_the_cerebrum(self):
        brain = draw_brain_anatomy(np.random.default_rng(1))
        drawn = [draw_glioma(np.random.default_rng(seed), brain) for seed in range(40)]
        for glioma in drawn:
            middle = np.array(glioma.core.center_mm, np.float32)[:, None]
            assert brain.folds.hull.distance_mm(middle)[0] < -8
            assert brain.folds.cerebellum.distance_mm(middle)[0] > 0
            assert 8 < glioma.core.radius_mm < 25.01
            assert glioma.core.ripple >= 0.14
        assert np.ptp([glioma.core.center_mm for glioma in drawn], axis=0).min() > 40
        assert len({glioma.kind for glioma in drawn}) == 3
