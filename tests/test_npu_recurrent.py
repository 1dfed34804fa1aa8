"""Recurrent layers on the NPU: a product and a kernel for the gates a step, with the CPU's values and gradients, in every numerics mode."""

from __future__ import annotations

from typing import Any

import pytest

import ascendlite as al

LAYERS = [("LSTM", {}), ("GRU", {}), ("RNN", {}), ("RNN", {"nonlinearity": "relu"})]
NAMES = ["lstm", "gru", "tanh", "relu"]
SHAPES = [(5, 3, 7, 10), (4, 70, 16, 24), (3, 2, 20, 700)]  # steps, batch, inputs, hidden


def found(name: str, options: dict[str, Any], shape: tuple[int, int, int, int], device: str, dtype: al.dtype = al.float32) -> tuple[list[al.Tensor], Any]:
    """Outputs, last states and all gradients; and what the device ran."""
    T, B, I, H = shape
    al.manual_seed(0)
    net = getattr(al.nn, name)(I, H, num_layers=2, bidirectional=True, **options).to(dtype)
    x, g = al.randn(T, B, I).to(dtype), al.randn(T, B, 2 * H).to(dtype)
    net, x = net.to(device), x.to(device).requires_grad_()
    with al.npu.profiler.profile() as p:
        y, last = net(x)
        states = list(last) if isinstance(last, tuple) else [last]
        grads = al.autograd.grad((y * g.to(device)).sum() + sum(s.sum() for s in states), [x, *net.parameters()])
    return [t.detach().float().cpu() for t in (y, *states, *grads)], p.tasks


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_layers_and_their_gradients_equal_those_of_the_cpu(name: str, options: dict[str, Any], shape: tuple[int, int, int, int], dtype: str) -> None:
    want, _ = found(name, options, shape, "cpu", getattr(al, dtype))
    got, tasks = found(name, options, shape, "npu", getattr(al, dtype))
    assert not [t.name for t in tasks if t.kind == "AI_CPU"]
    tolerance = {"float32": 2e-6, "float16": 4e-3}[dtype]
    for g, w in zip(got, want, strict=True):
        assert (g - w).abs().max().item() <= tolerance * w.abs().max().item()


@pytest.mark.parametrize("numerics", ["fp32", "fp64"])
@pytest.mark.parametrize(("name", "options"), LAYERS, ids=NAMES)
def test_every_numerics_mode(name: str, options: dict[str, Any], numerics: str) -> None:
    want, _ = found(name, options, SHAPES[0], "cpu")
    with al.npu.numerics(numerics):
        got, _ = found(name, options, SHAPES[0], "npu")
    for g, w in zip(got, want, strict=True):
        assert (g - w).abs().max().item() <= 2e-6 * w.abs().max().item()


@pytest.mark.parametrize("of", ["output", "cell"])
def test_gradients_of_one_result_alone(of: str) -> None:
    al.manual_seed(0)
    net, x = al.nn.LSTM(6, 9), al.randn(4, 3, 6)
    grads = []
    for device in ("cpu", "npu"):
        net, moved = net.to(device), x.to(device).requires_grad_()
        y, (_, c) = net(moved)
        grads.append(al.autograd.grad((y if of == "output" else c).sum(), moved)[0].cpu())
    assert (grads[1] - grads[0]).abs().max().item() <= 2e-6 * grads[0].abs().max().item()


def test_the_gradient_of_a_gradient_is_that_of_the_cpu() -> None:
    al.manual_seed(0)
    net, x = al.nn.GRU(3, 4), al.randn(3, 2, 3)
    seconds = []
    for device in ("cpu", "npu"):
        net, moved = net.to(device), x.to(device).requires_grad_()
        (first,) = al.autograd.grad(net(moved)[0].square().sum(), moved, create_graph=True)
        seconds.append(al.autograd.grad(first.square().sum(), moved)[0].cpu())
    assert (seconds[1] - seconds[0]).abs().max().item() <= 1e-5 * seconds[0].abs().max().item()


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=NAMES)
def test_a_step_is_two_tasks(name: str, options: dict[str, Any]) -> None:
    net = getattr(al.nn, name)(64, 96, device="meta", **options)
    few, many = (al.npu.estimate(lambda x: net(x)[0], al.empty(steps, 16, 64, device="meta")).rows for steps in (10, 30))
    assert (len(many) - len(few), {row.kind for row in many} & {"AI_CPU"}) == (2 * 20, set())
