"""The menu of an Import button: a file, a folder, or a label map of the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer

from .labelmaps import looksLikeLabelmap
from .translation import tr as _

_SUFFIXES = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm"


class ImportMenu:
    """Gives ``button`` a menu that is made anew whenever it opens.

    ``onSource(source)`` is called with the path of the file or folder or with the volume node that the user chose.
    ``isHidden(node)`` says which volumes are not offered, such as the chosen CT. ``askFile`` and ``askFolder`` return a
    path, "" when the user changed his mind.
    """

    def __init__(
        self,
        button: Any,
        onSource: Callable[[Any], None],
        *,
        isHidden: Callable[[Any], bool] = lambda node: False,
        askFile: Callable[[], str] | None = None,
        askFolder: Callable[[], str] | None = None,
    ) -> None:
        self._onSource, self._isHidden = onSource, isHidden
        self._askFile, self._askFolder = askFile or _askFile, askFolder or _askFolder
        self.menu = qt.QMenu(button)
        button.setMenu(self.menu)
        self.menu.connect("aboutToShow()", self.fill)

    def fill(self) -> None:
        """Offer what there is now."""
        self.menu.clear()
        self._add(_("From file..."), partial(self._choosePath, self._askFile))
        self._add(_("From DICOM folder..."), partial(self._choosePath, self._askFolder))
        nodes = list(self._labelmaps())
        if nodes:
            self.menu.addSeparator()
        for node in nodes:
            # The ampersand of a name would become a shortcut.
            self._add(node.GetName().replace("&", "&&"), partial(self._chooseNode, node.GetID()))

    def _add(self, text: str, onTriggered: Callable[[], None]) -> None:
        action = qt.QAction(text, self.menu)
        action.connect("triggered()", onTriggered)
        self.menu.addAction(action)

    def _labelmaps(self) -> Iterable[Any]:
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if not node.GetHideFromEditors() and not self._isHidden(node) and looksLikeLabelmap(node):
                yield node

    def _choosePath(self, ask: Callable[[], str]) -> None:
        path = ask()
        if path:
            self._onSource(Path(path))

    def _chooseNode(self, nodeId: str) -> None:
        node = slicer.mrmlScene.GetNodeByID(nodeId)
        if node is not None:
            self._onSource(node)


def _askFile() -> str:
    kinds = _("Label maps and segmentations") + f" ({_SUFFIXES});;" + _("All files") + " (*)"
    return str(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Import regions"), "", kinds))


def _askFolder() -> str:
    return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Import regions"), ""))
