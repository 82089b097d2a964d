"""Stand-ins for the CTK widgets that panels use; their rules are those seen in the application."""

from __future__ import annotations

import qt
from PySide6.QtCore import Property, Signal


def _customWidget(widgetClass):
    qt.CUSTOM[widgetClass.__name__] = widgetClass
    return widgetClass


@_customWidget
class ctkCollapsibleButton(qt.QGroupBox):
    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsed = False

    def _setCollapsed(self, collapsed):
        self._collapsed = collapsed
        for child in self.children():
            if child.isWidgetType():
                child.setVisible(not collapsed)
        self.contentsCollapsed.emit(collapsed)

    def showEvent(self, event):
        super().showEvent(event)
        if self._collapsed:  # a .ui file sets the property before it adds the children
            self._setCollapsed(True)

    text = Property(
        str,
        lambda self: qt.QtWidgets.QGroupBox.title(self),
        lambda self, text: qt.QtWidgets.QGroupBox.setTitle(self, text),
    )
    collapsed = Property(bool, lambda self: self._collapsed, _setCollapsed)


@_customWidget
class ctkSliderWidget(qt.QWidget):
    valueChanged = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._value, self._minimum, self._maximum, self._step, self._decimals = 0.0, 0.0, 99.99, 1.0, 2
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._spinBox = qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        self._slider.setRange(0, 1000)
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)

    def setValue(self, value):
        value = min(max(value, self._minimum), self._maximum)  # clips, but does not round to its decimals
        if value != self._value:
            self._value = value
            self._draw()
            self.valueChanged.emit(value)

    def _setMinimum(self, minimum):
        self._minimum, self._maximum = minimum, max(minimum, self._maximum)
        self._limitsChanged()

    def _setMaximum(self, maximum):
        self._minimum, self._maximum = min(self._minimum, maximum), maximum
        self._limitsChanged()

    def _setStep(self, step):
        self._step = step

    def _setDecimals(self, decimals):
        self._decimals = decimals

    def _limitsChanged(self):
        self.setValue(self._value)
        self._draw()

    def _draw(self):
        span = self._maximum - self._minimum
        self._slider.setValue(round(1000 * (self._value - self._minimum) / span) if span else 0)
        self._spinBox.setRange(self._minimum, self._maximum)
        self._spinBox.setValue(self._value)

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._minimum, _setMinimum)
    maximum = Property(float, lambda self: self._maximum, _setMaximum)
    singleStep = Property(float, lambda self: self._step, _setStep)
    decimals = Property(int, lambda self: self._decimals, _setDecimals)


@_customWidget
class ctkPathLineEdit(qt.QWidget):
    currentPathChanged = Signal(str)
    Files = 1  # of the enumeration Filter

    def __init__(self, parent=None):
        super().__init__(parent)
        self._filters, self._nameFilters = 0, []
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit, button = qt.QLineEdit(), qt.QToolButton()
        button.text = "..."
        layout.addWidget(self._edit)
        layout.addWidget(button)
        self._edit.connect("textChanged(QString)", self.currentPathChanged.emit)

    def _setPath(self, path):
        self._edit.text = path

    def _setFilters(self, filters):
        self._filters = filters

    def _setNameFilters(self, filters):
        self._nameFilters = filters

    currentPath = Property(str, lambda self: self._edit.text, _setPath)
    filters = Property(int, lambda self: self._filters, _setFilters)
    nameFilters = Property("QStringList", lambda self: self._nameFilters, _setNameFilters)
