"""DICOM images: the series of a folder, their slices put in order by position, and the grid the slices make."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dicomfile import damage_named, read_frames, read_header
from .slices import SliceGeometry, grid_of_slices
from .volume import Volume

_FORMATS_READ = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) and DICOM"

_log = logging.getLogger(__name__)

# Images by their tags, but not pictures of the patient: segmentations and dose maps.
_NOT_AN_IMAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.2")
_HEADER_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesDescription",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True)
class Series:
    """What a folder says of one image series; ``spacing_mm`` is between rows, between columns, None if not given."""

    uid: str
    modality: str
    description: str
    slices: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None

    def __str__(self) -> str:
        words = " ".join(word for word in (self.modality, self.description) if word) or "no description"
        return f"{self.uid} ({words}, {self.slices} {'slice' if self.slices == 1 else 'slices'})"


@dataclass(frozen=True, eq=False)
class _Slice:
    """One frame of one file: where it lies and where its pixels are."""

    path: Path
    frame: int
    geometry: SliceGeometry


def list_series(folder: Path | str) -> list[Series]:
    """Return the image series found in ``folder`` and its subfolders, by modality and description.

    Files that are not DICOM, and DICOM objects that are no images (segmentations, contours, reports), are passed over.
    Raises ValueError when the folder does not exist.
    """
    return [_describe(headers) for headers in _series_headers(Path(folder)).values()]


def read_dicom(path: Path | str, series: str | None = None) -> Volume:
    """Return the image of a DICOM file, or of a folder (and its subfolders) that holds the slices of one series.

    Slices are sorted by their position along the slice axis. The values are those after RescaleSlope and Intercept (or
    the modality table) of each slice. ``series`` chooses by SeriesInstanceUID. A gantry tilt is kept exactly, as
    sheared voxel axes, and logged. Raises ValueError, one sentence, when several series are there and none is chosen,
    when slices are missing, unevenly spaced, doubled or of different size or direction, when positions are not given,
    and when the pixels cannot be decoded.
    """
    path = Path(path)
    found = _series_headers(path)
    headers = _chosen(found, series, path)
    slices = [one for header in headers for one in _slices_of(header)]
    order, grid, notes = grid_of_slices([one.geometry for one in slices], str(path))
    for note in notes:
        _log.warning(note)
    array = np.empty(grid.shape_kji, dtype=np.float32)
    target = {(slices[index].path, slices[index].frame): k for k, index in enumerate(order)}
    for file in {one.path: None for one in slices}:
        for frame, pixels in enumerate(read_frames(file)):
            if (file, frame) in target:
                array[target[file, frame]] = pixels
    if not any(np.isfinite(pixels).any() for pixels in array):
        raise ValueError(f'"{path}" has no finite voxel: every value is NaN or infinite.')
    return Volume(array, grid)


def _series_headers(path: Path) -> dict[str, list[Any]]:
    """Image headers by SeriesInstanceUID, each instance once, series ordered by modality, description and UID."""
    if not path.exists():
        raise ValueError(f'"{path}" does not exist.')
    found: dict[str, dict[tuple[str, str], Any]] = defaultdict(dict)
    for header in _image_headers(_files(path)):
        with damage_named(Path(header.filename)):
            instance = (str(header.get("SOPInstanceUID")), str(header.get("ImagePositionPatient")))
        found[str(header.get("SeriesInstanceUID", ""))].setdefault(instance, header)
    series = [list(instances.values()) for instances in found.values()]
    series.sort(key=lambda headers: [str(headers[0].get(tag, "")) for tag in ("Modality", "SeriesDescription")])
    return {str(headers[0].get("SeriesInstanceUID", "")): headers for headers in series}


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _image_headers(files: Iterable[Path]) -> Iterator[Any]:
    for file in files:
        header = read_header(file, _HEADER_TAGS)
        with damage_named(file):
            if header is None or "Rows" not in header or header.get("SOPClassUID") in _NOT_AN_IMAGE:
                continue
            _describe([header])  # converts the values that are listed, so that damage is named here
        yield header


def _describe(headers: list[Any]) -> Series:
    first = headers[0]
    spacing = first.get("PixelSpacing")
    return Series(
        uid=str(first.get("SeriesInstanceUID", "")),
        modality=str(first.get("Modality", "")),
        description=str(first.get("SeriesDescription") or ""),
        slices=sum(_frame_count(header) for header in headers),
        rows=int(first.Rows),
        columns=int(first.Columns),
        spacing_mm=None if not spacing else (float(spacing[0]), float(spacing[1])),
    )


def _chosen(found: dict[str, list[Any]], series: str | None, path: Path) -> list[Any]:
    if not found:
        raise ValueError(_why_no_image(path))
    listed = "; ".join(str(_describe(headers)) for headers in found.values())
    if series is None and len(found) > 1:
        raise ValueError(f'"{path}" holds {len(found)} series, choose one by its UID: {listed}.')
    if series is not None and series not in found:
        raise ValueError(f'"{path}" holds no series "{series}"; it holds: {listed}.')
    return next(iter(found.values())) if series is None else found[series]


def _why_no_image(path: Path) -> str:
    modalities = sorted({modality for file in _files(path) if (modality := _modality(file)) is not None})
    if modalities:
        return f'"{path}" holds no DICOM image, only DICOM objects of other kinds ({", ".join(modalities)}).'
    return f'"{path}" {"holds no DICOM file" if path.is_dir() else "is not an image"}; formats read: {_FORMATS_READ}.'


def _modality(file: Path) -> str | None:
    header = read_header(file, ["Modality"])
    with damage_named(file):
        return None if header is None else str(header.get("Modality", "unknown"))


def _frame_count(header: Any) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _slices_of(header: Any) -> list[_Slice]:
    with damage_named(Path(header.filename)):
        return _slices(header)


def _slices(header: Any) -> list[_Slice]:
    """The slices of one file; a file of several frames gives one per frame, from its functional groups."""
    path = Path(header.filename)
    if int(header.get("SamplesPerPixel") or 1) > 1:
        raise ValueError(
            f'"{path}" is a color picture ({header.SamplesPerPixel} values per pixel), not an image volume.'
        )
    if "PerFrameFunctionalGroupsSequence" not in header:
        if _frame_count(header) > 1:
            raise ValueError(
                f'"{path}" has {_frame_count(header)} frames but does not say where each lies (no per-frame functional '
                "groups); export the series again as enhanced multi-frame or as single slices."
            )
        return [_Slice(path, 0, _geometry(header, [header]))]
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    groups = header.PerFrameFunctionalGroupsSequence
    if len(groups) != _frame_count(header):
        raise ValueError(f'"{path}" has {_frame_count(header)} frames but gives the place of {len(groups)}.')
    return [_Slice(path, frame, _geometry(header, _macros([group, *shared]))) for frame, group in enumerate(groups)]


def _macros(groups: list[Any]) -> list[Any]:
    """The items that give position, direction and spacing, those of the frame before the shared ones."""
    keywords = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return [group[keyword][0] for group in groups for keyword in keywords if group.get(keyword)]


def _geometry(header: Any, sources: list[Any]) -> SliceGeometry:
    def value(tag: str) -> Any:
        return next((source[tag].value for source in sources if source.get(tag) not in (None, "")), None)

    def numbers(tag: str, count: int) -> NDArray[np.float64]:
        found = value(tag)
        if found is None or len(found) != count:
            raise ValueError(
                f'"{header.filename}" does not say where it lies in the patient ({tag} is missing); '
                "it is a picture, not a slice of a volume."
            )
        return np.array([float(number) for number in found])

    depth_mm = next((abs(float(x)) for x in map(value, ("SpacingBetweenSlices", "SliceThickness")) if x), None)
    return SliceGeometry(
        origin_lps=numbers("ImagePositionPatient", 3),
        directions_lps=numbers("ImageOrientationPatient", 6).reshape(2, 3),
        pixel_spacing_mm=numbers("PixelSpacing", 2),
        rows=int(header.Rows),
        columns=int(header.Columns),
        depth_mm=depth_mm,
    )
