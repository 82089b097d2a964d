"""Regions as soft masks: the same shares as when each region is averaged by itself."""

import numpy as np
import pytest
from REACTDistillLib.geometry import area_average
from REACTDistillLib.regions import liver_regions
from REACTDistillLib.softmasks import SoftMasks
from REACTDistillLib.volume import Grid, Volume

FINE = Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
COARSE = Grid.centered((19.0, 19.0, 19.0), shape_kji=(4, 4, 4), spacing_kji_mm=(10.0, 10.0, 10.0))
BESIDE = Grid.centered((33.0, 19.0, 12.0), shape_kji=(3, 5, 4), spacing_kji_mm=(7.0, 9.0, 11.0))


def mask(*places):
    array = np.zeros(FINE.shape_kji, bool)
    for place in places:
        array[place] = True
    return Volume(array, FINE)


WHOLE = mask(np.s_[1:-1, 1:-1, 1:-1])


@pytest.mark.parametrize("grid", [COARSE, BESIDE])
@pytest.mark.parametrize(
    ("liver", "tumor"),
    [
        (WHOLE, None),
        (WHOLE, mask((7, 7, 7))),
        (WHOLE, mask(np.s_[3:6, 3:6, 3:6], np.s_[9:12, 4:7, 5:9])),  # their shells overlap
        (WHOLE, mask(np.s_[1:-1, 1:-1, 1:10])),
        (mask(np.s_[2:6, 2:6, 2:6]), mask(np.s_[2:6, 2:6, 2:6])),  # nothing of the liver is outside the tumor
        (mask(np.s_[2:6, 2:6, 2:6]), mask(np.s_[5:9, 5:9, 5:9])),  # the tumor reaches beyond the liver mask
    ],
)
def test_the_shares_are_those_of_each_region_by_itself(grid, liver, tumor):
    regions = liver_regions(liver, tumor, FINE)
    found = SoftMasks.of(regions, grid)
    apart = [area_average(regions.mask(name), grid) for name in regions.names]
    assert found.nodes.dtype == found.pools.dtype == np.float32
    assert np.allclose(found.nodes, np.stack(apart), rtol=0, atol=1e-5)
    assert found.nodes.min() >= 0
    pools = [regions.liver, regions.union_of("tumor"), regions.union_of("shell")]
    for share, pool in zip(found.pools, pools, strict=True):
        assert np.allclose(share, 0 if pool is None else area_average(pool, grid), rtol=0, atol=1e-5)


def test_a_small_tumor_keeps_its_volume_on_a_coarse_grid():
    share = SoftMasks.of(liver_regions(WHOLE, mask((7, 7, 7)), FINE), COARSE).nodes[0]
    assert share.sum() * COARSE.voxel_ml == pytest.approx(0.008)


def test_parenchyma_beyond_the_grid_is_nothing_and_not_a_rounding_error():
    far = Grid.centered((300.0, 19.0, 19.0), shape_kji=(4, 4, 4), spacing_kji_mm=(10.0, 10.0, 10.0))
    found = SoftMasks.of(liver_regions(WHOLE, mask((7, 7, 7)), FINE), far)
    assert not found.nodes.any()
    assert not found.pools.any()
