"""Python packages that a calculation needs: what is missing, and how it is installed after a yes."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import slicer

from .interpreter import OTHER_PYTHON_VARIABLE
from .translation import tr as _

Confirm = Callable[[str], bool]

OFFLINE_COMMAND = "PythonSlicer -m pip install --no-index --find-links FOLDER torch safetensors"
_PATH_TOO_LONG = 206  # error number of Windows


class Condition(Enum):
    """How a package is installed."""

    READY = "ready"
    ABSENT = "absent"
    PARTIAL = "partial"
    OLD = "old"


@dataclass(frozen=True)
class Package:
    """A package by import name, the oldest version that will do ("" for any), and the size of its download."""

    importName: str
    oldest: str
    size: str

    @property
    def requirement(self) -> str:
        """For pip, without an upper bound: a pin would fight with other extensions."""
        return f"{self.importName}>={self.oldest}" if self.oldest else self.importName


# NumPy, SimpleITK, pydicom and highdicom come with the application and are never installed: a change breaks it.
PACKAGES = (Package("torch", "2.5", "0.2 to 3 GB"), Package("safetensors", "0.4", "1 MB"))


def missingPackages() -> list[Package]:
    """Packages of the application's Python that must be installed first; imports none of them.

    Empty when the environment variable REACTDISTILL_PYTHON names another Python: that one has packages of its own.
    """
    if os.environ.get(OTHER_PYTHON_VARIABLE):
        return []
    importlib.invalidate_caches()
    return [package for package in PACKAGES if condition(package) is not Condition.READY]


def condition(package: Package) -> Condition:
    """Whether ``package`` is installed, in full, and new enough; does not import it.

    An installation that broke off leaves a folder without ``__init__.py``, which can be found and even imported, or
    files without metadata; both count as partial.
    """
    spec, version = importlib.util.find_spec(package.importName), _version(package)
    if spec is None and version is None:
        return Condition.ABSENT
    if spec is None or spec.origin is None or version is None:
        return Condition.PARTIAL
    return Condition.OLD if _isOlder(version, package.oldest) else Condition.READY


def describe(packages: Sequence[Package]) -> str:
    """Names and sizes of the downloads, for a question or a sentence."""
    return ", ".join(f"{package.importName} ({package.size})" for package in packages)


def question(packages: Sequence[Package]) -> str:
    """What the user is asked before anything is downloaded: names, sizes, and what will be replaced."""
    text = _(
        "The calculation needs Python packages that the application does not have: {packages}. Download and install "
        "them now? It takes some minutes, and the window does not answer meanwhile."
    ).format(packages=describe(packages))
    replaced = {Condition.PARTIAL: _("{name} is there only in part and will be replaced.")}
    replaced[Condition.OLD] = _("{name} {version} is too old and will be replaced.")
    sentences = [
        replaced[state].format(name=package.importName, version=_version(package))
        for package in packages
        if (state := condition(package)) in replaced
    ]
    return " ".join([text, *sentences])


def ensurePackages(confirm: Confirm | None = None) -> str:
    """Install what is missing after a yes; returns "" when a calculation can start, else one sentence for the user.

    ``confirm(question)`` asks; without it the application's own dialog does, which answers no in testing mode. The
    sentence is returned when the user said no; what makes the installation impossible raises ValueError. A worker that
    runs must be started anew afterwards.
    """
    packages = missingPackages()
    if not packages:
        return ""
    if any(package.importName == "torch" for package in packages):
        _checkTorchExists()
        _torchInstaller()  # nobody is asked a question whose yes cannot be followed
    if not (confirm or slicer.util.confirmOkCancelDisplay)(question(packages)):
        return _("Not started: Python packages are missing ({packages}); start again to install them.").format(
            packages=describe(packages)
        )
    with slicer.util.WaitCursor():
        install(packages)
    return ""


def install(packages: Sequence[Package]) -> None:
    """Install ``packages``; ValueError with one sentence when that was declined or failed, and how to go on."""
    for package in packages:
        if package.importName == "torch":
            _installTorch(package)
        else:
            _installByPip(package)
    importlib.invalidate_caches()
    for package in packages:
        _checkInstalled(package)


def whyNoGpu() -> str:
    """One sentence when the installed torch is known to be a build without GPU support, else "".

    Looks at the version only ("2.13.0+cpu"); the worker says in its answer which device it used.
    """
    version = _version(PACKAGES[0]) or ""
    if os.environ.get(OTHER_PYTHON_VARIABLE) or not version.endswith("+cpu"):
        return ""
    return _(
        "The installed torch {version} runs on the CPU only, because no NVIDIA driver was found when it was installed; "
        'for a GPU, install the driver, and then torch again in the module "PyTorch Utils".'
    ).format(version=version)


def torchRequirement() -> str:
    """Version range for the PyTorch extension.

    On Windows without 2.13, whose paths are longer than Windows allows in a usual installation folder.
    """
    return f">={PACKAGES[0].oldest}" + (",<2.13" if sys.platform == "win32" else "")


def _version(package: Package) -> str | None:
    try:
        return importlib.metadata.version(package.importName)
    except importlib.metadata.PackageNotFoundError:
        return None


def _isOlder(version: str, oldest: str) -> bool:
    from packaging.version import Version

    return bool(oldest) and Version(version) < Version(oldest)


def _checkTorchExists() -> None:
    """The last PyTorch for Intel builds of macOS is 2.2, which does not work with the application's NumPy."""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        raise ValueError(
            _(
                "There is no PyTorch for this build of the application (macOS, Intel); set the environment variable "
                "{variable} to a Python that has torch {version} or later, and start the application again."
            ).format(variable=OTHER_PYTHON_VARIABLE, version=PACKAGES[0].oldest)
        )


