"""Random numbers by Philox on the vector core: the CPU's words for the same seed and offset, so that both give the same numbers.

They have the same bits as on the CPU: logarithm, sine and cosine are the CPU's steps in float32 (csrc/simd/philox.h). In fp64 numerics, normal
and exponential draws take the logarithm in double instead, and differ from the CPU's in a float32's last bits. A permutation is made by swaps of
which each reads what the last ones wrote: AI CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu import wide
from ascendlite.npu.kernels import copies, kernel_for
from ascendlite.npu.kernels.elementwise import BANK_SHIFT, LOADS, blocks_for, exact, number, stored, stream_plan, tile_of, widened, window
from ascendlite.npu.kernels.expression import Plan, Value, absolute, as_bits, cast, constant, eq, ln, maximum, minimum, rint, shifted, sqrt, where
from ascendlite.npu.kernels.formulas import Formula, polynomial
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.tiles import my_tiles, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

FLOATS: Final = ("float32", "float16", "bfloat16")
_INT64: Final = _core.DTYPE_NAMES["int64"]
_LEAST, _MOST = -(1 << 62), (1 << 62) - 1  # of a seed and an offset that a program can hold
_DROPPED: Final = {"f32": 0, "f16": 13, "bf16": 16}  # low bits of a uniform draw that a narrow format would round up to 1
_PAIR: Final = 32  # elements that belong together in normal draws: 16 radii and 16 angles


@dataclass(frozen=True)
class Draw:
    """A rule from random words (and maybe a tensor) to numbers: what a kernel is traced from."""

    rule: str
    numbers: tuple[str, ...]  # as `exact` writes them
    loads: tuple[str, ...]
    store: str

    def plan(self) -> Plan:
        """The rule as instructions on a tile of words and tiles of the tensors."""
        return _plan(self)


@cache
def _plan(draw: Draw) -> Plan:
    word, inputs = Value("input", "i32"), [Value("input", f) for f in draw.loads]
    result = RULES[draw.rule](word, *[widened(x, "f32") for x in inputs], *map(number, draw.numbers), draw.store)
    return Plan([word, *inputs], stored(result, draw.store))


def _uniform(word: Value, low: float, high: float, store: str) -> Value:
    """low + u (high - low) with 24 bits, or fewer for narrow formats, never high."""
    drop = _DROPPED[store]
    v = cast(shifted(word, -8 - drop), "f32") * 2.0 ** (drop - 24) * (high - low) + low
    return where(v < high, v, constant(low, v))


def _open_unit(word: Value) -> Value:
    """Uniform in (0, 1], for logarithms."""
    return cast(shifted(word, -1), "f32", "CAST_RINT") * 2.0**-31 + 2.0**-33


_HALF_ROOT: Final = 0x3F3504F3  # the bits of sqrt(1/2)
_LOG: Final = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1,
               3.3333331174e-1)  # fmt: skip


def _log(x: Value) -> Value:
    """The natural logarithm of a normal number up to 1: x = 2^e (1 + m) with 1 + m in [sqrt(1/2), sqrt(2)); the polynomial is Cephes'."""
    bits = as_bits(x, "i32")
    above = shifted(bits + ((64 << 23) - _HALF_ROOT), -23)  # e + 64, not below 0: zeros come in from the left
    e = cast(above, "f32", "CAST_RINT") - 64.0
    m = as_bits(bits - shifted(above, 23) + (64 << 23), "f32") - 1.0
    z = m * m
    return m + (polynomial(m, _LOG) * m * z + (e * -2.12194440e-4 - z * 0.5)) + e * 0.693359375


_LOGARITHMS: Final[dict[bool, Callable[[Value], Value]]] = {True: _log, False: ln}  # by whether a float32 has its own bits


def _has_bits() -> bool:
    return bool(state.numerics != "fp64")


def _exponential(log: Callable[[Value], Value]) -> Formula:
    return lambda word, scale, store: log(_open_unit(word)) * scale


def _if_below(word: Value, chance: Value | float, yes: Value, no: Value) -> Value:
    """yes where word < chance 2^32, exactly: the upper 24 bits decide, or the lower 8 where they are equal."""
    upper = shifted(word, -8)
    lower = cast(word - shifted(upper, 8), "f32")
    if isinstance(chance, Value):
        limit = chance * 2.0**24
        whole: Value | float = cast(cast(limit, "i32", "CAST_FLOOR"), "f32")
        rest: Value | float = (limit - whole) * 256.0
    else:
        whole, part = divmod(chance * 2.0**24, 1.0)
        rest = part * 256.0
    gap = cast(upper, "f32") - whole
    return where(gap < 0.0, yes, where(gap > 0.0, no, where(lower < rest, yes, no)))


def _below(word: Value, limit: int) -> tuple[Value, bool]:
    """(mask, whether it is set where word < limit, rather than where it is not), for 0 < limit < 2^32.

    The words are read with a sign: those of one side, which does not reach over the change of sign, are what a clamp to it leaves alone.
    """
    half = 1 << 31
    low, high = (0, limit - 1) if limit <= half else (limit - 2 * half, -1)
    return eq(minimum(maximum(word, low), high), word), limit <= half


