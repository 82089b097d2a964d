"""Label maps of brain tumors by the name of their convention, and the nested masks WT, TC, ET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# From the outermost to the innermost: each lies inside the one before.
NESTED = ("WT", "TC", "ET")
DEFAULT = "brats2023"


@dataclass(frozen=True)
class LabelConvention:
    """Which value of a label map stands for which tissue; 0 is always background.

    ``core`` are the values of the tumor core that does not enhance; the first one is written. BraTS 2015 alone tells
    necrosis (1) from tumor that does not enhance (3).
    """

    core: tuple[int, ...]
    edema: int
    enhancing: int

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that such a label map may hold besides 0."""
        return tuple(sorted((*self.core, self.edema, self.enhancing)))


CONVENTIONS: dict[str, LabelConvention] = {
    "brats2015": LabelConvention(core=(1, 3), edema=2, enhancing=4),
    "brats2020": LabelConvention(core=(1,), edema=2, enhancing=4),
    "brats2023": LabelConvention(core=(1,), edema=2, enhancing=3),
}


def convention_named(name: str) -> LabelConvention:
    """The convention of that name; ValueError for one that this version does not know."""
    if name not in CONVENTIONS:
        raise ValueError(f'There is no label convention "{name}"; this version knows: {", ".join(CONVENTIONS)}.')
    return CONVENTIONS[name]


def masks_of_labels(labels_kji: NDArray[np.generic], convention: str) -> dict[str, NDArray[np.bool_]]:
    """Return the masks (K, J, I) "WT" (all tumor), "TC" (without edema) and "ET" (enhancing) of a label map.

    Raises ValueError when a value is none of the convention: value 3 is enhancing tumor in BraTS 2023, tumor that does
    not enhance in BraTS 2015 and never in BraTS 2020, so a wrong name must not pass.
    """
    rule = convention_named(convention)
    found = np.unique(labels_kji)
    unknown = [value for value in found.tolist() if value != 0 and value not in rule.values]
    if unknown:
        known = ", ".join(map(str, rule.values))
        raise ValueError(
            f'The label map holds the value {unknown[0]:g}, but "{convention}" has only 0, {known}; name the '
            "convention it was written in."
        )
    enhancing = labels_kji == rule.enhancing
    core = enhancing | np.isin(labels_kji, rule.core)
    return {"WT": core | (labels_kji == rule.edema), "TC": core, "ET": enhancing}


def labels_of_masks(masks: Mapping[str, NDArray[np.bool_]], convention: str = DEFAULT) -> NDArray[np.uint8]:
    """Return the label map, uint8 (K, J, I), of the masks "WT", "TC" and "ET"; ``masks_of_labels`` is the way back.

    Raises ValueError when one of the three is missing or they are not nested, ET in TC in WT.
    """
    rule = convention_named(convention)
    if set(masks) != set(NESTED):
        raise ValueError(f"A label map needs the masks {', '.join(NESTED)}, got {', '.join(masks) or 'none'}.")
    for inner, outer in zip(NESTED[1:], NESTED, strict=False):
        beyond = int(np.count_nonzero(masks[inner] & ~masks[outer]))
        if beyond:
            raise ValueError(f"{inner} has {beyond} voxels outside {outer}; a label map needs ET in TC in WT.")
    labels = np.where(masks["WT"], np.uint8(rule.edema), np.uint8(0))
    labels[masks["TC"]] = rule.core[0]
    labels[masks["ET"]] = rule.enhancing
    return labels


def nested_masks(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Return the masks with ET cut off at TC and TC at WT, as far as they are there; others as they are.

    Three outputs of a network that overlap may contradict each other. The larger region decides (design choice): it is
    the one that is found more surely.
    """
    result = dict(masks)
    outer: NDArray[np.bool_] | None = None
    for name in (name for name in NESTED if name in result):
        result[name] = result[name] if outer is None else result[name] & outer
        outer = result[name]
    return result
