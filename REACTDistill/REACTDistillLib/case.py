"""One patient exam: sequences and region masks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .volume import Volume


@dataclass(frozen=True, eq=False)
class Case:
    """One patient exam.

    ``sequences`` are images by name (``ct``, ``pet_fdg``, ``hbp`` ...), ``regions`` are masks by name (``liver``,
    ``tumor`` ...). Each has its own grid; they meet in RAS mm only. ``clinical`` is an optional row of clinical items,
    ``label`` the class when it is known. ``identifier`` is a name for tables and files: never a patient name.
    """

    sequences: Mapping[str, Volume]
    regions: Mapping[str, Volume] = field(default_factory=dict)
    clinical: Mapping[str, float | str] = field(default_factory=dict)
    label: str | None = None
    identifier: str = "case"

    def __post_init__(self) -> None:
        for name, volume in self.sequences.items():
            if volume.is_mask:
                raise ValueError(f'sequence "{name}" is a mask; sequences are images.')
        for name, volume in self.regions.items():
            if not volume.is_mask:
                raise ValueError(f'region "{name}" is an image of {volume.array_kji.dtype}; regions are masks (bool).')
