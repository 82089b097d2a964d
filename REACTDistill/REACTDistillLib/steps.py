"""Work cut into steps: generators that pause every few milliseconds and return a value."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Value = TypeVar("Value")


def result_of(steps: Generator[None, None, Value]) -> Value:
    """Do all steps at once and return their value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: Value = end.value
            return value
