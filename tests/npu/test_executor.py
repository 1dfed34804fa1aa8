"""How programs are run: groups and their flags, all groups meeting, threads, adversarial orders, wide and shadow modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.npu.ascendc as ac
from ascendlite import _davinci, npu
from tests.examples.flash_attention import flash
from tests.examples.matmul import matmul
from tests.examples.softmax import softmax
from tests.examples.vector_add import vadd, vadd_q
from tests.npu.asm import (
    AIV,
    ATOMIC,
    BT,
    CROSS_SET,
    CROSS_WAIT,
    GM,
    MIX,
    MTE2,
    MTE3,
    READ,
    SYNC_ALL,
    UB,
    WRITE,
    Array,
    Asm,
    Block,
    S,
    V,
    head,
    narrow,
    widen,
)

ANY, LATEST, EARLIEST = range(3)


def halves(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def calls() -> dict[str, tuple[Any, int, list[Array], tuple[Any, ...]]]:
    """kernel, blocks, tensors (results are NaN), other arguments."""
    nan = np.float16(np.nan)
    q = [halves(i, 256, 128) for i in range(3)]
    spaces = [
        np.full((2, 2, 128, 128), np.nan, np.float32),
        np.full((2, 2, 128, 128), nan, np.float16),
        np.full((2, 2, 128, 128), np.nan, np.float32),
    ]
    return {
        "vadd": (vadd, 3, [halves(0, 5000), halves(1, 5000), np.full(5000, nan)], (5000, 1024)),
        "vadd_q": (vadd_q, 3, [halves(0, 5000), halves(1, 5000), np.full(5000, nan)], (5000, 1024)),
        "softmax": (softmax, 3, [halves(2, 48, 256), np.full((48, 256), nan)], (48, 256)),
        "matmul": (matmul, 2, [halves(3, 256, 256), halves(4, 256, 256), np.full((256, 256), nan)], (256, 256, 256)),
        "flash": (flash, 2, [*q, np.full((256, 128), nan), *spaces], (256, 128**-0.5)),
    }


NAMES = ("vadd", "vadd_q", "softmax", "matmul", "flash")


def traced(name: str) -> tuple[Any, list[Array]]:
    kernel, blocks, arrays, rest = calls()[name]
    return kernel[blocks].trace(*arrays, *rest), arrays


def result(name: str, arrays: list[Array]) -> Array:
    return arrays[3 if name == "flash" else -1]


def pointers(arrays: list[Array]) -> list[int]:
    return [a.ctypes.data for a in arrays]


def run(name: str, mode: int = 0) -> Array:
    program, arrays = traced(name)
    dtypes = [str(a.dtype) for a in arrays]
    wide = [widen(a, d, mode) for a, d in zip(arrays, dtypes, strict=True)]
    program.run(pointers(wide), mode)
    at = next(i for i, a in enumerate(arrays) if a is result(name, arrays))
    return narrow(wide[at], dtypes[at], mode, arrays[at].shape)


@pytest.mark.parametrize("policy", (ANY, LATEST, EARLIEST))
@pytest.mark.parametrize("name", NAMES)
def test_any_legal_order_gives_the_same_bytes(name: str, policy: int) -> None:
    expected = run(name)
    for seed in range(2):
        program, arrays = traced(name)
        program.executor.run_random(program.blocks, pointers(arrays), seed, policy)
        np.testing.assert_array_equal(expected, result(name, arrays))


def test_a_missing_flag_shows_in_some_order() -> None:
    @npu.kernel(kind="aiv")
    def racy(x: Any, y: Any, n: int) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, n)
        ac.DataCopy(t, ac.GlobalTensor(x), n)
        ac.Adds(t, t, 1.0, n)  # does not wait for the copy
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), t, n)

    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
    program = racy[1].trace(x, y, 64)
    program.executor.run_random(1, pointers([x, y]), 0, LATEST)
    assert not (y == 2).all()


@pytest.mark.parametrize("name", NAMES)
def test_threads_do_not_change_a_byte(name: str) -> None:
    before = al.get_num_threads()
    outputs = []
    try:
        for threads in (1, 2, 3):
            al.set_num_threads(threads)
            program, arrays = traced(name)
            for _ in range(2):  # the first run makes the steps, the second runs them
                program.run(pointers(arrays))
            outputs.append(result(name, arrays))
    finally:
        al.set_num_threads(before)
    for other in outputs[1:]:
        np.testing.assert_array_equal(outputs[0], other)


@pytest.mark.parametrize(("name", "mode", "tolerance"), [(n, m, t) for n in NAMES for m, t in ((1, 3e-6), (2, 1e-12))])
def test_wide_modes_compute_without_narrow_rounding(name: str, mode: int, tolerance: float) -> None:
    _, arrays = traced(name)
    wide = [a.astype(np.float64) for a in arrays]
    if name.startswith("vadd"):
        want = wide[0] + wide[1]
    elif name == "softmax":
        e = np.exp(wide[0] - wide[0].max(1, keepdims=True))
        want = e / e.sum(1, keepdims=True)
    elif name == "matmul":
        want, tolerance = wide[0] @ wide[1], tolerance * 16
    else:
        s = wide[0] @ wide[1].T * 128**-0.5
        e = np.exp(s - s.max(1, keepdims=True))
        want = e / e.sum(1, keepdims=True) @ wide[2]
    np.testing.assert_allclose(run(name, mode), want, atol=tolerance, rtol=0)


# ---- programs by hand: groups and what they wait for ----


def publish(asm: Asm, block: int | Block, tensor: int, base: int = 0, nbytes: int = 32) -> None:
    """Bytes of UB to a place of an argument, and nothing before they have arrived."""
    args = [1, 1, nbytes, 0, 0, 0, 0, 0, 0, 0, 0]
    regions = [asm.region(GM, "float32", block, nbytes, WRITE, tensor=tensor), asm.region(UB, "float32", base, nbytes)]
    asm.op("DataCopyOut", "copy", regions, args, [0.0], pipe=MTE3)


def collect(asm: Asm, tensor: int, nbytes: int, out: int) -> None:
    """All of one argument to this block's part of another."""
    asm.copy(asm.region(UB, "float32", 1024, nbytes, WRITE), asm.region(GM, "float32", 0, nbytes, tensor=tensor), nbytes)
    asm.flag(MTE2, MTE3)
    publish(asm, Block(nbytes), out, 1024, nbytes)


