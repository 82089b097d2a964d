"""NIfTI-1 files made byte by byte, so that tests do not rest on the library that they test."""

from __future__ import annotations

import struct

import numpy as np


def nifti_bytes(
    array_kji: np.ndarray,
    *,
    sform: np.ndarray | None = None,
    quaternion_offset: tuple[float, ...] | None = None,
    spacing_ijk: tuple[float, ...] = (1.0, 1.0, 1.0),
    qfac: float = 1.0,
    order: str = "<",
    extension: bytes = b"",
    dim: tuple[int, ...] | None = None,
    slope_intercept: tuple[float, float] = (1.0, 0.0),
) -> bytes:
    """A single-file NIfTI-1 image; ``sform`` is 3x4 in RAS mm, ``quaternion_offset`` is b, c, d and the RAS origin."""
    code, bits = {"int16": (4, 16), "float32": (16, 32), "uint8": (2, 8)}[array_kji.dtype.name]
    header = bytearray(348)

    def put(offset: int, form: str, *values: float) -> None:
        struct.pack_into(order + form, header, offset, *values)

    put(0, "i", 348)
    sizes = dim or (array_kji.ndim, *array_kji.shape[::-1])
    put(40, "8h", *(*sizes, *[1] * (8 - len(sizes))))
    put(70, "2h", code, bits)
    put(76, "8f", qfac, *spacing_ijk, 0, 0, 0, 0)
    put(108, "3f", 352 + len(extension), *slope_intercept)
    if quaternion_offset is not None:
        put(252, "h", 1)
        put(256, "6f", *quaternion_offset)
    if sform is not None:
        put(254, "h", 1)
        put(280, "12f", *np.ravel(sform))
    header[344:348] = b"n+1\0"
    flag = b"\1\0\0\0" if extension else b"\0\0\0\0"
    return bytes(header) + flag + extension + array_kji.astype(array_kji.dtype.newbyteorder(order)).tobytes()


def parsed_nifti(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(voxels as float64 (K, J, I), sform 3x4) of an unpacked three-dimensional NIfTI-1 file, read independently."""
    order = "<" if struct.unpack_from("<i", content)[0] == 348 else ">"
    dim = struct.unpack_from(order + "8h", content, 40)
    dtype = {2: "u1", 4: "i2", 16: "f4"}[struct.unpack_from(order + "h", content, 70)[0]]
    start, slope, intercept = struct.unpack_from(order + "3f", content, 108)
    voxels = np.frombuffer(content, order + dtype, count=int(np.prod(dim[1:4])), offset=int(start))
    scaled = voxels.astype(np.float64) * (slope or 1.0) + intercept
    return scaled.reshape(dim[3:0:-1]), np.array(struct.unpack_from(order + "12f", content, 280)).reshape(3, 4)
