"""The rules of the house, read from the source: import direction, file size, a row and an error for every op, current stubs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ascendlite as al
from ascendlite.core import FUNCTIONS
from tests.cases import all_cases

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ascendlite"
CODE = (".py", ".pyx", ".pxi", ".cpp", ".h")
MOST_LINES = 400

# Lowest first; a module imports from its own layer and those before it. What is not named is above all of these.
LAYERS = (
    ("absent", "errors", "_native", "backends"),
    ("core",),
    ("ops",),
    ("cpu", "meta", "npu", "profiler"),
    ("accelerator", "autograd", "printing", "interop", "files", "structure", "utils", "info", "amp", "safetensors", "linalg", "func", "signal", "special", "compat", "testing"),
    ("nn", "optim", "data", "checkpoint", "serialize"),
    ("compile",),
    ("models", "generation", "text"),
    ("train", "posttrain"),
    ("forecast",),
    ("cli", "__main__"),
)
LAYER_OF = {name: level for level, names in enumerate(LAYERS) for name in names}
TOP = len(LAYERS)

# Public names of FUNCTIONS that have no values of their own to compare: they are covered by tests of their own.
UNROWED = {
    name: test
    for test, names in {
        "tests/test_interop.py": ("from_dlpack",),
        "tests/test_autograd.py": ("detach", "detach_", "requires_grad_", "retain_grad"),
        "tests/test_dtypes.py": ("promote_types", "result_type", "can_cast"),
    }.items()
    for name in names
}


def tracked() -> list[Path]:
    """The files of the repository, or of the folder where there is no git."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    return [ROOT / n for n in names if (ROOT / n).exists()]


def layer_of(parts: tuple[str, ...]) -> tuple[str, int]:
    name = parts[0].removesuffix(".py") if parts else "__init__"
    return name, LAYER_OF.get(name, TOP)


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of the package's modules that a file imports while it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) for n in ast.walk(f) if n is not f}
    typing_only = {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if id(node) in inside or id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name.startswith("ascendlite."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ascendlite":
            deeper = node.module == "ascendlite"
            yield from ((f"ascendlite.{a.name}" if deeper else node.module, node.lineno) for a in node.names)


def upward_imports() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        mine, level = layer_of(path.relative_to(PACKAGE).parts)
        if mine == "__init__":
            continue
        for module, line in imports_of(path):
            theirs, above = layer_of(tuple(module.split(".")[1:]))
            if theirs in LAYER_OF and above > level:
                yield f"{path.relative_to(ROOT)}:{line}: {mine} imports {theirs}, which is above it"


def test_imports_go_downwards() -> None:
    assert list(upward_imports()) == []


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - set(LAYER_OF) - {"__init__"} == set()


def test_files_fit_in_their_size() -> None:
    long = {}
    for path in tracked():
        if path.suffix in CODE:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > MOST_LINES:
                long[str(path.relative_to(ROOT))] = lines
    assert long == {}


def test_no_work_is_left_marked_in_the_code() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked() if path.suffix in (*CODE, ".md", ".toml", ".build") and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if mark.search(line)
    ]
    assert found == []


def test_native_code_knows_no_python() -> None:
    python = re.compile(r'#include\s*[<"](Python\.h|pybind11)')
    found = [str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*.[ch]*") if "bind" not in (p.parent.name, p.stem.partition("_")[0]) and python.search(p.read_text(encoding="utf-8"))]
    assert found == []


# -- the op table

ROWS = [case for _, case in all_cases()]


def with_aliases(names: set[str]) -> set[str]:
    """Names and the other names of the same functions."""
    known = {id(FUNCTIONS[n]) for n in names if n in FUNCTIONS}
    return names | {n for n, fn in FUNCTIONS.items() if id(fn) in known}


def test_every_public_function_has_a_row() -> None:
    covered = with_aliases({case.base for case in ROWS}) | set(UNROWED)
    assert sorted(set(FUNCTIONS) - covered) == []


def test_every_row_has_a_documented_error() -> None:
    refused = with_aliases({case.base for case in ROWS if case.refusals()})
    assert sorted({case.base for case in ROWS} - refused) == []


def test_rows_name_public_functions() -> None:
    special = {f"special.{name}" for name in dir(al.special)}
    assert sorted({case.base for case in ROWS} - set(FUNCTIONS) - set(dir(al)) - set(dir(al.Tensor)) - special) == []


def test_names_of_rows_are_unique() -> None:
    names = [f"{family}-{case.name}" for family, case in all_cases()]
    assert sorted({n for n in names if names.count(n) > 1}) == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_public_functions_say_what_they_do(name: str) -> None:
    assert (FUNCTIONS[name].__doc__ or "").strip() or not callable(getattr(FUNCTIONS[name], "__code__", None)), f"{name} has no docstring"


def test_the_stubs_are_current() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "make_stubs.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_is_light() -> None:
    code = "import sys, ascendlite; print(sorted(set(sys.modules) & {'numpy', 'scipy', 'matplotlib', 'rich', 'safetensors', 'torch', 'asyncio'}))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
