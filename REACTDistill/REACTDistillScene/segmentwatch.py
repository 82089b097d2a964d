"""Notices edits of a segmentation and reports the pauses between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.util import VTKObservationMixin

REST_MS = 40  # longer than from one mouse move of a stroke to the next
PAUSE_MS = 250


class SegmentationWatch(VTKObservationMixin):
    """Calls ``onPause()`` when a segmentation has been edited and then left alone for a quarter of a second.

    Of each pause it reports the beginning too: ``onRest()``, early enough to get ready for what follows the pause, and
    ``onEdit()`` whenever that was in vain, because the segmentation is edited again or no longer watched.
    Renaming and recoloring count as edits too: the application reports them in the same way. Undo reports less than an
    edit, so all these events are needed.
    """

    def __init__(self, onPause: Callable[[], None], onRest: Callable[[], None], onEdit: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._reportEdit = onEdit
        self._node: Any = None
        self.wasEdited = False  # since it began to be watched
        # Exceptions in VTK observers pass unnoticed, so the work is done in the slots of timers.
        self._timers = [
            (_newTimer(milliseconds), slot) for milliseconds, slot in ((REST_MS, onRest), (PAUSE_MS, onPause))
        ]
        for timer, slot in self._timers:
            timer.connect("timeout()", slot)

    def watch(self, segmentationNode: Any) -> None:
        """Watch this node from now on and no other, and report it once; None watches nothing."""
        if segmentationNode is self._node:
            return
        self.removeObservers()
        self._stop()
        self._node, self.wasEdited = segmentationNode, False
        if segmentationNode is not None:
            for event in _events():
                self.addObserver(segmentationNode, event, self._onEdit)
            self.again()

    def again(self) -> None:
        """Report once more after a pause, because the last report came at a bad time."""
        for timer, _slot in self._timers:
            timer.start()

    def close(self) -> None:
        """Watch nothing any more."""
        self.watch(None)
        self._stop()
        for timer, slot in self._timers:
            timer.disconnect("timeout()", slot)

    def _stop(self) -> None:
        for timer, _slot in self._timers:
            timer.stop()
        self._reportEdit()

    def _onEdit(self, caller: Any, event: Any) -> None:
        self.wasEdited = True
        self._reportEdit()
        self.again()


def _newTimer(milliseconds: int) -> Any:
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    return timer


def _events() -> tuple[int, ...]:
    kind = slicer.vtkSegmentation
    moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
    return (kind.SourceRepresentationModified, kind.SegmentModified, kind.SegmentAdded, kind.SegmentRemoved, moved)
