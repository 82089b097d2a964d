"""Region masks by name: label maps, one file per region, DICOM SEG and DICOM RTSTRUCT."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contours import contour_masks
from .dicom import read_dicom
from .dicomfile import damage_named, read_header
from .files import image_suffix, read_image
from .volume import Grid, Volume

_log = logging.getLogger(__name__)
_SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map segmentation
_RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_MAX_LABEL = 65535
# More values than any anatomical label map has: such a file is an image.
_MAX_LABEL_COUNT = 1000
_MAX_LAYERS = 1000
_FRACTION_INSIDE = 0.5
# Liver and tumors in one label map are often joined on purpose; more values than that are rarely one organ.
_FEW_REGIONS = 4
_MOST_LISTED = 12


@dataclass(frozen=True, eq=False)
class _Region:
    """One region of a file: its name, its label value (None where the format has none) and how to get its mask."""

    name: str
    value: int | None
    mask: Callable[[], Volume]


def read_masks(
    path: Path | str, *, names: Mapping[int, str] | None = None, reference: Volume | None = None
) -> dict[str, Volume]:
    """Return the region masks at ``path`` by name, as bool volumes (K, J, I), each with its own place in RAS mm.

    ``path`` may be a label map (one region per value above 0), a Slicer segmentation (.seg.nrrd, segments may
    overlap), a DICOM SEG (a fractional one is cut at 0.5), a DICOM RTSTRUCT, or a folder of these, or a folder that
    holds one image file or one folder of DICOM slices per region. A region is named by ``names`` (label value, segment
    or ROI number to name), else by the file, else ``label_<value>``; in a folder each file or subfolder of one region
    gives it its own name. Regions of one name are joined. ``reference`` is the image on which an RTSTRUCT was drawn;
    its contours become masks on that grid (see ``contours``). Raises ValueError, one sentence, for values that are no
    labels, when nothing is marked, when a name stands for masks on different grids, and as ``read_volume`` does.
    """
    path = Path(path)
    by_name: dict[str, list[_Region]] = {}
    for region in _found_regions(path, reference):
        name = region.name if names is None or region.value is None else names.get(region.value, region.name)
        by_name.setdefault(name, []).append(region)
    return {name: _union(regions, path) for name, regions in by_name.items()}


def read_region(specification: str, *, reference: Volume | None = None) -> Volume:
    """Return the mask of ``PATH`` (all that is marked) or ``PATH:NAME[,NAME...]`` (names or label values).

    Names are compared without regard to case. A specification that exists as a path is a path; else it is split at its
    last colon. ``reference`` as in ``read_masks``. Many regions joined without being named, as from a label map of many
    organs, are logged as a warning. Raises ValueError when a name is not there, listing those that are, and as
    ``read_masks`` does.
    """
    path, wanted = _split(specification)
    regions = _found_regions(path, reference)
    if wanted:
        regions = [region for name in wanted for region in _named(regions, name, path)]
    elif len(regions) > _FEW_REGIONS:
        _log.warning('A file of %d regions: all are joined; name the one to use, as "FILE:NAME".', len(regions))
    return _union(regions, path)


def _split(specification: str) -> tuple[Path, list[str]]:
    whole = Path(specification)
    head, colon, tail = specification.rpartition(":")
    if whole.exists() or not colon or not Path(head).exists():
        return whole, []
    wanted = [name.strip() for name in tail.split(",") if name.strip()]
    if not wanted:
        raise ValueError(f'"{specification}" names no region after the colon.')
    return Path(head), wanted


def _named(regions: list[_Region], name: str, path: Path) -> list[_Region]:
    found = [region for region in regions if region.name.casefold() == name.casefold()]
    found = found or [region for region in regions if str(region.value) == name]
    if not found:
        listed = ", ".join(
            region.name if region.value is None else f"{region.name} ({region.value})"
            for region in regions[:_MOST_LISTED]
        )
        if len(regions) > _MOST_LISTED:
            listed += f" and {len(regions) - _MOST_LISTED} more"
        raise ValueError(f'"{path}" has no region "{name}"; it has: {listed}.')
    return found


def _union(regions: Iterable[_Region], path: Path) -> Volume:
    """All voxels of at least one region; one mask at a time is in memory beside the union."""
    masks = (region.mask() for region in regions)
    union = next(masks)
    for mask in masks:
        if not union.grid.same_as(mask.grid):
            raise ValueError(f'"{path}" has masks on different grids, which cannot be joined; name one region.')
        union = Volume(np.logical_or(union.array_kji, mask.array_kji), union.grid)
    return union


def _found_regions(path: Path, reference: Volume | None) -> list[_Region]:
    if not path.exists():
        raise ValueError(f'"{path}" does not exist.')
    regions = _folder_regions(path, reference) if path.is_dir() else _file_regions(path, reference)
    if not regions:
        raise ValueError(f'"{path}" marks no region: it is empty; draw it, or leave it out if there is none.')
    return regions


def _file_regions(path: Path, reference: Volume | None) -> list[_Region]:
    if image_suffix(path) is not None:
        return _label_map_regions(path)
    header = read_header(path, ["SOPClassUID"])
    kind = None if header is None else header.get("SOPClassUID")
    if kind in _SEG_CLASSES:
        return _dicom_seg_regions(path)
    if kind == _RTSTRUCT_CLASS:
        masks = contour_masks(path, reference)
        return [_Region(name, number, lambda mask=mask: mask) for number, name, mask in masks]  # type: ignore[misc]
    return _slice_regions(path)


def _folder_regions(folder: Path, reference: Volume | None) -> list[_Region]:
    """Regions of each image file, subfolder of slices, SEG and RTSTRUCT, or of the slices lying in ``folder``."""
    regions: list[_Region] = []
    slices = False
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            regions.append(_only_region(entry.name, _slice_regions(entry), entry))
        elif image_suffix(entry) is not None:
            stem = entry.name[: -len(image_suffix(entry) or "")]
            regions.append(_only_region(stem, _label_map_regions(entry), entry))
        else:
            header = read_header(entry, ["SOPClassUID"])
            kind = None if header is None else header.get("SOPClassUID")
            if kind in (*_SEG_CLASSES, _RTSTRUCT_CLASS):
                regions += _file_regions(entry, reference)
            slices = slices or (header is not None and kind not in (*_SEG_CLASSES, _RTSTRUCT_CLASS))
    return regions + (_slice_regions(folder) if slices and not regions else [])


def _only_region(name: str, regions: list[_Region], path: Path) -> _Region:
    if len(regions) != 1:
        what = "marks nothing" if not regions else f"has {len(regions)} label values"
        raise ValueError(f'"{path}" {what}; in a folder of masks each file marks one region with one value.')
    return _Region(name, None, regions[0].mask)


def _slice_regions(path: Path) -> list[_Region]:
    """Regions of DICOM image slices that hold labels; a single value, such as 255, takes the name of file or folder."""
    volume = read_dicom(path)
    labels = _labels(volume.array_kji, path)
    values = _values(labels, path)
    names = {value: path.stem if path.is_file() else path.name for value in values} if len(values) == 1 else {}
    return _by_value(labels, volume.grid, values, names)


def _label_map_regions(path: Path) -> list[_Region]:
    image = read_image(path, max_layers=_MAX_LAYERS)
    layers = image.array.reshape(*image.array.shape[:3], -1)  # (K, J, I, layers)
    if layers.shape[3] > 1 and "Segment0_Name" not in image.segment_fields:
        raise ValueError(f'"{path}" has {layers.shape[3]} values per voxel and is no Slicer segmentation (.seg.nrrd).')
    names = _segment_names(image.segment_fields, layers.shape[3])
    regions = []
    for layer in range(layers.shape[3]):
        labels = _labels(layers[..., layer], path)
        regions += _by_value(labels, image.grid, _values(labels, path), names.get(layer, {}))
    return regions


def _segment_names(fields: Mapping[str, str], layer_count: int) -> dict[int, dict[int, str]]:
    """Segment name by layer and label value, from the fields that Slicer writes into a .seg.nrrd."""
    names: dict[int, dict[int, str]] = {}
    index = 0
    while (name := fields.get(f"Segment{index}_Name")) is not None:
        # Files written before layers existed give one layer to each segment, or one value to each.
        layer = int(fields.get(f"Segment{index}_Layer", index if layer_count > 1 else 0))
        value = int(fields.get(f"Segment{index}_LabelValue", 1 if layer_count > 1 else index + 1))
        names.setdefault(layer, {})[value] = name
        index += 1
    return names


def _labels(array: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    """``array`` as uint16 labels, converted slice by slice so that no second image is needed."""
    labels = np.empty(array.shape, dtype=np.uint16)
    for k, pixels in enumerate(array):
        low, high = pixels.min(), pixels.max()
        if not (low >= 0 and high <= _MAX_LABEL) or (pixels.dtype.kind == "f" and (pixels != np.rint(pixels)).any()):
            raise ValueError(
                f'"{path}" is no label map: it has values that are not whole numbers from 0 to {_MAX_LABEL} '
                f"({low:g} to {high:g} in slice {k})."
            )
        labels[k] = pixels
    return labels


def _values(labels: NDArray[np.uint16], path: Path) -> list[int]:
    """The label values above 0 that occur."""
    counts = np.zeros(_MAX_LABEL + 1, dtype=bool)
    for pixels in labels:
        counts |= np.bincount(pixels.ravel(), minlength=_MAX_LABEL + 1) > 0
    values = np.flatnonzero(counts[1:]) + 1
    if len(values) > _MAX_LABEL_COUNT:
        raise ValueError(f'"{path}" has {len(values)} different values: it is an image, not a label map.')
    return [int(value) for value in values]


def _by_value(labels: NDArray[np.uint16], grid: Grid, values: list[int], names: Mapping[int, str]) -> list[_Region]:
    def region(value: int) -> _Region:
        return _Region(names.get(value, f"label_{value}"), value, lambda: Volume(labels == value, grid))

    return [region(value) for value in values]


def _dicom_seg_regions(path: Path) -> list[_Region]:
    import highdicom

    with damage_named(path):
        segmentation = highdicom.seg.segread(path)
        numbers = [int(number) for number in segmentation.segment_numbers]
        labels = {number: segmentation.get_segment_description(number).segment_label for number in numbers}
        if segmentation.get_volume_geometry(allow_missing_positions=True) is None:
            raise ValueError(f'"{path}" is a DICOM SEG whose frames make no regular grid; export it again.')
        masks = {number: _segment_mask(segmentation, number) for number in numbers}
    return [
        _Region(labels[number], number, lambda mask=mask: mask)  # type: ignore[misc]
        for number, mask in masks.items()
        if mask.array_kji.any()
    ]


def _segment_mask(segmentation: Any, number: int) -> Volume:
    volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False)
    array = volume.array[..., 0] >= _FRACTION_INSIDE
    matrix = volume.affine[:, [2, 1, 0, 3]]  # highdicom orders its axes as the array has them: K, J, I
    if np.linalg.det(matrix[:3, :3]) < 0:
        # K runs along row x column, as for an image read from DICOM, so that both have the same grid.
        matrix = matrix @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, len(array) - 1], [0, 0, 0, 1]])
        array = np.ascontiguousarray(array[::-1])
    return Volume(array, Grid.from_lps(array.shape, matrix))
