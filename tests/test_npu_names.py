"""What a program written for `torch.npu` calls beside the tensors: devices, mixed precision, the profiler's schedule."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, DeviceError
from ascendlite.npu import profiler


def test_modules_and_tensors_move_by_index_and_name() -> None:
    assert al.nn.Linear(2, 3).npu().weight.device == al.device("npu:0")
    assert al.nn.Linear(2, 3).npu(1).weight.device == al.device("npu:1")
    assert al.ones(2).npu("npu:1").device == al.device("npu:1")
    with al.npu.device(1):
        assert al.ones(2).npu().device == al.nn.Linear(2, 3).npu().weight.device == al.device("npu:1")
    with pytest.raises(DeviceError, match="got 'cpu'; use .to"):
        al.ones(2).npu("cpu")
    with pytest.raises(DeviceError, match="npu:7 does not exist"):
        al.ones(2).npu(7)


def test_the_accelerator_is_the_npu() -> None:
    assert al.accelerator.is_available() and al.accelerator.device_count() == al.npu.device_count()
    assert al.accelerator.current_accelerator().type == "npu" and al.accelerator.current_device_index() == 0
    assert al.get_device_module() is al.get_device_module("npu:1") is al.npu
    assert al.get_device_module("cpu") is al.cpu
    assert al.npu.is_initialized() and al.npu.is_bf16_supported() and al.npu.can_device_access_peer(0, 1)


def test_mixed_precision_defaults_to_the_device() -> None:
    layer, scaler = al.nn.Linear(4, 4).npu(), al.npu.amp.GradScaler(init_scale=1024.0)
    optimizer = al.optim.SGD(layer.parameters(), lr=0.1)
    with al.npu.amp.autocast():
        y = layer(al.ones(2, 4, device="npu"))
    assert y.dtype is al.float16
    scaler.scale(y.float().sum()).backward()
    before = layer.weight.clone()
    scaler.step(optimizer)
    scaler.update()
    assert not al.equal(before.cpu(), layer.weight.cpu())


def run(steps: int, **options: object) -> profiler.profile:
    with profiler.profile(**options) as trace:
        for number in range(steps):
            al.ones(4 + number, device="npu").exp()
            trace.step()
    return trace


def test_a_schedule_chooses_the_steps(tmp_path: Path) -> None:
    seen: list[tuple[list[int], list[str]]] = []

    def ready(trace: profiler.profile) -> None:
        seen.append(([s.number for s in trace.steps], [row["Input Shapes"] for row in trace.op_summary()]))

    run(9, schedule=profiler.schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready)
    assert [numbers for numbers, _ in seen] == [[2, 3], [6, 7]]
    assert [sorted({shape.split(";")[-1] for shape in shapes}) for _, shapes in seen] == [["6", "7"], ["10", "11"]]


def test_what_was_recorded_is_handed_over_at_the_end() -> None:
    counts: list[int] = []
    run(3, schedule=profiler.schedule(wait=1, active=5), on_trace_ready=lambda trace: counts.append(len([s for s in trace.steps if s.tasks])))
    assert counts == [2]


def test_the_handler_writes_a_folder_a_trace(tmp_path: Path) -> None:
    trace = run(2, on_trace_ready=profiler.tensorboard_trace_handler(tmp_path, "here"), activities=[profiler.ProfilerActivity.NPU])
    (folder,) = tmp_path.glob("here_*_ascend_pt/ASCEND_PROFILER_OUTPUT")
    assert {e["name"] for e in json.loads((folder / "trace_view.json").read_text()) if e["ph"] == "X"} >= {"exp"}
    with (folder / "op_statistic.csv").open() as file:
        rows = {row["OP Type"]: row for row in csv.DictReader(file)}
    assert rows["exp"]["Count"] == "2" and sum(float(row["Ratio(%)"]) for row in rows.values()) == pytest.approx(100, abs=0.1)
    assert trace.tasks == []


def test_what_the_profiler_can_not_record_is_refused() -> None:
    with pytest.raises(ArgumentError, match="with_stack is not recorded"):
        profiler.profile(with_stack=True)
    with pytest.raises(ArgumentError, match=r"add ProfilerActivity\.NPU"):
        profiler.profile(activities=[profiler.ProfilerActivity.CPU])
    with pytest.raises(ArgumentError, match="active: from 1"):
        profiler.schedule(wait=1, active=0)
    trace = profiler.profile()
    trace.start()
    with pytest.raises(ArgumentError, match="started already"):
        trace.start()
    trace.stop()


def test_what_programs_ask_for_at_their_start_holds() -> None:
    al.npu.set_compile_mode(jit_compile=False)
    al.npu.set_option({"jitCompile": "disable"})
    al.npu.config.allow_internal_format = False
    assert al.npu.is_jit_compile_false() and not al.npu.config.allow_internal_format and al.npu.get_device_capability() is None
    for call in (lambda: al.npu.set_compile_mode(jit_compile=True), lambda: al.npu.set_option({"jitCompile": "enable"}), lambda: al.npu.set_option({"x": 1})):
        with pytest.raises(ArgumentError, match="npu.set_"):
            call()
    with pytest.raises(ArgumentError, match="plain layout"):
        al.npu.config.allow_internal_format = True


def test_former_names_and_names_of_all_dies() -> None:
    x = al.ones(3, device="npu:1")
    with al.npu.device_of(x):
        assert al.npu.current_device() == 1
    x.record_stream(al.npu.current_stream(1))
    assert al.npu.memory_cached(1) == al.npu.memory_reserved(1) > 0
    assert al.npu.memory_stats_as_nested_dict(1)["allocated_bytes"]["all"]["current"] == al.npu.memory_allocated(1)
    states = al.npu.get_rng_state_all()
    drawn = al.rand(3, device="npu").tolist()
    al.npu.set_rng_state_all(states)
    assert al.rand(3, device="npu").tolist() == drawn and len(states) == al.npu.device_count()
    assert issubclass(al.npu.StreamContext, object) and not al.npu.is_current_stream_capturing()
    with al.npu.graph(al.npu.NPUGraph()):
        assert al.npu.is_current_stream_capturing()


def test_a_name_that_is_not_here_says_what_to_use() -> None:
    for name, text in (("FloatTensor", "al.tensor"), ("make_graphed_callables", "al.compile"), ("hccl_allreduce", "one process")):
        with pytest.raises(AttributeError, match=f"'ascendlite.npu' has no attribute '{name}': .*{text}"):
            getattr(al.npu, name)


def test_a_table_of_kernels_parts_what_is_read_from_what_is_written() -> None:
    with profiler.profile() as trace:
        al.ones(64, 32, device="npu") @ al.ones(32, 16, device="npu")
        al.randperm(7, device="npu")
    product, drawn = trace.op_summary()[-2:]
    assert (product["Input Shapes"], product["Output Shapes"], product["Output Formats"]) == ("64,32;32,16", "64,16", "ND")
    assert (drawn["Task Type"], drawn["Input Shapes"], drawn["Output Shapes"], drawn["Output Data Types"]) == ("AI_CPU", "", "7", "INT64")


def test_a_kernel_of_vector_cores_takes_no_time_of_the_cube_cores() -> None:
    with profiler.profile() as trace:
        x = al.ones(64, 64, device="npu")
        (x @ x).exp()
    rows = {row["Op Name"]: row for row in trace.op_summary()}
    assert float(rows["matmul"]["aicore_time(us)"]) > 0 == float(rows["matmul"]["aiv_time(us)"])
    assert float(rows["exp"]["aiv_time(us)"]) > 0 == float(rows["exp"]["aicore_time(us)"])
    assert rows["exp"]["aiv_total_cycles"] > 0 == rows["exp"]["aic_total_cycles"]


def test_what_a_program_asks_of_devices_and_streams() -> None:
    seen, side = al.npu.get_device_properties(), al.npu.Stream(priority=-1)
    assert (seen.total_memory, seen.L2_cache_size, seen.cube_core_num, seen.vector_core_num) == (64 << 30, 192 << 20, 24, 48)
    assert side.device == al.device("npu:0") and side.priority == -1 and side.npu_stream != al.npu.default_stream().npu_stream
    assert al.npu.memory_stats()["allocated_bytes.all.current"] == al.npu.memory_allocated()
    assert al.npu.memory.memory_reserved() == al.npu.memory_reserved() and al.npu.streams.Stream is al.npu.Stream
    assert al.npu.is_support_inf_nan()
    with pytest.raises(al.npu.OutOfMemoryError, match="Tried to allocate 131072.00 MiB on npu:0"):
        al.empty(1 << 36, dtype=al.float16, device="npu")
    with pytest.raises(AttributeError, match="use restart_device"):
        al.npu.stop_device  # noqa: B018
