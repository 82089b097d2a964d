"""What was made before and still holds, because all that it was made from is unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Value = TypeVar("Value")


class Memory:
    """The latest value under each name, with what it was made from.

    Sources are compared by identity, so they must never be changed in place: a changed image is a new Volume. Values
    and sources are kept alive until they are replaced or ``clear`` is called.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[object, ...], object]] = {}

    def recall(self, name: str, sources: Sequence[object], make: Callable[[], Value]) -> Value:
        """The value kept under ``name`` while every source is the very object it was made from, else a new one."""
        made_from, value = self._kept.get(name, ((), None))
        if name in self._kept and _same_objects(made_from, sources):
            return value  # type: ignore[return-value]
        self._kept.pop(name, None)  # the old value must not fill the memory while the new one is made
        made = make()
        self._kept[name] = (tuple(sources), made)
        return made

    def settle(self, name: str, value: Value, same: Callable[[Value, Value], bool]) -> Value:
        """The value kept under ``name`` when it is the ``same`` as the new one, else the new one, which is kept.

        So what is quick to make, but often comes out equal, can be a source of ``recall``.
        """
        kept = self._kept.get(name)
        if kept is not None and same(kept[1], value):  # type: ignore[arg-type]
            return kept[1]  # type: ignore[return-value]
        self._kept[name] = ((), value)
        return value

    def clear(self) -> None:
        """Forget everything, so that its memory can be freed."""
        self._kept.clear()


def _same_objects(before: Sequence[object], now: Sequence[object]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))
