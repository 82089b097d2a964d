"""Notices edits of a segmentation and reports them once the user pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.util import VTKObservationMixin

PAUSE_MS = 250


class SegmentationWatch(VTKObservationMixin):
    """Calls ``onPause()`` when a segmentation has been edited and then left alone for a quarter of a second.

    Renaming and recoloring count as edits too: the application reports them in the same way. Undo reports less than an
    edit, so all these events are needed.
    """

    def __init__(self, onPause: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._onPause = onPause
        self._node: Any = None
        self.wasEdited = False  # since it began to be watched
        # Exceptions in VTK observers pass unnoticed, so the work is done in the slot of a timer.
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", self._onPause)

    def watch(self, segmentationNode: Any) -> None:
        """Watch this node from now on and no other, and report it once; None watches nothing."""
        if segmentationNode is self._node:
            return
        self.removeObservers()
        self._timer.stop()
        self._node, self.wasEdited = segmentationNode, False
        if segmentationNode is not None:
            for event in _events():
                self.addObserver(segmentationNode, event, self._onEdit)
            self._timer.start()

    def again(self) -> None:
        """Report once more after a pause, because the last report came at a bad time."""
        self._timer.start()

    def close(self) -> None:
        """Watch nothing any more."""
        self.watch(None)
        self._timer.stop()
        self._timer.disconnect("timeout()", self._onPause)

    def _onEdit(self, caller: Any, event: Any) -> None:
        self.wasEdited = True
        self._timer.start()


def _events() -> tuple[int, ...]:
    kind = slicer.vtkSegmentation
    moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
    return (kind.SourceRepresentationModified, kind.SegmentModified, kind.SegmentAdded, kind.SegmentRemoved, moved)
