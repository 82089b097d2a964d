"""What a user is told of an error: one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# By the name of the import: what pip calls the package, and the extra of this project that has it.
_ON_PYPI = {"sklearn": "scikit-learn", "ot": "POT", "astra": "astra-toolbox"}
_EXTRAS = {"train": ("astra", "matplotlib", "monai", "ot", "scipy", "sklearn"), "export": ("onnx",)}


def missing_package(name: str) -> str:
    """The sentence for a package that cannot be imported by ``name``, which may be that of a module in it."""
    package = name.partition(".")[0]
    extra = next((one for one, names in _EXTRAS.items() if package in names), None)
    how = f'run pip install ".[{extra}]" in the folder of the source' if extra else "install it and try again"
    return f'The Python package "{_ON_PYPI.get(package, package)}" is missing; {how}.'


def check_names(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError for a given field that is none of those known; ``where`` is the object that has it."""
    known = sorted(known)
    unknown = sorted(set(given).difference(known))
    if unknown:
        raise ValueError(f'"{where}" has the unknown field "{unknown[0]}"; known are {", ".join(known)}.')


def without_paths(sentence: str, *paths: Path | str) -> str:
    """The sentence with "the chosen file" in the place of these paths and of what lies below them.

    Applications log what they show and results are passed on, and a path may hold the name of a patient.
    """
    for path in sorted({str(path) for path in paths if Path(path).name}, key=len, reverse=True):
        sentence = re.sub(rf'"{re.escape(path)}([/\\.][^"]*)?"', "the chosen file", sentence)
        if len(Path(path).parts) > 1:  # a bare name might be any word or number of the sentence
            sentence = re.sub(rf"(?<![\w./\\]){re.escape(path)}[^\s\"',;]*", "the chosen file", sentence)
        sentence = sentence.replace(f'"{Path(path).name}"', "the chosen file")
    return sentence[:1].upper() + sentence[1:]


def sentence_of(error: Exception) -> str:
    """One sentence for the user: the message of a ValueError, or what the system refused and where."""
    if isinstance(error, MemoryError):
        return "The memory of this computer does not suffice; close other programs, or crop the image."
    if isinstance(error, ModuleNotFoundError):
        return missing_package(error.name or "")
    if isinstance(error, OSError) and error.strerror:
        place = f'"{error.filename}": ' if error.filename else ""
        return f"{place}{error.strerror}; check the name, the rights and the free space."
    return " ".join(str(error).split())
