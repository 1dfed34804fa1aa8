"""What a program's regions declare is what its arguments reach: the executor refuses a program whose two descriptions of an operand disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from ascendlite import _davinci
from tests.npu.asm import (
    AIV,
    BT,
    FB,
    GET_VALUE,
    GM,
    L0A,
    L0B,
    L0C,
    L1,
    READ,
    SET_FLAG,
    SYNC_ALL,
    UB,
    WRITE,
    Asm,
    S,
    V,
    head,
)


class Operand(NamedTuple):
    memory: int
    dtype: str
    nbytes: int  # exactly what the arguments reach
    free: bool = False  # not reached by the arguments: a table whose offsets are data, or room for the card's own use


class Form(NamedTuple):
    meaning: str
    operands: list[Operand]
    args: Sequence[int]
    floats: Sequence[float] = ()
    modes: tuple[int, ...] = (0, 1, 2)


def ub(dtype: str, *nbytes: int) -> list[Operand]:
    return [Operand(UB, dtype, n) for n in nbytes]


ROWS = head(1, 64, repeat=2, blocks=(1, 2, 1), reps=(8, 16, 8))  # a source of every second block
TABLE = Operand(UB, "float32", 64, free=True)
OFFSETS = Operand(UB, "uint32", 32)
FORMS = {
    "copy: rows of rows": Form("copy", ub("float32", 416, 224), [2, 3, 32, 256, 64, 128, 32, 0, 0, 0, 0], [0.0]),
    "copy: rows filled by a number": Form("copy", ub("float16", 64, 12), [1, 2, 6, 0, 32, 0, 6, 10, 16, 1, 0], [9.0]),
    "copy: rows filled by their first element": Form("copy", ub("float16", 64, 12), [1, 2, 6, 0, 32, 0, 6, 10, 16, 2, 0], [0.0]),
    "copy: added": Form("copy", ub("float16", 64, 64), [1, 1, 64, 0, 0, 0, 0, 0, 0, 0, 1], [0.0]),
    "copy: to the bias table": Form("copy", [Operand(BT, "float32", 64), Operand(L1, "float16", 32)], [1, 1, 32, 0, 0, 0, 0, 0, 0, 0, 0], [0.0]),
    "nd2nz": Form("nd2nz", [Operand(L1, "float16", 1024), Operand(UB, "float16", 168)], [3, 20, 64, 16, 1, 0, 0, 32]),
    "nd2nz: matrices": Form("nd2nz", [Operand(L1, "float16", 2048), Operand(UB, "float16", 424)], [3, 20, 64, 16, 2, 256, 1024, 32]),
    "nz2nd": Form("nz2nd", ub("float16", 136, 608), [3, 20, 48, 16, 0]),
    "fill": Form("fill", [Operand(L1, "float32", 64)], [64], [1.0]),
    "set_value": Form("set_value", ub("float32", 4), [0, 0], [1.0]),
    "add": Form("add", ub("float16", 20, 20, 20), head(0, 10)),
    "add: blocks apart": Form("add", ub("float32", 512, 992, 512), ROWS),
    "add: lanes of a mask": Form("add", ub("float32", 16, 16, 16), head(2, 0b1010)),
    "muls": Form("muls", ub("float32", 40, 40), head(0, 10), [2.0]),
    "axpy": Form("axpy", ub("float32", 40, 40), head(0, 10), [2.0]),
    "not: bits of wide numbers": Form("not", ub("int16", 20, 20), head(0, 10)),
    "duplicate": Form("duplicate", ub("float32", 40), head(0, 10), [1.0]),
    "vector_copy": Form("vector_copy", ub("float32", 512, 992), ROWS),
    "cast": Form("cast", [Operand(UB, "float16", 20), Operand(UB, "float32", 40)], [*head(0, 10), 1]),
    "cast: two numbers a byte": Form("cast", [Operand(UB, "int4", 6), Operand(UB, "float16", 22)], [*head(0, 11), 1], modes=(0,)),
    "compare": Form("compare", [Operand(UB, "uint8", 3), *ub("float32", 80, 80)], [*head(0, 20), 0]),
    "compare_scalar": Form("compare_scalar", [Operand(UB, "uint8", 16), *ub("float32", 512)], [*head(1, 64, repeat=2), 0], [1.0]),
    "select: more bits": Form("select", [Operand(UB, "float32", 512), Operand(UB, "uint8", 16), *ub("float32", 512, 512)], [*head(1, 64, repeat=2), 2]),
    "select: same bits": Form("select", [Operand(UB, "float32", 512), Operand(UB, "uint8", 8), *ub("float32", 512, 512)], [*head(1, 64, repeat=2), 0]),
    "select: or a number": Form("select", [Operand(UB, "float32", 80), Operand(UB, "uint8", 3), *ub("float32", 80)], [*head(0, 20), 1], [1.0]),
    "arange": Form("arange", ub("float32", 32), [*head(0, 8), 0, 0], [0.0, 1.0]),
    "philox": Form("philox", ub("uint32", 32), [*head(0, 8), 1, 0, 0]),
    "reduce_repeat": Form("reduce_repeat", ub("float32", 12, 768), [*head(1, 64, repeat=3, reps=(1, 8, 0)), 0, 2]),
    "reduce_repeat: pairs": Form("reduce_repeat", ub("float16", 12, 768), [*head(1, 128, repeat=3, reps=(1, 8, 0)), 1, 0]),
    "reduce_repeat: indices": Form("reduce_repeat", ub("float16", 12, 768), [*head(1, 128, repeat=3, reps=(1, 8, 0)), 1, 3]),
    "block_reduce": Form("block_reduce", ub("float32", 64, 512), [*head(1, 64, repeat=2, reps=(1, 8, 0)), 0, 2]),
    "block_reduce: lanes of a mask": Form("block_reduce", ub("float32", 4, 16), [*head(2, 0b1010, reps=(1, 8, 0)), 0, 2]),
    "pair_reduce": Form("pair_reduce", ub("float16", 256, 512), [*head(1, 128, repeat=2, reps=(1, 8, 0)), 0, 2]),
    "reduce_all": Form("reduce_all", [*ub("float32", 8), TABLE, *ub("float32", 400)], [*head(0, 100), 1, 1]),
    "gather": Form("gather", [*ub("float32", 32), TABLE, OFFSETS], [*head(0, 8), 0]),
    "scatter": Form("scatter", [TABLE, *ub("float32", 32), OFFSETS], [*head(0, 8), 0]),
    "gather_blocks": Form("gather_blocks", [*ub("float32", 512), TABLE, Operand(UB, "uint32", 64)], head(1, 64, repeat=2)),
    "gather_mask: bits": Form("gather_mask", [*ub("float32", 80, 80), Operand(UB, "uint8", 3), Operand(UB, "int32", 4)], [*head(0, 20), 0, 1]),
    "gather_mask: even ones": Form("gather_mask", ub("float32", 40, 80), [*head(0, 20), 1, 0]),
    "gather_mask: one of four": Form("gather_mask", ub("float32", 20, 80), [*head(0, 20), 4, 0]),
    "brcb": Form("brcb", ub("float32", 512, 64), head(1, 64, repeat=2)),
    "transpose": Form("transpose", ub("float16", 1024, 1024), [*head(1, 16, repeat=2, reps=(16, 16, 0)), 32, 32]),
    "sort32": Form("sort32", [*ub("float32", 256, 128), Operand(UB, "uint32", 128)], head(0, 32)),
    "mrgsort": Form("mrgsort", ub("float32", 384, 256, 128), [*head(0, 48), 2, 32, 16]),
    "load_a": Form("load_a", [Operand(L0A, "float16", 1024), Operand(L1, "float16", 1536)], [16, 32, 32, 0, 0, 1]),
    "load_a: turned": Form("load_a", [Operand(L0A, "float16", 1024), Operand(L1, "float16", 1024)], [16, 32, 32, 1, 0, 1]),
    "load_a: turned, of one byte": Form("load_a", [Operand(L0A, "int8", 1024), Operand(L1, "int8", 512)], [20, 16, 16, 1, 0, 1]),
    "load_b: turned, of four bytes": Form("load_b", [Operand(L0B, "float32", 2048), Operand(L1, "float32", 1536)], [16, 20, 16, 0, 0, 1]),
    "load_b": Form("load_b", [Operand(L0B, "float16", 1024), Operand(L1, "float16", 1024)], [16, 32, 32, 1, 0, 1]),
    "load2d": Form("load2d", [Operand(L0A, "float16", 1024), Operand(L1, "float16", 1536)], [2, 1024, 512, 0, 1]),
    "load2d: turned": Form("load2d", [Operand(L0B, "float16", 1536), Operand(L1, "float16", 1024)], [2, 512, 1024, 1, 1]),
    "load3d": Form("load3d", [Operand(L0A, "float16", 2048), Operand(L1, "float16", 512)],
                   [4, 4, 16, 64, 9, 0, 0, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 1], [0.0]),
    "mmad": Form("mmad", [Operand(L0C, "float32", 1024), Operand(L0A, "float16", 1024), Operand(L0B, "float16", 1024)], [9, 16, 20, 1, 0, 0, 0]),
    "mmad: on a bias": Form("mmad", [Operand(L0C, "float32", 1024), Operand(L0A, "float16", 512), Operand(L0B, "float16", 512), Operand(BT, "float32", 36)],
                            [16, 9, 16, 2, 0, 0, 0]),
    "fixpipe": Form("fixpipe", [Operand(UB, "float16", 152), Operand(L0C, "float32", 1280)], [4, 28, 32, 16, 1, 0, 0, 0, 0, 1, 0, 0], [1.0]),
    "fixpipe: scales, added": Form("fixpipe", [Operand(UB, "float32", 144), Operand(L0C, "float32", 1152), Operand(FB, "uint64", 160)],
                                   [2, 20, 64, 16, 3, 0, 0, 0, 1, 1, 0, 0], [1.0]),
    "fixpipe: fractals": Form("fixpipe", [Operand(L1, "float16", 616), Operand(L0C, "float32", 1280)], [4, 20, 512, 16, 1, 0, 0, 1, 0, 1, 0, 0], [1.0]),
}  # fmt: skip


def program(form: Form, short: int = -1) -> Asm:
    """One instruction on zeros; operand `short` declares a byte less than its arguments reach."""
    asm = Asm(AIV)
    asm.op("Zeros", "fill", [asm.region(UB, "float32", 0, 1 << 17, WRITE)], [1 << 17], [0.0])
    regions = []
    for k, o in enumerate(form.operands):
        own = sum(other.memory == o.memory for other in form.operands[:k])
        regions.append(asm.region(o.memory, o.dtype, own << 14, o.nbytes - (k == short), WRITE if k == 0 else READ))
    asm.op("It", form.meaning, regions, form.args, form.floats)
    return asm


CASES = [(name, mode) for name, form in FORMS.items() for mode in form.modes]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_arguments_that_reach_beyond_a_region_are_refused(name: str, mode: int) -> None:
    form = FORMS[name]
    program(form).run([], mode=mode)  # exactly what they reach
    for k, operand in enumerate(form.operands):
        if operand.free:
            continue
        for run in (lambda asm: asm.run([], mode=mode), lambda asm: asm.executor().run_random(1, [], 0, 0, mode)):
            with pytest.raises(ValueError, match=rf"It: its arguments reach bytes 0\.\.\d+ of operand {k}, whose region is 0\.\.{operand.nbytes - 1}; make them agree"):
                run(program(form, k))


def test_every_meaning_of_the_language_is_tested() -> None:
    from ascendlite.npu.lang.instructions import INSTRUCTIONS
    from ascendlite.npu.lang.vector_instructions import VECTOR_HEAD

    alike = {i.meaning for i in INSTRUCTIONS.values() if i.args[: len(VECTOR_HEAD)] == tuple(VECTOR_HEAD)}  # their operands lie as their lanes do
    moving = {i.meaning for i in INSTRUCTIONS.values() if i.operands and i.sync == 0}
    assert moving - alike <= {f.meaning for f in FORMS.values()}


def copied(*args: int) -> Asm:
    asm = Asm(AIV)
    asm.copy(asm.region(GM, "float32", 0, 64, WRITE, asm.tensor(64)), asm.region(UB, "float32", 0, 64), *args)
    return asm


@pytest.mark.parametrize("nbytes", [-64, 1 << 62, -(2**63)])
def test_lengths_without_sense_are_refused(nbytes: int) -> None:
    with pytest.raises(ValueError, match="make them agree|may be negative"):
        copied(nbytes).run([np.zeros(16, np.float32)])


@pytest.mark.parametrize("stride", [-32, 1 << 61, -(2**63), 2**63 - 1])
def test_strides_that_leave_a_region_are_refused(stride: int) -> None:
    asm = Asm(AIV)
    regions = [asm.region(GM, "float32", 32, 64, WRITE, asm.tensor(128)), asm.region(UB, "float32", 0, 64)]
    asm.copy(*regions, 32, inner=2, dst_inner=stride, src_inner=32)
    with pytest.raises(ValueError, match="make them agree"):
        asm.run([np.zeros(32, np.float32)])


def test_a_short_copy_is_not_taken_for_a_whole_one() -> None:
    """A copy into UB is left out where its reader can read GM itself: only if it copies all that its region says."""
    x, y = np.ones(16, np.float32), np.full(16, np.nan, np.float32)
    asm = Asm(AIV)
    tx, ty = asm.tensor(64), asm.tensor(64)
    asm.op("Zeros", "fill", [asm.region(UB, "float32", 0, 128, WRITE)], [128], [0.0])
    asm.copy(asm.region(UB, "float32", 0, 64, WRITE), asm.region(GM, "float32", 0, 64, tensor=tx), 32)
    asm.op("Adds", "adds", [asm.region(UB, "float32", 64, 64, WRITE), asm.region(UB, "float32", 0, 64)], head(0, 16), [1.0])
    asm.copy(asm.region(GM, "float32", 0, 64, WRITE, ty), asm.region(UB, "float32", 64, 64), 64)
    asm.run([x, y])
    np.testing.assert_array_equal(np.repeat([2, 1], 8), y)


def test_lanes_before_a_memory_are_refused() -> None:
    asm = Asm(AIV)
    region = [UB, 8, WRITE, 0, asm.node(-32), asm.node(4), 4, asm.node(32)]  # 4: no dimensions, and a lead of 32 bytes
    asm.op("Duplicate", "duplicate", [region], head(2, 1 << 8), [1.0])
    with pytest.raises(IndexError, match=r"takes bytes -32\.\.4 of"):
        asm.run([])


@pytest.mark.parametrize(("message", "sync", "args", "operands", "pipe"), [
    ("it has 1 arguments and 0 operands; it needs 2 and 0", SET_FLAG, [1], 0, V),
    ("its pipe is 99; it must be one below 7", SET_FLAG, [99, 0], 0, V),
    ("it has 0 arguments and 0 operands; it needs 1 and 0", SYNC_ALL, [], 0, S),
    ("it has 3 arguments and 0 operands; it needs 3 and 1", GET_VALUE, [0, 0, 9], 0, S),
    ("its scalar slot is 5; it must be one below 1", GET_VALUE, [5, 0, 9], 1, S),
])  # fmt: skip
def test_an_instruction_that_orders_others_names_what_it_needs(message: str, sync: int, args: list[int], operands: int, pipe: int) -> None:
    asm = Asm(AIV)
    asm.scalars = 1
    asm.op("Sync", "none", [asm.region(UB, "int32", 0, 4)] * operands, args, pipe=pipe, sync=sync)
    with pytest.raises(ValueError, match=message):
        asm.executor()


@pytest.mark.parametrize(("error", "base", "nbytes"), [(IndexError, 1 << 30, 4), (ValueError, 0, 2)])
def test_a_scalar_is_read_within_its_region(error: type[Exception], base: int, nbytes: int) -> None:
    asm = Asm(AIV)
    asm.scalars = 1
    asm.op("GetValue", "none", [asm.region(UB, "int32", base, nbytes)], [0, 0, 9], pipe=S, sync=GET_VALUE)
    with pytest.raises(error):
        asm.run([])
    with pytest.raises(error):
        asm.executor().run_random(1, [], 0, 0)


@pytest.mark.parametrize("code", [31, 37, 255])
def test_a_dtype_that_is_none_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="dtype"):
        _davinci.Program("odd", AIV, [("add", "add", "add", 1, 0)], [0, 0, 0, 0], [], [0, 0, 1, 0, 1, UB, code, READ, 0, 0, 0, 0, 0, 0], [], 0, 0)
