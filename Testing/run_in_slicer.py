"""Runs the self-tests of all modules of this extension inside the application.

Slicer --testing --no-main-window --additional-module-paths MODULE_FOLDERS --python-script Testing/run_in_slicer.py

Prints one line per test; the exit code is 1 when anything failed. It works with a main window too. For an installed
extension, where all modules lie in one folder, give that folder as argument after the script. Calculations need a
Python with torch: the application's own, or the one that the environment variable REACTDISTILL_PYTHON names.
"""

import re
import sys
import time
import traceback
import unittest
from pathlib import Path

import slicer

ROOT = Path(__file__).resolve().parent.parent
_MODULE_CLASS = r"^class {name}\(.*ScriptedLoadableModule\b"


def moduleNames(folders):
    """Names of the modules in the folders: <folder>/<Name>/<Name>.py or, when installed, <folder>/<Name>.py."""
    paths = [path for folder in folders for path in (*folder.glob("*/*.py"), *folder.glob("*.py"))]
    return sorted({path.stem for path in paths if _isModule(path, folders)})


def _isModule(path, folders):
    if path.parent.name != path.stem and path.parent not in folders:
        return False
    pattern = _MODULE_CLASS.format(name=re.escape(path.stem))
    return re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE) is not None


class Report:
    """One line per check, and what was raised where nobody catches it: in slots and in observers."""

    def __init__(self):
        self.failures = 0
        self._uncaught = []
        self._previousHook = sys.excepthook
        sys.excepthook = self._onUncaught

    def _onUncaught(self, kind, error, trace):
        self._uncaught.append("".join(traceback.format_exception(kind, error, trace)))

    def close(self):
        sys.excepthook = self._previousHook

    def check(self, title, action):
        """Run ``action`` and print one line; ``action`` may return a word to print instead of "ok"."""
        start = time.perf_counter()
        try:
            outcome, details = action() or "ok", ""
            slicer.app.processEvents()
        except Exception:  # noqa: BLE001 - whatever a test raises is reported, and the others run
            outcome, details = "FAILED", traceback.format_exc()
        if self._uncaught:
            outcome, details = "FAILED", details + "".join(self._uncaught)
            self._uncaught.clear()
        self.failures += outcome == "FAILED"
        print(f"{outcome:8s} {title} ({time.perf_counter() - start:.1f} s)", flush=True)
        if details:
            print(details, flush=True)


def _run(test):
    """Run one test case; a failure is raised, the reason of a skip is the outcome."""
    result = unittest.TestResult()
    test.run(result)
    for _, details in (*result.errors, *result.failures):
        raise AssertionError(details)
    if result.skipped:
        return f"skipped ({result.skipped[0][1]})"
    return None


def _requireLoaded(name):
    if not hasattr(slicer.modules, name.lower()):
        raise AssertionError(f"The module {name} lies beside this script but was not loaded; see the log above.")


def _openWidget(name):
    if slicer.util.getModuleWidget(name) is None:
        raise AssertionError(f"The module {name} has no widget.")


def _visit(name):
    """Enter the module and leave it again, as a user does."""
    slicer.util.selectModule(name)
    slicer.app.processEvents()
    slicer.util.selectModule("Welcome" if name != "Welcome" else "Data")


def testModule(name, report):
    """Self-tests without a panel, then the panel, then the self-tests as the application's own runner calls them."""
    before = report.failures
    report.check(f"{name} is loaded", lambda: _requireLoaded(name))
    if report.failures > before:
        return
    testClass = getattr(sys.modules[name], f"{name}Test", None)
    if testClass is None:
        report.check(f"{name} has self-tests", lambda: _requireTests(name))
        return
    for method in unittest.TestLoader().getTestCaseNames(testClass):
        report.check(f"{name}.{method}", lambda method=method: _run(testClass(method)))
    report.check(f"{name} panel is made", lambda: _openWidget(name))
    if slicer.util.mainWindow() is not None:
        report.check(f"{name} panel is entered and left", lambda: _visit(name))
    report.check(f"{name}.runTest with its panel", lambda: _run(testClass()))


def _requireTests(name):
    raise AssertionError(f"The module {name} has no class {name}Test.")


def main(folders):
    """Number of failed checks."""
    report = Report()
    names = moduleNames(folders)
    report.check(f"modules found: {', '.join(names)}", lambda: _requireModules(names, folders))
    for name in names:
        testModule(name, report)
    report.close()
    print(f"{report.failures} failed" if report.failures else "all passed", flush=True)
    return report.failures


def _requireModules(names, folders):
    if not names:
        raise AssertionError(f"There is no module in {', '.join(map(str, folders))}.")


if __name__ == "__main__":
    slicer.util.exit(1 if main([Path(argument).resolve() for argument in sys.argv[1:]] or [ROOT]) else 0)