def test_all_groups_meet_at_sync_all() -> None:
    """Each block doubles its own part, then reads everybody's."""
    blocks = 5
    asm = Asm()
    x, out = np.arange(8 * blocks, dtype=np.float32), np.zeros((blocks, 8 * blocks), np.float32)
    tx, to = asm.tensor(x.nbytes), asm.tensor(out.nbytes)
    asm.copy(asm.region(UB, "float32", 0, 32, WRITE), asm.region(GM, "float32", Block(32), 32, tensor=tx), 32)
    asm.flag(MTE2, V)
    asm.op("Muls", "muls", [asm.region(UB, "float32", 0, 32, WRITE), asm.region(UB, "float32", 0, 32)], head(0, 8), [2.0])
    asm.flag(V, MTE3)
    publish(asm, Block(32), tx)
    asm.op("SyncAll", "none", [], [1], pipe=S, sync=SYNC_ALL)
    collect(asm, tx, x.nbytes, to)
    want = np.tile(2 * np.arange(8 * blocks, dtype=np.float32), (blocks, 1))
    executor = asm.executor()
    for _ in range(2):
        x[:] = np.arange(x.size)
        out[:] = 0
        executor.run(blocks, pointers([x, out]))
        np.testing.assert_array_equal(want, out)
    x[:] = np.arange(x.size)
    out[:] = 0
    executor.run_random(blocks, pointers([x, out]), 7, ANY)
    np.testing.assert_array_equal(want, out)


