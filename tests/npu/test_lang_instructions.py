"""The instruction table: every declaration is whole, and the page made of it is current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.instructions import CASTS, GENERATIONS, INSTRUCTIONS, ROUNDING, VECTOR_HEAD, Instruction, Pipe
from ascendlite.npu.lang.vector import LEGAL

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_ARGS, MOST_FLOATS, MOST_REGIONS = 24, 4, 8  # csrc/davinci/program.h


@pytest.mark.parametrize("instruction", INSTRUCTIONS.values(), ids=lambda i: i.name)
def test_a_declaration_is_whole(instruction: Instruction) -> None:
    assert instruction.doc and instruction.meaning and instruction.cost and instruction.generations
    assert len(instruction.args) <= MOST_ARGS and len(set(instruction.args)) == len(instruction.args)
    assert len(instruction.floats) <= MOST_FLOATS and len(instruction.operands) <= MOST_REGIONS
    assert set(instruction.fixed) <= set(instruction.args)
    assert instruction.pipe is not Pipe.V or instruction.args[: len(VECTOR_HEAD)] == VECTOR_HEAD
    for words in instruction.dtypes.values():
        for name in " ".join(words).replace("->", " ").replace(",", " ").split():
            assert name in dtypes.BY_NAME


def test_casts_name_known_formats_and_modes() -> None:
    for generation in GENERATIONS:
        for (src, dst), modes in CASTS[generation].items():
            assert {src, dst} <= set(dtypes.BY_NAME) and modes and set(modes) <= set(ROUNDING)


def test_no_bf16_arithmetic_on_2201() -> None:
    bf16 = dtypes.bf16.code
    having = {name for name, legal in LEGAL.items() if any(bf16 in p.to_bytes(8, "big") for p in legal.get("2201", ()))}
    moving = {"Cast", "Duplicate", "Copy", "Brcb", "Gather", "GatherBlocks", "Scatter", "GatherMask", "Transpose"}
    assert having <= moving


@pytest.mark.parametrize("tool", ["make_instructions.py", "make_rules.py"])
def test_the_pages_are_current(tool: str) -> None:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_name_is_documented() -> None:
    bare = [n for n in ac.__dict__ if not n.startswith("_") and callable(getattr(ac, n)) and not (getattr(ac, n).__doc__ or "").strip()]
    assert bare == []
