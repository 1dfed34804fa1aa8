"""Products of ragged groups on the cube: the CPU's values, any legal order of the pipes, the check's verdict, and the clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import ascendlite as al
from ascendlite.npu import mutation
from ascendlite.npu.chips import load
from ascendlite.npu.kernels.grouped import Ragged, grouped_rows, grouped_sums
from ascendlite.npu.programs import Call
from ascendlite.npu.proof import proof

CLOSE = {al.float32: 1e-5, al.float16: 3e-3, al.bfloat16: 2e-2}
# (rows, summed, columns, ends): tails everywhere, groups without rows at both ends, rows behind the last group, one group, groups of one row
CASES = [
    (37, 20, 45, (3, 3, 20, 37)),
    (300, 64, 130, (0, 100, 101, 290)),
    (700, 130, 300, (350, 700)),
    (5, 16, 16, (1, 2, 3, 4, 5)),
    (65, 8, 24, (65,)),
]


@pytest.fixture(params=["device", "fp32", "fp64"])
def _numerics(request: pytest.FixtureRequest) -> Iterator[None]:
    with al.npu.numerics(request.param):
        yield


def drawn(*shape: int, seed: int = 0) -> al.Tensor:
    return al.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def results(x: al.Tensor, w: al.Tensor, ends: al.Tensor, turned: bool) -> list[al.Tensor]:
    """The product and both gradients; turned: from weights that lie transposed, as those of a linear layer."""
    x, w = x.requires_grad_(), (w.transpose(1, 2).contiguous() if turned else w.detach()).requires_grad_()
    y = al.grouped_mm(x, w.transpose(1, 2) if turned else w, offs=ends)
    found = (y.detach(), *al.autograd.grad(y, (x, w), y.detach()))
    return [t for t in found if t is not None]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("rows, summed, columns, ends", CASES)
def test_products_and_gradients_are_those_of_the_cpu(rows: int, summed: int, columns: int, ends: tuple[int, ...], dtype: al.dtype, turned: bool,
                                                     _numerics: None) -> None:  # fmt: skip
    x, w, cuts = drawn(rows, summed).to(dtype), drawn(len(ends), summed, columns, seed=1).to(dtype), al.tensor(ends)
    with al.npu.profiler.profile() as p:
        actual = results(x.npu(), w.npu(), cuts.npu(), turned)
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    for a, e in zip(actual, results(x, w, cuts, turned), strict=True):
        expected = e.float().numpy()
        np.testing.assert_allclose(a.float().cpu().numpy(), expected, CLOSE[dtype], CLOSE[dtype] * np.abs(expected).max())


def test_columns_in_groups_are_rows_of_the_transposed_product() -> None:
    a, b, ends = drawn(3, 20, 16), drawn(16, 50, seed=1), al.tensor([10, 10, 44], dtype=al.int32)
    y = al.grouped_mm(a.npu(), b.npu(), offs=ends.npu())
    np.testing.assert_allclose(y.cpu().numpy(), al.grouped_mm(a, b, offs=ends).numpy(), 1e-5, 1e-5)


def test_ends_that_fall_are_refused_as_on_the_cpu() -> None:
    with pytest.raises(al.errors.ArgumentError, match="must ascend"):
        al.grouped_mm(drawn(8, 16).npu(), drawn(2, 16, 16).npu(), offs=al.tensor([5, 4], device="npu"))


ENDS = (0, 40, 41, 130)


def call_of(which: object) -> tuple[Call, list[np.ndarray]]:
    """A launch on host arrays, and the arrays; the result is the last one."""
    rng, groups, total = np.random.default_rng(0), len(ENDS), ENDS[-1]
    a, b = (
        rng.standard_normal((total, 80)).astype(np.float16),
        rng.standard_normal((groups if which is grouped_rows else 1, 80, 100)).astype(np.float16),
    )
    s, c = Ragged(groups, total, total, 100, 80, 80, 100, 8000, False, False), np.zeros((total, 100), np.float16)
    if which is grouped_sums:
        b, c = rng.standard_normal((total, 100)).astype(np.float16), np.zeros((groups, 80, 100), np.float16)
        s = Ragged(groups, total, 80, 100, total, 80, 100, 0, True, False)
    ends = np.array(ENDS)
    return which.program(4, load("910b1"), (a, b, ends, c, s, (64, 64, 32, 64)), {}), [a, b, ends, c]  # type: ignore[attr-defined]


@pytest.mark.parametrize("which", [grouped_rows, grouped_sums])
def test_any_legal_order_gives_the_same_bytes(which: object) -> None:
    call, arrays = call_of(which)
    pointers = [a.ctypes.data for a in arrays]
    call.traced.run(pointers)
    expected = arrays[3].copy()
    assert np.abs(expected).max() > 1
    for seed in range(12):
        arrays[3][:] = 0
        call.traced.executor.run_random(call.traced.blocks, pointers, seed, seed % 3)
        np.testing.assert_array_equal(arrays[3], expected)


@pytest.mark.parametrize("which", [grouped_rows, grouped_sums])
def test_the_check_follows_a_typical_routing_and_every_sync_is_needed_there(which: object) -> None:
    traced = call_of(which)[0].traced
    result = proof(traced, ((), ()))
    assert result.clean, str(result)
    assert "depends on data" in str(result)  # where groups end decides what runs: never called proved
    assert [m.group.name for m in mutation.mutants(traced) if m.redundant] == []


def test_the_clock_takes_groups_for_equally_large() -> None:
    x, w = al.empty(4096, 1024, dtype=al.float16, device="meta"), al.empty(8, 1024, 2048, dtype=al.float16, device="meta")
    ends = al.empty(8, dtype=al.int64, device="meta")
    grouped = al.npu.estimate(lambda a, b, c: al.grouped_mm(a, b, offs=c), x, w, ends, chip="910b1").device_us
    dense = al.npu.estimate(lambda a, b: a @ b[0], x, w, chip="910b1").device_us
    assert dense < grouped < 2 * dense
