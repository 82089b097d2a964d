"""A mask cut into parts of equal volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from REACTDistillLib.boxedmask import BoxedMask
from REACTDistillLib.sectors import slabs
from REACTDistillLib.volume import Box

LOWER_KJI = (3, 4, 5)


def boxed(array):
    return BoxedMask(Box(LOWER_KJI, tuple(np.add(LOWER_KJI, array.shape).tolist())), array)


def voxels_of(mask):
    return {tuple(index) for index in (np.argwhere(mask.array_kji) + mask.box.lower_kji).tolist()}


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    direction=st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda d: max(map(abs, d)) > 1e-3),
    share=st.floats(0.2, 1.0),
    parts=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_parts_are_those_of_a_full_sort(shape, direction, share, parts, seed):
    rng = np.random.default_rng(seed)
    direction = np.array(direction) + rng.normal(size=3) * 1e-6  # no two voxels at one place
    array = rng.random(shape) < share
    array.flat[:5] = True
    mask = boxed(array)
    indices = np.argwhere(array) + LOWER_KJI
    order = np.argsort(indices @ direction)
    cuts = [len(indices) * n // parts for n in range(parts + 1)]
    found = slabs(mask, direction, parts)
    for part, first, last in zip(found, cuts[:-1], cuts[1:], strict=True):
        assert voxels_of(part) == {tuple(index) for index in indices[order[first:last]].tolist()}


def test_parts_of_a_row_by_hand():
    array = np.array([[[True, False, True, True, True]]])
    first, second = slabs(boxed(array), (0.0, 0.0, -1.0), 2)
    assert voxels_of(first) == {(3, 4, 9), (3, 4, 8)}
    assert voxels_of(second) == {(3, 4, 5), (3, 4, 7)}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_holds_only_the_planes_it_needs(axis):
    array = np.ones((20, 20, 20), dtype=bool)
    direction = [1e-4, 1e-5, 1e-5]
    direction[axis] = 1.0
    for part in slabs(boxed(array), direction, 4):
        assert part.count == 2000
        assert part.box.shape_kji[axis] <= 9
