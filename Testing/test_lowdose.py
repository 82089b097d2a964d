"""Low-dose CT: R3 and R3' by hand, noise that rises as the dose falls, a mean that stays, any voxel axes."""

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from REACTDistillLib.files import read_volume
from REACTDistillLib.geometry import resample
from REACTDistillLib.lowdose import (
    DOSES,
    PHOTONS_PER_DOSE,
    low_dose,
    low_dose_series,
    noisy_line_integrals,
    noisy_transmission,
)
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.progress import Cancelled
from REACTDistillLib.volume import Box, Grid, Volume

MODELS = ("line_integrals", "transmission")


@pytest.fixture(scope="module", autouse=True)
def _astra():
    pytest.importorskip("astra", reason="astra-toolbox is not installed")


def cylinder(side: int, *, slices: int = 1, water_mm: float = 250, field_mm: float = 400) -> Volume:
    """Water of 0 HU in air, with a rod of bone of 1000 HU at its edge."""
    step = field_mm / side
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) * step
    hu = np.where(np.hypot(x, y) < water_mm / 2, 0.0, -1000.0)
    hu[np.hypot(x, y - water_mm / 2 + 25) < 12] = 1000.0
    grid = Grid.centered((0, 0, 0), shape_kji=(slices, side, side), spacing_kji_mm=(5, step, step))
    return Volume(np.repeat(hu[None], slices, axis=0), grid)


def middle(volume: Volume, radius_mm: float = 75) -> np.ndarray:
    """Mask of the water around the center."""
    _, side, _ = volume.grid.shape_kji
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) * volume.grid.spacing_ijk_mm[0]
    return np.broadcast_to(np.hypot(x, y) < radius_mm, volume.grid.shape_kji)


def changes(ct: Volume, results: list[Volume], where: np.ndarray) -> np.ndarray:
    """What was added to the voxels ``where``, shape (doses, voxels)."""
    return np.stack([(result.array_kji - ct.array_kji)[where] for result in results])


class TestNoiseModels:
    def test_r3_keeps_a_line_integral_of_40_and_has_variance_40_over_the_dose(self):
        noisy = noisy_line_integrals(np.full(40_000, 40.0), 500, np.random.default_rng(0))
        # Poisson(500 * 40) / 500: mean 40, variance 40 / 500 = 0.08; standard error of the variance 0.08 sqrt(2 / n).
        assert noisy.mean() == pytest.approx(40, abs=4 * math.sqrt(0.08 / 40_000))
        assert noisy.var() == pytest.approx(0.08, rel=4 * math.sqrt(2 / 40_000))
        assert np.allclose(noisy * 500, np.rint(noisy * 500))

    def test_r3_prime_keeps_a_line_integral_of_ln_100_and_has_variance_one_over_the_photons_that_arrive(self):
        dose = 1e6 / PHOTONS_PER_DOSE  # a million photons, of which 10 000 arrive
        noisy = noisy_transmission(np.full(40_000, math.log(100)), dose, np.random.default_rng(0))
        assert noisy.mean() == pytest.approx(math.log(100), abs=2e-4)
        assert noisy.var() == pytest.approx(1e-4, rel=4 * math.sqrt(2 / 40_000))

    def test_r3_prime_takes_one_photon_where_none_arrives(self):
        noisy = noisy_transmission(np.full(10, 50.0), 100 / PHOTONS_PER_DOSE, np.random.default_rng(0))
        assert noisy == pytest.approx(np.full(10, math.log(100)))

    def test_r3_gives_no_noise_where_nothing_is_in_the_way(self):
        assert noisy_line_integrals(np.zeros(5), 1, np.random.default_rng(0)).tolist() == [0] * 5


@pytest.fixture(scope="module", params=MODELS)
def water(request) -> tuple[Volume, np.ndarray]:
    """A cylinder of water and what each dose adds to its middle, shape (doses, 9 slices, 32, 32)."""
    ct = cylinder(128, slices=9)
    box = (slice(None), slice(48, 80), slice(48, 80))
    results = low_dose_series(ct, model=request.param, seed=3)
    return ct, np.stack([(result.array_kji - ct.array_kji)[box] for result in results])


