"""Where a student sees each region of a case, and its files: one label map, or a mask for each region."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import read_image, read_volume, write_labels, write_volume
from .geometry import box_within
from .tumorlabels import DEFAULT, NESTED, labels_of_masks, masks_of_labels
from .volume import Box, Grid, Volume

LABEL_MAP = "segmentation.nrrd"
_FILE_NAME = re.compile(r"segmentation\.nrrd|(mask|probability)_\w+\.nrrd")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a student segments in a case.

    ``masks`` (bool) by class in the order of the card, all on one grid: that of the reference image, cropped to a box
    outside which there is nothing. WT, TC and ET are nested: ET in TC in WT. ``probability_maps`` (0 to 1) on the same
    grid, as the network gave them, or None. ``volumes_ml`` of the masks. ``expectation`` is what the card tells of
    these sequences (``expectation.Expectation`` as JSON), or None. Raises ValueError when the masks are not of one grid
    or a volume is missing.
    """

    masks: dict[str, Volume]
    probability_maps: dict[str, Volume] | None
    volumes_ml: dict[str, float]
    expectation: dict[str, Any] | None

    def __post_init__(self) -> None:
        if not self.masks or set(self.volumes_ml) != set(self.masks):
            raise ValueError(f"A segmentation of {', '.join(self.masks) or 'nothing'} needs a volume in ml for each.")
        for name, volume in [*self.masks.items(), *(self.probability_maps or {}).items()]:
            if not volume.grid.same_as(self.grid):
                raise ValueError(f'"{name}" does not lie on the grid of the other regions.')

    @property
    def grid(self) -> Grid:
        """The grid of masks and probability maps."""
        return next(iter(self.masks.values())).grid

    def box_in(self, whole: Grid) -> Box:
        """The box of the reference image that masks and maps fill; ValueError when their voxels are not its voxels."""
        box = box_within(self.grid, whole)
        if box is None:
            raise ValueError("The voxels of the masks are not voxels of the reference image.")
        return box

    def to_json(self, whole: Grid) -> dict[str, Any]:
        """All but the voxels, with the box of the grid ``whole`` that they fill."""
        box = self.box_in(whole)
        return {
            "classes": list(self.masks),
            "nested": [name for name in NESTED if name in self.masks],
            "volumes_ml": self.volumes_ml,
            "expectation": self.expectation,
            "box_kji": [box.lower_kji, box.upper_kji],
        }

    @classmethod
    def from_json(
        cls, header: Mapping[str, Any], masks: dict[str, Volume], probability_maps: dict[str, Volume] | None
    ) -> Segmentation:
        """The Segmentation that ``to_json`` described, with its voxels."""
        return cls(masks, probability_maps, dict(header["volumes_ml"]), header["expectation"])


def is_segmentation_file(name: str) -> bool:
    """True for the name of a file that ``write_segmentation`` may write."""
    return _FILE_NAME.fullmatch(name) is not None


def write_segmentation(
    segmentation: Segmentation, whole: Grid, folder: Path, *, convention: str = DEFAULT, notice: str = ""
) -> dict[str, Any]:
    """Write masks and probability maps with all voxels of ``whole``; return what ``read_segmentation`` needs.

    WT, TC and ET become one label map, ``segmentation.nrrd``, in the ``convention`` of that name (see
    ``tumorlabels``); regions of another kind become one mask each. The ``notice`` stands in every
    header. Raises ValueError for an unknown convention.
    """
    box = segmentation.box_in(whole)
    arrays = {name: mask.array_kji.astype(bool, copy=False) for name, mask in segmentation.masks.items()}
    files: dict[str, Any] = {"label_map": None, "convention": None, "masks": None, "probability_maps": None}
    if set(arrays) == set(NESTED):
        labels = _whole(labels_of_masks(arrays, convention), box, whole)
        write_labels(labels, whole, folder / LABEL_MAP, notice=notice)
        files |= {"label_map": LABEL_MAP, "convention": convention}
    else:
        files["masks"] = _written(segmentation.masks, "mask", box, whole, folder, notice)
    if segmentation.probability_maps is not None:
        files["probability_maps"] = _written(segmentation.probability_maps, "probability", box, whole, folder, notice)
    return files


def read_segmentation(folder: Path, header: Mapping[str, Any]) -> Segmentation:
    """The Segmentation in a folder; ``header`` is that of ``to_json`` with "files" of ``write_segmentation``."""
    files, (lower_kji, upper_kji) = header["files"], header["box_kji"]
    box = Box(tuple(lower_kji), tuple(upper_kji))
    if files["label_map"] is None:
        whole = _read(files["masks"], folder)
        masks = {name: Volume(volume.array_kji > 0, volume.grid).cropped(box) for name, volume in whole.items()}
    else:
        image = read_image(folder / files["label_map"])
        arrays = masks_of_labels(image.array[box.slices], files["convention"])
        masks = {name: Volume(arrays[name], image.grid.cropped(box)) for name in header["classes"]}
    maps = None
    if files["probability_maps"] is not None:
        maps = {name: volume.cropped(box) for name, volume in _read(files["probability_maps"], folder).items()}
    return Segmentation.from_json(header, masks, maps)


def _written(
    volumes: Mapping[str, Volume], kind: str, box: Box, whole: Grid, folder: Path, notice: str
) -> dict[str, str]:
    names = {name: f"{kind}_{_word(name, number)}.nrrd" for number, name in enumerate(volumes, start=1)}
    for name, volume in volumes.items():
        write_volume(Volume(_whole(volume.array_kji, box, whole), whole), folder / names[name], notice=notice)
    return names


def _word(name: str, number: int) -> str:
    """The name of a class as part of a file name."""
    word = re.sub(r"\W", "_", name)
    return word if word == name else f"{word}_{number}"


def _read(names: Mapping[str, str], folder: Path) -> dict[str, Volume]:
    return {name: read_volume(folder / file) for name, file in names.items()}


def _whole(array_kji: NDArray[Any], box: Box, whole: Grid) -> NDArray[Any]:
    """The voxels of a box among zeros."""
    result = np.zeros(whole.shape_kji, array_kji.dtype)
    result[box.slices] = array_kji
    return result
