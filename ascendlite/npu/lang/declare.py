"""What the declaration of an instruction consists of. Numbers of the enums are those of csrc/davinci/program.h."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Memory(IntEnum):
    GM, UB, L1, L0A, L0B, L0C, BT, FB = range(8)


class Pipe(IntEnum):
    S, V, M, MTE1, MTE2, MTE3, FIX = range(7)


class Sync(IntEnum):
    NONE, SET_FLAG, WAIT_FLAG, BARRIER, CROSS_SET, CROSS_WAIT, SYNC_ALL, GET_VALUE, CACHE_CLEAN = range(9)


READ, WRITE, PARTIAL, ATOMIC = 1, 2, 4, 8  # Access of a region
GENERATIONS = ("1001", "2201", "3510")  # 910A; 910B and 910C; 950

# Start alignment in bytes (R02), and which core has the memory (all of them on the combined cores of 1001).
ALIGNMENT = {Memory.GM: 1, Memory.UB: 32, Memory.L1: 32, Memory.L0A: 512, Memory.L0B: 512, Memory.L0C: 64, Memory.BT: 64, Memory.FB: 64}
CORE_OF = {Memory.UB: "aiv", **dict.fromkeys((Memory.L1, Memory.L0A, Memory.L0B, Memory.L0C, Memory.BT, Memory.FB), "aic")}


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand, in the order of the regions: destinations first. `align` 0: that of the memory."""

    name: str
    memories: tuple[Memory, ...]
    access: int = READ
    align: int = 0


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: where it runs, what it takes, what it means. Everything that is known of it is here.

    `dtypes`: by generation, one word a legal combination: "f16" where all operands share it, else "src->dst"
    (or "a,b->c"). `args`: what the integer arguments mean, by position; `floats`: the same for the real ones.
    `fixed`: arguments that this instruction always has. `cores`: "aiv" (vector), "aic" (cube).
    """

    name: str
    pipe: Pipe
    meaning: str
    cost: str
    operands: tuple[Operand, ...] = ()
    dtypes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    fixed: Mapping[str, int] = field(default_factory=dict)
    cores: tuple[str, ...] = ("aiv",)
    max_repeat: int = 255
    max_block_stride: int = 255
    max_repeat_stride: int = 255
    sync: Sync = Sync.NONE
    doc: str = ""

    @property
    def generations(self) -> tuple[str, ...]:
        """Of chips that have the instruction."""
        return tuple(g for g in GENERATIONS if self.dtypes.get(g)) if self.dtypes else GENERATIONS