def _chosen(word: Value, limit: int, yes: Value, no: Value) -> Value:
    """yes where word < limit, else no."""
    mask, below = _below(word, limit)
    return where(mask, yes, no) if below else where(mask, no, yes)


def _bernoulli(word: Value, chance: Value | float, store: str) -> Value:
    like = Value("input", "f32")
    yes, no = constant(1.0, like), constant(0.0, like)
    limit = 0 if isinstance(chance, Value) else math.ceil(chance * 2.0**32)
    return _chosen(word, limit, yes, no) if 0 < limit < 1 << 32 else _if_below(word, chance, yes, no)


def _dropout(word: Value, x: Value, p: float, store: str) -> Value:
    """0 where a word is below p, else x / (1 - p)."""
    limit, zero, kept = math.floor(p * 2.0**32), constant(0.0, x), x * (1.0 / (1.0 - p))
    return _chosen(word, limit, zero, kept) if limit > 0 else _if_below(word, 0.0, zero, kept)


RULES: Final[dict[str, Formula]] = {"uniform": _uniform, "bernoulli": _bernoulli, "dropout": _dropout,
                                    "exponential": _exponential(_log), "exponential in double": _exponential(ln)}  # fmt: skip


def read_key(key: Any) -> tuple[Any, Any]:
    """Seed and offset of this launch."""
    window_ = ac.GlobalTensor(key)
    return ac.GetValue(window_, 0, _LEAST, _MOST), ac.GetValue(window_, 1, 0, _MOST)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def draw_numbers(draw: Draw, n: int, key: Any, out: Any, x: Any = None) -> None:
    """out = rule(random words, x)."""
    plan = draw.plan()
    tile = tile_of(plan, (*draw.loads, draw.store), made=4)
    seed, offset = read_key(key)
    words = scratch(dtypes.u32, tile)

    def made(start: Any, count: Any) -> Any:
        ac.Philox(words, seed, offset + start, count)
        ac.PipeBarrier(ac.PIPE_V)
        return words.ReinterpretCast(dtypes.i32)

    stream_plan(plan, tile, n, window(out), [] if x is None else [window(x)], made)


# -- normal draws: Box and Muller


def _radius(word: Value, std: float, bits: bool) -> Value:
    return sqrt(_LOGARITHMS[bits](_open_unit(word)) * -2.0) * std


