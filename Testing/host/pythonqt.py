"""The rules of PythonQt, mixed into every Qt class: attributes are properties, signals connect by their signature."""

from __future__ import annotations

import enum
import inspect
import re
import sys
from pathlib import Path

import hosterrors
import shiboken6
from PySide6 import QtCore

_QObject = QtCore.QObject
_metaObject, _property, _setProperty = _QObject.metaObject, _QObject.property, _QObject.setProperty
_ALIASES = {"name": "objectName"}
_METHODS_NOT_PROPERTIES = {"singleShot"}
_NUMBERS = {"int": int, "uint": int, "double": float, "float": float}
_TEXT_SETTERS = {"setText": "text", "setToolTip": "toolTip", "setTitle": "title", "setPlainText": "plainText"}
_STILL_THERE = {"deleteLater", "connect", "disconnect", "destroyed", "className"}


uiLoaders: list[object] = []  # those at work: PySide6 makes each child an attribute of the widget it loads


class PythonQtClass(type(_QObject)):
    """Qt classes know no inheritance in Python: an instance is one of its own class and, there, of no other.

    A class written in Python derives from its Qt class as usual.
    """

    def __instancecheck__(cls, instance):
        kind = type(instance)
        if kind is cls:
            return True
        return not kind.__dict__.get("isQtClass", False) and super().__instancecheck__(instance)

    def __subclasscheck__(cls, kind):
        if kind is cls:
            return True
        return not kind.__dict__.get("isQtClass", False) and super().__subclasscheck__(kind)


def qtClass(kind):
    """Mark a stand-in as a class of the application: ``isinstance`` and attributes follow the rules for those."""
    kind.isQtClass = True
    return kind


def _metaProperty(owner, name):
    metaObject = _metaObject(owner)
    index = metaObject.indexOfProperty(name)
    return metaObject.property(index) if index >= 0 else None


def _isDynamic(owner, name):
    return name.encode() in [bytes(n) for n in _QObject.dynamicPropertyNames(owner)]


def _text(owner, name, value):
    if value is None:
        hosterrors.textsFromNone.append(f"{type(owner).__name__}.{name}")
    return str(value)


def _converted(owner, name, typeName, value):
    """Conversions are as lax as those of PythonQt: only a number refuses None and text."""
    if typeName == "QString":
        return _text(owner, name, value)
    if typeName == "bool":
        return bool(value)
    if typeName in _NUMBERS:
        if value is None or isinstance(value, str):
            kind = type(value).__name__
            raise ValueError(
                f"Property '{name}' of type '{typeName}' does not accept an object of type {kind} ({value})"
            )
        return _NUMBERS[typeName](value)
    if isinstance(value, Path):
        return str(value)
    return list(value) if typeName == "QStringList" else value  # a plain string becomes its letters


def toPython(value):
    """A value as PythonQt hands it over: lists are tuples."""
    return tuple(value) if isinstance(value, list) else value


_reading: set[tuple[int, str]] = set()


def _read(owner, name):
    key = (id(owner), name)
    if key in _reading:  # a virtual C++ getter asks whether Python overrides it: the answer is the plain method
        return getattr(super(PythonQtObject, owner), name)
    _reading.add(key)
    try:
        return toPython(_property(owner, name))
    finally:
        _reading.remove(key)


