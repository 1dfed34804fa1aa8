"""Kernels ported from a card's samples: right values, proved, timed, and no line of their syncs that can go unseen."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import ascendlite.npu as npu
from ascendlite.npu import mutation
from tests.examples import ports, ports_cube

Array = np.ndarray[Any, Any]
MODULES = {n: m for m in (ports, ports_cube) for n, x in vars(m).items() if isinstance(x, npu.Kernel)}  # by kernel


class Port(NamedTuple):
    blocks: int
    args: tuple[Any, ...]
    out: int  # which argument is the result
    expected: Callable[..., Array]  # of the arguments
    tolerance: float


def drawn(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape).astype(dtype)


def half(*shape: int) -> Array:
    return drawn(*shape, dtype=np.float16)


def single(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def whole(low: int, high: int, *shape: int, dtype: Any) -> Array:
    return np.random.default_rng(high).integers(low, high, shape).astype(dtype)


def wide(x: Array) -> Array:
    return x.astype(np.float64)


def normalised(x: Array, weight: Array, bias: Array, *_: Any) -> Array:
    centred = wide(x) - wide(x).mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * weight + bias


def leaky(a: Array, b: Array, *_: Any) -> Array:
    y = wide(a) @ wide(b)
    return np.where(y > 0, y, 0.1 * y)


def dequantised(a: Array, b: Array, scales: Array, *_: Any) -> Array:
    return np.maximum(wide(a) @ wide(b).T * scales.astype(np.uint32).view(np.float32), 0)


def summed(a: Array, b: Array, *_: Any) -> Array:
    return (wide(a) @ wide(b)).reshape(2, 3, 64, 64).sum(1).reshape(128, 64)


SCALES = (np.abs(drawn(48)) * 0.01).view(np.uint32).astype(np.uint64)
BF16 = ml_dtypes.bfloat16
PORTS = {
    "swiglu": Port(4, (drawn(32768, dtype=BF16), drawn(32768, dtype=BF16) * 2, np.zeros(32768, BF16), 32768), 2,
                   lambda a, b, *_: wide(a) / (1 + np.exp(-wide(a))) * wide(b), 4e-3),
    "layer_norm": Port(3, (drawn(10, 100), drawn(100), drawn(100) + 1, single(10, 100), 10, 100, 1e-5), 3, normalised, 1e-5),
    "matmul_leaky": Port(4, (half(256, 64), half(64, 64), single(256, 64), single(256, 64), 64, 64, 64), 3, leaky, 1e-5),
    "sum_all": Port(8, (drawn(32768), single(8, 8), single(1), 32768), 2, lambda x, *_: wide(x).sum(keepdims=True), 1e-5),
    "gather_rows": Port(2, (half(1000, 256), whole(0, 1000, 64, dtype=np.int32), np.zeros((64, 256), np.float16), 64, 1000, 256), 2,
                        lambda table, index, *_: table[index], 0),
    "transpose_tiles": Port(4, (half(64, 96), np.zeros((96, 64), np.float16), 64, 96), 1, lambda x, *_: x.T, 0),
    "top_k": Port(4, (drawn(20, 128), single(20, 10), np.zeros((20, 10), np.int32), 20, 10), 1, lambda x, *_: -np.sort(-x, 1)[:, :10], 0),
    "quant_matmul": Port(1, (whole(-20, 20, 64, 128, dtype=np.int8), whole(-20, 21, 48, 128, dtype=np.int8), SCALES, np.zeros((64, 48), np.float16), 64, 48, 128), 3,
                         dequantised, 1e-3),
    "running_sum": Port(1, (drawn(512), single(512), 512, 128), 1, lambda x, *_: np.cumsum(wide(x)), 1e-5),
    "bias_rows": Port(4, (drawn(64, 256), drawn(256), single(64, 256), 64, 256), 2, lambda x, bias, *_: np.maximum(wide(x) + bias, 0), 1e-6),
    "grad_add": Port(4, (half(4, 5003), single(5003), 5003, 1024), 1, lambda grad, *_: wide(grad).sum(0), 1e-6),
    "linear_bias": Port(1, (half(64, 512), half(512, 96), drawn(96), single(64, 96), 64, 96, 512, 128), 3, lambda x, w, bias, *_: wide(x) @ wide(w) + bias, 1e-5),
    "products_in_turn": Port(2, (half(384, 64), half(64, 64), single(128, 64), single(128, 64), 3, 64), 3, summed, 1e-5),
}  # fmt: skip

SYNC = re.compile(r"\s*(ac\.(SetFlag|WaitFlag|PipeBarrier|CrossCore\w+|SyncAll|SetAtomic\w+)|pass_on|[\w.]+\.(EnQue|FreeTensor))\(")
# Lines whose order follows from others: a round trip by flags, a wait of the scalar unit that all later instructions know, SyncAll's own barrier.
NEEDLESS = {
    "layer_norm": ["pass_on(EVENT.S_V)", "pass_on(EVENT.S_V, 1)"],
    "sum_all": ["ac.PipeBarrier(ac.PIPE_ALL)"],
    "top_k": ["ac.PipeBarrier(ac.PIPE_V)"],
    "quant_matmul": ["ac.PipeBarrier(ac.PIPE_FIX)"],
    "running_sum": ["pass_on(EVENT.V_MTE3)", "pass_on(EVENT.V_MTE2)"],
    "products_in_turn": ["ac.PipeBarrier(ac.PIPE_V)"],
}


@pytest.fixture(autouse=True)
def _chip() -> Any:
    with npu.on_chip("910b1"):
        yield


def fresh(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The launch and copies of its arguments."""
    port = PORTS[name]
    return getattr(MODULES[name], name)[port.blocks], tuple(a.copy() if isinstance(a, np.ndarray) else a for a in port.args)


