"""Stand-in for PythonQt's ``qt`` on PySide6: every Qt class with the rules of ``pythonqt``.

Each Qt class is replaced by a Python subclass of its own; as in PythonQt these do not derive from each other.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import inspect
import os
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import hosterrors
from hostuiloader import CUSTOM, UiLoader
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from pythonqt import PythonQtClass, PythonQtObject, integerLike, qtClass, toPython

if sys.version_info < (3, 12):
    # PySide6 hands these out without counting the reference, which is right only where they are immortal.
    for _immortal in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_immortal)).value += 1 << 30

slotErrors, failedConnections = hosterrors.slotErrors, hosterrors.failedConnections
textsFromNone = hosterrors.textsFromNone
_SPECIAL = {"QUiLoader", "QObject"}


def _isWrapped(value, name):
    special = name in _SPECIAL or "Application" in name or "Abstract" in name
    return inspect.isclass(value) and issubclass(value, QtCore.QObject) and not special


def _wrapped(native):
    return qtClass(PythonQtClass(native.__name__, (PythonQtObject, native), {"__module__": "qt"}))


def _makeEnumerationsIntegerLike(value):
    members = [vars(value)[name] for name in dir(value) if name in vars(value)] if inspect.isclass(value) else []
    for enumeration in (value, *members):
        if isinstance(enumeration, enum.EnumMeta) and not issubclass(enumeration, int):
            integerLike(enumeration)


for _module in (QtCore, QtGui, QtWidgets, QtUiTools):
    for _name in dir(_module):  # PySide6 makes its types when they are asked for
        if _name.startswith("_"):
            continue
        _value = getattr(_module, _name)
        _makeEnumerationsIntegerLike(_value)
        if _isWrapped(_value, _name):
            with contextlib.suppress(TypeError):  # a class that Qt lets nobody derive from stays as it is
                _value = _wrapped(_value)
        globals()[_name] = _value

QObject = _wrapped(QtCore.QObject)
application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["host", "-platform", "offscreen"])


class ByteArray:
    """What a process wrote: ``data()`` gives bytes, ``bytes(...)`` is a TypeError."""

    def __init__(self, data=b""):
        self._data = bytes(data)

    def data(self):
        return self._data

    def size(self):
        return len(self._data)

    length = size

    def isEmpty(self):
        return not self._data

    def __str__(self):
        return str(self._data)


@qtClass
class QProcess(QProcess):  # noqa: F821 - made by the loop above
    def readAllStandardOutput(self):
        return ByteArray(super().readAllStandardOutput().data())

    def readAllStandardError(self):
        return ByteArray(super().readAllStandardError().data())

    def readAll(self):
        return ByteArray(super().readAll().data())

    def readLine(self):
        return ByteArray(super().readLine().data())

    def write(self, data):
        data = data.data() if isinstance(data, ByteArray) else data
        return super().write(data.encode() if isinstance(data, str) else data)

    def state(self):
        return int(super().state().value)


@qtClass
class QComboBox(QComboBox):  # noqa: F821
    def itemData(self, *arguments):
        return toPython(super().itemData(*arguments))


@qtClass
class QMenu(QMenu):  # noqa: F821
    def addAction(self, action):
        action = QAction(action, self) if isinstance(action, str) else action  # noqa: F821
        super().addAction(action)
        return action


@qtClass
class QSettings(QSettings):  # noqa: F821
    """Without arguments the settings file of the application, which is a fresh one for each start of the host."""

    file = ""

    def __init__(self, *arguments):
        super().__init__(*(arguments or (QSettings.file, QtCore.QSettings.Format.IniFormat)))

    def value(self, key, default=None):
        return toPython(super().value(key, default))

    def setValue(self, key, value):
        super().setValue(key, list(value) if isinstance(value, tuple) else value)


@qtClass
class QUiLoader(UiLoader):
    classes = globals()


__all__ = ["CUSTOM"]
