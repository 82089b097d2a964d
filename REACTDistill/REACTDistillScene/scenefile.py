"""The scene as one file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import slicer


def saveScene(path: str | Path) -> Path:
    """Write the scene with all data as one .mrb file and return its path.

    The file appears complete or not at all; an existing one is replaced. Raises ValueError for another ending and when
    the scene cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mrb":
        raise ValueError(f'a scene is saved as .mrb, not as "{path.name}"; choose a name that ends in .mrb.')
    if not path.parent.is_dir():
        raise ValueError(f'the folder "{path.parent}" does not exist; make it first or choose another one.')
    # In a folder of its own, because the bundle names its inner folder after the file.
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        if not slicer.mrmlScene.WriteToMRB(str(temporary)) or not temporary.is_file():
            raise ValueError(
                f'the scene could not be written to "{path}"; check the free space and the folder\'s rights.'
            )
        os.replace(temporary, path)
    return path
