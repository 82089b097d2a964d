"""The voxels of a NIfTI image, and a check that its orientation is what every reader takes it for.

ITK reads the geometry, as it does in 3D Slicer. The voxels are read here, because ITK turns NaN into 0, fills what a
truncated file lacks with arbitrary numbers, and can write past the end of its memory on several values per voxel.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .volume import Grid

_NIFTI1 = {
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "vox_offset": ("f4", 108),
    "scl_slope": ("f4", 112),
    "scl_inter": ("f4", 116),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "srow": ("(3,4)f4", 280),
}
_NIFTI2 = {
    "datatype": ("i2", 12),
    "dim": ("8i8", 16),
    "vox_offset": ("i8", 168),
    "scl_slope": ("f8", 176),
    "scl_inter": ("f8", 184),
    "qform_code": ("i4", 344),
    "sform_code": ("i4", 348),
    "srow": ("(3,4)f8", 400),
}
_LAYOUTS = {348: _NIFTI1, 540: _NIFTI2}  # by the size of the header, which is its first number
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_VOXELS_OF_DISAGREEMENT = 0.1
_CHUNK_BYTES = 1 << 20
_MAX_OFFSET = 1 << 40
_MAX_PACKING = 1100  # gzip makes nothing smaller than this; so a damaged size asks for no memory


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """The fields used here, checked: the image is three-dimensional and has one real number per voxel."""

    path: Path
    shape_kji: tuple[int, int, int]
    dtype: np.dtype[Any]
    first_byte: int
    slope: float
    intercept: float
    has_qform: bool
    sform: NDArray[np.float64] | None  # 3x4, voxel index to RAS mm


def read_nifti_header(path: Path) -> NiftiHeader:
    """Return the header of a .nii or .nii.gz file, version 1 or 2, either byte order.

    Raises ValueError for what is no NIfTI image, for other than three dimensions (further ones of size 1 are fine), and
    for colors and complex numbers.
    """
    fields, order = _fields(path)
    datatype = int(fields["datatype"])
    if datatype not in _DTYPES:
        raise ValueError(
            f'"{path}" has voxels of NIfTI type {datatype} (color, complex or bits); real numbers are read.'
        )
    if not min(_LAYOUTS) <= fields["vox_offset"] < _MAX_OFFSET:
        raise ValueError(f'"{path}" is damaged: its NIfTI header puts the first voxel at byte {fields["vox_offset"]}.')
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    scaled = bool(np.isfinite((slope, intercept)).all()) and slope != 0
    return NiftiHeader(
        path,
        _shape_kji(fields["dim"].tolist(), path),
        np.dtype(order + _DTYPES[datatype]),
        int(fields["vox_offset"]),
        slope if scaled else 1.0,
        intercept if scaled else 0.0,
        bool(fields["qform_code"] > 0),
        fields["srow"].astype(np.float64) if fields["sform_code"] > 0 else None,
    )


def read_nifti_voxels(header: NiftiHeader) -> NDArray[Any]:
    """Return the voxels (K, J, I), as stored where no scale applies, else scaled as float32.

    Raises ValueError when the file ends before its last voxel.
    """
    needed_bytes = int(np.prod(header.shape_kji, dtype=object)) * header.dtype.itemsize
    if needed_bytes > _MAX_PACKING * header.path.stat().st_size:
        raise ValueError(f'"{header.path}" ends before its last voxel: copy or download it again.')
    raw = np.empty(header.shape_kji, dtype=header.dtype)
    rest = raw.reshape(-1).view(np.uint8).data
    try:
        with _opened(header.path) as stream:
            stream.seek(header.first_byte)
            while rest and (count := stream.readinto(rest[:_CHUNK_BYTES])):
                rest = rest[count:]
            while stream.read(_CHUNK_BYTES):  # only at the end of a packed file its checksum is looked at
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f'"{header.path}" cannot be unpacked to its end: copy or download it again.') from error
    if rest:
        raise ValueError(f'"{header.path}" ends before its last voxel: copy or download it again.')
    if (header.slope, header.intercept) == (1.0, 0.0):
        return raw
    scaled = np.empty(raw.shape, dtype=np.float32)
    for k, pixels in enumerate(raw):
        scaled[k] = pixels * header.slope + header.intercept
    return scaled


def check_nifti_orientation(header: NiftiHeader, grid: Grid) -> None:
    """Raise ValueError when the header gives no orientation, or one that ``grid``, as ITK reads it, does not follow.

    ITK takes the sform only if it is free of shear and follows the voxel sizes, and else silently the qform; other
    readers always take the sform. A file that both see alike is accepted, to a tenth of a voxel at each corner.
    """
    if header.sform is None:
        if not header.has_qform:
            raise ValueError(
                f'"{header.path}" does not say how it lies in the patient (qform and sform codes are both 0); '
                "convert it again from its source with a tool that keeps the orientation."
            )
        return
    corners = grid.corners_ras()
    by_sform = grid.to_ijk(corners) @ header.sform[:, :3].T + header.sform[:, 3]
    apart_mm = np.linalg.norm(by_sform - corners, axis=1).max()
    if not apart_mm <= _VOXELS_OF_DISAGREEMENT * grid.spacing_ijk_mm.min():
        raise ValueError(
            f'"{header.path}" gives its position twice (sform; qform and voxel sizes), {apart_mm:.0f} mm apart; '
            "make them agree with a NIfTI tool, or convert the image again from its source."
        )


def _fields(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """The header fields of ``_NIFTI1`` or ``_NIFTI2`` by name, and the byte order."""
    block = _first_bytes(path, max(_LAYOUTS))
    for order in ("<", ">"):
        size = int(np.frombuffer(block, order + "i4", count=1)[0]) if len(block) >= 4 else 0
        if size in _LAYOUTS and len(block) >= size:
            layout = _LAYOUTS[size]
            formats, offsets = zip(*layout.values(), strict=True)
            fields = np.dtype({"names": list(layout), "formats": formats, "offsets": offsets, "itemsize": size})
            record = np.frombuffer(block, fields.newbyteorder("<" if order == "<" else ">"), count=1)[0]
            return {name: np.asarray(record[name]) for name in layout}, order
    raise ValueError(f'"{path}" is not a NIfTI image.')


def _shape_kji(dim: list[int], path: Path) -> tuple[int, int, int]:
    """The sizes of slices, rows and columns from the field ``dim``: number of dimensions, then sizes."""
    count, sizes = dim[0], dim[1 : dim[0] + 1]
    if not 1 <= count <= 7 or min(sizes) < 1:
        raise ValueError(f'"{path}" is damaged: its NIfTI header gives the sizes {dim}.')
    if count < 3:
        raise ValueError(f'"{path}" has {count} dimensions, a volume has 3.')
    if count > 3 and sizes[3] > 1:
        raise ValueError(f'"{path}" holds {sizes[3]} volumes (4-D); extract the one to use into a file of its own.')
    if max(sizes[3:], default=1) > 1:
        raise ValueError(f'"{path}" has {max(sizes[3:])} values per voxel (colors or vectors); one is needed.')
    return sizes[2], sizes[1], sizes[0]


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with _opened(path) as stream:
            return stream.read(count)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f'"{path}" is not a NIfTI image: it cannot be unpacked.') from error


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")
