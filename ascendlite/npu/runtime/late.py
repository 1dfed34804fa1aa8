"""Errors that surface where the card's do: not at the call that makes them, but where the host next waits for the stream.

Off unless asked for, by `ASCEND_LAUNCH_BLOCKING=0` in the environment or `al.npu.set_launch_blocking(False)`: an error at the line that made it is
kinder. On, an index out of bounds (what only the values tell) stops its stream: later work there is dropped, and synchronizing it, or copying
from it to the host, raises until `al.npu.restart_device()`. What the host can see (shapes, dtypes, hazards, memory) is raised at the call, as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ascendlite.core import _core
from ascendlite.errors import DeviceError
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.device import device_index, state

# The runtime's number for an exception in a core, which programs for the card look for.
AICORE_EXCEPTION = 507015


class AsyncError(DeviceError):
    """A task failed on the device earlier than the call that raises this. `__cause__` is what happened."""


def attempt(queue: stream.Stream, name: str, run: Callable[..., Any], *args: Any) -> None:
    """Run a task's values; an index out of bounds is kept for when the host waits, and a stream that failed runs nothing."""
    if queue.failure is not None:
        return
    try:
        run(*args)
    except IndexError as error:
        failure = AsyncError(
            f"npu:{queue.device_index}: {name} failed on stream {queue.stream_id} (error {AICORE_EXCEPTION}): {error}. The call that failed is an earlier "
            f"one than this; al.npu.set_launch_blocking(True) raises at its line. al.npu.restart_device({queue.device_index}) makes the device usable again"
        )
        failure.__cause__ = error
        queue.failure = failure


class Late:
    """Stands before a backend and keeps the errors of its tasks."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.out_of_memory, self.view = backend.out_of_memory, backend.view

    def launch(self, op: Any, outputs: Any, inputs: Any, attrs: Any) -> None:
        attempt(stream.current_stream(outputs[0].device.index), op.name, self._backend.launch, op, outputs, inputs, attrs)

    def pointwise(self, op: Any, output: Any, args: Any, compute: Any) -> None:
        attempt(stream.current_stream(output.device.index), op.name, self._backend.pointwise, op, output, args, compute)

    def copy(self, target: Any, source: Any) -> None:
        if target.is_cpu:
            self._backend.copy(target, source)  # the host waits
        else:
            attempt(stream.current_stream(target.device.index), "copy", self._backend.copy, target, source)

    def fill(self, target: Any, value: Any) -> None:
        attempt(stream.current_stream(target.device.index), "fill", self._backend.fill, target, value)


def before(backend: Any) -> Any:
    """What the core is to call for a backend: itself, or `Late` before it."""
    return backend if state.blocking else Late(backend)


def set_launch_blocking(blocking: bool) -> None:
    """Whether errors of the device's work are raised at the call that makes them (the default), or where the host next waits.

    >>> al.npu.set_launch_blocking(False)
    >>> table = al.ones(3, 4, device="npu")
    >>> row = table[al.tensor([7], device="npu")]  # goes by
    >>> row.cpu()  # the host waits
    Traceback (most recent call last):
    ...
    ascendlite.npu.runtime.late.AsyncError: npu:0: ... index 7 is out of bounds for dimension 0 with size 3. ...
    >>> al.npu.restart_device()
    >>> al.npu.set_launch_blocking(True)
    """
    if not isinstance(blocking, bool):
        raise TypeError(f"set_launch_blocking: expected True or False, got {blocking!r}")
    if blocking == state.blocking:
        return
    for index in range(state.chip.dies):
        stream.synchronize(index)  # what failed so far is told now
    state.blocking = blocking
    former = _core.exchange_npu_backend(None)
    if former is not None:  # the device was used; otherwise it starts in the new mode
        _core.exchange_npu_backend(before(former._backend if isinstance(former, Late) else former))


def restart_device(device: Any = None) -> None:
    """Let the streams of a die run again after one of their tasks failed. What they should have written stays unwritten."""
    for queue in stream.streams_of(device_index(device)):
        queue.failure = None
