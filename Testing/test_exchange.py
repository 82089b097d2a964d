"""Volumes through raw files: nothing is lost on the way, and a damaged file is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from REACTDistillLib.exchange import array_to_file_in_steps, volume_from_file, volume_to_file
from REACTDistillLib.volume import Grid, Volume

OBLIQUE = np.array([[0.7, 0.1, 0.0, -10.0], [0.0, -0.9, 0.3, 20.5], [0.2, 0.0, 5.0, 3.25], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint8", "float32", "float64"])
def test_voxels_and_place_arrive_as_they_were(tmp_path, dtype) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 2 if dtype == "bool" else np.arange(24).reshape(2, 3, 4) - 5).astype(
        dtype
    )
    if dtype == "uint8":
        array = np.abs(np.arange(24).reshape(2, 3, 4)).astype(dtype)
    grid = Grid((2, 3, 4), OBLIQUE)
    steps = array_to_file_in_steps(array, grid, tmp_path, "ct")
    description = None
    while description is None:
        try:
            next(steps)
        except StopIteration as end:
            description = end.value
    arrived = volume_from_file(json.loads(json.dumps(description)), tmp_path)
    assert np.array_equal(arrived.array_kji, array)
    assert arrived.array_kji.dtype == (bool if dtype == "bool" else np.float32)
    assert arrived.grid.same_as(grid)
    assert np.array_equal(arrived.grid.ijk_to_ras, grid.ijk_to_ras)
    (tmp_path / "ct.raw").unlink()
    assert np.array_equal(arrived.array_kji, array)


def test_a_view_that_is_not_contiguous_is_written_in_the_order_of_its_axes(tmp_path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 3, 2).T
    description = volume_to_file(Volume(array, Grid((2, 3, 4), OBLIQUE)), tmp_path, "ct")
    assert np.array_equal(volume_from_file(description, tmp_path).array_kji, array)


def test_a_large_volume_is_written_in_steps_of_about_eight_megabytes(tmp_path) -> None:
    array = np.zeros((10, 1000, 1000), dtype=np.int16)  # 2 MB a slice, so four slices a step
    steps = list(array_to_file_in_steps(array, Grid(array.shape, np.eye(4)), tmp_path, "ct"))
    assert len(steps) == 3
    assert (tmp_path / "ct.raw").stat().st_size == 20_000_000


def test_a_file_that_is_cut_short_or_gone_is_refused(tmp_path) -> None:
    description = volume_to_file(Volume(np.ones((2, 3, 4), dtype=np.float32), Grid((2, 3, 4), OBLIQUE)), tmp_path, "ct")
    path = tmp_path / "ct.raw"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r'"ct.raw" holds 92 bytes, expected 96'):
        volume_from_file(description, tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="holds 0 bytes"):
        volume_from_file(description, tmp_path)


@pytest.mark.parametrize("change", [{"file": "../ct.raw"}, {"dtype": "object"}])
def test_a_description_that_leaves_the_folder_or_names_objects_is_refused(tmp_path, change) -> None:
    description = volume_to_file(Volume(np.ones((2, 3, 4), dtype=np.float32), Grid((2, 3, 4), OBLIQUE)), tmp_path, "ct")
    with pytest.raises(ValueError, match="no volume that was sent"):
        volume_from_file({**description, **change}, tmp_path)


def test_voxels_of_a_type_that_cannot_be_sent_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="complex64"):
        volume_to_file(Volume(np.ones((1, 1, 1), dtype=np.complex64), Grid((1, 1, 1), np.eye(4))), tmp_path, "ct")


def test_eight_voxels_of_a_mask_share_a_byte_whatever_the_steps(tmp_path, monkeypatch) -> None:
    mask = np.random.default_rng(0).random((21, 3, 5)) < 0.5
    monkeypatch.setattr("REACTDistillLib.exchange._STEP_BYTES", 1)
    grid = Grid(mask.shape, OBLIQUE)
    assert len(list(array_to_file_in_steps(mask, grid, tmp_path, "liver"))) == 3  # of 8 slices each
    assert (tmp_path / "liver.raw").stat().st_size == 40  # 315 voxels
    description = volume_to_file(Volume(mask, grid), tmp_path, "liver")
    assert np.array_equal(volume_from_file(description, tmp_path).array_kji, mask)
