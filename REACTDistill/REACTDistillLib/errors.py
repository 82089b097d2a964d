"""What a user is told of an error: one sentence."""

from __future__ import annotations


def sentence_of(error: Exception) -> str:
    """One sentence for the user: the message of a ValueError, or what the system refused and where."""
    if isinstance(error, MemoryError):
        return "The memory of this computer does not suffice; close other programs, or crop the image."
    if isinstance(error, ModuleNotFoundError):
        return f'The Python package "{error.name}" is missing; install it and try again.'
    if isinstance(error, OSError) and error.strerror:
        place = f'"{error.filename}": ' if error.filename else ""
        return f"{place}{error.strerror}; check the name, the rights and the free space."
    return " ".join(str(error).split())
