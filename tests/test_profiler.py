"""`al.profiler`: what is recorded, its tables and traces, schedules and bounds."""

from __future__ import annotations

import gzip
import json
import threading

import pytest

import ascendlite as al
from ascendlite import nn
from ascendlite.profiler import ProfilerActivity, profile, record_function, schedule, tensorboard_trace_handler
from ascendlite.profiler.record import _RECORDING


def row(p, key):
    return next((r for r in p.key_averages() if r.key == key), None)


def test_ops_of_a_training_step_are_recorded():
    model = nn.Linear(8, 4)
    optimizer = al.optim.AdamW(model.parameters())
    with profile(record_shapes=True, with_flops=True) as p:
        loss = model(al.ones(3, 8)).square().mean()
        loss.backward()
        optimizer.step()
    names = {e.name for e in p.events}
    assert {"linear", "square", "adam_step"} <= names, names
    assert any(e.backward for e in p.events) and not next(e for e in p.events if e.name == "linear").backward
    linear = next(e for e in p.events if e.name == "linear")
    assert linear.input_shapes[:2] == ((3, 8), (4, 8)) and linear.flops == 2 * 3 * 8 * 4
    assert all(e.end_ns >= e.start_ns for e in p.events)
    before = len(p.events)
    al.ones(2) + 1
    assert len(p.events) == before  # the profile has ended


def test_every_road_of_an_op_is_timed():
    x, out = al.rand(300, 300), al.empty(300, 300)
    with profile() as p:
        x + x
        al.add(x, x, out=out)
        x.clone().mul_(2)
        x.double()
        out.copy_(x)
        out[1:] = 2.0
        x.t().sum()
        x.view(-1)
        x.split(100)
    assert [row(p, key).count for key in ("add", "mul", "clone", "cast", "sum", "split")] == [2, 1, 1, 1, 1, 1]
    starts = [e.start_ns for e in p.events]
    assert starts == sorted(starts) and all(a.end_ns <= b.start_ns for a, b in zip(p.events, p.events[1:]))


def test_named_parts_hold_their_ops():
    @record_function("part")
    def part(depth):
        return part(depth - 1) if depth else al.rand(200, 200) @ al.rand(200, 200)

    with profile() as p, record_function("whole"):
        part(2)
    whole, inner = row(p, "whole"), row(p, "part")
    assert (whole.count, inner.count) == (1, 3)
    assert inner.cpu_time == pytest.approx(inner.cpu_time_total / 3)
    total = p.key_averages().self_cpu_time_total
    assert total == pytest.approx(whole.cpu_time_total)  # own times add up to the outermost part
    with pytest.raises(TypeError, match="name must be a str"):
        record_function(3)


def test_table_sorts_limits_and_names_a_wrong_field():
    with profile(record_shapes=True) as p:
        for n in (2, 3, 3):
            (al.ones(n, n) @ al.ones(n, n)).square()
    averages = p.key_averages()
    assert "matmul" in averages.table() and "GFLOP/s" not in averages.table()
    assert averages.table(sort_by="count", row_limit=1).count("\n") == 3 and "more rows" in averages.table(row_limit=1)
    shaped = p.key_averages(group_by_input_shape=True)
    assert [r.count for r in shaped if r.key == "matmul"] == [1, 2] and "[[3, 3], [3, 3]]" in shaped.table()
    assert averages.total_average().count == sum(r.count for r in averages)
    with pytest.raises(ValueError, match="sort_by='cuda_time' is none of cpu_time"):
        averages.table(sort_by="cuda_time")
    with profile() as q:
        al.ones(2)
    with pytest.raises(ValueError, match="record_shapes=True"):
        q.key_averages(group_by_input_shape=True)


def test_chrome_trace_has_complete_events(tmp_path):
    with profile(with_flops=True, record_shapes=True) as p, record_function("two"):
        al.ones(4, 4, requires_grad=True).square().sum().backward()
    p.export_chrome_trace(tmp_path / "trace.json.gz")
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        events = [e for e in json.load(file)["traceEvents"] if e["ph"] == "X"]
    assert all({"name", "pid", "tid", "ts", "dur", "cat"} <= e.keys() for e in events)
    part = next(e for e in events if e["name"] == "two")
    assert part["cat"] == "user_annotation" and part["ts"] == 0
    assert all(e["ts"] >= 0 and e["ts"] + e["dur"] <= part["dur"] + 1e-3 for e in events)
    assert any(e["args"].get("backward") for e in events)


def test_schedule_records_cycles_and_hands_them_over(tmp_path):
    counts = []
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=lambda q: counts.append((q.step_num, row(q, "square").count))) as p:
        for _ in range(10):
            al.ones(2).square()
            p.step()
    assert counts == [(3, 2), (7, 2)]
    assert row(p, "ProfilerStep#7").count == 1 and row(p, "square").count == 2  # the last cycle stays readable
    with profile(schedule=schedule(wait=0, active=1, repeat=1), on_trace_ready=tensorboard_trace_handler(tmp_path / "new", "me")) as p:
        al.ones(2)
        p.step()
    (file,) = (tmp_path / "new").glob("me_*.pt.trace.json")
    assert json.loads(file.read_text())["traceEvents"]


def test_too_many_events_are_dropped_and_told():
    with pytest.warns(UserWarning, match="13 events after the first 7 were dropped"), profile(max_events=7) as p:
        for _ in range(20):
            al.rand(2)
    assert len(p.events) == 7 and "were dropped" in p.key_averages().table()


def test_threads_have_their_own_rows_of_time():
    def work():
        with record_function("thread"):
            al.rand(64, 64) @ al.rand(64, 64)

    with profile() as p:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert len({e.thread for e in p.events if e.name == "thread"}) == 3
    assert row(p, "thread").self_cpu_time_total >= 0


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="with_stack, profile_memory is not recorded"):
        profile(with_stack=True, profile_memory=True)
    with pytest.raises(ValueError, match="activities are empty"):
        profile(activities=[])
    p = profile(with_stack=False)
    p.start()
    with pytest.raises(ValueError, match="started already"):
        p.start()
    p.stop()
    with pytest.raises(ValueError, match="not recording"):
        p.step()
    assert not _RECORDING


def test_kernels_of_the_npu_stand_beside_their_ops():
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.NPU]) as p:
        x = al.ones(64, 64, device="npu")
        (x @ x).cpu()
    matmul = row(p, "matmul")
    assert matmul.count == 1 and matmul.device_time_total > 0 and "NPU total" in p.key_averages().table()
    processes = {e["args"]["name"] for e in p.trace()["traceEvents"] if e["name"] == "process_name"}
    assert processes == {"ascendlite CPU", "Ascend Hardware npu:0"}
    with profile(activities=[ProfilerActivity.NPU]) as only:
        (x @ x).cpu()
    assert not only.events and row(only, "matmul").device_time_total > 0
