"""Stand-ins for the CTK widgets that panels use; their rules are those seen in the application."""

from __future__ import annotations

import qt
from hosterrors import textsFromNone
from PySide6.QtCore import Property, Signal
from pythonqt import qtClass

_HEADER_PIXELS = 26


def _customWidget(widgetClass):
    qt.CUSTOM[widgetClass.__name__] = qtClass(widgetClass)
    return widgetClass


def stored(kind, name, changed=None):
    """A property that is kept in the Python attribute ``name``; ``changed(self)`` is called after it was set."""

    def read(self):
        return getattr(self, name)

    def write(self, value):
        setattr(self, name, value)
        if changed is not None:
            changed(self)

    return Property(kind, read, write)


def _row(widget, *children):
    layout = qt.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for child in children:
        layout.addWidget(child)


@_customWidget
class ctkCollapsibleButton(qt.QWidget):
    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)
    clicked = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInCollapsed, self._standInFlat, self._standInText = False, False, ""
        self.setContentsMargins(0, _HEADER_PIXELS, 0, 0)

    def setCollapsed(self, collapsed):
        if collapsed == self._standInCollapsed:
            return
        self._standInCollapsed = collapsed
        self._showChildren()
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def setChecked(self, checked):
        self.setCollapsed(not checked)

    def click(self):
        self.setCollapsed(not self._standInCollapsed)
        self.clicked.emit(not self._standInCollapsed)

    def _showChildren(self):
        for child in self.children():
            if child.isWidgetType():
                child.setVisible(not self._standInCollapsed)

    def showEvent(self, event):
        super().showEvent(event)
        if self._standInCollapsed:  # a .ui file sets the property before it adds the children
            self._showChildren()

    def mousePressEvent(self, event):
        if event.position().y() < _HEADER_PIXELS:
            self.click()

    def paintEvent(self, event):
        painter = qt.QtGui.QPainter(self)
        header = qt.QtCore.QRect(0, 0, self.width, _HEADER_PIXELS - 2)
        painter.fillRect(header, self.palette.button().color().darker(106))
        arrow = "\u25b6" if self._standInCollapsed else "\u25bc"
        painter.drawText(header, 0x81, f"  {arrow}  {self._standInText}")  # AlignLeft | AlignVCenter
        painter.end()

    text = stored(str, "_standInText", lambda self: self.update())
    collapsed = Property(bool, lambda self: self._standInCollapsed, setCollapsed)
    checked = Property(bool, lambda self: not self._standInCollapsed, setChecked)
    flat = stored(bool, "_standInFlat")


@_customWidget
class ctkSliderWidget(qt.QWidget):
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInValue, self._standInMinimum, self._standInMaximum = 0.0, 0.0, 99.99
        self._standInStep, self._standInPage, self._standInDecimals = 1.0, 10.0, 2
        self._standInSuffix, self._standInPrefix, self._standInTracking = "", "", True
        self._standInSlider, self._standInSpinBox = qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        self._standInSlider.setRange(0, 1000)
        self._standInSlider.connect("sliderMoved(int)", self._onMoved)
        _row(self, self._standInSlider, self._standInSpinBox)

    def _onMoved(self, thousandths):
        span = self._standInMaximum - self._standInMinimum
        self.setValue(self._standInMinimum + span * thousandths / 1000)

    def setValue(self, value):
        value = min(max(value, self._standInMinimum), self._standInMaximum)  # clipped, but not rounded to its decimals
        if value != self._standInValue:
            self._standInValue = value
            self._draw()
            self.valueChanged.emit(value)

    def _setMinimum(self, minimum):
        self._standInMinimum, self._standInMaximum = minimum, max(minimum, self._standInMaximum)
        self._limitsChanged()

    def _setMaximum(self, maximum):
        self._standInMinimum, self._standInMaximum = min(self._standInMinimum, maximum), maximum
        self._limitsChanged()

    def _limitsChanged(self):
        self.setValue(self._standInValue)
        self._draw()

    def _draw(self):
        span = self._standInMaximum - self._standInMinimum
        position = round(1000 * (self._standInValue - self._standInMinimum) / span) if span else 0
        self._standInSlider.setValue(position)
        self._standInSpinBox.setRange(self._standInMinimum, self._standInMaximum)
        self._standInSpinBox.setDecimals(self._standInDecimals)
        self._standInSpinBox.setValue(self._standInValue)

    value = Property(float, lambda self: self._standInValue, setValue)
    minimum = Property(float, lambda self: self._standInMinimum, _setMinimum)
    maximum = Property(float, lambda self: self._standInMaximum, _setMaximum)
    singleStep, pageStep = stored(float, "_standInStep"), stored(float, "_standInPage")
    decimals = stored(int, "_standInDecimals")
    suffix, prefix = stored(str, "_standInSuffix"), stored(str, "_standInPrefix")
    tracking = stored(bool, "_standInTracking")


@_customWidget
class ctkPathLineEdit(qt.QWidget):
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Files, Dirs, Executable, NoDot, NoDotDot, Readable, Writable = 0x2, 0x1, 0x40, 0x2000, 0x4000, 0x10, 0x20

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInFilters, self._standInNameFilters, self._standInSettingKey = 0, [], ""
        self._standInBrowse = True
        self._standInEdit, button = qt.QLineEdit(), qt.QToolButton()
        button.text = "..."
        _row(self, self._standInEdit, button)
        self._standInEdit.connect("textChanged(QString)", self._onText)

    def _onText(self, text):
        self.currentPathChanged.emit(text)
        self.validInputChanged.emit(bool(text))

    def setCurrentPath(self, path):
        if path is None:
            textsFromNone.append("ctkPathLineEdit.currentPath")
        self._standInEdit.setText(str(path))

    def addCurrentPathToHistory(self):
        pass

    def retrieveHistory(self):
        pass

    currentPath = Property(str, lambda self: self._standInEdit.text, setCurrentPath)
    filters = stored(int, "_standInFilters")
    nameFilters = stored("QStringList", "_standInNameFilters")
    settingKey, showBrowseButton = stored(str, "_standInSettingKey"), stored(bool, "_standInBrowse")


@_customWidget
class ctkDirectoryButton(qt.QPushButton):
    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._standInDirectory, self._standInCaption = ".", ""

    directory = stored(str, "_standInDirectory", lambda self: self.directoryChanged.emit(self._standInDirectory))
    caption = stored(str, "_standInCaption")


for _name, _base in (
    ("ctkCheckBox", qt.QCheckBox),
    ("ctkComboBox", qt.QComboBox),
    ("ctkDoubleSpinBox", qt.QDoubleSpinBox),
    ("ctkCollapsibleGroupBox", qt.QGroupBox),
    ("ctkFittedTextBrowser", qt.QTextBrowser),
):
    globals()[_name] = _customWidget(type(_base)(_name, (_base,), {"__module__": "ctk"}))
