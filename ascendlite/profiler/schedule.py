"""Which training steps a profiler records, and what its files are called. Names follow `torch.profiler` and `torch_npu.profiler`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from enum import Enum

from ascendlite.errors import ArgumentError


class ProfilerActivity(Enum):
    """What a profile watches."""

    CPU = "cpu"
    NPU = "npu"


class ProfilerAction(Enum):
    """What a profiler does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3

    @property
    def records(self) -> bool:
        """Whether tasks of the step are kept."""
        return self.value >= ProfilerAction.RECORD.value


def schedule(*, wait: int, active: int, warmup: int = 0, repeat: int = 0, skip_first: int = 0) -> Callable[[int], ProfilerAction]:
    """Cycles of `wait` steps unrecorded, `warmup` steps unrecorded and `active` ones recorded, `repeat` times (0: for ever).

    >>> plan = al.profiler.schedule(wait=1, warmup=0, active=2, repeat=1)
    >>> [plan(step).name for step in range(4)]
    ['NONE', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    counts = {"wait": wait, "active": active, "warmup": warmup, "repeat": repeat, "skip_first": skip_first}
    wrong = {name: count for name, count in counts.items() if not isinstance(count, int) or isinstance(count, bool) or count < (name == "active")}
    if wrong:
        raise ArgumentError(f"schedule: {wrong}: expected whole numbers from 0 (active: from 1)")
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        turn, place = divmod(step - skip_first, cycle)
        if turn < 0 or (repeat and turn >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == cycle - 1 else ProfilerAction.RECORD

    return action


def file_stem(worker_name: str | None) -> str:
    """WORKER_TIME: `worker_name` (or the host and the process), and the moment in UTC down to milliseconds."""
    moment = time.time_ns()
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(moment // 10**9)) + f"{moment // 10**6 % 1000:03d}"
    return f"{worker_name or f'{socket.gethostname()}_{os.getpid()}'}_{stamp}"
