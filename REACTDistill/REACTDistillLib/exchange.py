"""Volumes from one process to another: raw voxels in a file of a folder that both see, the rest as JSON.

Of a mask eight voxels share a byte.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .steps import result_of
from .volume import Grid, Volume

# Small enough to take a few milliseconds each, so that a panel can do them between two turns of its event loop.
_STEP_BYTES = 8_000_000
_DTYPES = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"})


class VolumeDescription(TypedDict):
    """What the JSON says of a volume; ``file`` is a name in the shared folder, voxels are in KJI order."""

    file: str
    dtype: str
    shape_kji: list[int]
    ijk_to_ras: list[list[float]]


def volume_to_file(volume: Volume, folder: Path, name: str) -> VolumeDescription:
    """Write the voxels into ``folder`` and return the description that ``volume_from_file`` needs."""
    return result_of(array_to_file_in_steps(volume.array_kji, volume.grid, folder, name))


def array_to_file_in_steps(
    array_kji: NDArray[Any], grid: Grid, folder: Path, name: str
) -> Generator[None, None, VolumeDescription]:
    """Like ``volume_to_file``, pausing every 8 MB; voxels of any number type keep their values."""
    dtype = array_kji.dtype
    if dtype.name not in _DTYPES:
        raise ValueError(f"Voxels of type {dtype} cannot be sent; convert the volume to float32.")
    with (folder / f"{name}.raw").open("wb") as stream:
        for part in _parts(array_kji):
            packed = (
                np.packbits(part) if dtype.kind == "b" else np.ascontiguousarray(part, dtype=dtype.newbyteorder("<"))
            )
            stream.write(packed)  # type: ignore[arg-type]
            yield
    return {
        "file": f"{name}.raw",
        "dtype": dtype.name,
        "shape_kji": list(grid.shape_kji),
        "ijk_to_ras": grid.ijk_to_ras.tolist(),
    }


def volume_from_file(description: VolumeDescription, folder: Path) -> Volume:
    """The volume that was written into ``folder``: a mask if it was bool, else float32.

    The file may be deleted afterwards. Raises ValueError when the file is missing or does not hold what the description
    says.
    """
    return result_of(volume_from_file_in_steps(description, folder))


def volume_from_file_in_steps(description: VolumeDescription, folder: Path) -> Generator[None, None, Volume]:
    """Like ``volume_from_file``, pausing every 8 MB: fresh memory takes the system longer than the reading."""
    name, dtype_name = description["file"], description["dtype"]
    if Path(name).name != name or dtype_name not in _DTYPES:
        raise ValueError(f'"{name}" of type "{dtype_name}" is no volume that was sent.')
    grid = Grid(tuple(description["shape_kji"]), np.array(description["ijk_to_ras"]))  # type: ignore[arg-type]
    path, is_mask = folder / name, dtype_name == "bool"
    dtype = np.dtype("uint8" if is_mask else dtype_name).newbyteorder("<")
    voxels = int(np.prod(grid.shape_kji))
    wanted = -(-voxels // 8) if is_mask else voxels * dtype.itemsize
    found = path.stat().st_size if path.is_file() else 0
    if found != wanted:
        raise ValueError(f'"{name}" holds {found} bytes, expected {wanted}; free space on the disk and repeat.')
    array_kji = np.empty(grid.shape_kji, dtype=bool if is_mask else np.float32)
    with path.open("rb") as stream:
        for part in _parts(array_kji):
            stored = np.fromfile(stream, dtype=dtype, count=-(-part.size // 8) if is_mask else part.size)
            part.reshape(-1)[...] = np.unpackbits(stored, count=part.size) if is_mask else stored
            yield
    return Volume(array_kji, grid)


def _parts(array_kji: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The array in steps of whole slices, of a mask so many that each step ends with a whole byte."""
    slices = max(1, _STEP_BYTES // max(1, array_kji[0].nbytes))
    slices += -slices % 8 if array_kji.dtype.kind == "b" else 0
    for first in range(0, len(array_kji), slices):
        yield array_kji[first : first + slices]