class TestNoiseInWater:
    def test_noise_rises_as_the_dose_falls_with_its_inverse_root(self, water):
        deviations = water[1].std(axis=(1, 2, 3))
        assert (np.diff(deviations) > 0).all()
        # 1e6, 5e4 and 1e4: variance times dose is one number.
        assert np.square(deviations[:3]) * DOSES[:3] == pytest.approx(deviations[0] ** 2 * DOSES[0], rel=0.1)

    def test_noise_power_rises_at_every_frequency_and_is_that_of_a_ramp(self, water):
        spectra = np.square(np.abs(np.fft.fft2(water[1]))).mean(axis=1)  # (doses, 32, 32)
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
        bands = [(0.02, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4)]
        power = np.array([spectra[:, (frequency > low) & (frequency <= high)].mean(axis=1) for low, high in bands])
        assert (np.diff(power, axis=1) > 0).all()
        assert (power[2] > 1.7 * power[0]).all()

    def test_the_mean_of_water_stays_within_two_hu(self, water):
        assert np.abs(water[1].mean(axis=(1, 2, 3))).max() < 0.5

    def test_slices_have_noise_of_their_own(self, water):
        one, other = water[1][-1][0].ravel(), water[1][-1][1].ravel()
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


class TestSizeOfTheNoise:
    def test_published_noise_is_that_of_filtered_backprojection_worked_out_by_hand(self):
        # Water is 0.5 on the scale from -1000 to 1000 HU; a ray through the middle crosses 250 / 400 of the field of
        # 256: y = 80. A ramp filter over N = 128 angles with beams d = 2 apart: variance pi^2 / (12 d^2 N) y / D.
        ct = cylinder(128, slices=3)
        added = changes(ct, [low_dose(ct, 1e4, seed=0)], middle(ct, 30))
        by_hand_hu = 2000 * math.sqrt(math.pi**2 / (12 * 2**2 * 128) * 80 / 1e4)
        # Interpolation between the beams smooths, which takes a fifth to a third of it.
        assert 0.6 * by_hand_hu < added.std() < by_hand_hu

    def test_physical_noise_is_that_of_filtered_backprojection_worked_out_by_hand(self):
        # 250 mm of water of 0.0193 per mm let exp(-4.825) through; beams are d = 3.125 mm apart.
        ct = cylinder(128, slices=3)
        added = changes(ct, [low_dose(ct, 1e4, model="transmission", seed=0)], middle(ct, 30))
        arriving = PHOTONS_PER_DOSE * 1e4 * math.exp(-4.825)
        by_hand_hu = 1000 / 0.0193 * math.sqrt(math.pi**2 / (12 * 3.125**2 * 128) / arriving)
        assert 0.6 * by_hand_hu < added.std() < by_hand_hu

    def test_both_models_give_the_reference_cylinder_the_same_noise(self):
        ct = cylinder(256)
        published, physical = (
            changes(ct, [low_dose(ct, 1e4, model=model, seed=0)], middle(ct, 30)).std() for model in MODELS
        )
        assert physical == pytest.approx(published, rel=0.15)

    def test_physical_noise_grows_with_the_patient_much_faster_than_published_noise(self):
        def ratio(model: str) -> float:
            thin, thick = (cylinder(96, water_mm=size) for size in (200, 300))
            return np.divide(
                *[changes(ct, [low_dose(ct, 1e4, model=model, seed=0)], middle(ct)).std() for ct in (thick, thin)]
            )

        assert ratio("line_integrals") < 1.5
        assert ratio("transmission") > 2


class TestPhantom:
    @pytest.mark.parametrize("model", MODELS)
    def test_the_liver_keeps_its_mean_within_two_hu_and_gets_noisier(self, model):
        case = phantom_case(1)
        ct, liver = case.sequences["ct"], case.regions["liver"].array_kji
        added = changes(ct, low_dose_series(ct, model=model, seed=7), liver)
        assert np.abs(added.mean(axis=1)).max() < 0.5
        assert (np.diff(added.std(axis=1)) > 0).all()
        assert added[0].std() < 1 < 10 < added[-1].std()


class TestReproducible:
    def test_one_dose_is_that_dose_of_a_series_in_any_order(self):
        ct = cylinder(32, slices=2)
        series = low_dose_series(ct, (500, 1e4), seed=5)
        assert np.array_equal(series[0].array_kji, low_dose(ct, 500.0, seed=5).array_kji)
        assert np.array_equal(series[1].array_kji, low_dose_series(ct, (1e4, 500), seed=5)[0].array_kji)

    def test_two_doses_have_noise_of_their_own(self):
        ct = cylinder(32)
        one, other = changes(ct, low_dose_series(ct, (500, 1000), seed=5), middle(ct))
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.3

    def test_another_seed_gives_other_noise(self):
        ct = cylinder(32)
        one, other = (low_dose(ct, 500, seed=seed).array_kji for seed in (0, 1))
        assert abs(np.corrcoef((one - ct.array_kji).ravel(), (other - ct.array_kji).ravel())[0, 1]) < 0.2

    def test_cases_side_by_side_in_threads_come_out_as_one_after_the_other(self):
        cts = [phantom_case(seed, shape_kji=(4, 40, 40)).sequences["ct"] for seed in range(4)]
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda ct: low_dose(ct, 500, seed=0).array_kji, cts))
        assert all(
            np.array_equal(low_dose(ct, 500, seed=0).array_kji, made) for ct, made in zip(cts, together, strict=True)
        )


