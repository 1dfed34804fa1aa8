"""The native services: allocator, thread pool, fork, instruction sets."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest

import ascendlite as al
from ascendlite import _native, backends, cpu, info


def in_child(work: object) -> int:
    """The exit code of a forked child that runs `work`; a hang ends it after 30 seconds."""
    pid = os.fork()
    if pid == 0:
        import signal

        signal.alarm(30)
        try:
            os._exit(0 if work() else 1)  # type: ignore[operator]
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False)


# -- memory

def test_a_tensor_counts_while_it_lives_and_no_longer() -> None:
    gc.collect()
    before = cpu.memory_allocated()
    x = al.empty(1000, 1000)
    assert cpu.memory_allocated() - before == pytest.approx(4_000_000, rel=0.13)
    del x
    assert cpu.memory_allocated() == before


def test_the_peak_remembers_what_is_gone() -> None:
    gc.collect()
    cpu.reset_peak_memory_stats()
    held = cpu.memory_allocated()  # by what other tests keep
    al.empty(3 << 20)
    al.empty(1 << 10)
    assert cpu.max_memory_allocated() >= held + (12 << 20) - (1 << 20)  # 4 bytes a number; others may free a little meanwhile
    cpu.reset_peak_memory_stats()
    assert cpu.memory_allocated() <= cpu.max_memory_allocated() < held + (12 << 20)


def test_freed_blocks_are_used_again() -> None:
    for _ in range(3):
        al.empty(5 << 20)
    reserved = cpu.memory_reserved()
    for _ in range(50):
        al.empty(5 << 20)
        al.empty(1000)
    assert cpu.memory_reserved() == reserved


def test_empty_cache_gives_memory_back() -> None:
    x = al.empty(64 << 20)
    held = cpu.memory_reserved()
    del x
    cpu.empty_cache()
    assert cpu.memory_reserved() <= held - (200 << 20)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 255, 256, 257, 4095, 4097, 16 << 10, 1 << 18, (1 << 18) + 1, 1 << 20, 3 << 20])
def test_memory_is_aligned_and_blocks_do_not_overlap(n: int) -> None:
    kept = [al.full((n,), k, dtype=al.float32) for k in range(4)]
    for k, x in enumerate(kept):
        assert x.data_ptr() % 64 == 0 or n == 0
        assert n == 0 or (x[0].item(), x[-1].item()) == (k, k)


def test_more_than_the_machine_has_is_refused_and_named() -> None:
    with pytest.raises(al.errors.OutOfMemoryError, match="GiB|MiB|bytes"):
        al.empty(1 << 44)
    with pytest.raises(MemoryError):
        al.empty(1 << 44)


def test_the_limit_is_kept() -> None:
    cpu.empty_cache()
    limit = cpu.memory_reserved() + (16 << 20)  # what is reserved may have free room between blocks of other tests
    cpu.set_memory_limit(limit)
    try:
        with pytest.raises(al.errors.OutOfMemoryError):
            al.empty(limit + 1, dtype=al.uint8)
        assert al.ones(1000).sum().item() == 1000
    finally:
        cpu.set_memory_limit(0)


def test_blocks_may_be_freed_by_another_thread() -> None:
    before = cpu.memory_allocated()
    made: list[al.Tensor] = []

    def make() -> None:
        made.extend(al.ones(n) for n in (1, 100, 10_000, 1_000_000))

    for _ in range(8):
        maker = threading.Thread(target=make)
        maker.start()
        maker.join()
    assert [x.sum().item() for x in made[:4]] == [1, 100, 10_000, 1_000_000]
    made.clear()
    assert cpu.memory_allocated() == before


def test_poison_shows_what_was_never_written() -> None:
    _native.set_poison(True)
    try:
        assert al.empty(100).isnan().all().item()
    finally:
        _native.set_poison(False)


# -- threads

def test_the_number_of_threads_is_what_was_set() -> None:
    former = al.get_num_threads()
    try:
        al.set_num_threads(3)
        assert al.get_num_threads() == 3
    finally:
        al.set_num_threads(former)


def test_python_threads_may_compute_at_once() -> None:
    x = al.ones(300_000)
    sums: list[float] = []

    def compute() -> None:
        for _ in range(20):
            sums.append((x + x).sum().item())

    workers = [threading.Thread(target=compute) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert sums == [600_000.0] * 80


def test_regions_of_changing_width_lose_nothing() -> None:
    former = al.get_num_threads()
    x = al.ones(400_000)
    try:
        for turn in range(200):
            al.set_num_threads(turn % 7 + 1)
            n = 400_000 if turn % 2 else 40_000
            assert (x[:n] + 1).sum().item() == 2 * n
    finally:
        al.set_num_threads(former)


def test_a_forked_child_computes_with_threads_of_its_own() -> None:
    x = al.ones(500_000)
    (x + x).sum()
    assert in_child(lambda: (x + x).sum().item() == 1_000_000.0) == 0
    assert (x + x).sum().item() == 1_000_000.0


def test_a_fork_beside_a_busy_thread_is_safe() -> None:
    stop = threading.Event()
    x = al.ones(300_000)

    def compute() -> None:
        while not stop.is_set():
            x + x

    worker = threading.Thread(target=compute)
    worker.start()
    try:
        codes = [in_child(lambda: (x + x).sum().item() == 600_000.0) for _ in range(10)]
    finally:
        stop.set()
        worker.join()
    assert codes == [0] * 10


# -- instruction sets

def test_the_best_supported_instruction_set_is_in_use() -> None:
    usable = [s for s in backends.supported_instruction_sets() if s in backends.built_instruction_sets()]
    assert backends.instruction_set == os.environ.get("ASCENDLITE_INSTRUCTION_SET", usable[0])


@pytest.mark.parametrize("name", [s for s in backends.supported_instruction_sets() if s in backends.built_instruction_sets()])
def test_each_built_instruction_set_can_be_forced(name: str) -> None:
    code = "import ascendlite as al; from ascendlite import backends; print(backends.instruction_set, (al.ones(100) * 2).sum().item())"
    done = run_python(code, ASCENDLITE_INSTRUCTION_SET=name)
    assert done.stdout.split() == [name, "200.0"], done.stderr


def test_an_unknown_instruction_set_is_named() -> None:
    done = run_python("import ascendlite", ASCENDLITE_INSTRUCTION_SET="mmx")
    assert done.returncode != 0
    assert "'mmx'" in done.stderr


def test_the_report_names_the_build() -> None:
    text = info.report()
    for wanted in ("ascendlite", backends.instruction_set, "threads", "memory", "devices"):
        assert wanted in text


@pytest.mark.parametrize(("chip", "wanted"), [("910c", "npu:0, npu:1: emulated Atlas A3 (910C)"), ("910b2", "npu:0: emulated"), ("910z", "no npu (chip: '910z' is not known")])
def test_the_report_names_the_emulated_device(chip: str, wanted: str) -> None:
    done = run_python("from ascendlite import info; print(info.report())", ASCENDLITE_NPU=chip)
    assert wanted in done.stdout, done.stdout + done.stderr
