"""Graphs: the tasks of a piece of program, captured once and launched again as one, without the host's cost for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ascendlite.core import Op, _core
from ascendlite.errors import ArgumentError
from ascendlite.npu import backend
from ascendlite.npu.runtime import launch, stream


class _Capturing(backend.Backend):
    """Runs as ever, and keeps every call, with the tensors that it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], None]] = []

    def launch(self, op: Op, outputs: Any, inputs: Any, attrs: Any) -> None:
        super().launch(op, outputs, inputs, attrs)
        self.calls.append(lambda: backend.Backend.launch(self, op, outputs, inputs, attrs))

    def pointwise(self, op: Op, output: Any, args: Any, compute: Any) -> None:
        super().pointwise(op, output, args, compute)
        self.calls.append(lambda: backend.Backend.pointwise(self, op, output, args, compute))

    def copy(self, target: Any, source: Any) -> None:
        if target.is_cpu or source.is_cpu:
            raise ArgumentError(
                "graph: a copy between host and device can't be captured: it would move the values of this moment for ever; "
                "write the inputs into tensors of the device with copy_() before each replay, and read results after it"
            )
        super().copy(target, source)
        self.calls.append(lambda: backend.Backend.copy(self, target, source))

    def fill(self, target: Any, value: Any) -> None:
        super().fill(target, value)
        self.calls.append(lambda: backend.Backend.fill(self, target, value))


class NPUGraph:
    """Work captured by `graph`; `replay()` runs it again on the same tensors.

    >>> x = al.ones(4, device="npu")
    >>> g = al.npu.NPUGraph()
    >>> with al.npu.graph(g):
    ...     y = x * 2
    >>> _ = x.fill_(3); g.replay(); y.tolist()
    [6.0, 6.0, 6.0, 6.0]
    """

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] | None = None
        self._capture: _Capturing | None = None

    def capture_begin(self) -> None:
        """Start to keep what runs on the device."""
        if self._capture is not None or self._calls is not None:
            raise ArgumentError("graph: it holds a capture already; reset() it, or make another NPUGraph")
        self._capture = _Capturing()
        self._former = _core.exchange_npu_backend(self._capture)
        launch.CAPTURES.append(self._capture.calls)

    def capture_end(self) -> None:
        """Stop keeping."""
        if self._capture is None:
            raise ArgumentError("graph: capture_end without capture_begin")
        _core.exchange_npu_backend(self._former)
        launch.CAPTURES.pop()
        self._calls, self._capture = self._capture.calls, None

    def replay(self) -> None:
        """Run the captured work: the host pays for one launch."""
        if self._calls is None:
            raise ArgumentError("graph: nothing was captured; use `with al.npu.graph(g):` first")
        stream.host.now_us += stream.GRAPH_LAUNCH_US
        each, stream.host.dispatch_us = stream.host.dispatch_us, 0.0
        try:
            for call in self._calls:
                call()
        finally:
            stream.host.dispatch_us = each

    def reset(self) -> None:
        """Forget the captured work."""
        self._calls = None


class graph:
    """Capture what runs inside into a graph."""

    def __init__(self, npu_graph: NPUGraph) -> None:
        self._graph = npu_graph

    def __enter__(self) -> NPUGraph:
        self._graph.capture_begin()
        return self._graph

    def __exit__(self, *exc: object) -> None:
        self._graph.capture_end()


def is_current_stream_capturing() -> bool:
    """Whether work is being captured into a graph."""
    return bool(launch.CAPTURES)