class PythonQtObject:
    """Attribute access and connections as in PythonQt, mixed into every Qt class."""

    # Signature in the application: name of the signal here, where the two differ.
    signatures: dict[str, str] = {}  # noqa: RUF012 - overridden by subclasses, never changed

    def __getattribute__(self, name):
        if name in ("connect", "disconnect"):  # shiboken treats these names specially
            return getattr(PythonQtObject, "_" + name).__get__(self)
        if name.startswith("_") or name in _METHODS_NOT_PROPERTIES:
            return super().__getattribute__(name)
        if not shiboken6.isValid(self):
            if name in _STILL_THERE:
                return super().__getattribute__(name)
            raise ValueError(f"Trying to read property '{name}' from a destroyed {type(self).__name__} object")
        qtName = _ALIASES.get(name, name)
        if _metaProperty(self, qtName) is not None or _isDynamic(self, qtName):
            return _read(self, qtName)
        try:
            found = super().__getattribute__(name)
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'") from None
        if name in _TEXT_SETTERS:
            return lambda value: found(_text(self, _TEXT_SETTERS[name], value))
        return found

    def __setattr__(self, name, value):
        if name.startswith("_") and not _isOfQt(self):
            return super().__setattr__(name, value)
        if name in self.__dict__ or name.startswith("_standIn"):
            return super().__setattr__(name, value)
        className = type(self).__name__
        if not shiboken6.isValid(self):
            raise ValueError(f"Trying to set attribute '{name}' on a destroyed {className} object")
        qtName = _ALIASES.get(name, name)
        metaProperty = _metaProperty(self, qtName)
        if metaProperty is not None and name not in _METHODS_NOT_PROPERTIES:
            if not metaProperty.isWritable():
                raise AttributeError(f"Property '{name}' of {className} object is not writable")
            _setProperty(self, qtName, _converted(self, name, metaProperty.typeName(), value))
        elif hasattr(type(self), name) and _isOfQt(self):
            raise AttributeError(f"Slot '{name}' can not be overwritten on {className} object")
        elif _isOfQt(self):
            if uiLoaders:
                return
            raise AttributeError(
                f"'{name}' does not exist on {className} and creating new attributes on C++ objects is not allowed"
            )
        else:
            super().__setattr__(name, value)

    def __bool__(self):
        return shiboken6.isValid(self)

    def _signalNamed(self, signature):
        wanted = re.sub(r"\bconst\b|&|\s+", "", signature)
        name = type(self).signatures.get(wanted)
        if name is None:
            name = wanted.split("(")[0] if _metaObject(self).indexOfSignal(wanted) >= 0 else None
        if name is None or "(" not in wanted:
            hosterrors.failedConnections.append(f"{type(self).__name__}.{signature}")
            print(f"PythonQt: QObject::connect() signal '{signature}' does not exist", file=sys.stderr)
            return None
        return getattr(self, name)

    def _connect(self, signature, function):
        signal = self._signalNamed(signature)
        if signal is None:
            return False
        slot = _slot(function, signature)
        self.__dict__.setdefault("_slots", []).append((signature, function, slot))
        signal.connect(slot)
        return True

    def _disconnect(self, signature, function):
        slots = self.__dict__.get("_slots", [])
        for entry in slots:
            if entry[:2] == (signature, function):
                self._signalNamed(signature).disconnect(entry[2])
                slots.remove(entry)
                return True
        return False

    def inherits(self, className):
        """True for the class itself and all Qt classes above it, by name."""
        return any(kind.__name__ == className for kind in type(self).__mro__) or super().inherits(className)

    def className(self):
        return type(self).__name__


def integerLike(enumeration):
    """Make the members of a Qt enumeration equal to their numbers, as they are in PythonQt."""
    enumeration.__eq__ = lambda self, other: self.value == getattr(other, "value", other)
    enumeration.__hash__ = lambda self: hash(self.value)
    enumeration.__int__ = enumeration.__index__ = lambda self: int(self.value)


def _isOfQt(owner):
    return type(owner).__dict__.get("isQtClass", False)


def _slot(function, signature):
    sent = 0 if re.search(r"\(\s*\)", signature) else signature.count(",") + 1
    accepted = min(sent, _positionalCount(function))

    def called(*arguments):
        try:
            function(*[_asInteger(argument) for argument in arguments[:accepted]])
        except Exception as error:  # noqa: BLE001 - the emission goes on, whatever a slot raises
            hosterrors.report(error)

    # PySide6 sends as many values as it sees parameters.
    slots = (lambda: called(), lambda a: called(a), lambda a, b: called(a, b), lambda a, b, c: called(a, b, c))
    return slots[sent]


def _asInteger(argument):
    return int(argument.value) if isinstance(argument, enum.Enum) else argument


def _positionalCount(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # C++ methods tell nothing
        return 9
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 9
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters)
