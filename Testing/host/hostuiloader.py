"""Loads .ui files with the classes of the host."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pythonqt
from PySide6 import QtCore, QtUiTools, QtWidgets

CUSTOM: dict[str, type] = {}  # widget classes of ctk and of the application, by name


class UiLoader(QtUiTools.QUiLoader):
    """Makes the widgets of ``classes`` and ``CUSTOM``; an unknown class in a .ui file is an error."""

    classes: dict[str, object] = {}  # noqa: RUF012 - set by the one subclass

    def createWidget(self, className, parent=None, name=""):
        return self._make(className, parent, name)

    def createLayout(self, className, parent=None, name=""):
        return self._make(className, parent, name)

    def load(self, file, parent=None):
        self._made = []  # keeps the Python halves alive while the C++ loader works
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        connections = [
            [node.findtext(key) for key in ("sender", "signal", "receiver", "slot")] for node in root.iter("connection")
        ]
        for node in root.findall("connections"):  # their C++ signals do not exist here
            root.remove(node)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        pythonqt.uiLoaders.append(self)
        try:
            widget = super().load(buffer, parent)
        finally:
            pythonqt.uiLoaders.remove(self)
        if widget is None:
            raise RuntimeError(self.errorString())
        self._connect(connections)
        self._made = []
        return widget

    def _connect(self, connections):
        named = {made.objectName: made for made in self._made}
        for sender, signal, receiver, slot in connections:
            connected = named[sender].connect(signal, getattr(named[receiver], slot.split("(")[0]))
            if not connected:
                raise RuntimeError(f"connection of {sender} to {receiver}: no signal {signal}")

    def _make(self, className, parent, name):
        found = CUSTOM.get(className) or self.classes.get(className)
        if found is None:
            raise NotImplementedError(f'the .ui file uses the widget class "{className}", which is not known here')
        # A layout inside a layout gets its parent when it is added.
        made = found() if parent is None or isinstance(parent, QtWidgets.QLayout) else found(parent)
        made.setObjectName(name)
        self._made.append(made)
        return made
