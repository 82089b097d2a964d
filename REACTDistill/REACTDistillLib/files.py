"""Reading and writing images: NIfTI, NRRD and MetaImage through SimpleITK, DICOM through ``dicom``."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .nifti import check_nifti_orientation, read_nifti_header, read_nifti_voxels
from .packed import check_packed
from .volume import Grid, Volume

READABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
# The formats of two files (.mhd, .nhdr) cannot appear in one step, so they are read but not written.
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_NRRD_SPACE = "left-posterior-superior"  # ITK turns the other patient spaces into this one, and says so


@dataclass(frozen=True, eq=False)
class ImageFile:
    """What is in a file: voxels as stored, (K, J, I) or (K, J, I, layers), their grid, Slicer's segment fields."""

    array: NDArray[Any]
    grid: Grid
    segment_fields: dict[str, str]


def read_volume(path: Path | str, *, series: str | None = None) -> Volume:
    """Return the image at ``path`` as float32 voxels (K, J, I) with its place in RAS mm.

    ``path`` is a NIfTI, NRRD or MetaImage file, a DICOM file, or a folder of DICOM files; ``series`` is the
    SeriesInstanceUID to take from a folder that holds several. Single NaN voxels are kept. Raises ValueError, one
    sentence, when the file is missing, damaged, of another format, not three-dimensional, of several values per voxel,
    without an orientation, or has no finite voxel.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f'"{path}" does not exist.')
    if path.is_dir() or image_suffix(path) is None:
        from .dicom import read_dicom

        return read_dicom(path, series)
    if series is not None:
        raise ValueError(f'"{path}" is not DICOM, so it has no series "{series}"; leave the series out.')
    image = read_image(path)
    if not any(np.isfinite(pixels).any() for pixels in image.array):
        raise ValueError(f'"{path}" has no finite voxel: every value is NaN or infinite.')
    return Volume(image.array.astype(np.float32, copy=False), image.grid)


def write_volume(volume: Volume, path: Path | str, *, notice: str = "") -> None:
    """Write ``volume`` to ``path``; the extension chooses the format (``WRITABLE_SUFFIXES``).

    A ``notice`` stands in the header of an NRRD file, where other formats have no place for it.

    Images are written as float32, masks as uint8 of 0 and 1 and packed. NRRD and MetaImage keep the grid to the last
    bit; NIfTI keeps it to the precision of float32 and cannot keep a sheared one. The file appears complete or not at
    all. Raises ValueError for another extension, a missing folder, a sheared grid in NIfTI, or when writing fails.
    """
    path = Path(path)
    pixels = volume.array_kji.astype(np.uint8) if volume.is_mask else volume.array_kji
    _write(pixels, volume.grid, path, compressed=volume.is_mask or image_suffix(path) == ".nii.gz", notice=notice)


def write_labels(labels_kji: NDArray[np.uint8], grid: Grid, path: Path | str, *, notice: str = "") -> None:
    """Write a label map, uint8 (K, J, I) on ``grid``, packed; otherwise as ``write_volume``."""
    _write(labels_kji, grid, Path(path), compressed=True, notice=notice)


def _write(pixels_kji: NDArray[Any], grid: Grid, path: Path, *, compressed: bool, notice: str) -> None:
    suffix = image_suffix(path)
    if suffix not in WRITABLE_SUFFIXES:
        raise ValueError(f'"{path}" cannot be written: its name must end in {", ".join(WRITABLE_SUFFIXES)}.')
    if not path.parent.is_dir():
        raise ValueError(f'"{path}" cannot be written: the folder "{path.parent}" does not exist.')
    if suffix in (".nii", ".nii.gz") and _is_sheared(grid):
        raise ValueError(f'"{path}" cannot be written: NIfTI cannot hold sheared voxel axes, use .nrrd.')
    image = _image_of(pixels_kji, grid)
    if notice:
        image.SetMetaData("notice", notice)
    # A folder of its own keeps the extension, which chooses the format, in the temporary name.
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / f"volume{suffix}"
        try:
            sitk.WriteImage(image, str(temporary), compressed)
        except RuntimeError as error:
            raise ValueError(f'"{path}" cannot be written; is the disk full or the folder read-only?') from error
        os.replace(temporary, path)


def image_suffix(path: Path) -> str | None:
    """The extension of ``path`` among ``READABLE_SUFFIXES``, in lower case, or None."""
    name = path.name.lower()
    return next((suffix for suffix in READABLE_SUFFIXES if name.endswith(suffix)), None)


def read_image(path: Path, *, max_layers: int = 1) -> ImageFile:
    """Return what is in a NIfTI, NRRD or MetaImage file.

    ``max_layers`` is how many values a voxel may have. Raises ValueError as ``read_volume`` does.
    """
    header = read_nifti_header(path) if image_suffix(path) in (".nii", ".nii.gz") else None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_shape(reader, path, max_layers)
        grid = _grid_of(reader, path)
        if header is None:
            check_packed(path)
            return ImageFile(_voxels(reader.Execute()), grid, {key: reader.GetMetaData(key) for key in _keys(reader)})
    except RuntimeError as error:
        raise ValueError(_why_unreadable(path, str(error))) from error
    check_nifti_orientation(header, grid)
    return ImageFile(read_nifti_voxels(header), grid, {})


def _keys(reader: sitk.ImageFileReader) -> list[str]:
    return [key for key in reader.GetMetaDataKeys() if key.startswith("Segment")]


def _voxels(image: sitk.Image) -> NDArray[Any]:
    array = sitk.GetArrayFromImage(image)
    return array[0] if image.GetDimension() == 4 else array


def _grid_of(reader: sitk.ImageFileReader, path: Path) -> Grid:
    dimensions = len(reader.GetSize())
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(reader.GetDirection()).reshape(dimensions, dimensions)[:3, :3] * reader.GetSpacing()[:3]
    matrix[:3, 3] = reader.GetOrigin()[:3]
    try:
        return Grid.from_lps(reader.GetSize()[2::-1], matrix)
    except ValueError as error:
        raise ValueError(f'"{path}" has no usable geometry: {error}') from error


def _check_shape(reader: sitk.ImageFileReader, path: Path, max_layers: int) -> None:
    size, layers = reader.GetSize(), reader.GetNumberOfComponents()
    if layers > max_layers or "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise ValueError(f'"{path}" has {layers} values per voxel (colors, vectors or complex numbers); one is needed.')
    if len(size) == 4 and size[3] > 1:
        raise ValueError(f'"{path}" holds {size[3]} volumes (4-D); extract the one to use into a file of its own.')
    if len(size) not in (3, 4):
        raise ValueError(f'"{path}" has {len(size)} dimensions, a volume has 3.')
    if image_suffix(path) in (".nrrd", ".nhdr"):
        space = reader.GetMetaData("NRRD_space") if reader.HasMetaDataKey("NRRD_space") else "none"
        if space != _NRRD_SPACE:
            raise ValueError(
                f'"{path}" does not say how it lies in the patient (NRRD space: {space}); '
                f"save it again with the space {_NRRD_SPACE}."
            )


def _why_unreadable(path: Path, itk_message: str) -> str:
    if "orthonormal" in itk_message:
        return f'"{path}" has sheared or parallel voxel axes (its sform is no rotation); resample it to a plain grid.'
    return f'"{path}" cannot be read: it is damaged, incomplete or not a {image_suffix(path)} image.'


def _is_sheared(grid: Grid) -> bool:
    directions = grid.ijk_to_ras[:3, :3] / grid.spacing_ijk_mm
    return not np.allclose(directions.T @ directions, np.eye(3), rtol=0, atol=1e-4)


def _image_of(pixels_kji: NDArray[Any], grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(pixels_kji)
    spacing = grid.spacing_ijk_mm
    matrix = grid.ijk_to_lps
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    return image
