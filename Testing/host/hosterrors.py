"""What went wrong on the host without stopping anything: each list must be empty when a test ends."""

from __future__ import annotations

import sys

slotErrors: list[BaseException] = []  # the application prints them, goes on, and ends with exit code 1
observerErrors: list[BaseException] = []  # the application prints them and forgets them; a test must not
failedConnections: list[str] = []  # PythonQt only prints a line for them
textsFromNone: list[str] = []  # PythonQt shows None as "None": never what was meant
crashes: list[str] = []  # what ends the application by a segmentation fault

_ALL = {
    "slot": slotErrors,
    "observer": observerErrors,
    "connection": failedConnections,
    "text from None": textsFromNone,
    "crash": crashes,
}


def clear() -> None:
    """Forget everything that was collected."""
    for collected in _ALL.values():
        collected.clear()


def problems() -> list[str]:
    """Everything that was collected, one line each."""
    return [f"{kind}: {problem!r}" for kind, collected in _ALL.items() for problem in collected]


def report(error: BaseException) -> None:
    """Collect the exception of a slot and hand it to ``sys.excepthook``, as the application does."""
    slotErrors.append(error)
    sys.excepthook(type(error), error, error.__traceback__)


def collectObserverErrors() -> object:
    """Collect exceptions of VTK observers from now on; returns the hook that was there, for ``sys.excepthook``.

    VTK hands them to ``sys.excepthook`` and goes on.
    """
    previous = sys.excepthook

    def collect(kind, error, trace):
        if not any(error is known for known in slotErrors):
            observerErrors.append(error)
        previous(kind, error, trace)

    sys.excepthook = collect
    return previous
