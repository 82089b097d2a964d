"""The panel of MissingModalitySeg on the stand-in host, with real MRML nodes: choices and parameters."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "host"))

from hostdriver import run, saveAndReadAgain, withAndWithoutMainWindow
from hosttumorpanel import SEQUENCES, host, mainWindow, panel, phantom, student  # noqa: F401


def chosen(panel):
    nodes = {name: getattr(panel._parameterNode, f"{name}Volume") for name in SEQUENCES}
    return {name: None if node is None else node.GetName() for name, node in nodes.items()}


@withAndWithoutMainWindow
def test_a_disabled_apply_says_what_is_missing(host, panel) -> None:
    import slicer

    def reason():
        host.processEvents()
        button = panel.panel.bar.applyButton
        assert button.enabled is (button.toolTip == "Segment the tumor.")
        return button.toolTip

    parameters = panel._parameterNode
    assert reason() == "No sequence is given; choose at least one of T1, T1ce, T2 and FLAIR."
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Volume 1")
    assert reason() == "No sequence is given; choose at least one of T1, T1ce, T2 and FLAIR."  # its name tells nothing
    parameters.flairVolume = volume
    assert reason() == "Segment the tumor."
    parameters.t2Volume = volume
    assert reason() == "T2 and FLAIR are the same volume; choose another one or missing."
    parameters.t2Volume = None
    parameters.referenceSequence = "t1"
    assert reason() == "The result is to have the grid of T1, which is missing; choose another grid under Output."
    panel.ui.referenceComboBox.currentIndex = panel.ui.referenceComboBox.findData("flair")
    assert reason() == "Segment the tumor."
    parameters.student = 64 * "a"
    assert reason() == "The student of this scene is not installed; add its file under Students."


def test_a_student_that_needs_a_sequence_says_which(host, panel, phantom, monkeypatch) -> None:
    entry = panel.panel.students.entryOf("")
    needs = replace(entry.card, sequences={"required": ["t1ce"], "optional": ["t1"]})
    monkeypatch.setattr(panel.panel.students, "entryOf", lambda key: replace(entry, card=needs))
    for given, expected in {
        ("t1",): "The student needs T1ce as well; choose it or another student.",
        ("t1", "t1ce"): "Segment the tumor.",
    }.items():
        for name in SEQUENCES:
            setattr(panel._parameterNode, f"{name}Volume", phantom[name] if name in given else None)
        host.processEvents()
        assert panel.panel.bar.applyButton.toolTip == expected


def test_new_volumes_are_guessed_and_what_the_user_sets_to_missing_stays_missing(host, panel, phantom) -> None:
    import slicer

    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": "Phantom T1ce", "t2": "Phantom T2", "flair": "Phantom FLAIR"}
    assert panel.ui.guessLabel.text == "Guessed, please check: T1, T1ce, T2, FLAIR by name."
    panel.ui.t1ceVolumeSelector.setCurrentNode(None)
    panel.ui.t2VolumeSelector.setCurrentNode(None)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "liver portal venous")
    host.processEvents()
    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": None, "t2": None, "flair": "Phantom FLAIR"}
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "AX T2 TSE")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "SAG T1 pre")
    host.processEvents()
    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": None, "t2": "AX T2 TSE", "flair": "Phantom FLAIR"}
    panel.ui.guessButton.click()
    host.processEvents()
    assert chosen(panel)["t1ce"] == "Phantom T1ce"


def test_the_price_of_what_is_missing_follows_the_choice(host, panel, phantom) -> None:
    assert "With T1, T1ce, T2 and FLAIR a Dice of 0.83 for WT" in panel.ui.expectationLabel.text
    assert [getattr(panel.ui, f"{name}GainLabel").text for name in SEQUENCES] == ["", "", "", ""]
    panel._parameterNode.t1ceVolume = None
    panel._parameterNode.t2Volume = None
    host.processEvents()
    assert "With T1 and FLAIR alone a Dice of 0.79 for WT" in panel.ui.expectationLabel.text
    assert "T1ce would help most" in panel.ui.expectationLabel.text
    assert panel.ui.t1ceGainLabel.text == "<b>ET +0.42</b>"
    assert panel.ui.t2GainLabel.text == "WT +0.02"
    assert "ET +0.420" in panel.ui.t1ceGainLabel.toolTip
    for name in ("t1", "flair"):
        setattr(panel._parameterNode, f"{name}Volume", None)
    host.processEvents()
    assert (panel.ui.expectationLabel.text, panel.ui.t1ceGainLabel.text) == ("", "")


def test_parameters_and_result_survive_saving_and_loading_the_scene(host, panel, phantom, tmp_path) -> None:
    panel._parameterNode.t1ceVolume = None
    panel._parameterNode.referenceSequence = "flair"
    panel._parameterNode.withProbabilities = True
    host.processEvents()
    run(host, panel)
    shown = panel.panel.result.header.headline
    assert shown == "Segmented from <b>T1, T2, FLAIR</b> (missing: T1ce)"
    saveAndReadAgain(host, panel, tmp_path)
    parameters = panel._parameterNode
    assert chosen(panel) == {"t1": "Phantom T1", "t1ce": None, "t2": "Phantom T2", "flair": "Phantom FLAIR"}
    assert (parameters.referenceSequence, parameters.withProbabilities) == ("flair", True)
    assert panel.ui.referenceComboBox.currentText == "FLAIR"
    assert panel.panel.result.header.headline == shown
    assert parameters.outputSegmentation is parameters.resultSegmentation is not None
    assert parameters.resultETProbability.GetName().endswith("ET probability")
