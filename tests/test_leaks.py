"""Steady training holds steady memory: nothing is kept per step, by tensors, graphs, caches or the process."""

from __future__ import annotations

import gc
import resource

import pytest

import ascendlite as al
from ascendlite import cpu, nn


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def make_step() -> tuple[nn.Module, object]:
    al.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 10))
    optimizer = al.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = al.randn(8, 16), al.randint(0, 10, (8,))

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return model, step


def test_a_thousand_training_steps_hold_flat_memory() -> None:
    _, step = make_step()
    gc.disable()  # graphs must go without the cycle collector
    try:
        for _ in range(50):
            step()
        held, reserved, resident = cpu.memory_stats()["active"], cpu.memory_reserved(), resident_bytes()
        for _ in range(1000):
            step()
        assert cpu.memory_stats()["active"] == held
        assert cpu.memory_reserved() == reserved
        assert resident_bytes() - resident < 2 << 20
    finally:
        gc.enable()


def test_dropping_everything_frees_everything() -> None:
    gc.collect()
    before = cpu.memory_stats()["active"]
    model, step = make_step()
    for _ in range(3):
        step()
    del model, step
    gc.collect()
    assert cpu.memory_stats()["active"] <= before


@pytest.mark.parametrize("work", [
    lambda: (al.ones(4, requires_grad=True) * 2).sum().backward(),
    lambda: al.autograd.grad((al.ones(4, requires_grad=True) ** 3).sum(), [al.ones(4, requires_grad=True)], allow_unused=True),
    lambda: pytest.raises(RuntimeError, lambda: al.ones(2) @ al.ones(3)),
    lambda: al.ones(4)[al.tensor([0, 1])].numpy(),
    lambda: al.from_numpy(al.ones(4).numpy()),
], ids=["backward", "grad", "error", "index", "numpy"])
def test_repeated_work_leaves_no_blocks(work: object) -> None:
    for _ in range(3):
        work()  # type: ignore[operator]
    gc.collect()
    before = cpu.memory_stats()["active"]
    for _ in range(200):
        work()  # type: ignore[operator]
    gc.collect()
    assert cpu.memory_stats()["active"] <= before


def test_gradients_that_nobody_asked_for_are_let_go() -> None:
    index = al.tensor([[[1, 2], [0, 3]]])

    def step() -> None:
        x = al.randn(1, 2, 2).requires_grad_()
        al.zeros(1, 2, 4).scatter(-1, index, x * 2).sum().backward()  # the rule gives the zeros a gradient, too

    step()
    held = cpu.memory_allocated()
    for _ in range(10):
        step()
    assert cpu.memory_allocated() == held
