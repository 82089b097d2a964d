"""The CMake lists and the tree agree: what is not listed is missing in the installed extension."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
MODULES = re.findall(r"^add_subdirectory\((\w+)\)", EXTENSION, re.MULTILINE)
SCRIPT_FOLDERS = {"REACTDistill": ("REACTDistillLib", "REACTDistillScene")}


def listed(module: str, variable: str) -> list[str]:
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", module)
    block = re.search(rf"set\({variable}\s+(.*?)\)", text, re.DOTALL)
    assert block is not None, f"{module}/CMakeLists.txt sets no {variable}"
    return block.group(1).split()


def present(folder: Path, pattern: str) -> list[str]:
    return [path.relative_to(folder.parent).as_posix() for path in folder.rglob(pattern) if path.is_file()]


def test_every_module_folder_is_added() -> None:
    assert sorted(path.parent.name for path in ROOT.glob("*/*.py") if path.stem == path.parent.name) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_script_is_listed_and_every_listed_script_exists(module: str) -> None:
    expected = [f"{module}.py"]
    for package in SCRIPT_FOLDERS.get(module, ()):
        expected += present(ROOT / module / package, "*.py")
    assert sorted(listed(module, "MODULE_PYTHON_SCRIPTS")) == sorted(expected)


@pytest.mark.parametrize("module", MODULES)
def test_every_resource_is_listed_and_every_listed_resource_exists(module: str) -> None:
    expected = present(ROOT / module / "Resources", "*")
    assert sorted(listed(module, "MODULE_PYTHON_RESOURCES")) == sorted(expected)


@pytest.mark.parametrize("module", MODULES)
def test_the_module_folder_holds_one_python_file_because_each_would_become_a_module(module: str) -> None:
    assert [path.name for path in (ROOT / module).glob("*.py")] == [f"{module}.py"]


@pytest.mark.parametrize("module", MODULES)
def test_resources_and_packages_bear_the_name_of_their_module(module: str) -> None:
    assert [name for name in listed(module, "MODULE_PYTHON_RESOURCES") if not Path(name).name.startswith(module)] == []
    packages = {Path(name).parts[0] for name in listed(module, "MODULE_PYTHON_SCRIPTS") if "/" in name}
    assert packages == set(SCRIPT_FOLDERS.get(module, ()))
    assert all(package.startswith(module) for package in packages)


@pytest.mark.parametrize("module", MODULES)
def test_the_generic_test_and_the_self_test_of_each_module_are_run(module: str) -> None:
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", module)
    macro = re.search(r"slicerMacroBuildScriptedModule\((.*?)\n  \)", text, re.DOTALL)
    assert macro is not None
    assert "WITH_GENERIC_TESTS" in macro.group(1)
    assert re.search(
        rf"if\(BUILD_TESTING\).*slicer_add_python_unittest\(SCRIPT {module}\.py\).*endif\(\)", text, re.DOTALL
    )


def test_file_names_are_unique_across_modules_because_all_are_installed_into_one_folder() -> None:
    names = [
        name
        for module in MODULES
        for variable in ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")
        for name in listed(module, variable)
    ]
    assert len(names) == len(set(names))


def test_the_extension_says_what_the_index_checks() -> None:
    assert re.search(r"^project\(REACTDistill\)$", EXTENSION, re.MULTILINE)
    for key in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{key} "[^"$]+"\)$', EXTENSION, re.MULTILINE), key
    assert "## NEXT_MODULE" in EXTENSION
    order = ["find_package(Slicer", "Slicer_USE_FILE", "add_subdirectory", "GENERATE_CONFIG", "EXTENSION_CPACK"]
    assert sorted(order, key=EXTENSION.index) == order


def test_contributors_are_named_with_their_organization() -> None:
    assert re.search(r'^set\(EXTENSION_CONTRIBUTORS "[^"(]+ \([^")]+\)"\)$', EXTENSION, re.MULTILINE)


def test_license_and_readme_of_this_project_are_packaged_and_not_those_of_the_application() -> None:
    for key, name in (("LICENSE", "LICENSE"), ("README", "README.md")):
        assert f'set(EXTENSION_{key}_FILE "${{CMAKE_CURRENT_SOURCE_DIR}}/{name}")' in EXTENSION
        assert (ROOT / name).is_file()


def test_pictures_that_the_index_loads_are_png_at_addresses_without_parameters() -> None:
    for key in ("ICONURL", "SCREENSHOTURLS"):
        address = re.search(rf'set\(EXTENSION_{key} "([^"]+)"\)', EXTENSION)
        assert address is not None
        assert all(url.startswith("https://") and url.endswith(".png") for url in address.group(1).split())


def test_shipped_resources_are_small_enough_for_a_repository() -> None:
    shipped = [
        *ROOT.glob("Resources/**/*"),
        *(path for module in MODULES for path in (ROOT / module).glob("Resources/**/*")),
    ]
    assert sum(path.stat().st_size for path in shipped if path.is_file()) < 8_000_000


def test_every_url_of_this_repository_in_the_extension_names_a_file_that_exists() -> None:
    paths = re.findall(r"https://github\.com/REACTDistill/REACTDistill/raw/main/([^\s\"]+)", EXTENSION)
    assert len(paths) == 2
    assert [path for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize(
    "icon",
    ["Resources/Icons/REACTDistillExtension.png", *(f"{name}/Resources/Icons/{name}.png" for name in MODULES)],
)
def test_icons_are_png_of_128_by_128(icon: str) -> None:
    header = (ROOT / icon).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128)


def test_the_student_files_are_installed_beside_the_modules() -> None:
    assert "Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/Resources" in EXTENSION
    assert "Slicer_QTSCRIPTEDMODULES_LIB_DIR}/Resources" in EXTENSION
