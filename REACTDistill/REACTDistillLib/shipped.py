"""Students that ship with the extension: in a source checkout, in its installed layout, and in that of pip."""

from __future__ import annotations

import sysconfig
from pathlib import Path

_MODULE_FOLDER = Path(__file__).resolve().parents[1]
# Installed, all modules share one folder with its Resources; in a checkout Resources lies beside the module folders.
_FOLDERS = (
    _MODULE_FOLDER / "Resources" / "Students",
    _MODULE_FOLDER.parent / "Resources" / "Students",
    Path(sysconfig.get_path("data")) / "share" / "reactdistill" / "students",
)


def shipped_students() -> list[Path]:
    """All student files that this copy of the software ships, by name."""
    found = (sorted(folder.glob("*.safetensors")) for folder in _FOLDERS)
    return next(filter(None, found), [])


def demo_student(task: str) -> Path:
    """The shipped demo student of a task ("grade"); ValueError when this copy of the software has none."""
    for path in shipped_students():
        if path.stem == f"{task}_demo":
            return path
    raise ValueError(
        f'No demo student for "{task}" is installed; name a student file, or install from the folder of the source.'
    )
