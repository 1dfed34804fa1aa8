"""Estimates on meta tensors: what they report, what they leave as it was, and laws that hold between them."""

from __future__ import annotations

import pytest

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError, DeviceError
from ascendlite.npu.runtime import stream
from ascendlite.npu.runtime.device import state


def half(*shape: int) -> Tensor:
    return al.empty(*shape, dtype=al.float16, device="meta")


def test_a_row_for_each_kernel_with_its_shapes_and_pipes() -> None:
    told = al.npu.estimate(lambda a, b: al.relu(a @ b), half(512, 256), half(256, 384), chip="910b2")
    assert [row.name for row in told.rows] == ["matmul", "relu"]
    product, relu = told.rows
    assert (product.kind, product.dtype) == ("AI_CORE", "float16")
    assert {(512, 256), (256, 384)} <= set(product.shapes)
    assert product.cycles["aic.M"] > 0
    assert relu.kind == "AI_VECTOR_CORE"
    assert relu.cycles["aiv.V"] > 0
    assert told.device_us == pytest.approx(sum(row.us for row in told.rows))
    assert told.host_us == pytest.approx(2 * stream.host.dispatch_us)
    assert "matmul" in str(told)
    assert told.by_name()["relu"][0] == 1


def test_inputs_may_be_larger_than_any_memory() -> None:
    huge = half(1 << 20, 1 << 18)  # 512 GiB
    told = al.npu.estimate(lambda x: x.shape, huge)
    assert told.rows == ()
    assert al.npu.estimate(al.add, half(1 << 14, 1 << 14), half(1 << 14, 1 << 14)).device_us > 500


def test_long_elementwise_kernels_stay_loops() -> None:
    """200,000 x 200,000 numbers take 400 times as long as 10,000 x 10,000, and are estimated as fast."""
    small, large = (al.npu.estimate(al.add, half(n, n), half(n, n), chip="910b1").device_us for n in (10_000, 200_000))
    assert large == pytest.approx(400 * small, rel=0.15)


def test_tensors_of_the_host_are_taken_by_their_shapes() -> None:
    x = al.ones(64, 64, requires_grad=True)
    told = al.npu.estimate(lambda group: (group["x"] * group["x"]).sum().backward(), {"x": x})
    assert x.grad is None
    assert told.rows[0].name == "mul"
    assert len(told.rows) >= 3


def test_more_work_takes_longer_and_slower_chips_too() -> None:
    sizes = [al.npu.estimate(al.add, half(n, 1024), half(n, 1024), chip="910b2").device_us for n in (256, 1024, 4096)]
    assert sizes == sorted(sizes)
    fast, slow = (al.npu.estimate(al.matmul, half(2048, 2048), half(2048, 2048), chip=c).device_us for c in ("910b2", "910b4"))
    assert slow > fast


def test_the_device_is_as_it_was_afterwards() -> None:
    chip, now = state.chip, stream.host.now_us
    al.npu.estimate(al.relu, half(64, 64), chip="910b4")
    assert (state.chip, stream.host.now_us) == (chip, now)
    with pytest.raises(RuntimeError):
        al.npu.estimate(lambda x: 1 / 0 if x is None else x @ half(3, 3), half(64, 64), chip="910b4")
    assert (state.chip, stream.host.now_us) == (chip, now)
    listeners = list(stream.host.listeners)
    al.relu(half(64, 64))  # on meta outside of an estimate: shapes only
    assert stream.host.now_us == now
    assert stream.host.listeners == listeners


def test_the_same_call_is_estimated_the_same() -> None:
    first, again = (al.npu.estimate(al.matmul, half(777, 333), half(333, 555), chip="910b3") for _ in range(2))
    assert first == again


def test_an_unknown_chip_is_refused() -> None:
    with pytest.raises(ArgumentError, match="910z"):
        al.npu.estimate(al.relu, half(4), chip="910z")


def test_draws_and_filled_tensors_are_counted_and_take_no_numbers() -> None:
    def made() -> None:
        al.rand(1 << 16, device="meta")
        half(1 << 16).normal_()
        al.full((1 << 16,), 2.5, device="meta")
        al.linspace(0, 1, 1 << 16, device="meta")

    before = al.get_rng_state()
    assert [row.name for row in al.npu.estimate(made).rows] == ["uniform", "normal", "copy", "fill", "linspace"]
    assert al.equal(al.get_rng_state(), before)


def test_draws_and_counts_need_no_values() -> None:
    weights, classes = al.ones(4, 10, device="meta"), al.zeros(1000, dtype=al.int64, device="meta")
    drawn = al.npu.estimate(lambda w: al.multinomial(w, 3), weights)
    assert drawn.rows[-1].name == "topk"
    assert al.multinomial(weights, 3).shape == (4, 3)
    assert al.multinomial(weights, 30, replacement=True).shape == (4, 30)
    assert [row.name for row in al.npu.estimate(lambda c: al.bincount(c, minlength=64), classes).rows] == ["bincount"]
    assert al.bincount(classes, minlength=64).shape == (64,)
    assert al.nonzero_static(weights, size=7).shape == (7, 2)


@pytest.mark.parametrize("op", ["bincount", "nonzero", "unique"])
def test_what_only_values_decide_is_refused_by_name(op: str) -> None:
    with pytest.raises(DeviceError, match=rf"^{op}: the size of the result depends on values, and a tensor on 'meta' of shape \(8,\) has none; "):
        al.npu.estimate(getattr(al, op), al.zeros(8, dtype=al.int64, device="meta"))


def test_memory_is_told_and_limited_where_asked() -> None:
    x = half(1 << 14, 1 << 14)  # 512 MiB
    told = al.npu.estimate(lambda a: a * 2 + 1, x, chip="910b2")
    assert 3 * x.nbytes <= told.peak_bytes < 3 * x.nbytes + (64 << 20)
    assert al.npu.estimate(lambda a: (a * 2).sum(), x, chip="910b2").peak_bytes < 3 * x.nbytes
    assert "of 64 GiB" in str(told)

    def forward(a: Tensor) -> Tensor:
        kept = [a]
        for _ in range(200):
            kept.append(kept[-1] + 1)
        return kept[-1]

    assert al.npu.estimate(forward, x, chip="910b2").peak_bytes > 64 << 30
    with pytest.raises(al.OutOfMemoryError, match=r"910b2: out of memory: tried to allocate 536870912 bytes .* of 64.00 GiB"):
        al.npu.estimate(forward, x, chip="910b2", limit_memory=True)
    assert al.npu.estimate(al.add, x, x, chip="910b2", limit_memory=True).rows
    half(1 << 20, 1 << 20)  # no limit outside
