"""Which Python the worker runs in, and with which environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from REACTDistillScene import interpreter


def test_the_environment_of_another_python_holds_nothing_of_the_application(monkeypatch, tmp_path) -> None:
    other = tmp_path / "python"
    other.touch()
    monkeypatch.setenv(interpreter.OTHER_PYTHON_VARIABLE, str(other))
    monkeypatch.setenv("PYTHONHOME", "/application")
    monkeypatch.setenv("PYTHONPATH", "/application/lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/application/lib")
    monkeypatch.setenv("QT_PLUGIN_PATH", "/application/qt")
    assert interpreter.pythonExecutable() == str(other)
    environment = interpreter.childEnvironment(str(other))
    assert not {"PYTHONHOME", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH"} & set(environment)
    assert environment["PYTHONPATH"] == str(Path(interpreter.__file__).resolve().parent.parent)
    assert environment["PYTHONIOENCODING"] == "utf-8"
    assert environment["PYTHONUNBUFFERED"] == "1"


def test_python_slicer_gets_the_environment_from_before_the_launcher(monkeypatch, tmp_path) -> None:
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    launcher = tmp_path / "PythonSlicer"
    launcher.touch()
    monkeypatch.delenv(interpreter.OTHER_PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(interpreter.shutil, "which", lambda name: str(launcher) if name == "PythonSlicer" else None)
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: {"HOME": "/home"}, raising=False)
    command, environment = interpreter.workerLaunch()
    assert command == [str(launcher), "-u", "-m", "REACTDistillLib", "worker"]
    assert environment["HOME"] == "/home"
    assert set(interpreter.childEnvironment(str(launcher))) == {
        "HOME",
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "PYTHONIOENCODING",
        "OPENBLAS_NUM_THREADS",
    }
    assert environment["MALLOC_MMAP_MAX_"] == "0"  # a worker keeps its memory from run to run


def test_a_plain_python_runs_the_worker_itself(monkeypatch) -> None:
    monkeypatch.delenv(interpreter.OTHER_PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(interpreter.shutil, "which", lambda name: None)
    assert interpreter.pythonExecutable() == sys.executable


def test_another_python_that_is_not_there_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setenv(interpreter.OTHER_PYTHON_VARIABLE, "/no/such/python")
    with pytest.raises(ValueError, match='names "/no/such/python", which is not a file'):
        interpreter.pythonExecutable()


def test_without_any_python_there_is_one_sentence(monkeypatch) -> None:
    monkeypatch.delenv(interpreter.OTHER_PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(interpreter.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ValueError, match="PythonSlicer is missing"):
        interpreter.pythonExecutable()
