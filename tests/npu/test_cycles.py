"""The virtual cycles of the library's kernels stay as they were reviewed."""

from __future__ import annotations

import difflib

import pytest

from tests.npu.cycles import GOLDEN, HEAD, lines_of
from tests.npu.test_library_syncs import CALLS


@pytest.mark.parametrize("name", CALLS)
def test_cycles_are_those_that_were_reviewed(name: str) -> None:
    before = [line for line in GOLDEN.read_text(encoding="utf-8").splitlines() if line.startswith(f"{name}: ")]
    now = list(lines_of(name))
    difference = "\n".join(difflib.unified_diff(before, now, "reviewed", "now", n=0, lineterm=""))
    assert before == now, f"if this is meant, run python tools/make_cycles.py and commit:\n{difference}"


def test_the_file_has_no_other_lines() -> None:
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    assert lines[0] + "\n" == HEAD
    assert {line.split(":")[0] for line in lines[1:]} == set(CALLS)
