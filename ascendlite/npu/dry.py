"""How long a function would take on a chip, without data: its ops run on meta tensors, their kernels on the clock alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ascendlite.core import Tensor, _core
from ascendlite.core.registry import RUNS_ARRAYS
from ascendlite.npu import aicpu
from ascendlite.npu.chips import Chip, load
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.device import state
from ascendlite.npu.timeline import timed


@dataclass(frozen=True)
class KernelRow:
    """One task of the device. `cycles`: busy cycles by pipe, mean over cores ("aiv.V"); `bound`: the roof or pipe that bounds it."""

    name: str
    kind: str  # AI_VECTOR_CORE, AI_CORE, MIX_AIC, AI_CPU, MEMCPY
    shapes: tuple[tuple[int, ...], ...]
    dtype: str  # of the first tensor
    us: float
    cycles: Mapping[str, int]
    bound: str


@dataclass(frozen=True)
class Estimate:
    """What a call would cost: tasks in order, the device's time for them, the host's time to dispatch them."""

    chip: Chip
    rows: tuple[KernelRow, ...]
    host_us: float
    peak_bytes: int = field(compare=False)  # of all tensors on meta while it ran, those that were there before among them

    @property
    def device_us(self) -> float:
        """Of all tasks, one after the other; none finds its data in the cache."""
        return sum(row.us for row in self.rows)

    def by_name(self) -> dict[str, tuple[int, float]]:
        """Calls and microseconds by task, longest first."""
        total: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
        for row in self.rows:
            total[row.name][0] += 1
            total[row.name][1] += row.us
        return {name: (int(n), us) for name, (n, us) in sorted(total.items(), key=lambda item: -item[1][1])}

    def __str__(self) -> str:
        lines = [f"{self.chip.name}: {self.device_us:.1f} us on the device, {self.host_us:.1f} us on the host, {len(self.rows)} tasks; "
                 f"memory {self.peak_bytes / 2**30:.2f} of {self.chip.hbm_bytes / 2**30:.0f} GiB"]
        lines.append(f"{'task':24}{'us':>10}  {'bound':12}{'dtype':10}shapes")
        for row in self.rows:
            shapes = " ".join("x".join(map(str, s)) or "()" for s in row.shapes)
            lines.append(f"{row.name:24}{row.us:10.2f}  {row.bound:12}{row.dtype:10}{shapes}")
        return "\n".join(lines)


def _on_meta(value: Any) -> Any:
    """The same structure with tensors that have no data."""
    if isinstance(value, Tensor):
        return value if value.is_meta else value.detach().to("meta").requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)):
        return type(value)(_on_meta(v) for v in value)
    if isinstance(value, dict):
        return {key: _on_meta(v) for key, v in value.items()}
    return value


@contextmanager
def _dry(chip: Chip, tasks: list[stream.Task]) -> Iterator[None]:
    """Ops on meta tensors become tasks of a stream of their own; the device's clock is as before afterwards."""
    from ascendlite.npu.backend import Backend

    host = stream.host
    before_chip, before_us = state.chip, host.now_us
    former = _core.exchange_dry_backend(Backend(dry=True))
    RUNS_ARRAYS["meta"] = partial(aicpu.arrays, dry=True)
    state.chip = chip
    host.listeners.append(tasks.append)
    queue = stream.Stream()
    try:
        with stream.stream(queue):
            yield
        queue.settle()
    finally:
        queue.pending.clear()
        host.listeners.remove(tasks.append)
        state.chip, host.now_us = before_chip, before_us
        _core.exchange_dry_backend(former)
        RUNS_ARRAYS.pop("meta", None)


def _row(task: stream.Task, chip: Chip) -> KernelRow:
    timing = task.timing
    cycles = {pipe: round(us * chip.clock_hz / 1e6) for pipe, us in timing.pipes_us.items()} if timing else {}
    bound = timed(task.program).bound.name if task.program is not None else task.kind
    shapes = tuple(shape for shape, _ in task.tensors)
    return KernelRow(task.name, task.kind, shapes, task.tensors[0][1] if task.tensors else "", task.duration_us, cycles, bound)


def estimate(fn: Callable[..., Any], *inputs: Any, chip: str | Path | Chip | None = None, limit_memory: bool = False) -> Estimate:
    """Runs `fn` on meta tensors of the inputs' shapes and says what it would take: `.device_us`, `.host_us`, `.peak_bytes`, `.rows`.

    Inputs may be of any size: nothing is computed and no device memory is used. Tensors that fn brings itself (parameters) must be on
    meta, too. chip: a name or a chip file (default: the device's). `limit_memory`: OutOfMemoryError, at the line that asks for it, when all
    tensors on meta together would need more than the chip's HBM.

    >>> import ascendlite as al
    >>> x = al.empty(4096, 4096, dtype=al.float16, device="meta")
    >>> e = al.npu.estimate(lambda a, b: a + b, x, x, chip="910b2")
    >>> [row.name for row in e.rows], 50 < e.device_us < 200
    (['add'], True)
    """
    wanted = load(chip) if chip is not None else state.chip
    tasks: list[stream.Task] = []
    before = stream.host.now_us
    former, peak = _core.watch_meta(wanted.name, wanted.hbm_bytes if limit_memory else 0), 0
    try:
        given = _on_meta(inputs)
        with _dry(wanted, tasks):
            fn(*given)
            host_us = stream.host.now_us - before
    finally:
        peak = _core.rewatch_meta(former)
    return Estimate(wanted, tuple(_row(task, wanted) for task in tasks), host_us, peak)
