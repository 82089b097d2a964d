"""Analytic brains: one patient on many grids, nested regions, and what each sequence shows of the tumor."""

import dataclasses
import math

import numpy as np
import pytest
from REACTDistillLib.brain import REGIONS, brain_case, brain_field, draw_brain, sample_brain
from REACTDistillLib.phantoms.mrcontrast import SEQUENCES, Scan, draw_brightness, draw_scans
from REACTDistillLib.phantoms.shapes import Ellipsoid, Waves
from REACTDistillLib.volume import Box, Grid

SEEDS = range(24)
PINNED_CENTER_RAS = (0.22191660922944223, 13.673666200251283, 39.51854652447858)
PINNED_RADIUS_MM = 20.276751729125294


@pytest.fixture(scope="module")
def cases():
    return [brain_case(seed, shape_kji=(32, 32, 32)) for seed in SEEDS]


@pytest.fixture(scope="module")
def ring():
    """A patient with a necrotic core in an enhancing rim."""
    return draw_brain(next(seed for seed in range(50) if draw_brain(seed).glioma.kind == "ring"))


@pytest.fixture(scope="module")
def quiet(ring):
    return sample_brain(ring, brain_field(ring), noise_scale=0.0)


def voxels(case, sequence, inside, *, outside=None):
    """Values of a sequence in one region and, where named, outside of another."""
    where = case.regions[inside].array_kji
    if outside is not None:
        where = where & ~case.regions[outside].array_kji
    return case.sequences[sequence].array_kji[where]


def effect(first, second):
    """Difference of means over the pooled standard deviation (Cohen's d)."""
    return (first.mean() - second.mean()) / math.sqrt((first.var() + second.var()) / 2)


def volume_ml(case, region):
    return float(case.regions[region].array_kji.sum() * case.regions[region].grid.voxel_ml)


class TestCase:
    def test_it_has_four_sequences_four_regions_and_says_what_it_is(self, quiet, ring):
        assert tuple(quiet.sequences) == ("t1", "t1ce", "t2", "flair")
        assert tuple(quiet.regions) == REGIONS == ("brain", "wt", "tc", "et")
        assert quiet.label == "glioma"
        assert quiet.identifier == f"brain_phantom_{ring.seed:05d}"
        assert all(volume.is_mask for volume in quiet.regions.values())

    def test_regions_are_nested_in_the_brain(self, cases):
        for case in cases:
            brain, whole, core, enhancing = (case.regions[name].array_kji for name in REGIONS)
            assert not (enhancing & ~core).any()
            assert not (core & ~whole).any()
            assert not (whole & ~brain).any()
            assert core.any()

    def test_images_are_zero_outside_the_brain_and_nowhere_inside(self, cases):
        for case in cases:
            for image in case.sequences.values():
                assert np.array_equal(image.array_kji > 0, case.regions["brain"].array_kji)
                assert np.isfinite(image.array_kji).all()

    def test_the_field_of_view_holds_the_whole_brain(self, cases):
        for case in cases:
            brain = case.regions["brain"].array_kji.copy()
            brain[1:-1, 1:-1, 1:-1] = False
            assert not brain.any()

    def test_volumes_are_those_of_patients(self, cases):
        whole = np.array([volume_ml(case, "wt") for case in cases])
        core = np.array([volume_ml(case, "tc") for case in cases])
        assert all(1000 < volume_ml(case, "brain") < 1750 for case in cases)
        assert whole.min() > 8
        assert whole.max() < 260
        assert whole.max() > 4 * whole.min()
        assert 0.1 < np.median(core / whole) < 0.6

    def test_some_patients_lack_enhancement_and_some_lack_necrosis(self, cases):
        kinds = [draw_brain(seed).glioma.kind for seed in SEEDS]
        assert {"ring", "solid", "none"} == set(kinds)
        for case, kind in zip(cases, kinds, strict=True):
            assert case.regions["et"].array_kji.any() == (kind != "none")

    def test_tumors_lie_in_either_hemisphere(self):
        sides = [draw_brain(seed).glioma.core.center_mm[0] > 0 for seed in range(40)]
        assert 10 < sum(sides) < 30

    @pytest.mark.parametrize("seed", [-1, 1.5, True, "3"])
    def test_what_is_no_seed_is_refused(self, seed):
        with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
            brain_case(seed)


