"""What must stay true of the whole tree: who may import what, what imports cost, which Python it runs on."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MODULE = REPOSITORY / "REACTDistill"
BACKEND = sorted((MODULE / "REACTDistillLib").rglob("*.py"))
ADAPTER = sorted((MODULE / "REACTDistillScene").rglob("*.py"))
SOURCES = [
    *BACKEND,
    *ADAPTER,
    MODULE / "REACTDistill.py",
    MODULE.parent / "MissingModalitySeg" / "MissingModalitySeg.py",
]
HEAVY = {"torch", "monai", "pydicom", "highdicom", "skimage", "sklearn", "scipy"}
# The files of a recipe define networks and losses; nothing imports them before one is needed.


def imported(tree, *, at_import_time=False):
    """Top-level package names that a file imports; at_import_time leaves out functions and TYPE_CHECKING blocks."""
    names = set()
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
        skipped = isinstance(node, (ast.FunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        if not (at_import_time and skipped):
            nodes.extend(ast.iter_child_nodes(node))
    return names


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", BACKEND, ids=lambda path: path.name)
def test_the_backend_knows_no_slicer(path):
    assert not imported(parsed(path)) & {"slicer", "vtk", "qt", "ctk", "REACTDistillScene"}


@pytest.mark.parametrize("path", [*ADAPTER, MODULE / "REACTDistill.py"], ids=lambda path: path.name)
def test_the_adapter_knows_no_torch(path):
    assert not imported(parsed(path)) & {"torch", "monai"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_importing_a_file_costs_no_heavy_package(path):
    if path.parent.parent.name == "recipes":
        return
    assert not imported(parsed(path), at_import_time=True) & HEAVY


def modules_imported(path):
    """The files of this tree that a file imports anywhere, also in functions and for types only."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else MODULE
            place = folder.joinpath(*(node.module or "").split("."))
            for name in (place, *(place / alias.name for alias in node.names)):
                yield from (file for file in (name.with_suffix(".py"), name / "__init__.py") if file.is_file())


def test_no_file_imports_itself_by_a_detour():
    """Not even for types: of two files that need each other a reader can understand neither first."""
    imports = {path: set(modules_imported(path)) - {path} for path in [*BACKEND, *ADAPTER]}
    while free := [path for path, needed in imports.items() if not needed & imports.keys()]:
        for path in free:
            del imports[path]
    assert not imports, sorted(path.name for path in imports)


def test_the_command_line_and_the_adapter_start_without_torch():
    code = (
        "import sys, REACTDistillLib.__main__, REACTDistillLib.predict, REACTDistillLib.train, REACTDistillScene.demo;"
        "print(sorted({'torch', 'monai', 'slicer', 'vtk'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=MODULE)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_unpickled_downloaded_or_swallowed(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bimport pickle|torch\.load\(|urllib|(import|from) requests|http\.client|socket", text)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            assert ast.unparse(node.type) not in ("Exception", "BaseException"), f"broad except in line {node.lineno}"


def test_all_code_compiles_on_python_312(tmp_path):
    python = shutil.which("python3.12")
    if python is None or subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no python3.12 on this machine")
    target = tmp_path / "tree"
    shutil.copytree(MODULE, target / "REACTDistill", ignore=shutil.ignore_patterns("__pycache__"))
    result = subprocess.run(
        [python, "-W", "error", "-m", "compileall", "-q", str(target)], capture_output=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("number", range(1, 21))
def test_each_equation_of_the_main_paper_has_a_function_that_names_it_and_a_test(number):
    """R1 to R20: named in the docstring of a function or class, and in the name of a test."""
    functions = [
        node.name
        for path in BACKEND
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and re.search(rf"\bR{number}\b", ast.get_docstring(node) or "")
    ]
    tests = [
        node.name
        for path in (REPOSITORY / "Testing").glob("test_*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and re.match(rf"test_(\w+_)?r{number}(_|$)", node.name)
    ]
    assert functions, f"no function names R{number}"
    assert tests, f"no test names R{number}"
