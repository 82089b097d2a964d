"""Stand-in for ``slicer.parameterNodeWrapper``: typed attributes stored as text in a node and tied to widgets."""

from __future__ import annotations

import typing
import weakref
from enum import Enum

import vtk
from hostconnectors import connector


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
        if self.isNode:
            self.kind()  # an abstract node class is refused here
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
            node.SetNodeReferenceID(self.name, identifier)
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
        # A value that cannot be read makes the construction fail. Nodes are read again only when the parameter node is
        # modified: one that comes into the scene later, as in an import, is not found.
        values = {name: parameter.read(node) for name, parameter in self._parameters.items()}
        this = weakref.ref(self)
        tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: this()._readNodes())
        self.__dict__.update(parameterNode=node, _connections={}, _values=values, _observerTag=tag)

    def __del__(self):
        if "_observerTag" in self.__dict__:
            self.parameterNode.RemoveObserver(self._observerTag)

    def _readNodes(self):
        for name, parameter in self._parameters.items():
            if parameter.isNode:
                self._values[name] = parameter.read(self.parameterNode)

    def __getattribute__(self, name):
        parameters = type(self)._parameters
        if name in parameters:
            isNode = parameters[name].isNode
            return self._values[name] if isNode else parameters[name].read(self.parameterNode)
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
                links.append(connector(widget, self, self._parameters[name]))
        for link in links:
            link.open()
        tag = len(self._connections) + 1
        self._connections[tag] = links
        return tag

    def disconnectGui(self, tag):
        for link in self._connections.pop(tag, []):
            link.close()
