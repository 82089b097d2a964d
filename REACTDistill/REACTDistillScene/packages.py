"""Python packages that grading needs: which are missing, and how they are installed on request."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

_TORCH_REQUIREMENT = ">=2.2"


@dataclass(frozen=True)
class Package:
    """A package by import name; ``requirement`` for pip, or "" when the PyTorch extension installs it."""

    importName: str
    requirement: str
    size: str


PACKAGES = (
    Package("torch", "", "0.2 to 3 GB"),
    Package("safetensors", "safetensors>=0.4", "1 MB"),
)


def missingPackages() -> list[Package]:
    """Packages that the application's Python cannot import; imports none of them."""
    importlib.invalidate_caches()
    return [package for package in PACKAGES if not _isInstalled(package.importName)]


def describe(packages: list[Package]) -> str:
    """Names and sizes for a question to the user."""
    return ", ".join(f"{package.importName} ({package.size})" for package in packages)


def install(packages: list[Package]) -> None:
    """Install ``packages``; ValueError with one sentence when that is not possible or was declined."""
    for package in packages:
        if package.requirement:
            _installByPip(package)
        else:
            _installTorch()
    left = missingPackages()
    if left:
        raise ValueError(f"Not installed: {describe(left)}; the installation was declined or failed, see the log.")


def _isInstalled(importName: str) -> bool:
    spec = importlib.util.find_spec(importName)
    # A half-installed package is a folder without __init__.py: found, but without origin.
    return spec is not None and spec.origin is not None


def _installTorch() -> None:
    try:
        import PyTorchUtils  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise ValueError(
            'PyTorch is missing: install the extension "PyTorch" from the Extensions Manager, restart, and try again.'
        ) from error
    PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=_TORCH_REQUIREMENT)


def _installByPip(package: Package) -> None:
    try:
        from slicer.packaging import pip_ensure
    except ModuleNotFoundError:  # 3D Slicer before 5.12
        from slicer.util import pip_install

        pip_install(package.requirement)
        return
    try:
        pip_ensure(package.requirement, requester="REACTDistill")
    except RuntimeError as error:
        raise ValueError(f"{package.importName} was not installed: {error}") from error
