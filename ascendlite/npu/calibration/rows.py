"""The published measurements that constants of the clock may be fitted on, and how each is repeated here. Nothing else is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ascendlite as al
from ascendlite.npu.calibration import cube, vector
from ascendlite.npu.dry import Estimate, estimate
from ascendlite.npu.lang import dtypes
from ascendlite.npu.programs import Traced, on_chip
from ascendlite.npu.timeline import Timeline

KIB = 1024


@dataclass(frozen=True)
class Shape:
    """Stands for a tensor where only format and shape matter."""

    shape: tuple[int, ...]
    dtype: dtypes.DType = dtypes.f16


@dataclass(frozen=True)
class Row:
    """One measurement. `gate`: the error that the clock may have; None: the setting is not published well enough to hold it to one."""

    name: str
    measured_us: float
    build: Callable[[], Traced] | None
    gate: float | None
    chip: str = "910b1"
    repeats: int = 1  # launches before the one that counts leave their traces in the cache
    pipes: Mapping[str, float] = field(default_factory=dict)  # measured busy time, mean over cores, us
    fitted: bool = True  # may have decided a constant; else only compared
    call: Callable[[], Estimate] | None = None  # in place of build: an op of the library
    scale: float = 1.0  # the row was timed on this part of its work
    note: str = ""


def _add(cores: int, tile: int, buffers: int, spread: int = 0, past_l2: bool = False) -> Callable[[], Traced]:
    half = Shape((8192, 8192))
    return lambda: vector.add_ladder[cores].trace(half, half, half, tile, buffers, spread, past_l2)


def _conflict(dst_kib: int, src1_bytes: int) -> Callable[[], Traced]:
    return lambda: vector.adds_in_a_row[1].trace(4096, 1000, dst_kib, src1_bytes)


def _scatter(stride: int) -> Callable[[], Traced]:
    """A 48th of 8192^2 halves on one core: 10923 repeats of 128."""
    return lambda: vector.scatter_blocks[1].trace(128, 85, stride)


def _read(cube_core: bool, tile: tuple[int, int], passes: int = 1, slices: int = 1, odd: int = 0, rows: int = 12288) -> Callable[[], Traced]:
    kernel: Any = vector.read_to_l1 if cube_core else vector.read_to_ub
    blocks = 24 if cube_core else 48
    return lambda: kernel[blocks].trace(Shape((rows, 12288 - odd)), *tile, passes, slices)


def _same(cube_core: bool, staggered: bool) -> Callable[[], Traced]:
    kernel: Any = vector.read_same_to_l1 if cube_core else vector.read_same_to_ub
    return lambda: kernel[24 if cube_core else 48].trace(Shape((6144, 6 * 512)), 512, 64, staggered)


def _matmul(blocks: int, rows_of_cores: int, ka: int, kb: int, slots: int, rows: int = 8192, unit: bool = True) -> Callable[[], Traced]:
    a, b, c = Shape((rows, 8192)), Shape((8192, 8192)), Shape((rows, 8192))
    return lambda: cube.matmul_ladder[blocks].trace(a, b, c, rows_of_cores, ka, kb, slots, unit)


def _int8(m: int, k: int, n: int) -> Callable[[], Traced]:
    """By the tiles that the clock finds fastest: the vendor's library is tuned, too."""
    a, b, c = Shape((m, k), dtypes.i8), Shape((k, n), dtypes.i8), Shape((m, n))

    def build() -> Traced:
        programs = [cube.int8_product.trace(a, b, c, tile) for tile in ((128, 256, 128, 512), (128, 128, 128, 512), (64, 256, 128, 512), (16, 256, 128, 512))]
        return min(programs, key=lambda p: Timeline.of(p).us)

    return build


_TICKS = 0.02  # us: the counter of the bank ladder runs at 50 MHz
_PASSES = "six blocks side by side: the size is not published; six makes the staggered rows meet the rate of the cache"

