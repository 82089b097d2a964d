"""Stand-in for PythonQt's ``qt`` on PySide6: properties are attributes, signals are connected by their signature.

It refuses and allows what PythonQt refuses and allows. Each Qt class is replaced by a Python subclass of its own; as in
PythonQt these do not derive from each other. Exceptions in slots are printed, swallowed and kept in ``slotErrors``.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import re
import sys
import traceback
import xml.etree.ElementTree as ElementTree

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

if sys.version_info < (3, 12):
    # PySide6 hands out None without counting the reference, which is right only where None is immortal.
    ctypes.c_ssize_t.from_address(id(None)).value += 1 << 30

slotErrors: list[BaseException] = []
failedConnections: list[str] = []  # PythonQt only prints a line for them
textsFromNone: list[str] = []  # PythonQt shows None as "None": never what was meant
CUSTOM: dict[str, type] = {}  # widget classes of ctk and of the application, by name

_QObject = QtCore.QObject
_metaObject, _property, _setProperty = _QObject.metaObject, _QObject.property, _QObject.setProperty
_ALIASES = {"name": "objectName"}
_METHODS_NOT_PROPERTIES = {"singleShot"}
_NUMBERS = {"int": int, "uint": int, "double": float, "float": float}


def _metaProperty(owner, name):
    if not shiboken6.isValid(owner):
        return None
    metaObject = _metaObject(owner)
    index = metaObject.indexOfProperty(name)
    return metaObject.property(index) if index >= 0 else None


def _isDynamic(owner, name):
    return shiboken6.isValid(owner) and name.encode() in [bytes(n) for n in _QObject.dynamicPropertyNames(owner)]


def _converted(owner, name, typeName, value):
    """Conversions are as lax as those of PythonQt: only a number refuses None and text."""
    if typeName == "QString":
        if value is None:
            textsFromNone.append(f"{type(owner).__name__}.{name}")
        return str(value)
    if typeName == "bool":
        return bool(value)
    if typeName in _NUMBERS:
        if value is None or isinstance(value, str):
            kind = type(value).__name__
            raise ValueError(
                f"Property '{name}' of type '{typeName}' does not accept an object of type {kind} ({value})"
            )
        return _NUMBERS[typeName](value)
    return list(value) if typeName == "QStringList" else value  # a plain string becomes its letters


_reading: set[tuple[int, str]] = set()


def _read(owner, name):
    key = (id(owner), name)
    if key in _reading:  # a virtual C++ getter asks whether Python overrides it: the answer is the plain method
        return getattr(super(PythonQtObject, owner), name)
    _reading.add(key)
    try:
        value = _property(owner, name)
    finally:
        _reading.remove(key)
    return tuple(value) if isinstance(value, list) else value


class PythonQtObject:
    """Attribute access and connections as in PythonQt, mixed into every Qt class."""

    def __getattribute__(self, name):
        if name in ("connect", "disconnect"):  # shiboken treats these names specially
            return getattr(PythonQtObject, "_" + name).__get__(self)
        if not name.startswith("_") and name not in _METHODS_NOT_PROPERTIES:
            qtName = _ALIASES.get(name, name)
            if _metaProperty(self, qtName) is not None or _isDynamic(self, qtName):
                return _read(self, qtName)
        try:
            return super().__getattribute__(name)
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'") from None

    def __setattr__(self, name, value):
        if name.startswith("_"):
            return super().__setattr__(name, value)
        qtName = _ALIASES.get(name, name)
        metaProperty = _metaProperty(self, qtName)
        className = type(self).__name__
        if metaProperty is not None and name not in _METHODS_NOT_PROPERTIES:
            if not metaProperty.isWritable():
                raise AttributeError(f"Property '{name}' of {className} object is not writable")
            _setProperty(self, qtName, _converted(self, name, metaProperty.typeName(), value))
        elif hasattr(type(self), name) and "_native" in type(self).__dict__:
            raise AttributeError(f"Slot '{name}' can not be overwritten on {className} object")
        elif "_native" in type(self).__dict__:
            raise AttributeError(
                f"'{name}' does not exist on {className} and creating new attributes on C++ objects is not allowed"
            )
        else:
            super().__setattr__(name, value)

    def _signalNamed(self, signature):
        signal = getattr(self, signature.split("(")[0].strip(), None)
        if "(" not in signature or not hasattr(signal, "emit"):
            failedConnections.append(f"{type(self).__name__}.{signature}")
            print(f"PythonQt: QObject::connect() signal '{signature}' does not exist", file=sys.stderr)
            return None
        return signal

    def _connect(self, signature, function):
        signal = self._signalNamed(signature)
        if signal is None:
            return False
        slot = _slot(function, withoutArguments=bool(re.search(r"\(\s*\)", signature)))
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
        """True for the class itself and all Qt classes above it."""
        return super().inherits(className)

    def className(self):
        return type(self).__name__


def _slot(function, *, withoutArguments):
    accepted = 0 if withoutArguments else _positionalCount(function)

    def slot(*arguments):
        try:
            function(*arguments[:accepted])
        except Exception as error:  # noqa: BLE001 - the emission goes on, whatever a slot raises
            slotErrors.append(error)
            traceback.print_exc()

    return slot


def _positionalCount(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # C++ methods tell nothing
        return 9
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 9
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters)


def _isWrapped(value, name):
    special = name == "QUiLoader" or "Application" in name or "Abstract" in name
    return inspect.isclass(value) and issubclass(value, _QObject) and not special


for _module in (QtCore, QtGui, QtWidgets, QtUiTools):
    for _name in dir(_module):  # PySide6 makes its types when they are asked for
        if _name.startswith("_"):
            continue
        _value = getattr(_module, _name)
        if _isWrapped(_value, _name):
            with contextlib.suppress(TypeError):  # a class that Qt lets nobody derive from stays as it is
                _value = type(_value)(_name, (PythonQtObject, _value), {"_native": _value, "__module__": "qt"})
        globals()[_name] = _value

application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["host", "-platform", "offscreen"])


class QUiLoader(QtUiTools.QUiLoader):
    """Makes the classes of this module and of ``CUSTOM``; an unknown class in a .ui file is an error."""

    def createWidget(self, className, parent=None, name=""):
        return self._make(className, parent, name)

    def createLayout(self, className, parent=None, name=""):
        return self._make(className, parent, name)

    def load(self, file, parent=None):
        self._made = []  # keeps the Python halves alive while the C++ loader works
        root = ElementTree.fromstring(bytes(file.readAll()))
        connections = [
            [node.findtext(key) for key in ("sender", "signal", "receiver", "slot")] for node in root.iter("connection")
        ]
        for node in root.findall("connections"):  # their C++ signals do not exist here
            root.remove(node)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(self.errorString())
        named = {made.objectName: made for made in self._made}
        for sender, signal, receiver, slot in connections:
            connected = named[sender].connect(signal, getattr(named[receiver], slot.split("(")[0]))
            if not connected:
                raise RuntimeError(f"connection of {sender} to {receiver}: no signal {signal}")
        return widget

    def _make(self, className, parent, name):
        found = CUSTOM.get(className) or globals().get(className)
        if found is None:
            raise NotImplementedError(f'the .ui file uses the widget class "{className}", which is not known here')
        # A layout inside a layout gets its parent when it is added.
        made = found() if parent is None or isinstance(parent, QtWidgets.QLayout) else found(parent)
        made.setObjectName(name)
        self._made.append(made)
        return made
