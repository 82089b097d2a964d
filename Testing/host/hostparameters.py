"""Stand-in for ``slicer.parameterNodeWrapper``: typed attributes stored as text in a node and tied to widgets."""

from __future__ import annotations

import typing
from enum import Enum
from pathlib import Path

import vtk


class WithinRange:
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Parameter:
    """One typed attribute; ``kind`` is the Python type, stored text is checked for its type but not for its range."""

    def __init__(self, name, hint, default):
        self.name = name
        arguments = typing.get_args(hint)
        annotated = typing.get_origin(hint) is typing.Annotated
        self.kind = arguments[0] if annotated else hint
        self.validators = arguments[1:] if annotated else ()
        self.isNode = isinstance(self.kind, type) and issubclass(self.kind, vtk.vtkObject)
        self.default = self._emptyValue() if default is None and not self.isNode else default

    def _emptyValue(self):
        return next(iter(self.kind)) if issubclass(self.kind, Enum) else self.kind()

    def read(self, node):
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if not text:
            return self.default
        if issubclass(self.kind, Enum):
            if text not in self.kind.__members__:
                raise ValueError(f"{text} is not a member of {self.kind.__name__}")
            return self.kind[text]
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, node, value):
        if self.isNode:
            identifier = None if value is None else value.GetID()
            if node.GetNodeReferenceID(self.name) != identifier:
                node.SetNodeReferenceID(self.name, identifier)
                node.Modified()
            return
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name} must be {self.kind.__name__}, got {type(value).__name__}")
        for validator in self.validators:
            validator.check(value)
        node.SetParameter(self.name, value.name if isinstance(value, Enum) else str(value))


def parameterNodeWrapper(decorated):
    hints = typing.get_type_hints(decorated, include_extras=True)
    parameters = {name: Parameter(name, hint, getattr(decorated, name, None)) for name, hint in hints.items()}
    return type(decorated.__name__, (Wrapper,), {"_parameters": parameters, "__doc__": decorated.__doc__})


class Wrapper:
    _parameters: typing.ClassVar[dict] = {}

    def __init__(self, node):
        self.__dict__.update(parameterNode=node, _connections={})
        for parameter in self._parameters.values():
            parameter.read(node)

    def __getattribute__(self, name):
        parameters = type(self)._parameters
        if name in parameters:
            return parameters[name].read(self.parameterNode)
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        parameter = self._parameters.get(name)
        if parameter is None:
            self.__dict__[name] = value  # a misspelt parameter is accepted silently, as in the application
        else:
            parameter.write(self.parameterNode, value)

    def AddObserver(self, *arguments):
        return self.parameterNode.AddObserver(*arguments)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, ui):
        links = []
        for widget in vars(ui).values():
            name = getattr(widget, "SlicerParameterName", None)
            if name:
                links.append(Link(widget, self, self._parameters[name]))
        for link in links:
            link.open()
        tag = len(self._connections) + 1
        self._connections[tag] = links
        return tag

    def disconnectGui(self, tag):
        for link in self._connections.pop(tag, []):
            link.close()


# Widget class: signal, property that holds the value.
_WIDGETS = {
    "qMRMLNodeComboBox": ("currentNodeIDChanged(QString)", None),
    "ctkSliderWidget": ("valueChanged(double)", "value"),
    "QCheckBox": ("toggled(bool)", "checked"),
    "QLineEdit": ("textChanged(QString)", "text"),
    "QComboBox": ("currentIndexChanged(int)", None),
    "ctkPathLineEdit": ("currentPathChanged(QString)", "currentPath"),
}
_KINDS = {"ctkSliderWidget": float, "QCheckBox": bool, "QLineEdit": str, "ctkPathLineEdit": Path}


class Link:
    """Ties one widget to one parameter, both ways."""

    def __init__(self, widget, wrapper, parameter):
        className = widget.className()
        fits = _KINDS.get(className) is parameter.kind
        fits = fits or (className == "qMRMLNodeComboBox" and parameter.isNode)
        fits = fits or (className == "QComboBox" and not parameter.isNode and issubclass(parameter.kind, Enum))
        if not fits:
            raise RuntimeError(f"Unable to create GUI connector from {className} to {parameter.kind}")
        self.widget, self.wrapper, self.parameter = widget, wrapper, parameter
        self.signal, self.property = _WIDGETS[className]
        self.tag = None

    def open(self):
        if self.widget.className() == "QComboBox":
            self.widget.clear()
            for member in self.parameter.kind:
                self.widget.addItem(member.label() if hasattr(member, "label") else member.name)
        for validator in self.parameter.validators:
            self.widget.minimum, self.widget.maximum = validator.minimum, validator.maximum
        self.show()
        self.widget.connect(self.signal, self.store)
        self.tag = self.wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, self.show)

    def close(self):
        self.widget.disconnect(self.signal, self.store)
        self.wrapper.RemoveObserver(self.tag)

    def show(self, caller=None, event=None):
        value = getattr(self.wrapper, self.parameter.name)
        if self.parameter.isNode:
            self.widget.setCurrentNode(value)
        elif isinstance(value, Enum):
            self.widget.currentIndex = list(self.parameter.kind).index(value)
        else:
            setattr(self.widget, self.property, value)

    def store(self):
        if self.parameter.isNode:
            value = self.widget.currentNode()
        elif issubclass(self.parameter.kind, Enum):
            value = list(self.parameter.kind)[self.widget.currentIndex]
        else:
            value = self.parameter.kind(getattr(self.widget, self.property))
        setattr(self.wrapper, self.parameter.name, value)
