"""Volume nodes on their way to the worker: the file, and the name that tells whether it must be sent at all."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from REACTDistillLib.exchange import array_to_file_in_steps

from .translation import tr as _
from .volumes import scalarArray, worldGrid


def volumeToken(node: Any) -> str:
    """A name that changes with the voxels and with the place of a volume node; ValueError for what is no volume."""
    scalarArray(node)
    place = worldGrid(node).ijk_to_ras.tobytes()
    return f"{node.GetID()}-{node.GetImageData().GetMTime()}-{hashlib.sha256(place).hexdigest()[:16]}"


def writeVolumeInSteps(node: Any, folder: Path, name: str) -> Generator[None, None, Any]:
    """Write the voxels of a volume node into ``folder`` and return their description for the worker.

    Pauses every few milliseconds; ValueError when the voxels are changed meanwhile.
    """
    image = node.GetImageData()
    before = image.GetMTime()
    description = yield from array_to_file_in_steps(scalarArray(node), worldGrid(node), folder, name)
    if node.GetImageData() is not image or image.GetMTime() != before:
        raise ValueError(_("The image was changed while it was read; try again."))
    return description