def test_every_kernel_of_the_files_is_here() -> None:
    assert set(MODULES) == set(PORTS)


@pytest.mark.parametrize("name", PORTS)
def test_a_port_is_proved_and_has_the_right_values(name: str) -> None:
    launch, args = fresh(name)
    result = launch.check(*args)
    assert result.proved, str(result)
    launch(*args)
    expected = PORTS[name].expected(*PORTS[name].args)
    tolerance = PORTS[name].tolerance * np.abs(expected).max()
    np.testing.assert_allclose(args[PORTS[name].out].astype(np.float64), expected, rtol=PORTS[name].tolerance, atol=tolerance)


@pytest.mark.parametrize("name", PORTS)
def test_a_port_takes_longer_than_its_launch_and_than_its_busiest_pipe(name: str) -> None:
    launch, args = fresh(name)
    timeline = launch.time(*args)
    assert timeline.us > 1
    assert timeline.us > max(timeline.busy_us(pipe, kind) for kind in timeline.kinds for pipe in ("V", "M", "MTE1", "MTE2", "MTE3", "FIX"))
    assert launch.time(*args).report() == timeline.report()


@pytest.mark.parametrize("name", PORTS)
def test_a_port_without_needless_syncs_gives_the_same_bytes_in_any_order(name: str) -> None:
    launch, args = fresh(name)
    launch(*args)
    program = launch.trace(*args)
    less = mutation.left_out(program, mutation.redundant(program))
    for order in range(3):
        _, again = fresh(name)
        less.executor.run_random(less.blocks, [a.ctypes.data for a in again if isinstance(a, np.ndarray)], order, order)
        np.testing.assert_array_equal(args[PORTS[name].out].view(np.uint8), again[PORTS[name].out].view(np.uint8))


def sync_lines(lines: list[str], kernel: str) -> list[int]:
    """Lines with a sync of a kernel, or of the class that goes with it."""
    found, name = [], ""
    for number, line in enumerate(lines):
        start = re.match(r"(?:class Kernel(\w+)|def (\w+))", line)
        if start:
            name = (start[1] or start[2]).lower()
        elif SYNC.match(line) and name == kernel:
            found.append(number)
    return found


@pytest.mark.parametrize("name", PORTS)
def test_a_port_without_one_line_of_its_syncs_is_refused_unless_others_order_the_same(name: str) -> None:
    lines = Path(str(MODULES[name].__file__)).read_text(encoding="utf-8").splitlines()
    clean = []
    for number in sync_lines(lines, name):
        indent = lines[number][: -len(lines[number].lstrip())]
        text = "\n".join([*lines[:number], f"{indent}pass", *lines[number + 1 :]])
        file = f"{name} without line {number + 1}"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        module = ModuleType(file)
        exec(compile(text, file, "exec"), vars(module))
        try:
            if getattr(module, name)[PORTS[name].blocks].check(*PORTS[name].args).clean:
                clean.append(lines[number].strip())
        except npu.KernelError:
            pass
    assert clean == NEEDLESS.get(name, [])
