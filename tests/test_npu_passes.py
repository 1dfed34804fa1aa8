"""Scans, reductions and layouts made of passes on the NPU: the CPU's results, off the AI CPU but for casts of indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite as al

X = al.tensor(np.random.default_rng(0).standard_normal((37, 70, 3)).astype(np.float32))
CALLS: dict[str, Callable[[al.Tensor], Any]] = {
    "cumsum": lambda x: x.cumsum(1), "cumprod": lambda x: x.cumprod(0), "logcumsumexp": lambda x: x.logcumsumexp(2),
    "var": lambda x: x.var((0, 2)), "std": lambda x: x.std(1, correction=0), "logsumexp": lambda x: x.logsumexp((1, 2)),
    "prod": lambda x: x.prod(1), "max": lambda x: tuple(x.max(1)), "argmin": lambda x: x.argmin(0), "flip": lambda x: x.flip(0, 2),
    "roll": lambda x: x.roll((5, -1), (0, 1)), "tril": lambda x: x.transpose(1, 2).tril(-1), "triu": lambda x: x[:, :, 0].triu(4),
    "diag_embed": lambda x: al.diag_embed(x[:, :, 0], 2), "pad": lambda x: al.nn.functional.pad(x, (1, -1, 3, 2), value=2.5),
    "addmm": lambda x: al.addmm(x[0, 0], x[:, :, 0], x[0], beta=0.5, alpha=2),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_passes_give_what_the_cpu_gives(name: str) -> None:
    x = X.npu()
    with al.npu.profiler.profile() as p:
        actual = CALLS[name](x)
    expected = CALLS[name](X)
    assert {t.name for t in p.tasks if t.kind == "AI_CPU"} <= {"copy"}
    pairs = zip(actual, expected, strict=True) if isinstance(actual, tuple) else [(actual, expected)]
    for a, e in pairs:
        np.testing.assert_allclose(a.cpu().numpy(), e.numpy(), 2e-5, 2e-5)


def test_extremes_name_the_first_place_and_nan() -> None:
    x = al.tensor([[1.0, 3.0, 3.0], [float("nan"), 9.0, float("nan")], [-float("inf")] * 3])
    for name in ("max", "min"):
        for a, e in zip(getattr(x.npu(), name)(1), getattr(x, name)(1), strict=True):
            np.testing.assert_array_equal(a.cpu().numpy(), e.numpy())


@pytest.mark.parametrize(("m", "k", "n", "dtype"), [(64, 16384, 64, "float16"), (33, 5000, 70, "float32"), (200, 1023, 515, "float16")])
def test_cut_and_padded_products(m: int, k: int, n: int, dtype: str) -> None:
    a, b = (al.tensor(np.random.default_rng(s).standard_normal(shape).astype(np.float32)).to(getattr(al, dtype)) for s, shape in ((0, (m, k)), (1, (k, n))))
    with al.npu.profiler.profile() as p:
        c = a.npu() @ b.npu()
        turned = a.T.contiguous().npu().T @ b.T.contiguous().npu().T
    assert {"matmul_sum", "copy"} & {t.name for t in p.tasks}
    want = a.float().numpy().astype(np.float64) @ b.float().numpy()
    for got in (c, turned):
        np.testing.assert_allclose(got.cpu().float().numpy(), want, 1e-3, 1e-3 * np.abs(want).max())


def test_streamed_extremes_and_variances() -> None:
    x = np.random.default_rng(2).standard_normal((5, 9000)).astype(np.float32)
    x[1, 3], x[1, 77], x[2], x[3, 600], x[4] = np.nan, np.inf, -np.inf, np.inf, 2
    t = al.tensor(x)
    for name in ("max", "min"):
        for a, e in zip(getattr(t.npu(), name)(1), getattr(t, name)(1), strict=True):
            np.testing.assert_array_equal(a.cpu().numpy(), e.numpy())
    y = al.tensor(np.random.default_rng(3).standard_normal((4, 700)).astype(np.float32))
    np.testing.assert_allclose(y.npu().var(1).cpu().numpy(), y.var(1).numpy(), 1e-5)


@pytest.mark.parametrize("numerics", ["fp32", "fp64"])
def test_the_ai_cpu_writes_where_wide_modes_read(numerics: str) -> None:
    sorted_, order = al.tensor([1, 1, 4, 9, 12]), al.arange(12)
    rows, offs, weights = al.randn(6, 3), al.tensor([2, 2, 6]), al.randn(3, 3, 4)

    def results(device: str) -> list[al.Tensor]:
        x, s, at, r, o, w = (t.to(device) for t in (X[:, 0, 0], sorted_, order, rows, offs, weights))
        al.manual_seed(0)
        return [al.searchsorted(s, at, right=True), al.grouped_mm(r, w, offs=o), *x.kthvalue(3), x.digamma(), al.fp4_decode(al.fp4_encode(w)), *al.unique(s, return_counts=True)]

    expected = results("cpu")
    with al.npu.numerics(numerics):
        actual = [t.cpu() for t in results("npu")]
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype is e.dtype
        np.testing.assert_allclose(a.numpy(), e.numpy(), 2e-5, 2e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(100_000,), (65_537,), (3, 40_000), (1 << 20,)])
def test_a_number_is_spread_over_many(shape: tuple[int, ...], dtype: str) -> None:
    numbers = al.arange(1, shape[0] + 1 if len(shape) > 1 else 2).to(getattr(al, dtype)).reshape(-1, *(1,) * (len(shape) - 1))
    np.testing.assert_array_equal(numbers.npu().expand(shape).contiguous().cpu().numpy(), np.broadcast_to(numbers.numpy(), shape))


def test_spreading_a_number_takes_all_cores() -> None:
    n = 1 << 24
    told = al.npu.estimate(lambda x: x.expand(n).contiguous(), al.empty(1, device="meta"))
    assert told.device_us < 4 * 4 * n / 1.6e12 * 1e6


def test_windows_that_share_elements_are_written_as_on_the_cpu() -> None:
    writes: list[Callable[[al.Tensor], Any]] = [lambda w: w.add_(1), lambda w: w.fill_(3), lambda w: w.copy_(al.arange(14.0).reshape(7, 2).to(w.device)), lambda w: w.mul_(w)]
    for write in writes:
        expected, actual = al.arange(8.0), al.arange(8.0).npu()
        write(expected.unfold(0, 2, 1))
        write(actual.unfold(0, 2, 1))
        assert actual.cpu().tolist() == expected.tolist()


VIEWS: dict[str, Callable[[al.Tensor], al.Tensor]] = {
    "a column": lambda x: x[1:, :, 2], "columns": lambda x: x[:, 2:5, 1:], "steps": lambda x: x[::2, 1::3], "turned": lambda x: x.transpose(0, 2),
    "a part of what is turned": lambda x: x.permute(2, 0, 1)[1:, :, 1:], "a number": lambda x: x[3, 1, 2], "nothing": lambda x: x[:0],
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int32", "int8", "bool"])
@pytest.mark.parametrize("view", VIEWS)
def test_views_are_filled_by_the_cores(view: str, dtype: str) -> None:
    x = (al.arange(37 * 7 * 5).reshape(37, 7, 5) % 90).to(getattr(al, dtype))
    for write in (lambda t: t.fill_(1), lambda t: t.copy_(al.ones((), dtype=t.dtype).to(t.device).expand(t.shape))):
        expected, actual = x.clone(), x.npu()
        write(VIEWS[view](expected))
        with al.npu.profiler.profile() as p:
            write(VIEWS[view](actual))
        assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
        assert al.equal(actual.cpu(), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "int16", "int8", "bool"])
@pytest.mark.parametrize("other", [None, "int32", "float32"])
@pytest.mark.parametrize("view", VIEWS)
def test_views_are_copied_to_views_by_the_cores(view: str, other: str | None, dtype: str) -> None:
    x = (al.arange(37 * 7 * 5).reshape(37, 7, 5) % 90).to(getattr(al, dtype))
    y = (al.arange(2 * 37 * 7 * 5).reshape(5, 7, 74) % 80).to(getattr(al, other or dtype))
    expected, actual = x.clone(), x.npu()
    source = y.npu()
    VIEWS[view](expected).copy_(VIEWS[view](y[:, :, ::2].permute(2, 1, 0)))
    with al.npu.profiler.profile() as p:
        VIEWS[view](actual).copy_(VIEWS[view](source[:, :, ::2].permute(2, 1, 0)))
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    assert al.equal(actual.cpu(), expected)
