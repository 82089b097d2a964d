"""Which widget can be tied to which type of parameter, as ``connectGui`` of the application does it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import vtk

# Widget class: signal, property that holds the value, types of parameter.
_VALUES = {
    "ctkSliderWidget": ("valueChanged(double)", "value", (float, int)),
    "qMRMLSliderWidget": ("valueChanged(double)", "value", (float, int)),
    "QSlider": ("valueChanged(int)", "value", (int,)),
    "QSpinBox": ("valueChanged(int)", "value", (int,)),
    "QDoubleSpinBox": ("valueChanged(double)", "value", (float,)),
    "ctkDoubleSpinBox": ("valueChanged(double)", "value", (float,)),
    "QCheckBox": ("toggled(bool)", "checked", (bool,)),
    "ctkCheckBox": ("toggled(bool)", "checked", (bool,)),
    "QPushButton": ("toggled(bool)", "checked", (bool,)),
    "QLineEdit": ("textChanged(QString)", "text", (str,)),
    "QTextEdit": ("textChanged()", "plainText", (str,)),
    "QLabel": (None, "text", (str,)),
    "ctkPathLineEdit": ("currentPathChanged(QString)", "currentPath", (Path,)),
    "ctkDirectoryButton": ("directoryChanged(QString)", "directory", (Path,)),
}
_NODES, _ENUMERATIONS = ("qMRMLNodeComboBox",), ("QComboBox", "ctkComboBox")


def connector(widget, wrapper, parameter):
    """What ties ``widget`` to ``parameter``. Raises RuntimeError for a pair that the application refuses."""
    name = widget.className()
    if parameter.isNode and name in _NODES:
        return NodeLink(widget, wrapper, parameter)
    if not parameter.isNode and issubclass(parameter.kind, Enum) and name in _ENUMERATIONS:
        return EnumerationLink(widget, wrapper, parameter)
    if parameter.kind in _VALUES.get(name, (None, None, ()))[2]:
        return ValueLink(widget, wrapper, parameter)
    raise RuntimeError(f"Unable to create GUI connector from {name} to {parameter.kind}")


class Link:
    """Ties one widget to one parameter, both ways."""

    signal: str | None = None

    def __init__(self, widget, wrapper, parameter):
        self.widget, self.wrapper, self.parameter, self.tag = widget, wrapper, parameter, None

    def open(self):
        self.prepare()
        self.show()
        if self.signal is not None:
            self.widget.connect(self.signal, self.store)
        self.tag = self.wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)

    def close(self):
        if self.signal is not None:
            self.widget.disconnect(self.signal, self.store)
        self.wrapper.RemoveObserver(self.tag)

    def prepare(self):
        pass

    def _onModified(self, caller=None, event=None):
        try:
            self.show()
        except ValueError as error:  # a stored text that cannot be read: printed, the widget keeps its value
            print(error)

    def read(self):
        return getattr(self.wrapper, self.parameter.name)

    def write(self, value):
        setattr(self.wrapper, self.parameter.name, value)


class NodeLink(Link):
    signal = "currentNodeIDChanged(QString)"

    def show(self):
        self.widget.setCurrentNode(self.read())

    def store(self):
        self.write(self.widget.currentNode())


class EnumerationLink(Link):
    signal = "currentIndexChanged(int)"

    def prepare(self):
        self.widget.clear()
        for member in self.parameter.kind:
            self.widget.addItem(member.label() if hasattr(member, "label") else member.name)

    def show(self):
        self.widget.currentIndex = list(self.parameter.kind).index(self.read())

    def store(self):
        self.write(list(self.parameter.kind)[self.widget.currentIndex])


class ValueLink(Link):
    def __init__(self, widget, wrapper, parameter):
        super().__init__(widget, wrapper, parameter)
        self.signal, self.property, _ = _VALUES[widget.className()]

    def prepare(self):
        for validator in self.parameter.validators:
            self.widget.minimum, self.widget.maximum = validator.minimum, validator.maximum

    def show(self):
        value = self.read()
        value = str(value) if isinstance(value, Path) else value
        if getattr(self.widget, self.property) != value:
            setattr(self.widget, self.property, value)

    def store(self):
        self.write(self.parameter.kind(getattr(self.widget, self.property)))
