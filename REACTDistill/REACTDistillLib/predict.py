"""The one entry from a case to a finding: for panels, console, command line and worker alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .case import Case
from .finding import Finding
from .memory import Memory
from .progress import ProgressCallback, silent

if TYPE_CHECKING:
    from .card import Card
    from .loadedstudent import Student


def predict(
    case: Case,
    student: Student | Path | str,
    *,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    shown_class: str | None = None,
    heat_map_mm: float = 0.0,
    memory: Memory | None = None,
    reference: str | None = None,
    with_probabilities: bool = False,
) -> Finding:
    """Return what ``student`` says of ``case``, in the geometry of the case.

    ``student`` is a student file, loaded on ``device`` ("auto", "cpu", "cuda", "mps"), or a Student that was loaded
    before and stays where it is. The device used is reported in the Finding. ``progress(stage, done, total)`` is called
    between steps and may raise ``Cancelled``. Heat map and importance speak of ``shown_class``, the predicted class
    when it is None. The heat map has all voxels of the source or, where these are finer than ``heat_map_mm``, every
    n-th along an axis, so that it has no more than are worth showing. With a ``memory`` whatever rests on the same
    Volumes and the same Student as in the call before is not made again; the answer is the same. A student that
    segments gives its masks on the grid of the sequence ``reference``, None for the one with the smallest voxels, and
    its probability maps ``with_probabilities``. Raises ValueError with one sentence when a required sequence or region
    is missing, masks and image are apart, the intensities are not those of the modality, the class is not one of the
    card, or the student file is unsound.
    """
    if isinstance(student, (str, Path)):
        from .student import load_student

        student = load_student(student, device=device)
    elif device not in ("auto", str(student.device)):
        raise ValueError(f'The student is loaded on "{student.device}"; load it again to run on "{device}".')
    check_case(case, student.card)
    _check_class(shown_class, student.card)
    import torch

    from .recipes import PredictOptions, recipe_named

    options = PredictOptions(shown_class, heat_map_mm, reference, with_probabilities)
    try:
        finding = recipe_named(student.card.recipe).predict(
            student, case, options, progress=progress or silent, memory=memory or Memory()
        )
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f'The memory of "{student.device}" is full; close other programs or use device "cpu".'
        ) from error
    return replace(finding, warnings=(*finding.warnings, *_unused(case, student.card)))


def get_ready(case: Case, student: Student, *, memory: Memory, progress: ProgressCallback | None = None) -> None:
    """Put into the ``memory`` what ``predict`` of the same Volumes and the same Student needs before its network.

    So the answer is the same, but comes sooner. Raises ValueError as ``predict`` does.
    """
    check_case(case, student.card)
    from .recipes import recipe_named

    recipe_named(student.card.recipe).get_ready(student, case, progress=progress or silent, memory=memory)


def check_case(case: Case, card: Card) -> None:
    """Raise ValueError when the case lacks what the card requires, or has no sequence that it knows."""
    for what, wanted, found in (("sequence", card.sequences, case.sequences), ("mask", card.regions, case.regions)):
        missing = [name for name in wanted["required"] if name not in found]
        if missing:
            there = ", ".join(sorted(found)) or "none"
            raise ValueError(f'"{card.name}" needs the {what} "{missing[0]}", but the case has: {there}; add it.')
    known = (*card.sequences["required"], *card.sequences["optional"])
    if case.sequences and not set(case.sequences) & set(known):
        there = ", ".join(sorted(case.sequences))
        raise ValueError(f'"{card.name}" takes {", ".join(known)}, but the case has: {there}; name its images so.')


def _check_class(shown_class: str | None, card: Card) -> None:
    if shown_class is not None and shown_class not in card.classes:
        raise ValueError(f'"{card.name}" has no class "{shown_class}"; its classes are {", ".join(card.classes)}.')


def _unused(case: Case, card: Card) -> list[str]:
    sentences = []
    for wanted, found in ((card.sequences, case.sequences), (card.regions, case.regions)):
        unknown = sorted(set(found) - set(wanted["required"]) - set(wanted["optional"]))
        sentences += [f'"{name}" was given but "{card.name}" does not use it.' for name in unknown]
    return sentences
