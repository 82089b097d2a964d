"""Packages: what counts as installed, what is asked, and the sentence for everything that can go wrong."""

from __future__ import annotations

import ast
import contextlib
import importlib
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

OFFLINE = 'by "PythonSlicer -m pip install --no-index --find-links FOLDER torch safetensors"'
FAILED = subprocess.CalledProcessError(1, "pip install")


class Installer:
    """What the PyTorch extension offers: records the calls and "installs" by writing files, as pip does."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.calls: list[tuple] = []
        self.version = "2.12.1+cu130"
        self.error: Exception | None = None
        self.uninstallError: Exception | None = None
        self.isDeclined = False

    def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
        self.calls.append(("install", askConfirmation, torchVersionRequirement))
        if self.isDeclined:
            return None
        if self.version:
            self.site.add("torch", self.version)
        if self.error:
            raise self.error
        return types.ModuleType("torch")

    def uninstallTorch(self):
        self.calls.append(("uninstall",))
        if self.uninstallError:
            raise self.uninstallError
        self.site.remove("torch")


class Site:
    """A folder that stands for the application's site-packages: nothing else but the standard library is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, version: str | None, *, initFile: str | None = "__init__.py") -> None:
        """Files of a package as pip leaves them; without a version no metadata, without ``initFile`` cut short."""
        (self.folder / name).mkdir(exist_ok=True)
        if initFile:
            (self.folder / name / initFile).touch()
        if version:
            self.remove(name, folders=f"{name}-*.dist-info")
            metadata = self.folder / f"{name}-{version}.dist-info" / "METADATA"
            metadata.parent.mkdir()
            metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        importlib.invalidate_caches()

    def remove(self, name: str, *, folders: str = "") -> None:
        for folder in self.folder.glob(folders or f"{name}*"):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        importlib.invalidate_caches()


@pytest.fixture
def packages(monkeypatch):
    """The module under test, in an application that is not in testing mode and translates nothing."""
    import packaging.version  # noqa: F401 - comes with the application, and sys.path is about to be emptied
    import slicer

    if "slicer.i18n" not in sys.modules:
        monkeypatch.setitem(sys.modules, "slicer.i18n", types.SimpleNamespace(tr=str))
    module = importlib.import_module("REACTDistillScene.packages")
    monkeypatch.delenv(module.OTHER_PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(slicer, "app", types.SimpleNamespace(testingEnabled=lambda: False), raising=False)
    monkeypatch.setattr(slicer.util, "WaitCursor", contextlib.nullcontext)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: pytest.fail("a dialog was opened"))
    return module


@pytest.fixture
def site(monkeypatch, tmp_path, packages) -> Site:
    standardLibrary = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *standardLibrary])
    for package in packages.PACKAGES:
        monkeypatch.delitem(sys.modules, package.importName, raising=False)
    return Site(tmp_path)


@pytest.fixture
def installer(monkeypatch, site) -> Installer:
    made = Installer(site)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: made))
    return made


@pytest.fixture
def pip(monkeypatch, site) -> types.SimpleNamespace:
    """``slicer.packaging`` of 5.12, which installs whatever is asked for."""

    def pipEnsure(requirement, **options):
        record.calls.append((requirement, options))
        if record.error:
            raise record.error
        if record.version:
            site.add(requirement.partition(">=")[0], record.version)

    record = types.SimpleNamespace(calls=[], error=None, version="0.8.0")
    monkeypatch.setitem(sys.modules, "slicer.packaging", types.SimpleNamespace(pip_ensure=pipEnsure))
    return record


def names(found) -> list[str]:
    return [package.importName for package in found]


