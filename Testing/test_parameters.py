"""Reading the parameters of a module from the scene, whatever version wrote them."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from REACTDistillScene.parameters import readParameters


class Wrapped:
    """Stands for a class that the application's ``parameterNodeWrapper`` made; its one parameter is a number."""

    def __init__(self, node):
        self.node, self.opacity = node, float(node.GetParameter("opacity") or 0.6)


@pytest.fixture
def node(empty_scene):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    node.SetAttribute("ModuleName", "MyModule")
    return node


def test_parameters_that_can_be_read_are_left_alone(node, caplog) -> None:
    node.SetParameter("opacity", "0.25")
    parameters = readParameters(Wrapped, node)
    assert (parameters.node, parameters.opacity, caplog.text) == (node, 0.25, "")


def test_parameters_that_cannot_be_read_are_reset_with_one_warning_that_names_the_module(node, caplog) -> None:
    node.SetParameter("opacity", "half")
    node.SetParameter("of another version", "1")
    parameters = readParameters(Wrapped, node)
    assert (parameters.opacity, node.GetParameterCount()) == (0.6, 0)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("MyModule: the parameters in the scene were reset to defaults (could not")


def test_what_fails_even_with_defaults_is_raised(node) -> None:
    def refuse(node):
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        readParameters(refuse, node)