class TestSampling:
    def test_one_seed_gives_the_same_bits_twice_and_another_seed_another_patient(self):
        first, second, other = (brain_case(seed, shape_kji=(20, 22, 24)) for seed in (5, 5, 6))
        for name, volume in {**first.sequences, **first.regions}.items():
            again = {**second.sequences, **second.regions}[name]
            assert np.array_equal(volume.array_kji, again.array_kji)
            assert volume.grid.same_as(again.grid)
        assert not np.array_equal(first.sequences["t1"].array_kji, other.sequences["t1"].array_kji)

    def test_patients_are_the_same_on_every_machine(self):
        one = draw_brain(7)
        np.testing.assert_allclose(one.center_ras, PINNED_CENTER_RAS, atol=1e-9)
        assert one.glioma.core.radius_mm == pytest.approx(PINNED_RADIUS_MM, abs=1e-9)

    def test_reversed_and_exchanged_axes_show_the_same_patient(self, quiet, ring):
        turn = np.zeros((4, 4))  # new i runs along -k, new j along i, new k along -j
        turn[2, 0], turn[0, 1], turn[1, 2], turn[3, 3] = -1, 1, -1, 1
        turn[:3, 3] = (0, 47, 47)
        other = sample_brain(ring, Grid((48, 48, 48), brain_field(ring).ijk_to_ras @ turn), noise_scale=0.0)
        for name, volume in {**quiet.sequences, **quiet.regions}.items():
            array = {**other.sequences, **other.regions}[name].array_kji
            back = array.transpose(2, 0, 1)[::-1, ::-1, :]  # (k, j, i) of the first grid
            differing = ~np.isclose(back.astype(float), volume.array_kji.astype(float), rtol=1e-3, atol=1e-3)
            assert differing.mean() < 1e-4, name

    def test_an_oblique_grid_sees_the_same_at_a_shared_point(self, quiet, ring):
        matrix = np.eye(4)
        cosine, sine = math.cos(math.radians(25)), math.sin(math.radians(25))
        matrix[:2, :2] = 3 * np.array([[cosine, -sine], [sine, cosine]])
        image = quiet.sequences["flair"]
        tumor = [tuple(ijk) for ijk in np.argwhere(quiet.regions["tc"].array_kji)[::20, ::-1].tolist()]
        for ijk in [*tumor, (24, 24, 24), (16, 25, 30), (2, 2, 2)]:
            matrix[:3, 3] = image.grid.to_ras(ijk) - matrix[:3, :3] @ (2, 2, 2)
            small = sample_brain(ring, Grid((5, 5, 5), matrix), noise_scale=0.0)
            for name in SEQUENCES:
                expected = quiet.sequences[name].array_kji[ijk[::-1]]
                assert small.sequences[name].array_kji[2, 2, 2] == pytest.approx(expected, rel=2e-3, abs=1e-3)

    def test_the_part_of_a_grid_looks_like_the_whole(self, quiet, ring):
        box = Box((20, 10, 5), (41, 43, 38))
        part = sample_brain(ring, brain_field(ring).cropped(box), noise_scale=0.0)
        for name, volume in quiet.sequences.items():
            np.testing.assert_allclose(part.sequences[name].array_kji, volume.array_kji[box.slices], rtol=2e-3)

    def test_a_coarse_and_a_fine_grid_agree_on_the_volumes(self, ring):
        coarse, fine = (sample_brain(ring, brain_field(ring, (n, n, n)), noise_scale=0.0) for n in (48, 72))
        for name in REGIONS:
            assert volume_ml(coarse, name) == pytest.approx(volume_ml(fine, name), rel=0.06)

    def test_a_core_of_20_15_and_10_mm_has_12_566_ml(self, ring):
        # 4/3 pi 2.0 1.5 1.0 = 12.566 ml
        core = Ellipsoid((28.0, -5.0, 28.0), (20.0, 15.0, 10.0))
        bare = dataclasses.replace(ring, glioma=dataclasses.replace(ring.glioma, core=core))
        center = np.array(ring.center_ras) + np.array(core.center_mm)
        grid = Grid.centered(center, shape_kji=(32, 40, 48), spacing_kji_mm=(1.0, 1.0, 1.0))
        case = sample_brain(bare, grid, noise_scale=0.0)
        assert case.regions["brain"].array_kji.all()  # else some of the core would be cut off
        assert volume_ml(case, "tc") == pytest.approx(12.566, rel=0.01)

    def test_no_voxel_lies_in_the_brain_far_away_from_it(self, ring):
        case = sample_brain(ring, Grid.centered((900.0, 0.0, 0.0), shape_kji=(4, 4, 4), spacing_kji_mm=(2.0, 2.0, 2.0)))
        assert not any(volume.array_kji.any() for volume in {**case.sequences, **case.regions}.values())