class TestAxes:
    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("order_ijk", [(1, 2, 0), (2, 1, 0), (0, 2, 1)])
    def test_permuted_and_flipped_axes_give_the_same_voxels(self, model, order_ijk):
        ct = phantom_case(2, shape_kji=(3, 24, 30)).sequences["ct"]
        turn = np.zeros((4, 4))  # from index of the turned volume to index of the volume
        turn[3, 3] = 1
        for new, old in enumerate(order_ijk):
            turn[old, new] = -1
            turn[old, 3] = ct.grid.shape_kji[2 - old] - 1
        axes = [2 - order_ijk[2 - axis] for axis in range(3)]
        turned = Volume.from_array(ct.array_kji.transpose(axes)[::-1, ::-1, ::-1], ct.grid.ijk_to_ras @ turn)
        assert np.array_equal(resample(turned, ct.grid).array_kji, ct.array_kji)
        noisy = low_dose(turned, 500, model=model, seed=1)
        assert noisy.grid.same_as(turned.grid)
        assert np.array_equal(resample(noisy, ct.grid).array_kji, low_dose(ct, 500, model=model, seed=1).array_kji)

    def test_an_oblique_volume_is_cut_along_its_axis_nearest_to_s(self):
        ct = cylinder(32, slices=3)
        tilt = np.eye(4)
        tilt[1:3, 1:3] = [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
        tilted = Volume.from_array(ct.array_kji, tilt @ ct.grid.ijk_to_ras)
        assert np.array_equal(low_dose(tilted, 500, seed=1).array_kji, low_dose(ct, 500, seed=1).array_kji)

    @pytest.mark.parametrize("shape_ji", [(64, 20), (20, 64)])
    def test_noise_lies_where_the_matter_is_in_a_slice_that_is_not_square(self, shape_ji):
        hu = np.full((1, *shape_ji), -1000.0)
        hu[:, 8:14, 2:8] = 50
        ct = Volume.from_array(hu, np.diag([4, 4, 4, 1]))
        added = np.stack([low_dose(ct, 500, seed=seed).array_kji[0] - hu[0] for seed in range(10)])
        far = added[:, -6:] if shape_ji[0] > shape_ji[1] else added[:, :, -6:]
        assert added[:, 8:14, 2:8].std() > 3 * far.std() > 0

    @pytest.mark.parametrize("model", MODELS)
    def test_pixels_that_are_not_square_get_the_noise_of_their_finer_spacing(self, model):
        square = cylinder(96, slices=2)
        wide = Volume.from_array(square.array_kji[:, :, ::2], square.grid.ijk_to_ras @ np.diag([2, 1, 1, 1.0]))
        expected = changes(square, [low_dose(square, 1e4, model=model, seed=0)], middle(square))
        found = changes(wide, [low_dose(wide, 1e4, model=model, seed=0)], middle(square)[:, :, ::2])
        assert found.std() == pytest.approx(expected.std(), rel=0.15)
        assert abs(found.mean()) < 0.5


class TestDifficultVoxels:
    @pytest.mark.parametrize("model", MODELS)
    def test_voxels_outside_what_was_scanned_stay(self, model):
        ct = cylinder(32)
        array = ct.array_kji.copy()
        array[0, :6, :6], array[0, -6:, -6:] = -3024, -1024
        noisy = low_dose(Volume(array, ct.grid), 500, model=model, seed=0).array_kji
        assert (noisy[array <= -1024] == array[array <= -1024]).all()
        same = low_dose(Volume(np.maximum(array, -1024), ct.grid), 500, model=model, seed=0).array_kji
        assert np.array_equal(noisy[array > -1024], same[array > -1024])

    @pytest.mark.parametrize("model", MODELS)
    def test_metal_of_ten_thousand_hu_stays_finite_and_the_water_keeps_its_mean(self, model):
        ct = cylinder(64, slices=4)
        array = ct.array_kji.copy()
        array[:, 30:33, 50:53] = 10_000
        added = changes(
            Volume(array, ct.grid), [low_dose(Volume(array, ct.grid), 1e4, model=model, seed=0)], middle(ct, 50)
        )
        assert np.isfinite(added).all()
        assert abs(added.mean()) < 2

    def test_a_window_takes_the_metal_out_of_the_published_scale(self):
        ct = cylinder(64)
        array = ct.array_kji.copy()
        array[:, 30:33, 50:53] = 10_000
        metal = Volume(array, ct.grid)
        kwargs = {"seed": 0, "window_hu": (-1000.0, 1000.0)}
        added = changes(metal, [low_dose(metal, 1e4, **kwargs)], middle(ct, 50)).std()
        assert added < 0.5 * changes(metal, [low_dose(metal, 1e4, seed=0)], middle(ct, 50)).std()
        assert low_dose(metal, 1e4, **kwargs).array_kji.max() > 9_000

    @pytest.mark.parametrize("hu", [-1024, -3024])
    def test_a_volume_without_a_scanned_voxel_comes_back_as_it_is(self, hu):
        empty = Volume.from_array(np.full((2, 8, 8), hu), np.eye(4))
        assert np.array_equal(low_dose(empty, 500, seed=0).array_kji, empty.array_kji)

    @pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 7), (3, 5, 4)])
    @pytest.mark.parametrize("model", MODELS)
    def test_smallest_volumes_work(self, shape, model):
        ct = Volume.from_array(np.linspace(-900, 300, math.prod(shape)).reshape(shape), np.eye(4))
        noisy = low_dose(ct, 1e6, model=model, seed=0)
        assert noisy.array_kji.dtype == np.float32
        assert np.isfinite(noisy.array_kji).all()

    def test_the_input_is_not_changed(self):
        ct = cylinder(16)
        before = ct.array_kji.copy()
        low_dose(ct, 500, seed=0)
        assert np.array_equal(ct.array_kji, before)


