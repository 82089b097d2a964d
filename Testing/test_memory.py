"""What is kept while its sources are the same objects."""

import gc
import weakref

import numpy as np
import pytest
from REACTDistillLib.memory import Memory


class Thing:
    """Two of them are never the same object."""


def counted(calls):
    def make():
        calls.append(1)
        return Thing()

    return make


def test_a_value_is_made_once_while_its_sources_are_the_same_objects():
    memory, calls, source = Memory(), [], Thing()
    first = memory.recall("name", (source, None), counted(calls))
    assert memory.recall("name", (source, None), counted(calls)) is first
    assert len(calls) == 1


def test_equal_sources_that_are_other_objects_make_a_new_value():
    memory, calls = Memory(), []
    first = memory.recall("name", (np.zeros(2),), counted(calls))
    assert memory.recall("name", (np.zeros(2),), counted(calls)) is not first
    assert memory.recall("name", (), counted(calls)) is not first
    assert len(calls) == 3


def test_only_the_latest_value_of_a_name_is_kept():
    memory, calls, one, other = Memory(), [], Thing(), Thing()
    first = weakref.ref(memory.recall("name", (one,), counted(calls)))
    memory.recall("name", (other,), counted(calls))
    gc.collect()
    assert first() is None
    memory.recall("name", (one,), counted(calls))
    assert len(calls) == 3


def test_a_value_of_none_is_a_value():
    memory, calls = Memory(), []
    for _ in range(2):
        assert memory.recall("name", (), lambda: calls.append(1)) is None
    assert len(calls) == 1


def test_a_failure_keeps_nothing_and_is_told():
    memory, calls = Memory(), []
    memory.recall("name", (), counted(calls))

    def fail():
        raise ValueError("no.")

    with pytest.raises(ValueError, match="no"):
        memory.recall("name", (Thing(),), fail)
    memory.recall("name", (), counted(calls))
    assert len(calls) == 2


def test_a_value_that_comes_out_the_same_stays_the_same_object():
    memory, first = Memory(), np.array([1, 2])
    assert memory.settle("name", first, np.array_equal) is first
    assert memory.settle("name", np.array([1, 2]), np.array_equal) is first
    other = np.array([1, 3])
    assert memory.settle("name", other, np.array_equal) is other


def test_clearing_lets_go_of_everything():
    memory = Memory()
    value = weakref.ref(memory.recall("name", (), Thing))
    memory.clear()
    gc.collect()
    assert value() is None
