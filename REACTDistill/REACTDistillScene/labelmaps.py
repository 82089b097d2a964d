"""Label maps in the scene: which volumes look like one, and the mask of each of their labels."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from REACTDistillLib.geometry import mask_box
from REACTDistillLib.volume import Box, Grid, Volume

from .translation import tr as _
from .volumes import worldGrid

_MAX_LABEL = 65535
_MAX_LABEL_COUNT = 1000  # more than any anatomical label map has: such a volume is an image
_VOXELS_PER_STEP = 2_000_000  # a few milliseconds
_SAMPLED_PER_AXIS = 32


def looksLikeLabelmap(volumeNode: Any) -> bool:
    """True for a label map node, and for a scalar volume whose sampled voxels hold few values, whole and from 0 on."""
    image = volumeNode.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfScalarComponents() != 1:
        return False
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        return True
    arrayKji = slicer.util.arrayFromVolume(volumeNode)
    sample = arrayKji[tuple(slice(None, None, -(-n // _SAMPLED_PER_AXIS)) for n in arrayKji.shape)]
    values = np.unique(sample)
    return bool(len(values) <= _SAMPLED_PER_AXIS and values[0] >= 0 and (values == np.rint(values)).all())


def masksInSteps(volumeNode: Any) -> Generator[None, None, dict[int, Volume]]:
    """Pause every few milliseconds, then return the mask of each label above 0, cropped to its voxels, in world RAS mm.

    Raises ValueError for a volume without voxels, for values that are no labels, for more than 1000 of them, and for a
    non-linear parent transform.
    """
    image = volumeNode.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise ValueError(_("The label map holds no voxels; choose one that is loaded."))
    grid, arrayKji = worldGrid(volumeNode), slicer.util.arrayFromVolume(volumeNode)
    slabs = _slabs(arrayKji.shape)
    slabsOf: dict[int, list[slice]] = {}
    for slab in slabs:
        for value in _labelsIn(arrayKji[slab]):
            slabsOf.setdefault(value, []).append(slab)
        yield
    if len(slabsOf) > _MAX_LABEL_COUNT:
        sentence = _("The volume has {count} different values: it is an image, not a label map; choose another.")
        raise ValueError(sentence.format(count=len(slabsOf)))
    masks = {}
    for value in sorted(slabsOf):
        masks[value] = yield from _maskInSteps(arrayKji, grid, value, slabsOf[value])
    return masks


def labelName(volumeNode: Any, value: int) -> str:
    """Name that the color table of a label map gives to a label, "label 5" where it gives none that says anything."""
    display = volumeNode.GetDisplayNode()
    colors = None if display is None else display.GetColorNode()
    name = (colors.GetColorName(value) or "").strip() if colors is not None else ""
    return name if any(letter.isalpha() for letter in name) and name != "(none)" else f"label {value}"


def _slabs(shapeKji: tuple[int, ...]) -> list[slice]:
    thickness = max(1, _VOXELS_PER_STEP // max(1, shapeKji[1] * shapeKji[2]))
    return [slice(first, min(first + thickness, shapeKji[0])) for first in range(0, shapeKji[0], thickness)]


def _labelsIn(slabKji: NDArray[Any]) -> list[int]:
    low, high = slabKji.min(), slabKji.max()
    isWhole = slabKji.dtype.kind != "f" or bool((slabKji == np.rint(slabKji)).all())
    if not (low >= 0 and high <= _MAX_LABEL and isWhole):
        sentence = _(
            "The volume is no label map: it has values that are not whole numbers from 0 to {largest} "
            "({low:g} to {high:g} in some slices); choose another."
        )
        raise ValueError(sentence.format(largest=_MAX_LABEL, low=low, high=high))
    occurs = np.zeros(int(high) + 1, dtype=bool)
    occurs[slabKji.astype(np.uint16, copy=False)] = True
    return [int(value) for value in np.flatnonzero(occurs) if value > 0]


def _maskInSteps(arrayKji: NDArray[Any], grid: Grid, value: int, slabs: list[slice]) -> Generator[None, None, Volume]:
    boxes = []
    for slab in slabs:
        box = mask_box(arrayKji[slab] == value)
        if box is None:
            raise ValueError(_("The label map was changed while it was read; import it again."))
        boxes.append(Box(*((corner[0] + slab.start, *corner[1:]) for corner in (box.lower_kji, box.upper_kji))))
        yield
    whole = Box(
        tuple(np.min([box.lower_kji for box in boxes], axis=0).tolist()),
        tuple(np.max([box.upper_kji for box in boxes], axis=0).tolist()),
    )
    voxels = np.empty(whole.shape_kji, dtype=bool)
    for part in _slabs(whole.shape_kji):
        voxels[part] = arrayKji[whole.slices][part] == value
        yield
    return Volume(voxels, grid.cropped(whole))