def test_mode_zero_flags_join_all_cores_of_a_kind() -> None:
    blocks = 4
    asm = Asm()
    x, out = np.zeros(8 * blocks, np.float32), np.zeros((blocks, 8 * blocks), np.float32)
    tx, to = asm.tensor(x.nbytes), asm.tensor(out.nbytes)
    asm.op("Duplicate", "duplicate", [asm.region(UB, "float32", 0, 32, WRITE)], head(0, 8), [3.0])
    asm.flag(V, MTE3)
    publish(asm, Block(32), tx)
    asm.op("CrossCoreSetFlag", "none", [], [0, 5], pipe=MTE3, sync=CROSS_SET)
    asm.op("CrossCoreWaitFlag", "none", [], [5], pipe=S, sync=CROSS_WAIT)
    collect(asm, tx, x.nbytes, to)
    executor = asm.executor()
    for run_it in (executor.run, lambda *a: executor.run_random(*a, 1, LATEST)):
        x[:], out[:] = 0, 0
        run_it(blocks, pointers([x, out]))
        np.testing.assert_array_equal(np.full_like(out, 3), out)


def test_a_deadlock_tells_who_waits() -> None:
    asm = Asm(MIX)
    asm.op("CrossCoreWaitFlag", "none", [], [3], pipe=S, sync=CROSS_WAIT)
    asm.core = 0
    asm.op("CrossCoreWaitFlag", "none", [], [4], pipe=S, sync=CROSS_WAIT)
    with pytest.raises(RuntimeError, match="AIC waits for flag 4, AIV0 waits for flag 3, AIV1 waits for flag 3"):
        asm.run([])
    with pytest.raises(RuntimeError, match="deadlock"):
        asm.executor().run_random(1, [], 0, ANY)


@pytest.mark.parametrize("mode", (0, 1, 2))
@pytest.mark.parametrize(("op", "want"), [(1, 1 + 4 * 2), (2, 2), (3, 1)])
def test_atomics_of_all_blocks_add_up(op: int, want: float, mode: int) -> None:
    asm = Asm()
    x = widen(np.ones(16, np.float16), "float16", mode)
    t = asm.tensor(32)
    asm.op("Duplicate", "duplicate", [asm.region(UB, "float16", 0, 32, WRITE)], head(0, 16), [2.0])
    asm.copy(asm.region(GM, "float16", 0, 32, READ | WRITE | ATOMIC, tensor=t), asm.region(UB, "float16", 0, 32), 32, atomic=op)
    asm.executor().run(4, pointers([x]), mode)
    np.testing.assert_array_equal(np.full(16, want), narrow(x, "float16", mode, (16,)))


@pytest.mark.parametrize("mode", (0, 2))
def test_rows_are_filled_on_both_sides(mode: int) -> None:
    """Two rows of 3 halves become rows of 16: 5 numbers before, 8 after; then rows filled with their own first element."""
    a = np.arange(6, dtype=np.float16)
    out = widen(np.zeros(64, np.float16), "float16", mode)
    asm = Asm()
    ta, to = asm.tensor(12), asm.tensor(128)
    for row, fill in ((0, 1), (64, 2)):
        asm.copy(
            asm.region(UB, "float16", row, 64, WRITE),
            asm.region(GM, "float16", 0, 12, tensor=ta),
            6,
            inner=2,
            dst_inner=32,
            src_inner=6,
            left=10,
            right=16,
            fill=fill,
            pad=9.0,
        )
    asm.copy(asm.region(GM, "float16", 0, 128, WRITE, tensor=to), asm.region(UB, "float16", 0, 128), 128)
    asm.executor().run(1, pointers([widen(a, "float16", mode), out]), mode)
    rows = [
        np.concatenate([np.full(5, f), r, np.full(8, f)])
        for fill in (9.0, None)
        for r in a.reshape(2, 3)
        for f in [fill if fill is not None else r[0]]
    ]
    np.testing.assert_array_equal(np.stack(rows), narrow(out, "float16", mode, (4, 16)))


