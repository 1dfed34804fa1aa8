"""A user's kernel on tensors of the device: streams, clock, profiler, numerics modes, autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.npu as npu
from ascendlite.errors import DeviceError, GradError
from tests.examples.vector_add import vadd_q

N = 5000


def half(value: float, device: str = "npu") -> Any:
    return al.full((N,), value, dtype=al.float16, device=device)


def test_it_runs_on_the_current_stream_and_the_profiler_sees_it() -> None:
    z = half(0.0)
    with npu.profiler.profile() as trace:
        vadd_q[4](half(1.0), half(2.0), z, N, 512)
    assert z.tolist() == [3.0] * N
    (task,) = [t for t in trace.tasks if t.name == "vadd_q"]
    assert task.kind == "AI_VECTOR_CORE" and task.duration_us > 0 and task.stream == 0
    assert task.duration_us == pytest.approx(vadd_q[4].time(half(1.0), half(2.0), z, N, 512).us)


def test_a_stream_can_be_named() -> None:
    x, y, z = half(1.0), half(2.0), half(0.0)
    npu.synchronize()
    side = npu.Stream()
    start, end = npu.Event(enable_timing=True), npu.Event(enable_timing=True)
    start.record(side)
    vadd_q[4, side](x, y, z, N, 512)
    end.record(side)
    side.synchronize()
    assert start.elapsed_time(end) > 0 and z.tolist() == [3.0] * N


def test_a_race_between_streams_is_found() -> None:
    x, y, z = half(1.0), half(2.0), half(0.0)
    npu.synchronize()
    side = npu.Stream()
    vadd_q[4, side](x, y, z, N, 512)
    with pytest.raises(npu.StreamOrderError, match="mul reads memory that vadd_q of another stream may still use"):
        z * 2
    npu.current_stream().wait_stream(side)
    assert (z * 2).tolist() == [6.0] * N


def test_arrays_of_the_host_take_their_turn_on_a_stream() -> None:
    x, z = np.ones(N, np.float16), np.zeros(N, np.float16)
    side = npu.Stream()
    vadd_q[4, side](x, x, z, N, 512)
    assert not side.query()
    side.synchronize()
    assert side.busy_us > 0 and (z == 2).all()


def test_tensors_of_two_places_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"vadd_q: its tensors are on cpu, npu:0; move them to one device"):
        vadd_q[4](half(1.0), half(1.0, "cpu"), half(0.0), N, 512)
    with pytest.raises(DeviceError, match=r"its tensors are on npu:0, its stream on npu:1"):
        vadd_q[4, npu.Stream(1)](half(1.0), half(1.0), half(0.0), N, 512)


def test_wide_numerics_reach_it() -> None:
    with npu.numerics("fp32"):
        x, z = al.full((N,), 1 / 3, device="npu", dtype=al.float16), half(0.0)
        vadd_q[4](x, x, z, N, 512)
        assert z.float().tolist()[0] == pytest.approx(2 / 3, rel=1e-7)
        del x, z


def test_meta_tensors_are_only_timed() -> None:
    inputs = [half(0.0, "meta") for _ in range(3)]
    estimate = npu.estimate(lambda x, y, z: vadd_q[4](x, y, z, N, 512), *inputs)
    assert [row.name for row in estimate.rows] == ["vadd_q"] and estimate.device_us > 0


def test_writes_are_seen_by_autograd() -> None:
    x, z = half(1.0).requires_grad_(), half(2.0)
    y = (x * z).sum()
    vadd_q[4](half(1.0), half(1.0), z, N, 512)
    with pytest.raises(RuntimeError, match="modified by an inplace operation|vadd_q"):
        y.backward()
    with pytest.raises(GradError, match="vadd_q: a leaf Variable that requires grad"):
        vadd_q[4](z, z, x, N, 512)
    with pytest.raises(GradError, match="vadd_q: writes into a tensor of the graph"):
        vadd_q[4](z, z, x * 2, N, 512)
    with al.no_grad():
        vadd_q[4](z, z, x, N, 512)
    assert x.tolist() == [4.0] * N


def test_a_graph_captures_it() -> None:
    x, y, z, graph = half(1.0), half(2.0), half(0.0), npu.NPUGraph()
    with npu.graph(graph):
        vadd_q[4](x, y, z, N, 512)
        double = z * 2
    x.fill_(5.0)
    graph.replay()
    assert z.tolist() == [7.0] * N and double.tolist() == [14.0] * N
    vadd_q[4](x, x, z, N, 512)
    graph.replay()
    assert z.tolist() == [7.0] * N
