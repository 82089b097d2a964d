"""Grids to test on: any rotation, any flip, any spacing."""

import numpy as np
from hypothesis import strategies as st
from REACTDistillLib.volume import Grid


def rotation(angles_rad):
    """3x3 rotation by three Euler angles about R, A and S."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        a, b = [one for one in range(3) if one != axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        turned = step @ turned
    return turned


def grid_around(center_ras, angles_rad, order, signs, spacing_mm, shape_kji):
    """Grid with its middle at ``center_ras``: axes turned, permuted by ``order`` and flipped by ``signs``."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(angles_rad)[:, list(order)] * np.array(signs) * np.array(spacing_mm)
    matrix[:3, 3] = np.array(center_ras) - matrix[:3, :3] @ ((np.array(shape_kji[::-1]) - 1) / 2)
    return Grid(shape_kji, matrix)


angle = st.floats(-np.pi, np.pi, allow_nan=False)
wild_grids = st.builds(
    grid_around,
    st.tuples(*[st.floats(-200, 200)] * 3),
    st.tuples(angle, angle, angle),
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    st.tuples(*[st.floats(0.6, 6.0)] * 3),
    st.tuples(*[st.integers(12, 20)] * 3),
)
