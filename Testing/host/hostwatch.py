"""How long the main thread was away: a timer that should come round every few milliseconds."""

from __future__ import annotations

import time

import qt

_INTERVAL_MS = 5


class MainThreadWatch:
    """Measures, between ``start`` and ``stop``, the time from one turn of the event loop to the next.

    ``longestGapMs`` is what a user feels as freezing; a tool that blocks the event loop once shows up in it.
    """

    def __init__(self):
        self.gapsMs: list[float] = []
        self._last = 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.connect("timeout()", self._onTurn)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.gapsMs, self._last = [], time.perf_counter()
        self._timer.start()

    def stop(self):
        self._onTurn()
        self._timer.stop()

    @property
    def longestGapMs(self) -> float:
        return max(self.gapsMs, default=0.0)

    def _onTurn(self):
        now = time.perf_counter()
        self.gapsMs.append(1000.0 * (now - self._last))
        self._last = now
