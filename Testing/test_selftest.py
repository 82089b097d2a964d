"""What the self-tests of all modules share."""

from __future__ import annotations

import unittest

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from REACTDistillScene import selftest


class SelfTest(unittest.TestCase):
    def __init__(self, *, skips=()):
        super().__init__("runTest")
        self.skips, self.calls = skips, []

    def setUp(self):
        self.calls.append("setUp")

    def runTest(self):
        selftest.runAll(self)

    def test_first(self):
        self.calls.append("first")
        if "first" in self.skips:
            self.skipTest("no torch")

    def test_second(self):
        self.calls.append("second")


SelfTest.__test__ = False  # it is run by the tests below, not by pytest


class Bar:
    """Is busy as often as it is told to be."""

    status = "Working..."

    def __init__(self, busyTurns):
        self.busyTurns = busyTurns

    @property
    def isBusy(self):
        self.busyTurns -= 1
        return self.busyTurns >= 0


def test_every_test_is_run_after_its_own_set_up() -> None:
    test = SelfTest()
    test.runTest()
    assert test.calls == ["setUp", "first", "setUp", "second"]


def test_a_skipped_test_keeps_no_other_from_running_and_is_told_at_the_end() -> None:
    test = SelfTest(skips=("first",))
    with pytest.raises(unittest.SkipTest, match=r"^test_first: no torch$"):
        test.runTest()
    assert test.calls == ["setUp", "first", "setUp", "second"]


def test_nodes_are_moved_to_the_right_in_millimeters(empty_scene) -> None:
    import slicer

    nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode") for _ in range(2)]
    transform = selftest.moveToTheRight(nodes, distanceMm=30.0)
    assert [node.GetTransformNodeID() for node in nodes] == 2 * [transform.GetID()]
    assert transform.GetMatrixTransformToParent().MultiplyPoint((1.0, 2.0, 3.0, 1.0)) == (31.0, 2.0, 3.0, 1.0)


def test_a_run_that_does_not_end_in_time_fails_with_its_status(empty_scene) -> None:
    selftest.waitUntilIdle(SelfTest(), Bar(busyTurns=3))
    with pytest.raises(AssertionError, match=r"Working\.\.\."):
        selftest.waitUntilIdle(SelfTest(), Bar(busyTurns=1000), seconds=0.0)
