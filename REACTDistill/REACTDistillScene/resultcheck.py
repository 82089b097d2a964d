"""Whether a shown result still belongs to what is chosen."""

from __future__ import annotations

from typing import Any

from .translation import tr as _


class ResultCheck:
    """Remembers what the latest result was made from and says when that is not what is chosen now.

    Of a result that came with a scene only its CT is known.
    """

    def __init__(self) -> None:
        self.fingerprint = ""  # of the content of all inputs, see ``GradeWork``
        self._choice: tuple[Any, ...] | None = None
        self._edits = self._editsGraded = 0

    @property
    def edits(self) -> int:
        """How many edits have been noted; a run keeps the number it started with."""
        return self._edits

    def noteEdit(self) -> None:
        """The regions were edited and not graded again."""
        self._edits += 1

    def remember(self, parameters: Any, fingerprint: str, edits: int) -> None:
        """``parameters`` have led to the result that is shown; ``edits`` had been noted when its run started."""
        self.fingerprint, self._choice, self._editsGraded = fingerprint, _choiceIn(parameters), edits

    def forget(self) -> None:
        """No result is shown any more."""
        self.fingerprint, self._choice, self._editsGraded = "", None, self._edits

    def warning(self, parameters: Any) -> str:
        """One sentence that must stand before the result, or ""."""
        if parameters.resultCT is None:
            return _("The CT of this result is no longer there.")
        if parameters.resultCT is not parameters.ctVolume:
            return _('This is the result of "{name}", not of the chosen CT.').format(name=parameters.resultCT.GetName())
        if self._choice is not None and self._choice != _choiceIn(parameters):
            return _("Other regions, another PET or another student are chosen now than those of this result.")
        if self._edits > self._editsGraded:
            return _("The regions were edited after this result; grade again.")
        return ""


def _choiceIn(parameters: Any) -> tuple[Any, ...]:
    nodes = (parameters.petVolume, parameters.segmentation)
    identifiers = tuple(None if node is None else node.GetID() for node in nodes)
    return (*identifiers, parameters.liverSegmentID, parameters.tumorSegmentIDs, parameters.student)
