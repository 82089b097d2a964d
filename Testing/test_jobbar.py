"""The job bar costs the window nothing while a work is running."""
# ruff: noqa: F811 - the imported fixtures are parameters of the tests

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow, panel, student  # noqa: F401


def test_progress_is_painted_when_the_application_has_time_not_at_once(host, panel) -> None:
    import qt

    class Paints(qt.QObject):
        count = 0

        def eventFilter(self, watched, event):
            self.count += int(event.type() == qt.QEvent.Paint)
            return False

    jobBar = panel.panel.bar
    progressBar = jobBar._ui.progressBar
    progressBar.visible = True
    panel.parent.show()
    host.processEvents(0.1)
    paints = Paints()
    progressBar.installEventFilter(paints)
    for done in range(10):
        jobBar._onProgress("student", done, 10)
    assert paints.count == 0
    host.processEvents(0.1)
    progressBar.removeEventFilter(paints)
    assert paints.count > 0
    assert progressBar.value == 9
