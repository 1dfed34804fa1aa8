"""Cross-entropy and nll_loss on the NPU: weights of classes, smoothed labels, ignored rows; on the cores in every form."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

import ascendlite as al

F = al.nn.functional
SHAPES = ((70, 40), (5, 300), (70, 1999), (5, 9001), (3, 20000), (2, 50257), (60, 20000))
FORMS = [("cross_entropy", s, w) for s, w in itertools.product((0.0, 0.1), (False, True))] + [("nll_loss", 0.0, False), ("nll_loss", 0.0, True)]
TOLERANCE = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}


def found(form: tuple[str, float, bool], shape: tuple[int, int], dtype: str, reduction: str, device: str) -> tuple[list[al.Tensor], Any]:
    """Loss and gradient of the logits, and what the device ran."""
    name, smoothing, weighted = form
    al.manual_seed(0)
    x = al.randn(*shape)
    x = (x.log_softmax(1) if name == "nll_loss" else x).to(getattr(al, dtype))
    weight = (al.rand(shape[1]) + 0.5).to(x.dtype).to(device) if weighted else None
    target = al.arange(shape[0]) * 37 % shape[1]
    target[1] = -100
    more = {"label_smoothing": smoothing} if smoothing else {}
    x, target = x.to(device).requires_grad_(), target.to(device)
    scale = al.arange(shape[0], dtype=al.float32).cos().to(device)
    with al.npu.profiler.profile() as p:
        y = getattr(F, name)(x, target, weight, reduction=reduction, **more)
        (g,) = al.autograd.grad((y.float() * scale).sum() if reduction == "none" else y, x)
    return [y.detach().float().cpu(), g.float().cpu()], p.tasks


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f"{f[0]}-{f[1]}-{'weighted' if f[2] else 'plain'}")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_losses_and_gradients_equal_those_of_the_cpu_and_run_on_the_cores(form: tuple[str, float, bool], shape: tuple[int, int], dtype: str) -> None:
    for reduction in ("mean", "sum", "none"):
        want, _ = found(form, shape, dtype, reduction, "cpu")
        got, tasks = found(form, shape, dtype, reduction, "npu")
        assert not [t.name for t in tasks if t.kind == "AI_CPU"]
        for g, w in zip(got, want, strict=True):
            assert (g - w).abs().max().item() <= TOLERANCE[dtype] * w.abs().max().item()


@pytest.mark.parametrize("columns", [30, 20000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_ignored_row_may_hold_anything(columns: int, smoothing: float) -> None:
    x, target = al.zeros(5, columns), al.tensor([0, 1, -100, -100, 2])
    x[2], x[3, 0] = math.nan, math.inf
    for reduction in ("mean", "sum", "none"):
        want, got = (F.cross_entropy(x.to(d), target.to(d), reduction=reduction, label_smoothing=smoothing).cpu() for d in ("cpu", "npu"))
        assert (got - want).abs().max().item() <= 1e-5 * math.log(columns)


def test_the_first_class_that_does_not_exist_is_named() -> None:
    for more in ({"label_smoothing": 0.1}, {"weight": al.ones(9, device="npu")}):
        with pytest.raises(IndexError, match="Target 9 is out of bounds"):
            F.cross_entropy(al.zeros(2, 9, device="npu"), al.tensor([1, 9], device="npu"), **more)
            al.npu.synchronize()


@pytest.mark.parametrize(("smoothing", "weighted", "reads"), [(0.1, False, 3.5), (0.0, True, 3.5), (0.1, True, 4.5)])
def test_a_loss_of_a_vocabulary_takes_a_few_reads_of_its_logits(smoothing: float, weighted: bool, reads: float) -> None:
    x, target = al.empty(4096, 32000, device="meta").requires_grad_(), al.empty(4096, dtype=al.int64, device="meta")
    weight = al.empty(32000, device="meta") if weighted else None
    told = al.npu.estimate(lambda x, t: al.autograd.grad(F.cross_entropy(x, t, weight, label_smoothing=smoothing), x), x, target, chip="910b2")
    assert told.device_us < 1.5 * reads * x.nbytes / 1.6e12 * 1e6