def test_nothing_is_imported_to_see_what_is_missing(packages, site) -> None:
    assert names(packages.missingPackages()) == ["torch", "safetensors"]
    site.add("torch", "2.5.0")
    (site.folder / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')")
    site.add("safetensors", "0.4.0")
    assert packages.missingPackages() == []


@pytest.mark.parametrize(
    ("version", "initFile", "expected"),
    [
        ("2.5", "__init__.py", "READY"),
        ("2.13.0+cpu", "__init__.py", "READY"),
        ("2.10.0", "__init__.py", "READY"),
        ("2.4.9", "__init__.py", "OLD"),
        ("2.12.1", None, "PARTIAL"),
        (None, "__init__.py", "PARTIAL"),
        (None, None, "PARTIAL"),
    ],
)
def test_a_package_is_ready_only_with_files_metadata_and_version(packages, site, version, initFile, expected) -> None:
    site.add("torch", version, initFile=initFile)
    assert packages.condition(packages.PACKAGES[0]).name == expected


def test_metadata_without_files_are_a_partial_installation(packages, site) -> None:
    site.add("torch", "2.12.1")
    (site.folder / "torch" / "__init__.py").unlink()
    (site.folder / "torch").rmdir()
    importlib.invalidate_caches()
    assert packages.condition(packages.PACKAGES[0]).name == "PARTIAL"


def test_with_another_python_the_packages_of_the_application_do_not_matter(packages, site, monkeypatch) -> None:
    monkeypatch.setenv("REACTDISTILL_PYTHON", "/opt/python")
    assert packages.missingPackages() == []
    assert packages.ensurePackages() == ""
    assert packages.whyNoGpu() == ""


def test_packages_of_the_application_itself_are_never_installed(packages) -> None:
    assert names(packages.PACKAGES) == ["torch", "safetensors"]
    assert [package.requirement for package in packages.PACKAGES] == ["torch>=2.5", "safetensors>=0.4"]


def test_the_question_names_packages_sizes_and_what_is_replaced(packages, site) -> None:
    site.add("torch", "1.13.1")
    site.add("safetensors", None)
    text = packages.question(packages.missingPackages())
    assert "torch (0.2 to 3 GB), safetensors (1 MB)" in text
    assert "torch 1.13.1 is too old and will be replaced." in text
    assert "safetensors is there only in part and will be replaced." in text


def test_after_a_yes_torch_comes_by_its_extension_and_the_rest_by_pip_ensure(packages, site, installer, pip) -> None:
    questions: list[str] = []
    assert packages.ensurePackages(lambda text: questions.append(text) or True) == ""
    assert len(questions) == 1
    assert installer.calls == [("install", True, packages.torchRequirement())]
    assert pip.calls == [("safetensors>=0.4", {"prompt_install": False, "requester": "REACTDistill"})]
    assert packages.missingPackages() == []


def test_only_what_is_missing_is_installed(packages, site, installer, pip) -> None:
    site.add("torch", "2.12.1")
    assert packages.ensurePackages(lambda text: True) == ""
    assert installer.calls == []
    assert len(pip.calls) == 1


def test_nothing_is_asked_when_nothing_is_missing(packages, site) -> None:
    site.add("torch", "2.12.1")
    site.add("safetensors", "0.8.0")
    assert packages.ensurePackages() == ""


def test_after_a_no_nothing_is_installed_and_the_sentence_says_how_to_go_on(packages, site, installer, pip) -> None:
    assert packages.ensurePackages(lambda text: False) == (
        "Not started: Python packages are missing (torch (0.2 to 3 GB), safetensors (1 MB)); "
        "start again to install them."
    )
    assert installer.calls == pip.calls == []


def test_without_the_pytorch_extension_nobody_is_asked(packages, site, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(ValueError, match='install the extension "PyTorch" from the Extensions Manager, restart'):
        packages.ensurePackages(lambda text: pytest.fail("asked"))


@pytest.mark.parametrize(("machine", "isTold"), [("x86_64", True), ("arm64", False)])
def test_where_there_is_no_pytorch_it_is_said_before_anything_is_asked(
    packages, site, installer, monkeypatch, machine, isTold
) -> None:
    monkeypatch.setattr(packages.sys, "platform", "darwin")
    monkeypatch.setattr(packages.platform, "machine", lambda: machine)
    asked: list[str] = []
    if isTold:
        with pytest.raises(ValueError, match="There is no PyTorch for this build of the application"):
            packages.ensurePackages(asked.append)
    else:
        packages.ensurePackages(asked.append)
    assert bool(asked) is not isTold


def test_a_broken_pytorch_extension_is_not_told_as_a_missing_one(packages, site) -> None:
    (site.folder / "PyTorchUtils.py").write_text("import surely_not_there\n")
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="surely_not_there"):
        packages.ensurePackages(lambda text: True)


def test_a_no_to_the_extension_is_no_installation(packages, installer, pip) -> None:
    installer.isDeclined = True
    with pytest.raises(ValueError, match="torch was not installed, because you declined; start again"):
        packages.ensurePackages(lambda text: True)
    assert pip.calls == []


def test_a_failed_download_of_torch_names_the_network_and_the_offline_way(packages, installer, pip) -> None:
    installer.error, installer.version = FAILED, ""
    with pytest.raises(ValueError, match=r"torch could not be installed .*check the network and the proxy") as caught:
        packages.ensurePackages(lambda text: True)
    assert OFFLINE in str(caught.value)
    assert caught.value.__cause__ is FAILED


def test_a_failed_pip_names_the_network_and_the_offline_way(packages, installer, pip) -> None:
    pip.error = FAILED
    with pytest.raises(ValueError, match=r"safetensors could not be installed .*check the network") as caught:
        packages.ensurePackages(lambda text: True)
    assert OFFLINE in str(caught.value)


def test_before_5_12_pip_runs_through_slicer_util(packages, site, installer, monkeypatch) -> None:
    import slicer

    site.add("torch", "2.12.1")
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    calls: list[str] = []
    monkeypatch.setattr(
        slicer.util, "pip_install", lambda wanted: calls.append(wanted) or site.add("safetensors", "0.5"), raising=False
    )
    assert packages.ensurePackages(lambda text: True) == ""
    assert calls == ["safetensors>=0.4"]


def test_pip_ensure_that_skips_silently_in_testing_mode_is_told(packages, site, pip, monkeypatch) -> None:
    import slicer

    site.add("torch", "2.12.1")
    pip.version = ""
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    with pytest.raises(ValueError, match="safetensors is missing, and nothing is installed in testing mode"):
        packages.ensurePackages(lambda text: True)


def test_what_was_installed_but_is_not_seen_needs_a_restart(packages, site, pip) -> None:
    site.add("torch", "2.12.1")
    pip.version = ""
    with pytest.raises(ValueError, match="safetensors was installed but cannot be found yet: restart the application"):
        packages.ensurePackages(lambda text: True)


def test_an_old_version_that_stays_is_told_with_both_versions(packages, site, pip) -> None:
    site.add("torch", "2.12.1")
    pip.version = "0.3.2"
    with pytest.raises(ValueError, match=r"safetensors 0\.3\.2 is still too old \(0\.4 is needed\): restart"):
        packages.ensurePackages(lambda text: True)


def test_half_a_torch_is_uninstalled_first_because_pip_takes_it_for_installed(packages, site, installer, pip) -> None:
    site.add("torch", "2.13.0", initFile=None)
    assert packages.ensurePackages(lambda text: True) == ""
    assert [call[0] for call in installer.calls] == ["uninstall", "install"]


def test_half_a_torch_that_cannot_be_uninstalled_is_told_with_its_folder(packages, site, installer, pip) -> None:
    site.add("torch", "2.13.0", initFile=None)
    installer.uninstallError = FAILED
    with pytest.raises(ValueError, match=r"torch is installed only in part: .*delete its folder") as caught:
        packages.ensurePackages(lambda text: True)
    assert str(site.folder / "torch") in str(caught.value)
    assert [call[0] for call in installer.calls] == ["uninstall"]


def test_a_torch_that_breaks_off_half_way_is_told_with_its_folder(packages, site, installer, pip) -> None:
    installer.version = ""
    site.add("torch", None, initFile=None)
    installer.error = AttributeError("module 'torch' has no attribute '__version__'")
    with pytest.raises(ValueError, match="torch is installed only in part") as caught:
        packages.ensurePackages(lambda text: True)
    assert str(site.folder / "torch") in str(caught.value)


def test_a_torch_that_cannot_be_loaded_is_not_told_as_a_failed_download(packages, installer, pip) -> None:
    installer.error = OSError("[WinError 126] The specified module could not be found. Error loading c10.dll\nmore")
    with pytest.raises(ValueError, match=r"torch 2\.12\.1\+cu130 is installed but cannot be loaded \(\[WinError 126\]"):
        packages.ensurePackages(lambda text: True)


def test_paths_that_are_too_long_for_windows_are_told_as_such(packages, installer, pip) -> None:
    installer.error, installer.version = OSError("The filename or extension is too long"), ""
    installer.error.winerror = 206
    with pytest.raises(ValueError, match="Windows does not allow paths as long as those in its files"):
        packages.ensurePackages(lambda text: True)


@pytest.mark.parametrize(
    ("platform", "requirement"), [("win32", ">=2.5,<2.13"), ("linux", ">=2.5"), ("darwin", ">=2.5")]
)
def test_on_windows_torch_stays_below_the_version_with_long_paths(packages, monkeypatch, platform, requirement) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert packages.torchRequirement() == requirement


@pytest.mark.parametrize(
    ("version", "isTold"), [("2.13.0+cpu", True), ("2.12.1+cu130", False), ("2.13.0", False), (None, False)]
)
def test_a_build_for_the_cpu_is_told_where_a_gpu_is_wanted(packages, site, version, isTold) -> None:
    if version:
        site.add("torch", version)
    text = packages.whyNoGpu()
    assert bool(text) == isTold
    if isTold:
        assert "torch 2.13.0+cpu runs on the CPU only, because no NVIDIA driver was found" in text


def test_the_application_asks_when_no_other_way_to_ask_is_given(packages, site, installer, monkeypatch) -> None:
    import slicer

    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text) or False)
    assert packages.ensurePackages().startswith("Not started")
    assert asked == [packages.question(packages.missingPackages())]


def thirdPartyImports(folder: Path, without: tuple[str, ...]) -> set[str]:
    """Top-level names that the files below ``folder`` import anywhere, less those of Python itself."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        if path.name in without:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
    return found - sys.stdlib_module_names


def test_what_a_calculation_imports_comes_with_the_application_or_is_asked_for(packages) -> None:
    library = Path(packages.__file__).parents[1] / "REACTDistillLib"
    withTheApplication = {"numpy", "SimpleITK", "pydicom", "highdicom"}
    # Training, evaluation and export are for the command line, in an environment of its own; test_predict shows that
    # grading does without.
    training = {"astra", "matplotlib", "monai", "ot", "scipy", "sklearn"}
    wanted = thirdPartyImports(library, without=("export.py",))
    assert wanted - withTheApplication - training == set(names(packages.PACKAGES))