class TestRefusals:
    @pytest.mark.parametrize("dose", [0, -5, math.nan, math.inf, 1e13])
    def test_impossible_doses(self, dose):
        with pytest.raises(ValueError, match=r"a dose must lie between 0\.001 and 1e\+12, got"):
            low_dose(cylinder(8), dose, seed=0)

    def test_unknown_model(self):
        with pytest.raises(ValueError, match='no dose model "radon"; choose line_integrals or transmission'):
            low_dose(cylinder(8), 500, model="radon", seed=0)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_voxels_that_are_no_numbers(self, value):
        ct = cylinder(8)
        ct.array_kji[0, 2, 2] = value
        with pytest.raises(ValueError, match="has 1 voxels that are NaN or infinite"):
            low_dose(ct, 500, seed=0)

    def test_masks(self):
        with pytest.raises(ValueError, match="a mask has no dose"):
            low_dose(Volume.from_array(np.ones((2, 2, 2), bool), np.eye(4)), 500, seed=0)

    @pytest.mark.parametrize("seed", [-1, 0.5, True])
    def test_what_is_no_seed(self, seed):
        with pytest.raises(ValueError, match="noise seed must be a whole number of at least 0"):
            low_dose(cylinder(8), 500, seed=seed)

    @pytest.mark.parametrize("window", [(200.0, -100.0), (-2000.0, 0.0), (0.0, math.inf)])
    def test_windows_that_do_not_go_up(self, window):
        with pytest.raises(ValueError, match="HU window must go up from -1024"):
            low_dose(cylinder(8), 500, seed=0, window_hu=window)

    def test_a_missing_projector_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "astra", None)
        with pytest.raises(ValueError, match=r"\"astra-toolbox\" is missing; run pip install"):
            low_dose(cylinder(8), 500, seed=0)


class TestProgress:
    def test_each_slice_is_told(self):
        told = []
        low_dose(cylinder(8, slices=3), 500, seed=0, progress=lambda *event: told.append(event))
        assert told == [("low dose", 1, 3), ("low dose", 2, 3), ("low dose", 3, 3)]

    def test_cancelling_stops_between_slices_and_frees_the_memory_of_the_projector(self, monkeypatch):
        import astra

        made = []

        def create(*arguments: object) -> int:
            made.append(original(*arguments))
            return made[-1]

        def cancel(stage: str, done: int, total: int) -> None:
            raise Cancelled

        original = astra.data2d.create
        monkeypatch.setattr(astra.data2d, "create", create)
        with pytest.raises(Cancelled):
            low_dose(cylinder(8, slices=3), 500, seed=0, progress=cancel)
        assert len(made) == 2
        for identifier in made:
            with pytest.raises(Exception, match="not found"):
                astra.data2d.get(identifier)


class TestRealCt:
    @pytest.mark.parametrize("model", MODELS)
    def test_the_liver_of_a_patient_keeps_its_mean_and_gets_noisier(self, shared_data, model):
        ct = read_volume(shared_data("liver_ct_3dircadb17/ct_dicom") / "PATIENT_DICOM")
        masks = shared_data("liver_ct_3dircadb17/masks_dicom") / "MASKS_DICOM"
        quarter = ct.grid.cropped(Box((80, 0, 0), (82, 512, 512))).strided((1, 4, 4))
        ct, liver = (resample(volume, quarter) for volume in (ct, read_volume(masks / "liver")))
        added = changes(ct, low_dose_series(ct, model=model, seed=0), liver.array_kji > 0.5)
        assert np.abs(added.mean(axis=1)).max() < 2
        assert (np.diff(added.std(axis=1)) > 0).all()
