"""Which Python runs a calculation, and with which environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from .translation import tr as _

OTHER_PYTHON_VARIABLE = "REACTDISTILL_PYTHON"
_MODULE_FOLDER = Path(__file__).resolve().parent.parent
# An application puts its own libraries into these; another Python must not see them.
_APPLICATION_PREFIXES = ("PYTHON", "QT_", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def pythonExecutable() -> str:
    """Path of the Python for calculations; ValueError with one sentence when there is none.

    In this order: the one named by the environment variable REACTDISTILL_PYTHON, PythonSlicer, the running Python.
    """
    other = os.environ.get(OTHER_PYTHON_VARIABLE, "")
    if other:
        if not Path(other).is_file():
            text = _('{variable} names "{path}", which is not a file; correct or unset it.')
            raise ValueError(text.format(variable=OTHER_PYTHON_VARIABLE, path=other))
        return other
    slicerPython = shutil.which("PythonSlicer")
    if slicerPython:
        return slicerPython
    if Path(sys.executable or "").stem.lower().startswith("python"):
        return sys.executable
    raise ValueError(_("No Python was found to calculate with: PythonSlicer is missing in this installation."))


def childEnvironment(python: str) -> dict[str, str]:
    """Environment for ``python`` as a child: sees this extension, writes UTF-8 at once."""
    environment = _startEnvironment(python)
    # A running application appends to its own PYTHONPATH; only PythonSlicer and the same Python keep what was there.
    paths = [str(_MODULE_FOLDER), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    # numpy's matrices are small here; its threads would only keep those of torch waiting, by a third of the time.
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    return environment


def workerLaunch() -> tuple[list[str], dict[str, str]]:
    """Command and environment of the worker; ValueError with one sentence when there is no Python for it."""
    python = pythonExecutable()
    environment = childEnvironment(python)
    # Memory of one run is kept for the next; fresh pages from Linux take a third of the time of a new grade. An idle
    # worker gives it back.
    environment.setdefault("MALLOC_MMAP_MAX_", "0")
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 32))
    return [python, "-u", "-m", "REACTDistillLib", "worker"], environment


def _startEnvironment(python: str) -> dict[str, str]:
    if os.environ.get(OTHER_PYTHON_VARIABLE) == python:
        return {name: value for name, value in os.environ.items() if not name.startswith(_APPLICATION_PREFIXES)}
    if python == shutil.which("PythonSlicer"):
        import slicer

        return dict(slicer.util.startupEnvironment())  # the launcher adds the application's own folders itself
    return dict(os.environ)
