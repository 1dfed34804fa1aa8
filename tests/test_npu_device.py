"""The NPU as a device: memory, streams, events, graphs, numerics modes, the profiler's files, and mistakes."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ascendlite as al


@pytest.fixture
def chip() -> object:
    former = al.npu.chip().name
    yield al.npu.set_chip
    al.npu.set_chip(former)


def test_tensors_move_there_and_back_with_their_gradients() -> None:
    x = al.arange(6.0).reshape(2, 3).requires_grad_()
    y = (x.to("npu") * 2).cpu()
    y.sum().backward()
    assert (str(x.to("npu").device), y.tolist(), x.grad.tolist()) == ("npu:0", (x * 2).tolist(), [[2.0] * 3] * 2)


def test_a_transposed_tensor_keeps_its_values_on_the_way() -> None:
    x = al.arange(6).reshape(2, 3).T
    assert x.npu().tolist() == x.tolist()
    assert x.npu().cpu().tolist() == x.tolist()


def test_the_host_does_not_read_device_memory() -> None:
    with pytest.raises(TypeError, match="Use Tensor.cpu"):
        al.ones(2, device="npu").numpy()


def test_devices_do_not_mix_but_for_single_numbers() -> None:
    x = al.ones(2, device="npu")
    with pytest.raises(al.errors.DeviceError, match="npu:0, .* on cpu"):
        x + al.ones(2)
    assert (x + al.tensor(2.0)).tolist() == [3.0, 3.0]


def test_dies_that_do_not_exist_are_named(chip) -> None:
    chip("910c")
    with pytest.raises(al.errors.DeviceError, match="npu:9 does not exist.*npu:0, npu:1"):
        al.ones(2, device="npu:9")


def test_memory_is_counted_and_given_back() -> None:
    al.npu.empty_cache()
    before, reserved = al.npu.memory_allocated(), al.npu.memory_reserved()
    x = al.empty(1 << 20, dtype=al.float16, device="npu")
    assert al.npu.memory_allocated() - before == 2 << 20
    assert al.npu.memory_reserved() >= al.npu.memory_allocated()
    del x
    assert al.npu.memory_allocated() == before
    al.npu.empty_cache()
    assert al.npu.memory_reserved() <= reserved + (2 << 20)


def test_a_snapshot_accounts_for_every_byte_of_the_allocator() -> None:
    kept, gone = al.ones(300_000, device="npu"), al.ones(700_000, device="npu")
    address = gone.data_ptr()
    del gone
    segments = al.npu.memory_snapshot()
    blocks = [b for s in segments for b in s["blocks"]]
    assert sum(s["total_size"] for s in segments) == al.npu.memory_reserved()
    assert sum(s["allocated_size"] for s in segments) == al.npu.memory_allocated() == sum(b["size"] for b in blocks if b["state"] == "active_allocated")
    assert "float32[300000]" in [b["tensor"] for b in blocks]
    for s in segments:
        ends = [s["address"], *(b["address"] + b["size"] for b in s["blocks"])]
        assert ends[:-1] == [b["address"] for b in s["blocks"]]
        assert ends[-1] - ends[0] == s["total_size"]
    base = kept.data_ptr() - next(b["address"] for b in blocks if b["tensor"] == "float32[300000]")
    assert "inactive" in [b["state"] for b in blocks if b["address"] <= address - base < b["address"] + b["size"]]


def test_a_full_die_names_what_holds_it() -> None:
    kept = al.empty(5, 1 << 20, dtype=al.int8, device="npu")
    with pytest.raises(al.errors.OutOfMemoryError, match=r"(?s)Tried to allocate 102400.00 MiB on npu:0.*int8\[5, 1048576\]") as caught:
        al.empty(100 * 1024, 1 << 20, dtype=al.int8, device="npu")
    assert isinstance(caught.value, RuntimeError) and kept.numel()


def test_a_chip_can_be_changed_only_when_its_memory_is_empty(chip) -> None:
    x = al.ones(2, device="npu")
    with pytest.raises(RuntimeError, match="delete the tensors"):
        chip("910b4")
    del x
    assert chip("910b4").aic == 20 and al.npu.device_count() == 1


def test_random_numbers_are_those_of_the_cpu() -> None:
    al.manual_seed(5)
    here = al.randn(100)
    al.manual_seed(5)
    assert al.randn(100, device="npu").cpu().tolist() == here.tolist()


def test_events_measure_the_work_between_them() -> None:
    start, end = al.npu.Event(enable_timing=True), al.npu.Event(enable_timing=True)
    x = al.ones(1 << 16, device="npu")
    start.record()
    for _ in range(3):
        x = x.sort().values
    end.record()
    once = al.npu.Event(enable_timing=True)
    x.sort()
    once.record()
    assert 0 < end.elapsed_time(once) < start.elapsed_time(end)


def test_a_second_stream_runs_beside_the_first() -> None:
    # What the AI CPU computes leaves the cores alone.
    x, y = al.ones(1 << 18, device="npu"), al.ones(1 << 18, device="npu")
    side = al.npu.Stream()
    side.wait_stream(al.npu.current_stream())
    al.npu.synchronize()
    first, both = al.npu.Event(True), al.npu.Event(True)
    first.record()
    a = al.digamma(x)
    with al.npu.stream(side):
        b = al.digamma(y)
    al.npu.current_stream().wait_stream(side)
    both.record()
    alone = al.npu.Event(True)
    c = al.digamma(x)
    alone.record()
    assert first.elapsed_time(both) < 1.5 * both.elapsed_time(alone)
    assert a.tolist()[:1] == b.tolist()[:1] == c.tolist()[:1]


def test_streams_without_an_event_between_them_race() -> None:
    x = al.ones(8, device="npu")
    side = al.npu.Stream()
    side.wait_stream(al.npu.current_stream())
    y = x * 2
    with al.npu.stream(side), pytest.raises(al.npu.StreamOrderError, match="another stream.*wait_stream"):
        y + 1
    side.wait_stream(al.npu.current_stream())
    with al.npu.stream(side):
        assert (y + 1).tolist() == [3.0] * 8


def test_a_graph_replays_on_the_same_tensors_and_costs_one_launch() -> None:
    x, g = al.ones(4, device="npu"), al.npu.NPUGraph()
    with al.npu.graph(g):
        y = (x * 2 + 1).exp().log()
    x.fill_(3)
    g.replay()
    np.testing.assert_allclose(y.tolist(), [7.0] * 4, 1e-6)
    with al.npu.graph(al.npu.NPUGraph()), pytest.raises(al.errors.ArgumentError, match="can't be captured"):
        x.cpu()


def test_wide_modes_hold_every_float_in_more_bits() -> None:
    with al.npu.numerics("fp64"):
        x = al.ones(3, dtype=al.float16, device="npu") / 3
        assert abs((x.sum() * 3).item() - 3.0) < 1e-7
        assert (x * 3 - 1).abs().max().item() < 1e-12
        del x
    y = al.ones(3, dtype=al.float16, device="npu") / 3
    assert (y * 3 - 1).abs().max().item() < 1e-3 and y.tolist()[0] == float(np.float16(1 / 3))


VIEWS = (("float32", "int32"), ("int32", "float32"), ("float16", "int16"), ("bfloat16", "float16"), ("float32", "uint8"), ("int64", "int32"), ("int16", "uint8"),
         ("int32", "int32"), ("int8", "uint8"))  # fmt: skip


@pytest.mark.parametrize(("dtype", "new"), VIEWS)
@pytest.mark.parametrize("mode", ["device", "fp32", "fp64"])
def test_a_view_as_another_dtype_has_the_bits_of_the_card_or_names_the_mode(mode: str, dtype: str, new: str) -> None:
    x, to = al.tensor([1.5, -2.0, 3.25, 0.0]).to(getattr(al, dtype)), getattr(al, new)
    kept = x.itemsize == to.itemsize and not x.dtype.is_floating_point and not to.is_floating_point
    floats_of_the_mode = mode == "fp32" and {dtype, new} == {"float32", "int32"}
    with al.npu.numerics(mode):
        there = x.npu()
        if mode == "device" or kept or floats_of_the_mode:
            assert x.view(to).numpy().tobytes() == there.view(to).cpu().numpy().tobytes()
        else:
            with pytest.raises(al.errors.DTypeError, match=f"numerics mode '{mode}'"):
                there.view(to)
        del there


def test_an_error_in_a_wide_mode_is_told_as_it_is() -> None:
    def fail() -> None:
        x = al.ones(3, device="npu")
        x.reshape(2)

    with pytest.raises(al.errors.ShapeError, match="reshape"), al.npu.numerics("fp32"):
        fail()
    assert al.npu.get_numerics() == "device"


def test_layers_are_copied_on_the_device() -> None:
    layer = al.nn.Linear(3, 4).to("npu")
    assert copy.deepcopy(layer).weight.device == layer.weight.device


def test_the_profiler_writes_the_vendors_files(tmp_path: Path) -> None:
    with al.npu.profiler.profile(tmp_path) as p:
        for _ in range(2):
            y = al.ones(64, 64, device="npu") @ al.ones(64, 64, device="npu")
            p.step()
    assert y.shape == (64, 64)
    events = json.loads((tmp_path / "trace_view.json").read_text())
    assert {"matmul"} <= {e["name"] for e in events if e["ph"] == "X"}
    with (tmp_path / "op_summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["Task Duration(us)"]) > 0 and {"Op Name", "Task Type", "aic_mac_ratio", "aiv_vec_time(us)"} <= set(rows[0])
    with (tmp_path / "step_trace_time.csv").open() as file:
        assert [r["Step"] for r in csv.DictReader(file)] == ["0", "1"]
    assert "matmul" in p.table()


def test_a_training_run_follows_the_cpu() -> None:
    def losses(device: str) -> list[float]:
        al.manual_seed(0)
        net = al.nn.Sequential(al.nn.Linear(8, 16), al.nn.GELU(), al.nn.Linear(16, 4)).to(device)
        x, y = al.randn(32, 8).to(device), al.randint(0, 4, (32,)).to(device)
        optimizer = al.optim.AdamW(net.parameters(), lr=1e-2)
        found = []
        for _ in range(10):
            loss = al.nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    np.testing.assert_allclose(losses("npu"), losses("cpu"), 1e-4)


def test_smi_shows_every_die() -> None:
    assert al.npu.smi().count("OK") == al.npu.device_count()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "bool"])
@pytest.mark.parametrize("name", ["910a", "950dt_9571"])
def test_ops_whose_formats_a_generation_lacks_take_its_ai_cpu(chip: Callable[[str], None], name: str, dtype: str) -> None:
    chip(name)
    x = (al.arange(120) % 7).to(getattr(al, dtype)).reshape(10, 12)
    y = ((al.arange(120) * 5) % 3 + 1).to(x.dtype).reshape(10, 12)
    calls: list[Callable[[al.Tensor, al.Tensor], al.Tensor]] = [
        lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x < y, lambda x, y: al.where(x > y, x, y), lambda x, y: x.T.contiguous(), lambda x, y: x.sort().values,
        lambda x, y: x.amax(1), lambda x, y: x.bool(), lambda x, y: x.short(), lambda x, y: x.long(), lambda x, y: x.float(), lambda x, y: x.clone().fill_(3),
        lambda x, y: al.cat([x, y]), lambda x, y: x.cumsum(0), lambda x, y: x.sum(1),
    ]  # fmt: skip
    if dtype != "bool":
        calls += [lambda x, y: x % y, lambda x, y: x // y, lambda x, y: x**2, lambda x, y: -x]
    for f in calls:
        assert f(x.npu(), y.npu()).cpu().tolist() == f(x, y).tolist()
