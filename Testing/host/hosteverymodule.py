"""Fixtures for what must hold for every module; a new module is a line in ``MODULES``."""

from __future__ import annotations

import pytest
from hostdriver import host, loadedPhantom, mainWindow, openedPanel, savedStudent
from hostpanel import GRADING
from hosttumorpanel import SEGMENTING

__all__ = ["host", "mainWindow"]
MODULES = (GRADING, SEGMENTING)
forEachModule = pytest.mark.parametrize("driven", MODULES, ids=lambda driven: driven.name)


@pytest.fixture(scope="module", params=MODULES, ids=lambda driven: driven.name)
def driven(request):
    return request.param


@pytest.fixture(scope="module")
def student(driven, tmp_path_factory):
    return savedStudent(driven, tmp_path_factory)


@pytest.fixture
def panel(host, driven, student, monkeypatch):
    with openedPanel(host, driven, student, monkeypatch) as widget:
        yield widget


@pytest.fixture
def phantom(host, panel):
    return loadedPhantom(host, panel)
