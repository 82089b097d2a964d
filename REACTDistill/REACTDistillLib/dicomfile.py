"""One DICOM file: its tags and its pixels, with one sentence when it is damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from numpy.typing import NDArray

# What pydicom raises on damaged tags; it converts a value when it is first asked for, so each access may raise.
_SIGNS_OF_DAMAGE = (
    AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError,
    struct.error,
)  # fmt: skip


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what pydicom raises on a damaged file into one ValueError that names ``path``; ours pass unchanged."""
    import pydicom

    try:
        yield
    except (*_SIGNS_OF_DAMAGE, pydicom.errors.BytesLengthException) as error:
        if isinstance(error, ValueError) and str(error).startswith(f'"{path}"'):
            raise
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(f'"{path}" cannot be read: {error.strerror}.') from error
        raise ValueError(f'"{path}" is a damaged DICOM file; copy or export it again.') from error


def read_header(path: Path, tags: list[str] | None = None) -> Any | None:
    """The tags of a DICOM file without its pixels as a pydicom dataset, or None when ``path`` is no DICOM file."""
    import pydicom

    with damage_named(path):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        except (pydicom.errors.InvalidDicomError, EOFError):
            return None
        header.filename = str(path)
        return header


def read_frames(path: Path) -> Iterator[NDArray[Any]]:
    """Yield the pixels of each frame of a file, shape (rows, columns), after rescale or modality table.

    Raises ValueError when the file is damaged or compressed in a way that neither pydicom nor ITK decodes here.
    """
    with damage_named(path):
        yield from _decoded_frames(path)


def _decoded_frames(path: Path) -> Iterator[NDArray[Any]]:
    import pydicom
    from pydicom.pixels import get_decoder

    dataset = pydicom.dcmread(path)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise ValueError(f'"{path}" does not say how its pixels are stored (TransferSyntaxUID is missing).')
    try:
        decodable = get_decoder(syntax).is_available
    except NotImplementedError:
        decodable = False
    if not decodable:
        # The decoders of ITK cover lossless JPEG, common in CT archives, which pydicom has only with further packages.
        yield _frame_by_itk(path, syntax.name)
        return
    try:
        pixels = dataset.pixel_array
    except (ValueError, AttributeError, RuntimeError, EOFError) as error:
        raise ValueError(f'"{path}" is damaged: its pixels cannot be decoded ({syntax.name}).') from error
    pixels = pixels.reshape(-1, dataset.Rows, dataset.Columns)
    for frame in range(len(pixels)):
        yield _rescaled(pixels[frame], dataset, frame)


def _rescaled(pixels: NDArray[Any], dataset: Any, frame: int) -> NDArray[Any]:
    from pydicom.pixels import apply_modality_lut

    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    candidates = ([groups[frame]] if groups else []) + list(dataset.get("SharedFunctionalGroupsSequence") or [])
    for group in candidates:
        if group.get("PixelValueTransformationSequence"):
            return apply_modality_lut(pixels, group.PixelValueTransformationSequence[0])
    return apply_modality_lut(pixels, dataset)


def _frame_by_itk(path: Path, syntax: str) -> NDArray[Any]:
    try:
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise ValueError(
            f'"{path}" is compressed in a way that cannot be decoded here ({syntax}); export it uncompressed.'
        ) from error
    if len(array) != 1:
        # ITK rescales all frames alike, which is wrong where each has its own scale.
        raise ValueError(f'"{path}" has several frames and a compression ({syntax}) not read with them; uncompress it.')
    return array[0]
