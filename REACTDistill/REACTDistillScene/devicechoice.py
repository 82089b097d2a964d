"""The device a panel calculates on: one setting of this computer, not of the scene."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from .translation import tr as _

DEVICES = ("auto", "cpu", "cuda", "mps")
_SETTING = "REACTDistill/Device"


class DeviceChoice:
    """Fills a combo box with the devices and remembers the choice."""

    def __init__(self, comboBox: Any) -> None:
        self._comboBox = comboBox
        labels = {
            "auto": _("Best available"),
            "cpu": _("CPU"),
            "cuda": _("NVIDIA GPU (CUDA)"),
            "mps": _("Apple GPU (MPS)"),
        }
        for device in DEVICES:
            comboBox.addItem(labels[device], device)
        comboBox.currentIndex = DEVICES.index(_remembered())
        comboBox.connect("currentIndexChanged(int)", self._onChoice)

    @property
    def device(self) -> str:
        """Name for the backend: "auto", "cpu", "cuda" or "mps"."""
        return DEVICES[self._comboBox.currentIndex]

    def _onChoice(self, index: int) -> None:
        qt.QSettings().setValue(_SETTING, DEVICES[index])


def _remembered() -> str:
    device = slicer.util.settingsValue(_SETTING, DEVICES[0])
    return device if device in DEVICES else DEVICES[0]
