"""Regions of a liver: tumors, shells, sectors, parenchyma."""

import numpy as np
import pytest
from REACTDistillLib.geometry import resample
from REACTDistillLib.regions import MOST_TUMORS, liver_regions
from REACTDistillLib.volume import Grid, Volume


def liver_box(shape_kji=(20, 20, 20), spacing_ijk_mm=(2.0, 2.0, 2.0)):
    """An image grid with R, A, S axes, and a liver that fills it but for one voxel all around."""
    grid = Grid(shape_kji, np.diag([*spacing_ijk_mm, 1.0]))
    liver = np.zeros(shape_kji, bool)
    liver[1:-1, 1:-1, 1:-1] = True
    return grid, Volume(liver, grid)


def mask_at(grid, *voxels_kji):
    array = np.zeros(grid.shape_kji, bool)
    for voxel in voxels_kji:
        array[voxel] = True
    return Volume(array, grid)


def region(regions, name):
    """The region as an array on the whole image."""
    return resample(regions.mask(name), regions.image, interpolation="nearest").array_kji


def test_a_liver_without_tumor_has_four_sectors_and_parenchyma():
    grid, liver = liver_box()
    regions = liver_regions(liver, None, grid)
    assert regions.names == ("sector_1", "sector_2", "sector_3", "sector_4", "parenchyma")
    assert regions.volumes_ml[-1] == pytest.approx(18**3 * 0.008)
    assert regions.volumes_ml[:4].tolist() == pytest.approx([18**3 * 0.002] * 4)
    assert (np.diff(regions.centroids_ras[:4, 0]) < 0).all()  # from the patient's right (R positive) to left


def test_each_component_is_a_tumor_by_falling_size_and_corners_connect():
    grid, liver = liver_box()
    tumor = mask_at(grid, (3, 3, 3), (8, 8, 8), (9, 9, 9), (9, 9, 10), (14, 3, 14), (14, 4, 14))
    regions = liver_regions(liver, tumor, grid)
    assert [name for name in regions.names if name.startswith("tumor")] == ["tumor_1", "tumor_2", "tumor_3"]
    assert regions.volumes_ml[:3].tolist() == pytest.approx([0.024, 0.016, 0.008])
    assert regions.centroids_ras[2].tolist() == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("spacing_ijk_mm", [(2.0, 2.0, 2.0), (1.0, 2.5, 5.0), (0.8, 0.8, 4.0)])
def test_the_shell_is_the_liver_within_ten_mm_whatever_the_spacing(spacing_ijk_mm):
    shape = tuple(int(np.ceil(44 / mm)) for mm in spacing_ijk_mm[::-1])
    grid, liver = liver_box(shape, spacing_ijk_mm)
    middle = tuple(n // 2 for n in shape)
    regions = liver_regions(liver, mask_at(grid, middle), grid)
    offsets = (np.indices(shape)[::-1].reshape(3, -1).T - np.array(middle[::-1])) * spacing_ijk_mm
    distance = np.linalg.norm(offsets, axis=1).reshape(shape)
    expected = (distance <= 10) & (distance > 0) & liver.array_kji
    assert region(regions, "shell_1").sum() == expected.sum()


def test_shells_stay_inside_the_liver_and_out_of_other_tumors():
    grid, liver = liver_box()
    tumor = mask_at(grid, (1, 1, 1), (1, 1, 3))
    regions = liver_regions(liver, tumor, grid)
    shells = region(regions, "shell_1") | region(regions, "shell_2")
    tumors = region(regions, "tumor_1") | region(regions, "tumor_2")
    assert not (shells & tumors).any()
    assert (region(regions, "parenchyma") == liver.array_kji & ~(shells | tumors)).all()


def test_a_tumor_that_fills_the_liver_still_leaves_four_nodes():
    grid, liver = liver_box()
    regions = liver_regions(liver, liver, grid)
    assert regions.names == ("tumor_1", "sector_1", "sector_2", "sector_3", "sector_4")


def test_a_tumor_outside_the_liver_mask_counts_as_liver():
    grid = Grid((10, 10, 10), np.eye(4))
    liver, tumor = mask_at(grid, np.s_[2:5, 2:5, 2:5]), mask_at(grid, np.s_[5:7, 2:5, 2:5])
    regions = liver_regions(liver, tumor, grid)
    assert regions.liver.array_kji.sum() == 27 + 18
    assert region(regions, "tumor_1").sum() == 18


def test_a_tumor_finer_than_the_image_never_vanishes():
    grid, liver = liver_box(spacing_ijk_mm=(4.0, 4.0, 4.0))
    fine = np.diag([0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] = (33.9, 33.9, 33.9)  # between the centers 32 and 36 mm of the image
    tumor = Volume.from_array(np.ones((2, 2, 2), bool), fine)
    regions = liver_regions(liver, tumor, grid)
    assert region(regions, "tumor_1").sum() == 1
    assert np.abs(regions.centroids_ras[0] - 34).max() <= 2.0


def test_specks_beyond_the_largest_sixteen_are_one_region():
    grid, liver = liver_box((30, 30, 30))
    specks = [(k, j, i) for k in (2, 6, 10) for j in (2, 6, 10) for i in (2, 6, 10)]
    regions = liver_regions(liver, mask_at(grid, *specks), grid)
    tumors = [name for name in regions.names if name.startswith("tumor")]
    assert len(tumors) == MOST_TUMORS + 1
    assert region(regions, "tumor_other").sum() == len(specks) - MOST_TUMORS


def test_the_share_of_the_liver_inside_the_image_is_told():
    grid, liver = liver_box()
    half = Grid((10, 20, 20), grid.ijk_to_ras)
    assert liver_regions(liver, None, half).inside_image == pytest.approx(0.5)
    assert liver_regions(liver, None, grid).inside_image == 1.0


@pytest.mark.parametrize(
    ("liver", "tumor", "words"),
    [
        ([], [(5, 5, 5)], "liver mask is empty"),
        ([np.s_[2:8, 2:8, 2:8]], [], "tumor mask is empty"),
        ([np.s_[2:4, 2:4, 2:4]], [(19, 19, 19)], "away from the liver"),
        ([(2, 2, 2)], None, "covers 1 voxels"),
    ],
)
def test_masks_that_cannot_be_are_refused_in_words(liver, tumor, words):
    grid = Grid((20, 20, 20), np.eye(4))
    tumor_mask = None if tumor is None else mask_at(grid, *tumor)
    with pytest.raises(ValueError, match=words):
        liver_regions(mask_at(grid, *liver), tumor_mask, grid)


def test_a_liver_outside_the_image_is_refused_in_words():
    _, liver = liver_box()
    far = np.eye(4)
    far[:3, 3] = 500.0
    with pytest.raises(ValueError, match="outside the image"):
        liver_regions(liver, None, Grid((5, 5, 5), far))
