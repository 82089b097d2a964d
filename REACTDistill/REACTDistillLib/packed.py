"""A check of the packed voxels of NRRD and MetaImage files against their checksum, at which ITK does not look."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_CHUNK_BYTES = 1 << 20
_LONGEST_HEADER = 1 << 20


def check_packed(path: Path) -> None:
    """Raise ValueError when the packed voxels of a .nrrd or .mha file do not unpack to what was packed.

    Files that are not packed have no checksum and pass, as do those whose voxels lie in a file of their own.
    """
    with path.open("rb") as stream:
        if _is_packed(stream, path.suffix.lower()) and not _is_sound(stream):
            raise ValueError(f'"{path}" cannot be unpacked to its end: copy or download it again.')


def _is_packed(stream: BinaryIO, suffix: str) -> bool:
    """Read the header; true when what follows it in the stream is packed."""
    separator = {".nrrd": ":", ".mha": "="}.get(suffix)
    if separator is None:
        return False
    fields: dict[str, str] = {}
    while stream.tell() < _LONGEST_HEADER and (line := stream.readline(_LONGEST_HEADER)):
        key, _, value = line.decode("latin-1").strip().partition(separator)
        fields[key.strip().lower()] = value.strip().lower()
        if key.strip() in ("", "ElementDataFile"):  # the last line of a header of NRRD and of MetaImage
            break
    if suffix == ".mha":
        return fields.get("compresseddata") == "true" and fields.get("elementdatafile") == "local"
    skips = {"line skip", "byte skip", "lineskip", "byteskip", "data file", "datafile"}
    return fields.get("encoding") in ("gzip", "gz") and not skips & set(fields)


def _is_sound(stream: BinaryIO) -> bool:
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        while not unpacking.eof:
            packed = unpacking.unconsumed_tail or stream.read(_CHUNK_BYTES)
            if not packed:
                return False
            unpacking.decompress(packed, _CHUNK_BYTES)
    except zlib.error:
        return False
    return True
