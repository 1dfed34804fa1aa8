"""Optimizers and gradient clipping on the NPU: one launch for many tensors, and the CPU's values."""

from __future__ import annotations

import math
from typing import Any

import pytest

import ascendlite as al
from ascendlite.ops import fused_optim

SHAPES = ((7,), (300, 41), (), (0, 3), (1,), (5000,), (64, 128), (3, 5))
RULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "adamw": (al.optim.AdamW, {"weight_decay": 0.1}), "adam": (al.optim.Adam, {}), "adam-decay": (al.optim.Adam, {"weight_decay": 0.1}),
    "adam-maximize": (al.optim.Adam, {"maximize": True}), "amsgrad": (al.optim.AdamW, {"amsgrad": True}),
    "sgd": (al.optim.SGD, {}), "sgd-decay": (al.optim.SGD, {"weight_decay": 0.1, "maximize": True}),
    "momentum": (al.optim.SGD, {"momentum": 0.9, "dampening": 0.2}), "nesterov": (al.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
}
TOLERANCE = {al.float32: 1e-6, al.bfloat16: 1e-2, al.float16: 2e-3}  # 16-bit parameters: one rounding apart


def values(seed: int, dtype: al.dtype) -> list[al.Tensor]:
    generator = al.Generator().manual_seed(seed)
    return [al.randn(*shape, generator=generator).to(dtype) for shape in SHAPES]


def trained(device: str, rule: str, dtype: al.dtype) -> list[al.Tensor]:
    kind, options = RULES[rule]
    params = [al.nn.Parameter(v.to(device)) for v in values(0, dtype)]
    optimizer = kind(params, lr=1e-2, **options)
    for step in range(3):
        for p, g in zip(params, values(step + 1, dtype), strict=True):
            p.grad = g.to(device)
        optimizer.step()
    return [p.detach().cpu().float() for p in params]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_steps_are_the_cpus(rule: str, dtype: al.dtype) -> None:
    for ours, reference in zip(trained("npu", rule, dtype), trained("cpu", rule, dtype), strict=True):
        assert al.allclose(ours, reference, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_many_tensors_take_one_launch() -> None:
    params = [al.nn.Parameter(al.ones(10 + k, device="npu")) for k in range(30)]
    for p in params:
        p.grad = p.detach() * 2
    optimizer = al.optim.AdamW(params, lr=1e-2)
    optimizer.step()
    with al.npu.profiler.profile() as trace:
        norm = al.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
    calls = {row.name: (row.kind, row.calls) for row in trace.operators()}
    assert all(calls[name] == ("AI_VECTOR_CORE", 1) for name in ("adam_step", "total_norm", "scale_all"))
    assert "AI_CPU" not in {kind for kind, _ in calls.values()}
    assert norm.item() == pytest.approx(2 * math.sqrt(sum(p.numel() for p in params)))
    assert sum(float(p.grad.square().sum()) for p in params) == pytest.approx(1.0, rel=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("order", [2.0, math.inf, 1.0])
def test_norms_of_all_tensors(order: float, dtype: al.dtype) -> None:
    tensors = values(3, dtype)
    norm = fused_optim.grad_norm([t.to("npu") for t in tensors], order)
    assert norm.device == al.device("npu:0")
    assert norm.item() == pytest.approx(float(al.cat([t.double().flatten() for t in tensors]).norm(order)), rel=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_seen(bad: float, dtype: al.dtype) -> None:
    tensors = values(4, dtype)
    tensors[5][4999] = bad
    for order in (2.0, math.inf):
        assert not math.isfinite(fused_optim.grad_norm([t.to("npu") for t in tensors], order).item())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_scaling_reaches_strided_tensors_too(dtype: al.dtype) -> None:
    tensors = [t.to("npu") for t in values(5, dtype)]
    tensors[1] = tensors[1].t()
    expected = [(t.cpu().float() * 0.25).to(dtype) for t in tensors]
    fused_optim.scale_(tensors, 0.25)
    assert all(al.equal(t.cpu(), e) for t, e in zip(tensors, expected, strict=True))


def test_no_tensors_have_norm_zero() -> None:
    assert fused_optim.grad_norm([al.ones(0, device="npu")]).item() == fused_optim.grad_norm([]).item() == 0.0


@pytest.mark.parametrize("kind", [al.optim.AdamW, al.optim.SGD])
def test_parameters_of_several_devices(kind: Any) -> None:
    params = [al.nn.Parameter(al.ones(3, device=device)) for device in ("cpu", "npu:0", "npu:1")]
    for p in params:
        p.grad = al.full_like(p, 3.0)
    assert al.nn.utils.clip_grad_norm_(params, 1.0).item() == pytest.approx(9.0)
    kind(params, lr=0.5).step()
    assert params[1].tolist() == params[2].tolist() == pytest.approx(params[0].tolist())
    assert params[0].tolist() != [1.0] * 3
