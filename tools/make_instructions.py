"""Writes docs/instructions.md, the reference of the emulated core's instructions, from their declarations.

Usage: python tools/make_instructions.py [--check]. Run it after changing a declaration; a test says when the page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ascendlite.npu.lang.data_instructions import COPIES, COPY_PIPES, CUBE, ORDER, QUANT_MODES, SCALARS
from ascendlite.npu.lang.declare import ALIGNMENT, GENERATIONS, PARTIAL, READ, WRITE, Instruction, Memory, Operand, Sync
from ascendlite.npu.lang.vector_instructions import CASTS, ELEMENTWISE, MOVES, REDUCTIONS, SELECTION, VECTOR_HEAD

PAGE = Path(__file__).resolve().parent.parent / "docs" / "instructions.md"
GROUPS = (
    ("Vector: element by element", ELEMENTWISE), ("Vector: conversion, comparison, constants", SELECTION), ("Vector: reductions", REDUCTIONS),
    ("Vector: movement and sorting", MOVES), ("Copies", COPIES), ("Cube", CUBE), ("Scalars", SCALARS), ("Order", ORDER),
)  # fmt: skip
CHIPS = {"1001": "910A", "2201": "910B, 910C", "3510": "950"}
INTRODUCTION = """\
# Instructions of the emulated core

Written by `tools/make_instructions.py` from `ascendlite/npu/lang/`; do not edit. Kernels call these through
`import ascendlite.npu.ascendc as ac`; [kernels.md](kernels.md) is the tutorial.

Every instruction runs on one pipe of its core. Pipes run beside each other; within a pipe instructions start in order, and only flags and
barriers say when one has ended. The formats a chip takes go by its generation: {chips}.
"""
HEAD = """\
The first {count} arguments are the same for all vector instructions: {names}.

- `mode` 0: `count` elements in a row. 1: in each of `repeat` repeats the first `count` lanes. 2: in each repeat the lanes whose bit is set
  in `count` (lanes 0-63) and `mask_hi` (64-127).
- A repeat is 256 bytes of the widest operand, in 8 blocks of 32 bytes. Element j of repeat r lies at
  `base + r * rep * 32 + (j // per_block) * block * 32 + (j % per_block) * itemsize`, `per_block = 32 // itemsize`.
- At most 255 repeats (R12); block and repeat strides fit their fields (R13); destination and source are the same bytes or disjoint
  within a repeat (R11).
- The scalar is `floats[0]` (`scalar_kind` 0) or the integer `scalar` (1).
"""


def access(operand: Operand) -> str:
    words = {READ: "read", WRITE: "written", READ | WRITE: "read and written"}[operand.access & (READ | WRITE)]
    return words + (" in part" if operand.access & PARTIAL else "")


def alignment(operand: Operand) -> str:
    if operand.align < 0:
        return "its element"
    return " or ".join(sorted({str(operand.align or ALIGNMENT[m]) for m in operand.memories}, key=int)) + " bytes"


def formats(instruction: Instruction) -> Iterator[str]:
    if instruction.name == "Cast":
        yield "Formats: see the table of casts."
        return
    for generation in GENERATIONS:
        given = instruction.dtypes.get(generation)
        if given:
            yield f"- {CHIPS[generation]}: {', '.join(f'`{g}`' for g in given)}"


def entry(instruction: Instruction) -> Iterator[str]:
    """One instruction."""
    cores = {("aiv",): "vector cores", ("aic",): "cube cores", ("aiv", "aic"): "both kinds of core"}[instruction.cores]
    pipe = "the pipe it names" if instruction.sync in (Sync.SET_FLAG, Sync.WAIT_FLAG, Sync.BARRIER, Sync.CROSS_SET) else f"pipe {instruction.pipe.name}"
    yield f"### {instruction.name}\n"
    yield f"{instruction.doc}\n" if instruction.doc.endswith(".") else f"{instruction.doc}.\n"
    yield f"On {pipe} of {cores}. Meaning `{instruction.meaning}`, cost `{instruction.cost}`.\n"
    for o in instruction.operands:
        where = ", ".join(m.name for m in o.memories) if len(o.memories) < len(Memory) else "any memory"
        yield f"- `{o.name}`: {where}; {access(o)}; starts at a multiple of {alignment(o)}"
    if instruction.operands:
        yield ""
    own = instruction.args[len(VECTOR_HEAD) :] if instruction.args[: len(VECTOR_HEAD)] == VECTOR_HEAD else instruction.args
    if own:
        fixed = "".join(f"; `{k}` is {v}" for k, v in instruction.fixed.items())
        yield f"Arguments{' after the head' if own is not instruction.args else ''}: {', '.join(f'`{a}`' for a in own)}{fixed}.\n"
    if instruction.floats:
        yield f"Real arguments: {', '.join(f'`{a}`' for a in instruction.floats)}.\n"
    given = list(formats(instruction))
    if given:
        yield from (*given, "")


def casts() -> Iterator[str]:
    """The table of conversions."""
    yield "## Casts\n"
    yield "Legal pairs and rounding modes. NONE is exact, or nearest even where the conversion loses precision.\n"
    for generation in GENERATIONS:
        yield f"{CHIPS[generation]}:\n"
        yield "| from | to | modes |\n|---|---|---|"
        for (src, dst), modes in sorted(CASTS[generation].items()):
            yield f"| {src} | {dst} | {', '.join(m.removeprefix('CAST_') for m in modes)} |"
        yield ""


def paths() -> Iterator[str]:
    """The table of copies' pipes."""
    yield "Which pipe copies between two memories; what is not here does not exist:\n"
    yield f"| from | to | {' | '.join(CHIPS[g] for g in GENERATIONS)} |\n|---|---|{'---|' * len(GENERATIONS)}"
    pairs = sorted({p for pipes in COPY_PIPES.values() for p in pipes})
    for src, dst in pairs:
        pipes = (COPY_PIPES[g].get((src, dst)) for g in GENERATIONS)
        yield f"| {src.name} | {dst.name} | {' | '.join(p.name if p is not None else '-' for p in pipes)} |"
    yield ""


def page() -> str:
    lines = [INTRODUCTION.format(chips=", ".join(f"{g} ({CHIPS[g]})" for g in GENERATIONS))]
    for title, instructions in GROUPS:
        lines.append(f"## {title}\n")
        if instructions is ELEMENTWISE:
            lines.append(HEAD.format(count=len(VECTOR_HEAD), names=", ".join(f"`{n}`" for n in VECTOR_HEAD)))
        if instructions is COPIES:
            lines += paths()
        for instruction in instructions:
            lines += entry(instruction)
        if instructions is CUBE:
            lines.append(f"Conversions of Fixpipe (`quant`): {', '.join(f'{i} {m}' for i, m in enumerate(QUANT_MODES))}.\n")
    lines += casts()
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        sys.exit(0 if current == page() else f"{PAGE} is stale; run python tools/make_instructions.py")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
