"""Random sequences of what a user does with the panel: no exception, and nothing is left behind."""
# ruff: noqa: F811 - the imported fixtures are parameters of the test

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import MODULE, host, mainWindow, saveUntrainedStudent, student  # noqa: F401
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

_EXAMPLES, _STEPS = 200, 10
_VOLUME, _SEGMENTATION = "vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"
_DELETABLE = (_VOLUME, _SEGMENTATION, "vtkMRMLTableNode", "vtkMRMLModelNode", "vtkMRMLLinearTransformNode")
_MAXIMUM_VOLUMES = 6
_numbers = st.integers(0, 20)
_moments = st.sampled_from([0.0, 0.0, 0.01, 0.03, 0.1])  # seconds that the user waits after a click


def _nodes(*kinds):
    import slicer

    return [node for kind in kinds for node in slicer.util.getNodesByClass(kind) if not node.GetHideFromEditors()]


def _pick(nodes, number):
    return nodes[number % len(nodes)] if nodes else None


class User(RuleBasedStateMachine):
    """One session with one panel; the worker is the same for all sessions."""

    host = phantom = ledger = worker = before = None  # set by the test
    failure = ""

    def __init__(self):
        super().__init__()
        self.problems = []
        self.abandoned = []  # display, storage and color nodes of what the user deleted: the application leaves them
        _, self.widget, _ = self.host.openModule(MODULE)
        self.host.processEvents()

    @property
    def bar(self):
        return self.widget.panel.bar

    # The scene

    @initialize(start=st.sampled_from(["empty", "loaded", "graded", "graded"]))
    def begin(self, start):
        if start == "graded":
            self.grade()
        elif start == "loaded":
            self.loadPhantom()

    @rule()
    def loadPhantom(self):
        from REACTDistillScene.segments import segmentationFromMasks
        from REACTDistillScene.volumes import nodeFromVolume

        if len(_nodes(_VOLUME)) >= _MAXIMUM_VOLUMES:
            return
        ctVolume = nodeFromVolume(self.phantom.sequences["ct"], "Phantom CT")
        segmentationFromMasks(self.phantom.regions, ctVolume)

    @rule(segmentation=st.booleans())
    def addEmptyNode(self, segmentation):
        import slicer

        if len(_nodes(_VOLUME)) >= _MAXIMUM_VOLUMES:
            return
        slicer.mrmlScene.AddNewNodeByClass(_SEGMENTATION if segmentation else _VOLUME, "empty")

    @rule(number=_numbers, name=st.sampled_from(["", "a", "CT liver", "Läsion <b>"]))
    def rename(self, number, name):
        node = _pick(_nodes(*_DELETABLE), number)
        if node is not None:
            node.SetName(name)

    @rule(number=_numbers)
    def delete(self, number):
        import hostorphans
        import hostscene
        import slicer

        node = _pick(_nodes(*_DELETABLE), number)
        if node is not None:
            present = hostorphans.ownerlessNodes(slicer.mrmlScene)
            hostscene.deleteNode(node)
            self.abandoned += [one for one in hostorphans.ownerlessNodes(slicer.mrmlScene) if one not in present]

    @rule(number=_numbers, offsetMm=st.sampled_from([-20.0, 30.0]))
    def transform(self, number, offsetMm):
        import hostscene

        node = _pick(_nodes(_VOLUME, _SEGMENTATION), number)
        if node is not None:
            hostscene.translateNode(node, (offsetMm, 0.0, 0.0))

    @rule(number=_numbers)
    def untransform(self, number):
        import hostscene

        node = _pick([node for node in _nodes(_VOLUME, _SEGMENTATION) if node.GetParentTransformNode()], number)
        if node is not None:
            hostscene.untransformNode(node)

    @rule()
    def closeScene(self):
        import hostscene

        hostscene.closeScene()
        self.abandoned.clear()

    # The panel

    @rule(comesBack=st.booleans())
    def switchModule(self, comesBack):
        import slicer

        slicer.util.selectModule("Data")
        self.host.processEvents()
        if comesBack:
            self.enter()

    def enter(self):
        import slicer

        slicer.util.selectModule("REACTDistill")
        self.host.processEvents()

    # Rules do nothing where the user could not do it; what a run has come to must not decide which rule is next.

    @rule(seconds=_moments)
    def clickApplyOrCancel(self, seconds):
        self.enter()
        if self.bar.applyButton.enabled:
            self.bar.applyButton.click()
            self.host.processEvents(seconds)

    @rule()
    def waitForTheEnd(self):
        if not self.host.processEvents(30.0, until=lambda: not self.bar.isBusy):
            self.problems.append(f"the run did not end: {self.bar.status}")

    @rule()
    def grade(self):
        self.waitForTheEnd()
        if not _nodes(_SEGMENTATION):
            self.loadPhantom()
        self.clickApplyOrCancel(0.0)
        self.waitForTheEnd()

    @rule(name=st.sampled_from(["showAttentionCheckBox", "showGraphCheckBox", "liveGradingCheckBox"]))
    def toggle(self, name):
        self.enter()
        getattr(self.widget.ui, name).click()

    @rule(opacity=st.sampled_from([0.0, 0.4, 1.0]))
    def setOpacity(self, opacity):
        self.enter()
        self.widget.ui.attentionOpacitySlider.value = opacity

    @rule(name=st.sampled_from(["studentComboBox", "shownClassComboBox", "liverSegmentComboBox"]), number=_numbers)
    def choose(self, name, number):
        self.enter()
        comboBox = getattr(self.widget.ui, name)
        if comboBox.count:
            comboBox.currentIndex = number % comboBox.count

    @rule(seconds=_moments)
    def clickDraw(self, seconds):
        self.enter()
        if self.widget.ui.drawButton.enabled:
            self.widget.ui.drawButton.click()
            self.host.processEvents(seconds)

    @rule(number=_numbers, radiusMm=st.sampled_from([5.0, 15.0]), effect=st.sampled_from(["Paint", "Paint", "Erase"]))
    def stroke(self, number, radiusMm, effect):
        import hosteditor

        editor = self._editor()
        if editor is None or editor.sourceVolumeNode().GetImageData() is None:
            return
        bounds, share = [0.0] * 6, (number % 5 + 1) / 6
        editor.sourceVolumeNode().GetRASBounds(bounds)
        editor.setActiveEffectByName(effect)
        center = [bounds[2 * axis] * (1 - share) + bounds[2 * axis + 1] * share for axis in range(3)]
        hosteditor.paintBall(editor, center, radiusMm)
        self.host.processEvents(0.3 if number % 2 else 0.0)  # a pause makes a live grade start

    @rule()
    def undo(self):
        if self._editor() is not None:
            self._editor().undo()

    def _editor(self):
        import slicer

        if not self.widget.panel.regions.draw.isDrawing:
            return None
        children = self.widget.ui.editorPlace.children()
        return next(child for child in children if type(child) is slicer.qMRMLSegmentEditorWidget)

    # What must hold

    @invariant()
    def processEvents(self):
        self.host.processEvents()

    def teardown(self):
        import hosterrors
        import slicer

        slicer.util.selectModule("Data")
        slicer.app.moduleManager().unload("REACTDistill")
        self.host.processEvents(5.0, until=lambda: not self._left())
        remaining = self._left()
        slicer.mrmlScene.Clear(0)
        self.host.processEvents()
        problems = [*self.problems, *hosterrors.problems(), *remaining]
        hosterrors.clear()
        # What one session breaks may break the next; all are blamed alike, so that the repetition fails like the first.
        User.failure = User.failure or "\n".join(problems)
        assert not User.failure, User.failure

    def _left(self):
        import hostorphans

        self.worker.poll()
        lines = hostorphans.belongings(self.ledger).leftSince(self.before)
        shared = f"processes: {self.worker.processGroup} "
        return [
            one for one in lines if not one.startswith(shared) and one.removeprefix("nodes: ") not in self.abandoned
        ]