class TestScanner:
    def test_a_doubled_gain_doubles_the_image_and_nothing_else(self, ring):
        scans = {name: dataclasses.replace(scan, gain=2 * scan.gain) for name, scan in ring.scans.items()}
        grid = brain_field(ring, (24, 24, 24))
        once, twice = sample_brain(ring, grid), sample_brain(dataclasses.replace(ring, scans=scans), grid)
        for name in SEQUENCES:
            np.testing.assert_allclose(twice.sequences[name].array_kji, 2 * once.sequences[name].array_kji, rtol=1e-6)

    def test_each_sequence_and_patient_has_a_gain_of_its_own(self):
        gains = [scan.gain for seed in range(10) for scan in draw_brain(seed).scans.values()]
        assert len(set(gains)) == 40
        assert max(gains) > 5 * min(gains)
        assert all(100 <= gain <= 2000 for gain in gains)

    def test_magnitude_of_pure_noise_is_rayleigh_with_mean_1_2533_sd(self):
        # mean of a Rayleigh variable: sd * sqrt(pi / 2) = 1.2533 sd; with gain 100 and sd 0.04: 5.013
        scan = Scan(100.0, 0.0, Waves(np.zeros((1, 3), np.float32), np.zeros(1, np.float32)), 0.04)
        noise = scan.magnitude(np.zeros(200_000, np.float32), np.random.default_rng(0), 1.0)
        assert noise.mean() == pytest.approx(5.013, rel=0.01)
        assert noise.min() > 0

    def test_without_noise_the_magnitude_is_gain_times_signal(self):
        scan = Scan(200.0, 0.0, Waves(np.zeros((1, 3), np.float32), np.zeros(1, np.float32)), 0.04)
        found = scan.magnitude(np.array([0.5, 1.25], np.float32), np.random.default_rng(0), 0.0)
        assert found.tolist() == [100.0, 250.0]

    def test_noise_is_another_one_in_each_sequence(self, ring):
        case = sample_brain(ring, brain_field(ring, (24, 24, 24)))
        still = sample_brain(ring, brain_field(ring, (24, 24, 24)), noise_scale=0.0)
        brain = case.regions["brain"].array_kji
        noise = [(case.sequences[n].array_kji - still.sequences[n].array_kji)[brain] for n in SEQUENCES]
        assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.1

    def test_the_field_of_the_coil_is_smooth_and_mild(self):
        scan = draw_scans(np.random.default_rng(3))["t2"]
        points = np.stack([np.linspace(-70, 70, 141)] + 2 * [np.zeros(141)]).astype(np.float32)
        field = scan.shaded(np.ones(141, np.float32), points)
        assert np.abs(np.diff(field)).max() < 0.01
        assert field.min() > 0.7
        assert field.max() < 1.4


