"""The card works behind the host's back: in order, seen by whoever looks at its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import ascendlite as al
from ascendlite import _davinci
from tests.npu.asm import GM, UB, WRITE, Asm, head


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """With one thread the host does the card's work itself."""
    before = al.get_num_threads()
    al.set_num_threads(2)
    yield
    al.set_num_threads(before)


def chain(n: int = 100) -> al.Tensor:
    """A tensor that much work stands before: n steps of x / 2 + 1, which end at 2."""
    x = al.zeros(64, 64, device="npu")
    for _ in range(n):
        x = x * 0.5 + 1.0
    return x


def test_who_reads_waits() -> None:
    want = np.full((64, 64), 2, np.float32)
    for read in (lambda x: x.cpu().numpy(), lambda x: np.array(x.tolist(), np.float32), lambda x: x.to("cpu", copy=True).numpy()):
        np.testing.assert_allclose(want, read(chain()), rtol=1e-6)
    assert chain()[3, 4].item() == pytest.approx(2)
    np.testing.assert_array_equal(np.argsort(-want, axis=1, kind="stable"), al.argsort(chain(), dim=1, descending=True, stable=True).cpu().numpy())


def test_an_upload_takes_the_bytes_of_its_moment() -> None:
    for _ in range(5):
        x, slow = al.full((64, 64), 3.0), chain()
        on_card = x.to("npu")
        x.zero_()
        target = al.empty(64, 64, device="npu")
        target.copy_(slow)
        slow.copy_(al.ones(64, 64))  # after the copy out of it
        np.testing.assert_array_equal(np.full((64, 64), 3), on_card.cpu().numpy())
        np.testing.assert_allclose(np.full((64, 64), 2), target.cpu().numpy(), rtol=1e-6)
        np.testing.assert_array_equal(np.ones((64, 64)), slow.cpu().numpy())


def test_memory_that_is_given_up_serves_later_work_only() -> None:
    def run() -> list[float]:
        kept = []
        for i in range(60):
            a = al.full((256,), float(i), device="npu")
            b = a + 1.0
            del a  # its block is the next tensor's
            c = al.full((256,), -1.0, device="npu")
            kept.append((b + c)[0])
            if i % 20 == 19:
                al.npu.empty_cache()
        return [k.item() for k in kept]

    assert run() == [float(i) for i in range(60)] == run()


def test_a_known_range_of_indices_is_forgotten_when_they_are_written() -> None:
    table, index = al.arange(12.0, device="npu").reshape(4, 3), al.tensor([0, 3, 1]).to("npu")
    assert table[index].cpu()[1, 0].item() == 9
    index.add_(1)
    with pytest.raises(IndexError, match=r"4"):
        table[index]
    index.sub_(1)
    assert table[index].cpu()[1, 0].item() == 9


def test_a_range_is_that_of_the_whole_and_of_its_dtype() -> None:
    table, index = al.arange(12.0, device="npu").reshape(4, 3), al.tensor([100, 100]).to("npu")
    index[:1].copy_(al.tensor([0]))
    with pytest.raises(IndexError, match="100"):
        table[index]
    odd = al.tensor([2**31]).to("npu").view(al.int32)
    with pytest.raises(IndexError):
        al.index_select(table, 0, odd)


def test_work_that_nobody_waited_for_ends_before_the_process_does() -> None:
    code = ("import ascendlite as al; al.set_num_threads(2); x = al.ones(1024, 1024, device='npu'); y = x\n"
            "for _ in range(9): y = (y @ x) * 1e-3")  # fmt: skip
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)


def test_overflow_is_seen_whenever_it_is_asked_for() -> None:
    from ascendlite.npu.runtime.device import state

    before, state.saturation = state.saturation, True
    try:
        x = al.full((64,), 60000.0, dtype=al.float16, device="npu")
        for _ in range(3):  # the first launch runs at once, later ones behind
            al.npu.clear_npu_overflow_flag()
            assert not al.npu.get_npu_overflow_flag()
            y = x + x
            assert al.npu.get_npu_overflow_flag()
            del y
    finally:
        state.saturation = before
        al.npu.clear_npu_overflow_flag()


def gather_program() -> Asm:
    """y[i] = x[offsets[i] / 4] of 8 floats: an offset that leaves x is an error which only the values tell."""
    asm = Asm()
    x, offsets, y = (asm.tensor(32) for _ in range(3))
    asm.copy(asm.region(UB, "float32", 0, 32, WRITE), asm.region(GM, "float32", 0, 32, tensor=x), 32)
    asm.copy(asm.region(UB, "uint32", 32, 32, WRITE), asm.region(GM, "uint32", 0, 32, tensor=offsets), 32)
    asm.op("Gather", "gather", [asm.region(UB, "float32", 64, 32, WRITE), asm.region(UB, "float32", 0, 32), asm.region(UB, "uint32", 32, 32)], [*head(0, 8), 0])
    asm.copy(asm.region(GM, "float32", 0, 32, WRITE, tensor=y), asm.region(UB, "float32", 64, 32), 32)
    return asm


def test_what_fails_behind_is_told_to_who_waits_and_once() -> None:
    x, offsets, y = np.arange(8, dtype=np.float32), np.full(8, 4, np.uint32), np.zeros(8, np.float32)
    executor, pointers = gather_program().executor(), [a.ctypes.data for a in (x, offsets, y)]
    executor.enqueue(1, pointers, 0, 0)
    assert y.tolist() == [1] * 8
    offsets[3] = 1 << 24
    executor.enqueue(1, pointers, 0, 0)
    with pytest.raises(IndexError, match="leaves src"):
        _davinci.drain()
    assert not _davinci.drain()
    offsets[3] = 8
    executor.enqueue(1, pointers, 0, 0)
    _davinci.drain()
    assert y.tolist() == [1, 1, 1, 2, 1, 1, 1, 1]


def test_a_fork_amid_work() -> None:
    x = chain()
    pid = os.fork()
    if pid == 0:
        import signal

        signal.alarm(30)
        os._exit(0 if x[0, 0].item() == pytest.approx(2) and chain()[1, 1].item() == pytest.approx(2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert x[0, 0].item() == pytest.approx(2)


def test_several_threads_of_python() -> None:
    wrong: list[float] = []

    def work(k: int) -> None:
        for i in range(40):
            x = al.full((64,), float(k), device="npu")
            for _ in range(5):
                x = x + 1.0
            if (value := x[i].item()) != k + 5:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