VECTOR = (
    Row("add 4096 floats x 1000, no conflict", 2390 * _TICKS, _conflict(128, 64 * KIB + 256), 0.10),
    Row("add 4096 floats x 1000, read-read", 4167 * _TICKS, _conflict(128, 64 * KIB), 0.10),
    Row("add 4096 floats x 1000, read-write", 3751 * _TICKS, _conflict(16, 64 * KIB + 256), 0.10),
    Row("add 4096 floats x 1000, same block", 3584 * _TICKS, lambda: vector.adds_in_a_row[1].trace(4096, 1000, 0, 64 * KIB + 256), 0.10, fitted=False,
        note="the result in the place of an input"),
    Row("8192^2 halves to columns of blocks, 144 apart", 47.79, _scatter(144), 0.15, note="all blocks of a repeat in one bank group"),
    Row("8192^2 halves to columns of blocks, 145 apart", 7.133, _scatter(145), 0.25),
    Row("add 8192^2, 1 core, scalar", 1239689.1, lambda: vector.scalar_add[1].trace(*[Shape((1024, 1024))] * 3, 4096), 0.10,
        scale=64.0, note="timed on 1024^2, times 64"),
    Row("add 8192^2, 1 core, 8 KiB", 6909.6, _add(1, 4096, 1), 0.10, repeats=2, pipes={"V": 761.65, "MTE2": 6208.8, "MTE3": 2613.2}),
    Row("add 8192^2, 48 cores, 8 KiB", 306.58, _add(48, 4096, 1), 0.10, repeats=2, pipes={"V": 15.89, "MTE2": 215.5, "MTE3": 54.3}),
    Row("add 8192^2, 32 KiB", 268.5, _add(48, 16384, 1), 0.10, repeats=2, pipes={"MTE2": 184.4}),
    Row("add 8192^2, double buffer", 264.02, _add(48, 15360, 2), 0.10, repeats=2, pipes={"V": 12.85, "MTE2": 250.5, "MTE3": 85.0}),
    Row("add 8192^2, output past L2", 187.68, _add(48, 15360, 2, past_l2=True), 0.10, repeats=2, pipes={"MTE2": 176.0, "MTE3": 160.3}),
    Row("add 8192^2, no bank conflict", 184.52, _add(48, 15360, 2, spread=128, past_l2=True), 0.10, repeats=2,
        pipes={"V": 6.95, "MTE2": 171.6, "MTE3": 121.4}),
)  # fmt: skip
_PR = "950pr"
VECTOR_950PR = (
    Row("add 8192^2 on 950PR, 1 core, scalar", 1228475.0, lambda: vector.scalar_add[1].trace(*[Shape((1024, 1024))] * 3, 4096), 0.10, chip=_PR, scale=64.0,
        note="timed on 1024^2, times 64"),
    Row("add 8192^2 on 950PR, 1 core, 8 KiB", 8924.0, _add(1, 4096, 1), 0.10, chip=_PR, repeats=2),
    Row("add 8192^2 on 950PR, 64 cores, 8 KiB", 310.5, _add(64, 4096, 1), 0.10, chip=_PR, repeats=2),
    Row("add 8192^2 on 950PR, 32 KiB", 251.7, _add(64, 16384, 1), 0.10, chip=_PR, repeats=2),
    Row("add 8192^2 on 950PR, double buffer", 247.7, _add(64, 15360, 2), 0.10, chip=_PR, repeats=2),
    Row("add 8192^2 on 950PR, output past L2", 182.0, _add(64, 15360, 2, past_l2=True), 0.10, chip=_PR, repeats=2),
)  # fmt: skip
COPIES = (
    Row("read 12288^2 to UB, [1, 64]", 564.84, _read(False, (1, 64), rows=1536), 0.15, scale=8.0, note="timed on 1536 rows, times 8"),
    Row("read 12288^2 to UB, [64, 64]", 233.54, _read(False, (64, 64)), 0.15),
    Row("read 12288^2 to UB, [64, 1024]", 215.82, _read(False, (32, 1024)), 0.15),
    Row("read 12288 x 12287 to UB", 275.3, _read(False, (32, 1024), odd=1), 0.15),
    Row("read 12288^2 to L1, [64, 64]", 300.7, _read(True, (64, 64)), 0.15),
    Row("read 12288^2 to L1, [64, 256]", 230.24, _read(True, (64, 256)), 0.15),
    Row("read 12288 x 12287 to L1", 438.76, _read(True, (64, 256), odd=1), 0.15),
    Row("read 4 times to UB, whole", 828.06, _read(False, (32, 1024), passes=4), 0.15),
    Row("read 4 times to UB, in slices", 365.74, _read(False, (32, 1024), passes=4, slices=4), 0.15),
    Row("read 4 times to L1, whole", 899.34, _read(True, (64, 256), passes=4), 0.15),
    Row("read 4 times to L1, in slices", 414.96, _read(True, (64, 256), passes=4, slices=4), 0.15),
    Row("one block by all cores to UB, at once", 539.42, _same(False, False), 0.15, note=_PASSES),
    Row("one block by all cores to UB, staggered", 328.88, _same(False, True), 0.15, note=_PASSES),
    Row("one block by all cores to L1, at once", 278.56, _same(True, False), 0.15, note=_PASSES),
    Row("one block by all cores to L1, staggered", 221.34, _same(True, True), 0.15, note=_PASSES),
)
MATMUL = (
    Row("matmul 8192^3, 1 core, no blocks in L1", 249467.08, _matmul(1, 1, 64, 64, 1, 1024), 0.10, scale=8.0,
        pipes={"M": 81477, "MTE1": 52004, "MTE2": 195613}, note="timed on 1024 rows, times 8"),
    Row("matmul 8192^3, 24 cores, case 5", 4156.76, _matmul(24, 4, 512, 256, 2, unit=False), 0.10, fitted=False, pipes={"M": 3352.1, "MTE1": 2750.5, "MTE2": 3778.6},
        note="measured M and MTE1 are 9 % above those of case 8 for the same work"),
    Row("matmul 8192^3, 24 cores, case 8", 4012.44, _matmul(24, 4, 512, 256, 2), 0.05, pipes={"M": 3076.4, "MTE1": 2533.5, "MTE2": 3435.6, "FIX": 273}),
    Row("matmul int8 4096^3, half out", 287.17, _int8(4096, 4096, 4096), 0.30, chip="910b2", fitted=False),
    Row("matmul int8 1024x3584 3584x3584, half out", 71.28, _int8(1024, 3584, 3584), 0.30, chip="910b2", fitted=False),
    Row("matmul int8 1x4096 4096x4096, half out", 28.06, _int8(1, 4096, 4096), 0.30, chip="910b2", fitted=False),
)  # fmt: skip