def test_200_random_sessions_leave_nothing_behind(host, student, monkeypatch) -> None:
    import hostorphans
    import REACTDistillLib.shipped
    import slicer
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillScene.sharedworker import acquireWorker, releaseWorker

    monkeypatch.setattr(REACTDistillLib.shipped, "demo_student", lambda task: student)
    folder = Path(slicer.app.temporaryPath) / "REACTDistill" / "Students"
    folder.mkdir(parents=True)
    saveUntrainedStudent(folder / "other.safetensors", name="Other student", seed=1)
    User.host, User.phantom = host, phantom_case(3)
    User.ledger = hostorphans.ObserverLedger(slicer.mrmlScene)
    User.worker = worker = acquireWorker()
    slicer.util.selectModule("Data")
    User.failure = ""
    User.before = hostorphans.belongings(User.ledger)
    try:
        run_state_machine_as_test(
            User,
            settings=settings(
                max_examples=_EXAMPLES,
                stateful_step_count=_STEPS,
                deadline=None,
                derandomize=True,
                print_blob=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],  # ten steps can be read as they are; making them fewer takes minutes
            ),
        )
    finally:
        User.ledger.stop()
        releaseWorker(worker)
        host.processEvents(3.0, until=lambda: not hostorphans.childProcesses())
    assert hostorphans.childProcesses() == {}
