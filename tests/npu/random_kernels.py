"""Kernels of random instructions, windows and syncs: some are clean, some are not."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac
from ascendlite.npu.lang.declare import Pipe

f32 = npu.f32
PART = 2048  # elements of GM that a core has for itself
BUFFER = 512
MTE2, V, MTE3 = "MTE2", "V", "MTE3"


@dataclass
class Access:
    pipe: str
    place: tuple[Any, ...]  # which memory or buffer
    low: int
    high: int
    write: bool

    def meets(self, other: Access) -> bool:
        return self.place == other.place and self.low < other.high and other.low < self.high and (self.write or other.write)


@dataclass
class Core:
    """Writes instructions of one core, and most of the syncs that they need."""

    r: random.Random
    care: float  # how often a needed sync is there
    base: Any  # of this core's part of GM
    x: Any
    y: Any
    buffers: list[Any]
    before: list[Access] = field(default_factory=list)
    event: int = 0

    def sync(self, new: list[Access]) -> None:
        for old in list(self.before):
            for a in new:
                if not a.meets(old) or (old.pipe == a.pipe and not old.write) or self.r.random() > self.care:
                    continue
                if old.pipe == a.pipe:
                    ac.PipeBarrier(Pipe[a.pipe])
                elif self.r.random() < 0.15:
                    ac.PipeBarrier(ac.PIPE_ALL)
                    self.before.clear()
                else:
                    self.event = (self.event + 1) % 8
                    event = ac.HardEvent[f"{old.pipe}_{a.pipe}"]
                    ac.SetFlag(event, self.event)
                    ac.WaitFlag(event, self.event)
        self.before += new

    def window(self) -> tuple[int, int, int]:
        """A buffer, and elements of it: 32-byte blocks."""
        low = self.r.randrange(0, BUFFER, 64)
        return self.r.randrange(len(self.buffers)), low, self.r.choice([n for n in (64, 128, 256) if low + n <= BUFFER])

    def copy_in(self) -> None:
        b, low, n = self.window()
        from_y = self.r.random() < 0.3
        at = self.r.randrange(0, PART - n, 64)
        source = self.y if from_y else self.x
        self.sync([Access(MTE2, ("ub", b), low, low + n, True), Access(MTE2, ("gm", from_y), at, at + n, False)])
        ac.DataCopy(self.buffers[b][low:], source[self.base + at :], n)

    def copy_out(self) -> None:
        b, low, n = self.window()
        at = self.r.randrange(0, PART - n, 64)
        self.sync([Access(MTE3, ("gm", True), at, at + n, True), Access(MTE3, ("ub", b), low, low + n, False)])
        ac.DataCopy(self.y[self.base + at :], self.buffers[b][low:], n)

    def work(self) -> None:
        b, low, n = self.window()
        c, start, _ = self.window()
        n = min(n, BUFFER - start)
        if b == c and low != start and low < start + n and start < low + n:
            start = low
        self.sync([Access(V, ("ub", b), low, low + n, True), Access(V, ("ub", c), start, start + n, False)])
        ac.Adds(self.buffers[b][low:], self.buffers[c][start:], float(self.r.randrange(1, 9)), n)

    def rows(self) -> None:
        """Every second row of 32 bytes."""
        b, c = self.r.sample(range(len(self.buffers)), 2)
        odd = self.r.randrange(2)
        self.sync([Access(V, ("ub", b), 0, BUFFER, True), Access(V, ("ub", c), 0, BUFFER, False)])
        ac.Muls(self.buffers[b][8 * odd :], self.buffers[c][8 * odd :], 0.5, 8, BUFFER // 16, (1, 1, 2, 2))

    def fill(self) -> None:
        b, low, n = self.window()
        self.sync([Access(V, ("ub", b), low, low + n, True)])
        ac.Duplicate(self.buffers[b][low:], float(self.r.randrange(9)), n)


def begin(r: random.Random, care: float, x: Any, y: Any, core: Any) -> Core:
    allocator = ac.LocalMemAllocator(ac.Hardware.UB)
    buffers = [allocator.Alloc(f32, BUFFER) for _ in range(4)]
    for b in buffers:
        ac.Duplicate(b, 1.0, BUFFER)
    if r.random() < care:
        ac.PipeBarrier(ac.PIPE_ALL)
    return Core(r, care, core * PART, ac.GlobalTensor(x), ac.GlobalTensor(y), buffers)


def steps(core: Core, count: int) -> None:
    kinds = [core.copy_in, core.copy_out, core.work, core.work, core.rows, core.fill]
    for _ in range(count):
        core.r.choice(kinds)()


@npu.kernel(kind="aiv")
def one_core(x: Any, y: Any, seed: int, care: float) -> None:
    r = random.Random(seed)
    steps(begin(r, care, x, y, ac.GetBlockIdx()), r.randrange(4, 40))


@npu.kernel(kind="aiv")
def all_cores(x: Any, y: Any, seed: int, care: float) -> None:
    """Blocks that read each other's results, with a barrier of all between (or not)."""
    r = random.Random(seed)
    core = begin(r, care, x, y, ac.GetBlockIdx())
    for _ in range(3):
        steps(core, r.randrange(1, 6))
        if r.random() < care:
            ac.SyncAll()
            core.before.clear()
        other = (ac.GetBlockIdx() + 1) % ac.GetBlockNum() * PART
        ac.DataCopy(core.buffers[0], core.y[other:], BUFFER)
        if r.random() < care:
            ac.SyncAll()
            core.before.clear()


@npu.kernel(kind="mix")
def two_vectors(x: Any, y: Any, seed: int, care: float) -> None:
    """The two vector cores of a group in turns at one part of GM, by cross-core flags of mode 1; the cube core only passes flags of mode 2."""
    r = random.Random(seed)
    turns = r.randrange(1, 4)
    if ac.IsAIC():
        for _ in range(turns):
            ac.CrossCoreWaitFlag(8)
            ac.CrossCoreSetFlag(2, ac.PIPE_FIX, 9)
        return
    core = begin(r, care, x, y, ac.GetBlockIdx() // 2)
    for turn in range(turns):
        plan = random.Random(seed * 10 + turn)  # the same for both cores
        count = plan.randrange(1, 6)
        if ac.GetSubBlockIdx() == turn % 2:
            steps(core, count)
        if plan.random() < care:
            ac.PipeBarrier(ac.PIPE_ALL)
        pipe = ac.PIPE_MTE3 if plan.random() < care else ac.PIPE_V
        if plan.random() < 0.5:  # through the cube core: both vector cores tell it, and it tells both
            ac.CrossCoreSetFlag(2, pipe, 8)
            ac.CrossCoreWaitFlag(9)
        else:
            ac.CrossCoreSetFlag(1, pipe, 5)
            ac.CrossCoreWaitFlag(5)
            ac.CrossCoreSetFlag(2, ac.PIPE_MTE3, 8)
            ac.CrossCoreWaitFlag(9)
        core.before.clear()
