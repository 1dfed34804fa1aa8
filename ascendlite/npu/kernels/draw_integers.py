"""Whole numbers by Philox on the vector core: the CPU's 64-bit words, and the upper part of their product with the range; so the CPU's bits."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import gathers, kernel_for
from ascendlite.npu.kernels.elementwise import BANK_SHIFT, LOADS, blocks_for, stored
from ascendlite.npu.kernels.expression import ITEMSIZE, Plan, Turns, Value, constant, shifted
from ascendlite.npu.kernels.pairs import Pair, add, joined, whole
from ascendlite.npu.kernels.random import fits, key_of, read_key
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import my_tiles, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

DRAWN: Final = ("int64", "int32", "int16", "int8", "uint8", "float32")
GROUP: Final = 32  # elements whose words belong together: those of 16 elements, low ones first, then those of 16 more
TILE: Final = 1024
_HALF: Final = 0xFFFF


def _wrapped(number: int) -> int:
    """The low 32 bits as a signed word."""
    return ((number & 0xFFFFFFFF) ^ 1 << 31) - (1 << 31)


def _upper(word: Value, by: int) -> Value:
    """The high word of the product of an unsigned word and a number below 2^32, from products of halves."""
    half = constant(_HALF, word)
    low, high = word & half, shifted(word, -16)
    by_low, by_high = by & _HALF, by >> 16
    if not by_high:
        return shifted(high * by_low + shifted(low * by_low, -16), -16)
    x, y = low * by_high, high * by_low
    middle = shifted(low * by_low, -16) + (x & half) + (y & half)
    return high * by_high + shifted(x, -16) + shifted(y, -16) + shifted(middle, -16)


@cache
def _plan(low: int, range_: int, store: str) -> Plan:
    """low + the upper 64 of the 128 bits of word and range, for a range below 2^32: it is a word, too."""
    words = [Value("input", "i32") for _ in (0, 1)]
    product = Pair(words[1] * _wrapped(range_), _upper(words[1], range_))
    draw = add(product, Pair(_upper(words[0], range_), constant(0, words[0]))).high
    if store == "i64":
        return Plan(words, joined(add(Pair(draw, constant(0, draw)), whole(low, draw))))
    return Plan(words, stored(draw + _wrapped(low), store))


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def draw_integers(low: int, range_: int, store: str, n: int, key: Any, out: Any) -> None:
    """out[i] = the number of element offset + i; offset is a multiple of 32."""
    plan, target = _plan(low, range_, store), ac.GlobalTensor(out)
    seed, offset = read_key(key)
    words, parts = scratch(dtypes.u32, 2 * TILE), [scratch(dtypes.u32, TILE) for _ in (0, 1)]
    rooms = [scratch(dtypes.u8, -(-int(TILE * size) // 512) * 512 + BANK_SHIFT) for size in plan.slots]
    turns = Turns(TILE, [room for room, size in zip(rooms, plan.slots, strict=True) if size == ITEMSIZE["pair"]]) if plan.joins else None
    pipe, moved_out = ac.TPipe(), ac.TQue(ac.TPosition.VECOUT, 2)
    pipe.InitBuffer(moved_out, 2, TILE * target.dtype.itemsize)
    for start, count in my_tiles(-(-n // GROUP) * GROUP, TILE, 512):
        ac.Philox(words, seed, 2 * (offset + start), 2 * count, 1)
        barrier()
        for k, part in enumerate(parts):
            ac.DataCopy(part, words[16 * k :], ac.DataCopyParams(count // 16, 2, 2, 0))
        barrier()
        result = moved_out.AllocTensor(target.dtype)
        plan.issue([part.ReinterpretCast(dtypes.i32) for part in parts], rooms, result, count, turns)
        moved_out.EnQue(result)
        result = moved_out.DeQue()
        ac.DataCopyPad(target[start:], result, ac.min(count, n - start))
        moved_out.FreeTensor(result)


@kernel_for("philox_integers")
def _philox_integers(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    """Ranges of 2^32 and more take more words: AI CPU. A draw that begins within a group is made from the group's begin on, and copied."""
    y, (low, range_, seed, offset) = outputs[0], attrs[-4:]
    words = gathers.pairs_taken(y) or -(1 << 31) <= low <= low + range_ - 1 < 1 << 31
    if y.dtype.name not in DRAWN or (y.itemsize == 8 and not gathers.pairs_taken(y)) or not 0 < range_ < 1 << 32 or not words or not fits(y, seed, offset):
        return NotImplemented
    skip = offset % GROUP
    made: Tensor = _core.empty((skip + y.numel(),), dtype=y.dtype, device=y.device) if skip else y
    launch(draw_integers, low, range_, LOADS[y.dtype.name], made.numel(), key_of(y, seed, offset - skip), made, blocks=blocks_for(8 * y.numel()), name="randint")
    if skip:
        y.copy_(made.narrow(0, skip, y.numel()).reshape(y.shape))
    return None