def _op(name: str, measured_us: float, gate: float, fn: Callable[..., Any], *shapes: tuple[int, ...], dtype: str = "float16", fitted: bool = False) -> Row:
    """An op of the library on 910B2. These were measured with inputs out of the cache: their times are those of HBM."""

    def call() -> Estimate:
        inputs = [al.empty(*s, dtype=getattr(al, dtype), device="meta") for s in shapes]
        return estimate(fn, *inputs, chip="910b2")

    return Row(f"{name} {dtype} {' '.join('x'.join(map(str, s)) for s in shapes)}", measured_us, None, gate, chip="910b2", call=call, fitted=fitted)


def _gelu(x: Any) -> Any:
    return al.nn.functional.gelu(x, approximate="tanh")


def _causal(q: Any, k: Any, v: Any) -> Any:
    return al.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _attention(q: Any, k: Any, v: Any) -> Any:
    return al.nn.functional.scaled_dot_product_attention(q, k, v)


_PREFILL, _QUERY, _CACHE = (4, 32, 1024, 128), (16, 32, 1, 128), (16, 32, 1024, 128)
SMALL = (
    _op("maximum", 5.76, 0.25, al.maximum, (1024, 1024), (1024, 1024), fitted=True),
    _op("gelu", 6.78, 0.25, _gelu, (1024, 1024)),
    _op("relu", 2.94, 0.25, al.relu, (16, 16384), dtype="float32", fitted=True),
    _op("matmul", 1.91, 0.25, al.matmul, (64, 64), (64, 64), fitted=True),
)
LIBRARY = (
    _op("matmul", 15.65, 0.30, al.matmul, (1024, 1024), (1024, 1024)),
    _op("matmul", 4038.42, 0.30, al.matmul, (8192, 8192), (8192, 8192)),
    _op("matmul", 29.93, 0.30, al.matmul, (1, 4096), (4096, 4096)),
    _op("matmul", 34.55, 0.30, al.matmul, (128, 4096), (4096, 4096)),
    _op("attention, causal", 432.83, 0.30, _causal, _PREFILL, _PREFILL, _PREFILL),
    _op("attention, decode", 285.67, 0.30, _attention, _QUERY, _CACHE, _CACHE),
)
ROWS = VECTOR + VECTOR_950PR + COPIES + MATMUL + SMALL + LIBRARY


def traced(row: Row) -> Traced:
    """The program of a row that is a kernel of ours, for its chip."""
    assert row.build is not None, row.name
    with on_chip(row.chip):
        return row.build()
