"""The regions of a panel: chosen from a segmentation, drawn, or imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import slicer

from .drawpanel import DrawPanel
from .importmenu import ImportMenu
from .importregions import ImportWork, LabelmapImportWork, importWork
from .regionvolumes import isQuickToCount, regionsText
from .segmentchoice import rememberedTumors
from .segmentpanel import SegmentPanel
from .segmentwatch import SegmentationWatch
from .translation import tr as _


class RegionsPanel:
    """Ties segmentation, segments, Draw and Import in the widgets ``ui`` to the parameters.

    ``currentParameters()`` returns them. ``onImport(work)`` runs the work of an import, ``onImported()`` is called when
    it is done, ``onPause()`` when the segmentation was edited and the user pauses, ``onRest()`` and ``onEdit()`` as
    ``SegmentationWatch`` says.
    """

    def __init__(
        self,
        ui: Any,
        currentParameters: Callable[[], Any],
        *,
        onImport: Callable[[ImportWork | LabelmapImportWork], None],
        onImported: Callable[[], None],
        onPause: Callable[[], None],
        onRest: Callable[[], None],
        onEdit: Callable[[], None],
    ) -> None:
        self._ui, self._currentParameters = ui, currentParameters
        self._startImport, self._onImported = onImport, onImported
        self._onEditPause, self._onEditRest = onPause, onRest
        self._areVolumesShown = False  # those of the regions as they are now
        self.segments = SegmentPanel(ui.liverSegmentComboBox, ui.tumorSegmentsList, self._onSegmentChoice)
        self.draw = DrawPanel(ui.editorPlace, self._onDrawing)
        self.importMenu = ImportMenu(ui.importButton, self.importFrom, isHidden=self._isCT)
        self.watch = SegmentationWatch(self._onPause, self._onRest, onEdit)
        ui.drawButton.connect("clicked(bool)", self._onDrawButton)

    def show(self, parameters: Any) -> None:
        """Show the choice in ``parameters`` and follow it."""
        self.draw.follow(parameters.ctVolume, parameters.segmentation)
        self.watch.watch(parameters.segmentation)
        self.segments.show(parameters.segmentation, parameters.liverSegmentID, parameters.tumorSegmentIDs)
        self._ui.drawButton.enabled = parameters.ctVolume is not None

    def leave(self) -> None:
        """The user goes to another module, or the scene is closed."""
        self.draw.stop()
        self.watch.watch(None)
        self.segments.forget()

    def close(self) -> None:
        """End everything; for ``cleanup``."""
        self.draw.close()
        self.watch.close()

    def importFrom(self, source: Any) -> None:
        """Import ``source``, a path or a label map node, into a new segmentation."""
        try:
            work = importWork(source, self._currentParameters().ctVolume, self._choose)
        except ValueError as error:
            slicer.util.errorDisplay(str(error))
            return
        self._startImport(work)

    def _choose(self, segmentation: Any) -> None:
        parameters = self._currentParameters()
        parameters.liverSegmentID = parameters.tumorSegmentIDs = ""  # those of another segmentation
        parameters.segmentation = segmentation
        self._onImported()

    def _onSegmentChoice(self, liverSegmentId: str, tumorSegmentIds: str) -> None:
        parameters = self._currentParameters()
        parameters.liverSegmentID = liverSegmentId
        parameters.tumorSegmentIDs = tumorSegmentIds

    def _onDrawButton(self, checked: bool) -> None:
        if not checked:
            self.draw.stop()
            return
        parameters = self._currentParameters()
        try:
            segmentation = self.draw.start(
                parameters.ctVolume, parameters.segmentation, parameters.liverSegmentID, parameters.tumorSegmentIDs
            )
        except ValueError as error:
            self._ui.drawButton.checked = False
            slicer.util.errorDisplay(str(error))
            return
        parameters.segmentation, drawing = segmentation, self.draw.drawing
        if drawing is not None:
            parameters.liverSegmentID = drawing.liverSegmentId
            if drawing.tumorSegmentId not in rememberedTumors(parameters.tumorSegmentIDs):
                parameters.tumorSegmentIDs = json.dumps([drawing.tumorSegmentId])

    def _onDrawing(self, isDrawing: bool) -> None:
        self._ui.drawButton.checked = isDrawing
        self._ui.drawButton.text = _("Done drawing") if isDrawing else _("Draw")

    def _onRest(self) -> None:
        self._onEditRest()
        self._areVolumesShown = isQuickToCount(*self._segments())
        if self._areVolumesShown:
            self._showVolumes()

    def _onPause(self) -> None:
        self._onEditPause()  # first, so that the worker is at work while the voxels are counted
        if not self._areVolumesShown:
            self._showVolumes()

    def _segments(self) -> tuple[Any, list[str]]:
        """The segmentation and the IDs of its chosen segments, the liver first."""
        parameters = self._currentParameters()
        return parameters.segmentation, [parameters.liverSegmentID, *rememberedTumors(parameters.tumorSegmentIDs)]

    def _showVolumes(self) -> None:
        segmentation, (liver, *tumors) = self._segments()
        self._ui.regionsLabel.text = regionsText(segmentation, liver, tumors)

    def _isCT(self, node: Any) -> bool:
        return node is self._currentParameters().ctVolume