def _torchInstaller() -> Any:
    try:
        import PyTorchUtils  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        if error.name != "PyTorchUtils":
            raise
        raise ValueError(
            _(
                "PyTorch cannot be installed without its extension: install "
                'the extension "PyTorch" from the Extensions Manager, restart the application, and start again.'
            )
        ) from error
    return PyTorchUtils.PyTorchUtilsLogic()


def _installTorch(package: Package) -> None:
    installer = _torchInstaller()
    if condition(package) is Condition.PARTIAL and _version(package) is not None:
        _uninstallTorch(installer, package)
    try:
        torch = installer.installTorch(askConfirmation=True, torchVersionRequirement=torchRequirement())
    except subprocess.CalledProcessError as error:
        raise ValueError(_whyFailed(package, error)) from error
    except (ImportError, AttributeError, OSError) as error:  # the extension imports what it has just installed
        raise ValueError(_whyUnusable(package, error)) from error
    if torch is None:
        raise ValueError(_("torch was not installed, because you declined; start again when you want to install it."))


def _uninstallTorch(installer: Any, package: Package) -> None:
    """Needed before a repair: pip takes a package that has metadata for installed."""
    try:
        installer.uninstallTorch()
    except subprocess.CalledProcessError as error:
        raise ValueError(_partialText(package)) from error


def _installByPip(package: Package) -> None:
    """The one place that knows how pip is run, in 3D Slicer 5.12 and before."""
    try:
        from slicer.packaging import pip_ensure
    except ModuleNotFoundError:
        pip_ensure = None
    try:
        if pip_ensure is None:
            slicer.util.pip_install(package.requirement)
        else:
            pip_ensure(package.requirement, prompt_install=False, requester="REACTDistill")
    except (subprocess.CalledProcessError, OSError) as error:
        raise ValueError(_whyFailed(package, error)) from error


def _whyFailed(package: Package, error: Exception) -> str:
    if getattr(error, "winerror", None) == _PATH_TOO_LONG:
        return _(
            "{name} could not be installed, because Windows does not allow paths as long as those in its files: enable "
            "long paths in Windows, or install the application into a folder with a short name, and start again."
        ).format(name=package.importName)
    return _(
        "{name} could not be installed (see the log): check the network and the proxy and start again, or install it "
        'without a network by "{command}".'
    ).format(name=package.importName, command=OFFLINE_COMMAND)


def _whyUnusable(package: Package, error: Exception) -> str:
    importlib.invalidate_caches()
    state = condition(package)
    if state is Condition.ABSENT or getattr(error, "winerror", None) == _PATH_TOO_LONG:
        return _whyFailed(package, error)
    if state is Condition.PARTIAL:
        return _partialText(package)
    return _(
        "{name} {version} is installed but cannot be loaded ({reason}): restart the application and start again, or "
        'install another version in the module "PyTorch Utils".'
    ).format(name=package.importName, version=_version(package), reason=str(error).partition("\n")[0].rstrip("."))


def _partialText(package: Package) -> str:
    return _(
        "{name} is installed only in part: close the application, delete its folder ({folder}), and start again."
    ).format(name=package.importName, folder=_folder(package))


def _folder(package: Package) -> str:
    spec = importlib.util.find_spec(package.importName)
    if spec is not None and spec.submodule_search_locations:
        return str(next(iter(spec.submodule_search_locations)))
    return str(importlib.metadata.distribution(package.importName).locate_file(package.importName))


def _checkInstalled(package: Package) -> None:
    state = condition(package)
    if state is not Condition.READY:
        raise ValueError(_whyNotReady(package, state))


def _whyNotReady(package: Package, state: Condition) -> str:
    if slicer.app.testingEnabled():
        text = _("{name} is missing, and nothing is installed in testing mode: install it before the tests.")
    elif state is Condition.PARTIAL:
        return _partialText(package)
    elif state is Condition.OLD:
        text = _("{name} {version} is still too old ({oldest} is needed): restart the application and start again.")
    else:  # pip may install into a folder that the running application does not know yet
        text = _("{name} was installed but cannot be found yet: restart the application and start again.")
    return text.format(name=package.importName, version=_version(package), oldest=package.oldest)
