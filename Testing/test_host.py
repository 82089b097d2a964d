"""The stand-in host against what was observed in the application: widgets, signals, parameters."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import sys
import types
import weakref
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow  # noqa: F401

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def qt(host):
    import qt

    return qt


@pytest.fixture
def problems(host):
    """What was collected so far; taking it forgives it."""
    import hosterrors

    def take():
        found = hosterrors.problems()
        hosterrors.clear()
        return found

    return take


def volumes(*names):
    import slicer

    return [slicer.mrmlScene.AddNewNodeByClass(VOLUME, name) for name in names]


def nodeComboBox(*, noneEnabled):
    import slicer

    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = [VOLUME]
    combo.noneEnabled = noneEnabled
    return combo


def emitted(widget, *signatures):
    received = []
    for signature in signatures:
        assert widget.connect(signature, lambda *values: received.append(values[0] if values else None))
    return received


def test_a_widget_is_an_instance_of_its_own_class_only(qt) -> None:
    import ctk

    button, label = qt.QPushButton(), type("OwnLabel", (qt.QLabel,), {})()
    assert isinstance(button, qt.QPushButton)
    assert not isinstance(button, qt.QWidget)
    assert not isinstance(ctk.ctkCollapsibleButton(), qt.QWidget)
    assert not issubclass(qt.QPushButton, qt.QWidget)
    assert button.inherits("QWidget")
    assert isinstance(label, qt.QLabel)  # a class written in Python derives as usual


def test_setters_take_anything_but_text_for_a_number(qt, problems) -> None:
    button, spin, progress = qt.QPushButton(), qt.QSpinBox(), qt.QProgressBar()
    button.text = 5
    button.enabled = "no"
    button.checkable = np.bool_(True)
    spin.value = np.float64(3.7)
    assert (button.text, button.enabled, button.checkable, spin.value) == ("5", True, True, 3)
    for value, kind in ((None, "NoneType (None)"), ("3", "str (3)")):
        with pytest.raises(ValueError, match="does not accept an object of type") as refusal:
            progress.value = value
        assert str(refusal.value).endswith(kind)
    button.text = None
    button.setText(None)
    assert button.text == "None"
    assert problems() == ["text from None: 'QPushButton.text'"] * 2


def test_errors_read_as_in_the_application(qt) -> None:
    import shiboken6

    button = qt.QPushButton()
    with pytest.raises(AttributeError, match=r"^QPushButton has no attribute named 'nosuch'$"):
        _ = button.nosuch
    with pytest.raises(AttributeError, match=r"^'txt' does not exist on QPushButton and creating new attributes"):
        button.txt = ""
    with pytest.raises(AttributeError, match=r"'_private' does not exist on QPushButton"):
        button._private = 1
    with pytest.raises(AttributeError, match=r"^Property 'width' of QPushButton object is not writable$"):
        button.width = 3
    with pytest.raises(AttributeError, match=r"^Slot 'click' can not be overwritten on QPushButton object$"):
        button.click = None
    with pytest.raises(TypeError, match="'str' object is not callable"):
        button.text()
    shiboken6.delete(button)
    assert not button
    with pytest.raises(ValueError, match=r"^Trying to read property 'text' from a destroyed QPushButton object$"):
        _ = button.text


def test_connect_answers_true_or_false_and_slots_may_take_less(qt, problems, capsys) -> None:
    button, calls = qt.QPushButton(), []
    assert button.connect("clicked( bool )", lambda: calls.append("nothing")) is True
    assert button.connect("clicked()", lambda *values: calls.append(values)) is True
    assert button.connect("clicked(bool)", lambda checked: 1 / 0) is True
    assert button.connect("clicked(bool)", lambda checked: calls.append(checked)) is True
    for unknown in ("clicked", "clicked(int)", "pushed()"):
        assert button.connect(unknown, print) is False
    button.click()
    assert calls == ["nothing", (), False]  # the emission went on after the slot that raised
    assert "signal 'pushed()' does not exist" in capsys.readouterr().err
    assert [problem.split(":")[0] for problem in problems()] == ["slot", "connection", "connection", "connection"]


def test_an_exception_in_an_observer_fails_the_test(host, problems) -> None:
    def raises(caller, event):
        raise ValueError("in an observer")

    node = volumes("A")[0]
    node.AddObserver("ModifiedEvent", raises)
    node.Modified()
    assert problems() == ["observer: ValueError('in an observer')"]


def test_one_change_of_the_node_is_told_as_node_then_boolean_then_id(qt) -> None:
    import slicer

    combo = nodeComboBox(noneEnabled=True)
    combo.setMRMLScene(slicer.mrmlScene)
    signals = ("currentNodeIDChanged(QString)", "currentNodeChanged(bool)", "currentNodeChanged(vtkMRMLNode*)")
    received = emitted(combo, *signals)
    node = volumes("A")[0]
    combo.setCurrentNode(node)
    combo.setCurrentNode(None)
    assert received == [node, True, node.GetID(), None, False, ""]


def test_a_node_combo_box_selects_and_jumps_as_in_the_application(qt) -> None:
    import slicer

    combo, choosy = nodeComboBox(noneEnabled=True), nodeComboBox(noneEnabled=False)
    assert not combo.enabled
    choosy.setMRMLScene(slicer.mrmlScene)
    first, second, third = volumes("A", "B", "C")
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.enabled
    assert (combo.currentNode(), choosy.currentNode(), combo.nodeCount()) == (None, None, 3)  # added later
    choosy.setMRMLScene(slicer.mrmlScene)
    assert choosy.currentNode() is first
    combo.setCurrentNode(second)
    slicer.mrmlScene.RemoveNode(second)
    assert combo.currentNode() is third
    assert (combo.currentNodeID, combo.currentNodeId) == (third.GetID(), third.GetID())
    choosy.setCurrentNode(None)
    assert choosy.currentNode() is None
    combo.nodeTypes = "abc"
    assert combo.nodeTypes == ("a", "b", "c")


def test_single_shot_is_a_function_and_a_forgotten_timer_dies(qt, host) -> None:
    timer, calls = qt.QTimer(), []
    with pytest.raises(AttributeError, match="Slot 'singleShot' can not be overwritten"):
        timer.singleShot = True
    timer.setSingleShot(True)
    timer.singleShot(0, lambda: calls.append("static"))
    host.processEvents(0.05)
    assert calls == ["static"]
    forgotten = qt.QTimer()
    forgotten.connect("timeout()", calls.clear)
    reference = weakref.ref(forgotten)
    del forgotten
    assert reference() is None


def test_a_combo_box_ignores_unknown_text_and_hands_lists_over_as_tuples(qt) -> None:
    combo, node = qt.QComboBox(), volumes("A")[0]
    combo.addItem("list", [1, 2])
    combo.addItem("node", node)
    combo.currentText = "unknown"
    assert combo.currentText == "list"
    assert (combo.itemData(0), combo.currentData) == ((1, 2), (1, 2))
    assert combo.itemData(1) is node
    combo.currentIndex = 7
    assert combo.currentIndex == -1


def test_ctk_widgets_have_their_own_rules(qt) -> None:
    import ctk

    slider = ctk.ctkSliderWidget()
    assert (slider.maximum, hasattr(slider, "setRange")) == (99.99, False)
    slider.value = 5.123456
    assert slider.value == 5.123456  # not rounded to two decimals
    slider.value = 1000
    assert slider.value == 99.99
    slider.maximum = -3.0
    assert (slider.minimum, slider.value) == (-3.0, -3.0)
    section = ctk.ctkCollapsibleButton()
    section.collapsed = True
    assert section.checked is False
    section.checked = True
    assert section.collapsed is False
    assert ctk.ctkDirectoryButton().directory == "."
    path = ctk.ctkPathLineEdit()
    path.filters, path.nameFilters = ctk.ctkPathLineEdit.Files, ("*.safetensors",)
    received = emitted(path, "currentPathChanged(QString)", "validInputChanged(bool)")
    path.currentPath = Path("a.safetensors")
    assert received == ["a.safetensors", True]


def test_a_progress_bar_ignores_values_outside_its_range(qt) -> None:
    progress = qt.QProgressBar()
    assert progress.value == -1
    progress.setRange(0, 8)
    progress.value = 3
    progress.value = 9
    assert progress.value == 3
    progress.setRange(0, 0)
    assert progress.value == -1


def test_a_process_hands_over_byte_arrays_and_takes_text(qt) -> None:
    process, ends = qt.QProcess(), []
    assert process.connect("finished(int)", ends.append)
    assert process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ends.append((code, status)))
    process.start(sys.executable, ["-c", "print(input())"])
    process.write("äh\n")
    assert process.waitForFinished(20000)
    output = process.readAllStandardOutput()
    assert output.data().strip() == "äh".encode()
    with pytest.raises(TypeError):
        bytes(output)
    assert sorted(ends, key=str) == [(0, 0), 0]
    assert process.state() == 0


class Device(Enum):
    cpu = "cpu"


def test_connect_gui_refuses_what_the_application_refuses(qt) -> None:
    import ctk
    import slicer
    from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

    hints = {"text": str, "path": Path, "share": Annotated[float, WithinRange(0, 1)], "device": Device}
    parameters = parameterNodeWrapper(type("Parameters", (), {"__annotations__": hints}))
    wrapper = parameters(slicer.mrmlScene.AddNode(slicer.vtkMRMLScriptedModuleNode()))

    def connected(widget, name):
        widget.setProperty("SlicerParameterName", name)
        wrapper.disconnectGui(wrapper.connectGui(types.SimpleNamespace(widget=widget)))
        return True

    good = ((qt.QLineEdit(), "text"), (ctk.ctkPathLineEdit(), "path"), (qt.QComboBox(), "device"))
    assert all(connected(widget, name) for widget, name in good)
    for widget, name in (
        *((kind(), "text") for kind in (qt.QRadioButton, qt.QPlainTextEdit, qt.QToolButton, qt.QGroupBox)),
        (slicer.qMRMLSegmentSelectorWidget(), "text"),
        (qt.QLineEdit(), "path"),
        (ctk.ctkPathLineEdit(), "text"),
    ):
        with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
            connected(widget, name)
    wrapper.parameterNode.SetParameter("share", "500")
    wrapper.nosuch = 3
    assert (wrapper.share, wrapper.path) == (500.0, Path())  # a stored value is not checked for its range
    with pytest.raises(ValueError, match=r"within range \[0, 1\], is 2"):
        wrapper.share = 2.0
    with pytest.raises(TypeError, match="abstract class"):
        parameterNodeWrapper(type("Abstract", (), {"__annotations__": {"v": slicer.vtkMRMLVolumeNode}}))
