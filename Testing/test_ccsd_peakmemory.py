"""The memory that a segmentation takes at its peak, counted by hand."""

import numpy as np
import pytest
from REACTDistillLib.recipes import preparation_of, recipe_named
from REACTDistillLib.recipes.ccsd.peakmemory import network_bytes, peak_of, stated_memory
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student
from REACTDistillLib.volume import Grid, Volume

NETWORK = {"sequences": 4, "regions": 3, "channels": [16, 32], "stem_stride": [2, 2, 2], "level_stride": [2, 2, 2]}
CLASSES = ("WT", "TC", "ET")


def empty(shape_kji, center_ras=(0.0, 0.0, 0.0)):
    grid = Grid.centered(center_ras, shape_kji=shape_kji, spacing_kji_mm=(1.0, 1.0, 1.0))
    return Volume(np.broadcast_to(np.float32(0), shape_kji), grid)


def test_a_large_network_is_counted_from_its_maps_and_the_fusion() -> None:
    # 32^3 voxels at the finest level: 16 * 32768 values, 32 * 4096 at the next. One sequence of four:
    # 2 * (524288 + 131072) kept and (2 + 4 + 8) * 524288 while the finest level is fused, a tenth more for gaps.
    counted = network_bytes(NETWORK, (64, 64, 64), sequences=1)
    assert counted == pytest.approx(1.1 * 4 * (2 * 655_360 + 14 * 524_288))


def test_of_a_small_one_the_unfolded_input_of_the_composition_counts() -> None:
    # 5 * 5 * 10 voxels at the finest level: 4000 and 1000 values. Two sequences: 2 * 2 * 5000 kept. The composition
    # unfolds 2 * 16 channels of 250 voxels 27 times, with 4 * 4000 beside it; the fusion takes 16 * 4000 only.
    counted = network_bytes(NETWORK, (10, 10, 20), sequences=2)
    assert counted == pytest.approx(1.1 * 4 * (20_000 + 16_000 + 216_000))


def test_the_peak_is_that_of_the_network_with_its_images() -> None:
    exam = {name: empty((10, 10, 20)) for name in ("t1", "flair")}
    # 3 * 2000 bytes of masks; four images and the brain on 2000 voxels; the network, as above.
    peak = peak_of(NETWORK, (4, 4, 4), exam, empty((10, 10, 20)).grid)
    assert peak.whole == 80_000_000 + 6_000 + 17 * 2_000 + 1_108_800
    # In tiles: also four joined arrays; for a tile of 64 voxels 11 arrays and the network, with 128 and 32 values at
    # its levels: 4 * 160 kept, 27 * 32 * 8 unfolded, 4 * 128 beside it.
    tile = 1.1 * 4 * (4 * 160 + 27 * 32 * 8 + 4 * 128)
    assert peak.tiled == int(80_000_000 + 6_000 + 17 * 2_000 + 16 * 2_000 + 4 * 11 * 64 + tile)


def test_the_peak_is_that_of_the_answer_when_the_grid_is_coarse() -> None:
    exam = {name: empty((40, 40, 40)) for name in ("t1", "flair")}
    coarse = Grid.centered((0.0, 0.0, 0.0), shape_kji=(2, 2, 2), spacing_kji_mm=(20.0, 20.0, 20.0))
    peak = peak_of(NETWORK, (2, 2, 2), exam, coarse)
    # Three maps of 64000 and of 8 voxels in float32, and six masks of which three take the place of the brain's.
    expected = 80_000_000 + 3 * 64_000 + 12 * (64_000 + 8) + 3 * 64_000
    assert peak == (expected, expected)


def test_an_image_that_reaches_far_beyond_the_brain_needs_no_more_for_the_answer() -> None:
    grid = Grid.centered((0.0, 0.0, 0.0), shape_kji=(2, 2, 2), spacing_kji_mm=(5.0, 5.0, 5.0))
    small, large = (peak_of(NETWORK, (2, 2, 2), {"t1": empty(shape)}, grid) for shape in ((30,) * 3, (60,) * 3))
    assert large.whole - small.whole <= 2 * (60**3 - 30**3)  # the masks of the brain


def test_the_card_says_what_an_exam_takes_whose_brain_fills_the_image() -> None:
    preparation = recipe_named("ccsd").preparation(CLASSES)
    stated = stated_memory(preparation, (16, 16, 16))
    exam = {name: empty((155, 240, 240)) for name in preparation.sequence_names}
    peak = peak_of(preparation.network, (128, 128, 128), exam, empty((160, 240, 240)).grid)
    assert stated == {
        "image_shape_kji": [155, 240, 240],
        "image_spacing_kji_mm": [1.0, 1.0, 1.0],
        "sequences": 4,
        "whole_bytes": peak.whole,
        "tiled_bytes": peak.tiled,
    }
    assert peak.tiled < peak.whole / 2


def test_the_shipped_student_states_what_the_check_before_a_run_reckons_with() -> None:
    student = load_student(demo_student("segment"))
    assert student.card.memory == stated_memory(preparation_of(student.card), student.network.stride_kji)


def test_memory_grows_in_step_with_the_voxels_and_not_with_the_subsets() -> None:
    small, large = (network_bytes(NETWORK, (side, 64, 64), sequences=4) for side in (64, 128))
    assert large == pytest.approx(2 * small)
