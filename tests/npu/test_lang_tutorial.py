"""docs/kernels.md runs: every program on the page, and what it prints is what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "kernels.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def without_numbers(text: str) -> list[str]:
    """Lines with every number replaced: the model's figures may be refined without changing the page."""
    return [re.sub(r"\d[\d.]*", "0", re.sub(r" +", " ", line)) for line in text.splitlines() if not re.match(r"  (P\d\d|no advice)", line)]


def test_the_tutorial_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    printed = ""
    programs = 0
    for language, title, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            (tmp_path / title).write_text(text, encoding="utf-8")
            done = subprocess.run([sys.executable, title], cwd=tmp_path, capture_output=True, text=True, check=False,
                                  env={**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tmp_path)])})
            assert done.returncode == 0, done.stderr
            printed, programs = done.stdout, programs + 1
        elif title == "numbers":
            assert without_numbers(printed) == without_numbers(text)
        else:
            assert printed == text
    assert programs == 7
    assert (tmp_path / "vector_add.png").stat().st_size > 10_000