def _sine_cosine(word: Value) -> tuple[Value, Value]:
    """Of a turn fraction, by quarter turns: the CPU's steps (csrc/simd/philox.h; the polynomials are Cephes')."""
    t = cast(word, "f32", "CAST_RINT") * 2.0**-32 * 4.0
    q = rint(t)
    x = (t - q) * (math.pi / 2)
    z = x * x
    s = x + x * z * polynomial(z, (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
    c = 1.0 - z * 0.5 + z * z * polynomial(z, (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
    odd = eq(absolute(q), 1.0)
    first, second = where(odd, c, s), where(odd, s, c)
    return where(q < 0.0, -first, where(q > 1.0, -first, first)), where(q < -1.0, -second, where(q > 0.0, -second, second))


@cache
def _normal_plans(mean: str, std: str, store: str, bits: bool) -> tuple[Plan, Plan, Plan]:
    """Radii of words; the halves of the numbers of (words, radii)."""
    word, radius = Value("input", "i32"), Value("input", "f32")
    sine, cosine = _sine_cosine(word)
    halves = [Plan([word, radius], stored(radius * turned + number(mean), store)) for turned in (cosine, sine)]
    return Plan([word], _radius(word, number(std), bits)), halves[0], halves[1]


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def draw_normal(n: int, skip: int, mean: str, std: str, store: str, bits: bool, key: Any, out: Any) -> None:
    """out[i] = the number at offset + i, where the offset is `skip` past a pair of 16 radii and 16 angles."""
    plans = _normal_plans(mean, std, store, bits)
    seed, offset = read_key(key)
    target = ac.GlobalTensor(out)
    tile, blocks = 2048, target.dtype.itemsize // 2  # blocks of 32 bytes in 16 numbers
    half = tile // 2
    words = scratch(dtypes.u32, tile)
    parts = [scratch(dtypes.u32, half) for _ in (0, 1)]
    radius = scratch(dtypes.f32, half)
    turned = [scratch(target.dtype, half) for _ in (0, 1)]
    rooms = [[scratch(dtypes.u8, math.ceil(half * size / 32) * 32 + BANK_SHIFT) for size in plan.slots] for plan in plans]
    shift = _Shift(skip, tile, target.dtype) if skip else None
    pipe, moved_out = ac.TPipe(), ac.TQue(ac.TPosition.VECOUT, 2)
    pipe.InitBuffer(moved_out, 2, tile * target.dtype.itemsize)
    for start, count in my_tiles(-(-(skip + n) // _PAIR) * _PAIR, tile, 512):
        ac.Philox(words, seed, offset - skip + start, count)
        ac.PipeBarrier(ac.PIPE_V)
        for k, part in enumerate(parts):
            ac.DataCopy(part, words[16 * k :], ac.DataCopyParams(count // _PAIR, 2, 2, 0))
        ac.PipeBarrier(ac.PIPE_V)
        plans[0].issue([parts[0].ReinterpretCast(dtypes.i32)], rooms[0], radius, count // 2)
        result = moved_out.AllocTensor(target.dtype)
        for k in (0, 1):
            plans[1 + k].issue([parts[1].ReinterpretCast(dtypes.i32), radius], rooms[1 + k], turned[k], count // 2)
        ac.PipeBarrier(ac.PIPE_V)
        before = skip if start == 0 else 0
        whole = shift.whole if before and shift is not None else result
        for k in (0, 1):
            ac.DataCopy(whole[16 * k :], turned[k], ac.DataCopyParams(count // _PAIR, blocks, 0, blocks))
        if before and shift is not None:
            shift.apply(result, count)
        moved_out.EnQue(result)
        result = moved_out.DeQue()
        first = start - skip + before
        ac.DataCopyPad(target[first:], result, ac.min(count - before, n - first))
        moved_out.FreeTensor(result)


class _Shift:
    """Leaves out the first `skip` elements of a tile, which need not be whole blocks: by Gather."""

    def __init__(self, skip: int, tile: int, dtype: Any) -> None:
        self.index, self.whole = scratch(dtypes.i32, tile), scratch(dtype, tile)
        self.skip = skip
        ac.ArithProgression(self.index, skip * dtype.itemsize, dtype.itemsize, tile)

    def apply(self, result: Any, count: Any) -> None:
        ac.PipeBarrier(ac.PIPE_V)
        ac.Gather(result, self.whole[:count], self.index.ReinterpretCast(dtypes.u32), 0, count - self.skip)


# -- the ops


def key_of(like: Tensor, seed: int, offset: int) -> Tensor:
    """Seed and offset in the card's memory, which the host fills in as it launches: arguments of a launch travel with it."""
    made: Tensor = _core.empty((2,), dtype=_INT64, device=like.device)
    if not like.is_meta:
        wide.upload(made, _core.tensor([seed, offset], dtype=_INT64, device="cpu"))
    return made


def fits(y: Tensor, seed: int, offset: int) -> bool:
    """Whether a draw of y's size can be made in its place, with such a key."""
    return y.is_contiguous() and 0 < y.numel() and _LEAST <= seed <= _MOST and 0 <= offset < _MOST - y.numel()


def _draw(y: Tensor, rule: str, numbers: tuple[float, ...], key: tuple[int, int], name: str, *x: Tensor) -> Any:
    if y.dtype.name not in FLOATS or not fits(y, *key) or any(t.dtype.name not in FLOATS for t in x) or not all(map(math.isfinite, numbers)):
        return NotImplemented
    draw = Draw(rule, tuple(exact(float(v)) for v in numbers), tuple(LOADS[t.dtype.name] for t in x), LOADS[y.dtype.name])
    launch(draw_numbers, draw, y.numel(), key_of(y, *key), y, *(t.detach().contiguous() for t in x), blocks=blocks_for(4 * y.numel()), name=name)
    return None


@kernel_for("philox_uniform")
def _philox_uniform(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    low, high, *key = attrs
    return _draw(outputs[0], "uniform", (low, high), (key[0], key[1]), "uniform")


@kernel_for("philox_exponential")
def _philox_exponential(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    rate, *key = attrs
    rule = "exponential" if _has_bits() else "exponential in double"
    return _draw(outputs[0], rule, (-1.0 / rate,), (key[0], key[1]), "exponential")


@kernel_for("philox_bernoulli")
def _philox_bernoulli(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    """One probability for all is read by the host, which made it; single ones out of range are the AI CPU's to name."""
    y, p = outputs[0], inputs[0].detach()
    if p.is_meta and p.ndim == 0:
        return _draw(y, "bernoulli", (0.5,), attrs, "bernoulli")
    if p.ndim == 0:
        return _draw(y, "bernoulli", (float(wide.on_host(p).item()),), attrs, "bernoulli")
    if not p.is_meta and p.numel():
        chances = wide.on_host(p)
        if not bool(((chances >= 0) & (chances <= 1)).all().item()):
            return NotImplemented
    return _draw(y, "bernoulli", (), attrs, "bernoulli", p)


@kernel_for("dropout")
def _run_dropout(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    p, *key = attrs
    if p >= 1:
        return copies.fill(outputs[0], 0.0)
    return _draw(outputs[0], "dropout", (p,), (key[0], key[1]), "dropout", inputs[0])


@kernel_for("philox_normal")
def _philox_normal(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    y = outputs[0]
    mean, std, seed, offset = attrs
    if y.dtype.name not in FLOATS or not fits(y, seed, offset) or not math.isfinite(mean) or not math.isfinite(std):
        return NotImplemented
    launch(draw_normal, y.numel(), offset % _PAIR, exact(float(mean)), exact(float(std)), LOADS[y.dtype.name], _has_bits(),
           key_of(y, seed, offset), y, blocks=blocks_for(4 * y.numel()), name="normal")
    return None