class TestContrast:
    """What a neuroradiologist expects of each sequence, in every patient and by effect sizes."""

    def test_brightness_of_healthy_tissue_has_the_order_of_a_textbook(self):
        for seed in range(20):
            t1, t1ce, t2, flair = ({n: v[i] for n, v in draw_brightness_of(seed).items()} for i in range(4))
            assert t1["white"] > t1["gray"] > t1["fluid"]
            assert t2["fluid"] > t2["gray"] > t2["white"]
            assert flair["gray"] > flair["white"] > flair["fluid"]
            assert t1ce["vessel"] > t1ce["white"] > t1["vessel"]

    def test_contrast_agent_shows_the_enhancing_part_only(self, cases):
        for case in cases:
            if volume_ml(case, "et") > 1:
                rest = voxels(case, "t1ce", "wt", outside="et")
                enhanced = effect(voxels(case, "t1ce", "et"), rest)
                assert enhanced > 2
                assert effect(voxels(case, "t1", "et"), voxels(case, "t1", "wt", outside="et")) < enhanced / 2

    def test_flair_shows_the_edema_against_all_of_the_brain(self, cases):
        for case in cases:
            edema = voxels(case, "flair", "wt", outside="tc")
            assert effect(edema, voxels(case, "flair", "brain", outside="wt")) > 1.5
            assert edema.mean() > voxels(case, "flair", "brain", outside="wt").mean()

    def test_edema_stands_out_more_in_flair_than_in_any_other_sequence(self, cases):
        sizes = {name: np.mean([abs(edema_effect(case, name)) for case in cases]) for name in SEQUENCES}
        assert max(sizes, key=sizes.get) == "flair"
        assert sizes["flair"] > sizes["t2"] > sizes["t1"] > 0.2

    def test_fluid_is_as_bright_as_edema_in_t2_and_dark_in_flair(self):
        for seed in range(20):
            brightness = draw_brightness_of(seed)
            assert brightness["fluid"][2] > brightness["edema"][2] > brightness["gray"][2]
            assert brightness["fluid"][3] < 0.4 * brightness["edema"][3]

    def test_t1_shows_the_core_darker_than_the_edema_in_most_patients(self, cases):
        ratios = [voxels(case, "t1", "tc").mean() / voxels(case, "t1", "wt", outside="tc").mean() for case in cases]
        assert np.mean(np.array(ratios) < 0.97) > 0.75
        assert 0.7 < np.median(ratios) < 0.95

    def test_vessels_are_as_bright_as_a_rim_in_t1ce(self):
        for seed in range(20):
            brightness = draw_brightness_of(seed)
            assert brightness["vessel"][1] > 1.2 * brightness["white"][1]
            assert brightness["enhancing"][1] > 1.1 * brightness["white"][1]

    def test_t1ce_alone_misleads_outside_of_the_tumor(self, cases):
        misleading = 0
        for case in cases:
            if volume_ml(case, "et") > 1:
                limit = np.median(voxels(case, "t1ce", "et"))
                misleading += (voxels(case, "t1ce", "brain", outside="wt") > limit).sum() > 10
        assert misleading > 10

    def test_small_lesions_of_the_white_matter_are_bright_in_flair(self):
        layers = [layer for layer in draw_brain(6).brain.layers if layer.tissue == "hyperintensity"]
        brightness = draw_brightness_of(6)
        assert len(layers) >= 2
        assert all(layer.shape.volume_ml < 0.6 for layer in layers)
        assert brightness["hyperintensity"][3] > 1.5 * brightness["white"][3]


def draw_brightness_of(seed):
    return draw_brightness(np.random.default_rng(seed))


def edema_effect(case, sequence):
    return effect(voxels(case, sequence, "wt", outside="tc"), voxels(case, sequence, "brain", outside="wt"))