def test_a_scalar_read_from_memory_steers_the_program() -> None:
    @npu.kernel(kind="aiv")
    def repeat(x: Any, n: Any, y: Any) -> None:
        ub = ac.LocalMemAllocator(ac.Hardware.UB)
        t, count = ub.Alloc(npu.f32, 64), ub.Alloc(npu.i32, 8)
        ac.DataCopy(t, ac.GlobalTensor(x), 64)
        ac.DataCopy(count, ac.GlobalTensor(n), 8)
        ac.SetFlag(ac.HardEvent.MTE2_S, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_S, 0)
        ac.SetFlag(ac.HardEvent.MTE2_V, 0)
        ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
        for _ in ac.range(ac.GetValue(count, 0, 0, 10)):
            ac.Adds(t, t, 1.0, 64)
            ac.PipeBarrier(ac.PIPE_V)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(y), t, 64)

    x, n, y = np.zeros(64, np.float32), np.full(8, 7, np.int32), np.zeros(64, np.float32)
    program = repeat[1].trace(x, n, y)
    for count in (7, 2):
        n[:] = count
        program.run(pointers([x, n, y]))
        np.testing.assert_array_equal(np.full(64, count), y)
        y[:] = -1
        program.executor.run_random(1, pointers([x, n, y]), 3, ANY)
        np.testing.assert_array_equal(np.full(64, count), y)
    n[:] = 11
    with pytest.raises(IndexError, match=r"the value is 11, but the kernel declares 0\.\.10"):
        program.run(pointers([x, n, y]))


def test_an_operand_outside_of_its_memory_is_refused() -> None:
    asm = Asm()
    t = asm.tensor(64)
    asm.copy(asm.region(UB, "float32", 0, 128, WRITE), asm.region(GM, "float32", 0, 128, tensor=t), 128)
    with pytest.raises(IndexError, match=r"DataCopy: operand 1 takes bytes 0\.\.128 of 64"):
        asm.run([np.zeros(16, np.float32)])
    asm = Asm()
    asm.op("Duplicate", "duplicate", [asm.region(BT, "float32", 4096, 32, WRITE)], head(0, 8), [1.0], pipe=V)
    with pytest.raises(IndexError, match="operand 0"):
        asm.run([])


def test_an_unknown_meaning_is_refused() -> None:
    asm = Asm()
    asm.op("Fly", "fly", [], pipe=MTE2)
    with pytest.raises(ValueError, match="Fly: the executor has no meaning 'fly'"):
        asm.run([])


PROGRAMS = {  # what no tracer writes: kind, expressions, code of the vector core, loops, scalars
    "there is no kind 77": (77, [], [], 0, 0), "loops are no more": (AIV, [], [], 10**8, 0), "-1 scalars": (AIV, [], [], 0, -1),
    "an else without its if": (AIV, [0, 0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 1, 1, 3, 4], 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("message", PROGRAMS)
def test_a_program_without_sense_is_refused(message: str) -> None:
    kind, exprs, code, loops, scalars = PROGRAMS[message]
    with pytest.raises(ValueError, match=message):
        _davinci.Program("odd", kind, [], exprs, [], code, [], loops, scalars)


def test_a_launch_without_sense_is_refused() -> None:
    asm = Asm()
    asm.tensor(64)
    x, executor = np.zeros(16, np.float32), asm.executor()
    good = [x.ctypes.data]
    for message, call in {
        "1 arguments, but 0": lambda: executor.run(1, []), "no memory": lambda: executor.run(1, [0]), "-1 blocks": lambda: executor.run(-1, good),
        "numerics mode 3": lambda: executor.run(1, good, 3), "options are -1": lambda: executor.run(1, good, 0, -1), "policy 9": lambda: executor.run_random(1, good, 0, 9),
        "0 addresses came": lambda: executor.enqueue(1, [], 0, 0), "format -1": lambda: executor.run_shadow(1, good, [-1]), "in lines of 0": lambda: _davinci.L2(1024, 0),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError):
        _davinci.Executor(None)


def test_quotients_of_the_least_number_by_minus_one_do_not_trap() -> None:
    low, minus, quotient, rest = [0, -(2**63), 0, 0], [0, -1, 0, 0], [8, 0, 1, 0], [9, 0, 1, 0]
    program = _davinci.Program("least", AIV, [("add", "add", "add", 1, 0)], low + minus + quotient + rest, [], [0, 0, 1, 0, 0, 2, 2, 3, 0], [], 0, 0)
    assert program.expand(1, 0)[0][4] == [-(2**63), 0]
