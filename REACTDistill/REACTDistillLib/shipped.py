"""Students that ship with the extension, in a source checkout and in the flat installed layout."""

from __future__ import annotations

from pathlib import Path

_MODULE_FOLDER = Path(__file__).resolve().parents[1]
# Installed, all modules share one folder with its Resources; in a checkout Resources lies beside the module folders.
_FOLDERS = (_MODULE_FOLDER / "Resources" / "Students", _MODULE_FOLDER.parent / "Resources" / "Students")


def shipped_students() -> list[Path]:
    """All shipped student files, by name."""
    return sorted(path for folder in _FOLDERS for path in folder.glob("*.safetensors"))


def demo_student(task: str) -> Path:
    """The shipped demo student of a task ("grade"); ValueError when this copy of the software has none."""
    for path in shipped_students():
        if path.stem == f"{task}_demo":
            return path
    raise ValueError(
        f'No demo student for "{task}" is installed; name a student file, or make one with "make students".'
    )
