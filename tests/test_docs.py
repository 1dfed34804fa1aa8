"""What the documents say runs: the README's tour and commands, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import ascendlite as al

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = ("ascendlite.__main__",)


def modules() -> list[str]:
    return sorted(m.name for m in pkgutil.walk_packages(al.__path__, "ascendlite.") if m.name not in NOT_RUN and not m.name.startswith("ascendlite._"))


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in finder.find(module, name, extraglobs={"al": al, "ascendlite": al, "nn": al.nn, "F": al.nn.functional}):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


def test_the_tour_of_the_readme_runs() -> None:
    tour = re.search(r"```python\n(import ascendlite.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert tour
    scope: dict[str, object] = {}
    exec(compile(tour[1], "README.md", "exec"), scope)
    assert scope["loss"].item() < 1.2  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["posttrain", "test"])
def test_the_commands_of_the_readme_are_found(name: str) -> None:
    done = subprocess.run([str(ROOT / "tools" / "readme_command.sh"), name], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("python3 -m venv"), done.stderr
