"""Which training steps a profiler records, and what its files are called. Names follow `torch.profiler` and `torch_npu.profiler`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from enum import Enum
from typing import Self

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


class Cycles:
    """Start, steps and end of a recording by a schedule. A subclass says what it does at each: `_clear`, `_turn`, `_close_step`, `_save`."""

    def __init__(self, schedule: Callable[[int], ProfilerAction] | None) -> None:
        self.step_num = 0
        self._schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self._action = ProfilerAction.NONE
        self._started = False

    def start(self) -> None:
        """Begin to record."""
        if self._started:
            raise ArgumentError("profile: it was started already; stop() it first")
        self._clear()
        self._started, self.step_num = True, 0
        self._turn(self._schedule(0))

    def step(self) -> None:
        """Say that a training step ends here."""
        if not self._started:
            raise ArgumentError("profile: step() of a profile that is not recording; call start() first, or use it in a `with`")
        self._close_step()
        if self._action is ProfilerAction.RECORD_AND_SAVE:
            self._save()
        self.step_num += 1
        self._turn(self._schedule(self.step_num))

    def stop(self) -> None:
        """End the recording; calls `on_trace_ready` if something was recorded since it was last called."""
        self._close_step(last=True)
        unsaved, self._started = self._action.records, False
        self._turn(ProfilerAction.NONE)
        if unsaved:
            self._save()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _clear(self) -> None:
        """Forget what was recorded."""
        raise NotImplementedError

    def _turn(self, action: ProfilerAction) -> None:
        """Go over to `action`, which it keeps."""
        raise NotImplementedError

    def _close_step(self, last: bool = False) -> None:
        """A step ends; `last`: the recording does."""
        raise NotImplementedError

    def _save(self) -> None:
        """A recorded cycle ended."""
        raise NotImplementedError


def file_stem(worker_name: str | None) -> str:
    """WORKER_TIME: `worker_name` (or the host and the process), and the moment in UTC down to milliseconds."""
    moment = time.time_ns()
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(moment // 10**9)) + f"{moment // 10**6 % 1000:03d}"
    return f"{worker_name or f'{socket.gethostname()}_{os.getpid()}'}_{stamp}"
