"""Compiled functions: what they replay equals eager, what they depend on is guarded, what they can't replay is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite as al
from ascendlite import nn
from ascendlite.errors import CompileError, GradError
from tests import opcheck
from tests.cases import all_cases
from tests.opcase import Case

pytest.importorskip("numba")

ROWS = [pytest.param(case, id=f"{family}-{case.name}") for family, case in all_cases() if not case.base.startswith("empty")]  # without values


def replays(compiled: Any) -> int:
    """How many forms were captured."""
    return len(compiled.reports())


def assert_close(a: Any, b: Any, tolerance: float = 2e-5) -> None:
    if isinstance(b, al.Tensor):
        assert a.dtype is b.dtype and a.shape == b.shape
        x, y = a.detach().double().numpy(), b.detach().double().numpy()
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)
    elif isinstance(b, (tuple, list)):
        for x, y in zip(a, b, strict=True):
            assert_close(x, y, tolerance)
    else:
        assert a == b


def tensors_of(case: Case, seed: int) -> list[al.Tensor]:
    """The inputs of a row in its first dtype, drawn from a seed."""
    return opcheck.draw(case, case.dtypes[0], seed=seed)


@pytest.mark.parametrize("case", ROWS)
def test_a_row_compiled_equals_eager_or_is_refused_by_name(case: Case) -> None:
    compiled = al.compile(case.call)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for seed in (1, 2, 2):
            al.manual_seed(seed)
            expected = case.call(*tensors_of(case, seed))
            state = al.get_rng_state().tolist()
            al.manual_seed(seed)
            result = compiled(*tensors_of(case, seed))
            assert_close(result, expected)
            assert al.get_rng_state().tolist() == state
    if compiled.refused is None:
        assert replays(compiled) >= 1
    else:
        assert any(compiled.refused in str(w.message) for w in told)


@pytest.mark.parametrize("case", [p for p in ROWS if p.values[0].grad and p.values[0].dtypes[0] == "float32"])
def test_the_gradient_of_a_compiled_row_equals_eager(case: Case) -> None:
    def run(fn: Callable[..., Any], seed: int) -> list[al.Tensor]:
        al.manual_seed(seed)
        inputs = tensors_of(case, seed)
        for x, spec in zip(inputs, case.inputs, strict=True):
            x.requires_grad_(x.is_floating_point() and spec.grad)
        outputs = [y for y in opcheck.as_tuple(fn(*inputs)) if y.requires_grad]
        sum((y * y.detach().cos()).sum() for y in outputs).backward()
        return [x.grad for x in inputs if x.grad is not None]

    compiled = al.compile(case.call)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in (1, 2, 2):
            expected = run(case.call, seed)
            assert_close(run(compiled, seed), expected, 1e-4)


def chain(x: al.Tensor, w: al.Tensor) -> al.Tensor:
    for _ in range(10):
        x = x * w + w
    return x


def test_a_chain_becomes_one_kernel() -> None:
    compiled = al.compile(chain)
    x, w = al.randn(8, 8), al.randn(8, 8)
    assert_close(compiled(x, w), chain(x, w))
    assert_close(compiled(w, x), chain(w, x))
    report = compiled.reports()[0]
    assert (report.captured, report.steps, report.fused_kernels, report.fused_ops) == (20, 1, 1, 20)
    assert report.arena_bytes == 0


def test_dead_work_is_dropped() -> None:
    compiled = al.compile(lambda x: (x.exp(), x * 2)[1])
    x = al.randn(5)
    assert_close(compiled(x), x * 2)
    assert_close(compiled(x), x * 2)
    assert compiled.reports()[0].steps == 1


def test_each_shape_dtype_and_mode_is_captured_for_itself() -> None:
    compiled = al.compile(lambda x: x * x.shape[0])
    for x in (al.ones(2), al.ones(3), al.ones(3, dtype=al.float64), al.ones(3, 2).T, al.ones(2)):
        assert_close(compiled(x), x * x.shape[0])
    assert replays(compiled) == 4
    with al.no_grad():
        compiled(al.ones(2))
    assert replays(compiled) == 5


def test_python_values_are_guarded() -> None:
    factor, box, table = 2.0, {"bias": 1}, [3]

    def f(x: al.Tensor) -> al.Tensor:
        return x * factor + box["bias"] + table[0]

    compiled, x = al.compile(f), al.randn(4)
    for value in (2.0, 2.0, 5.0):
        factor = value
        assert_close(compiled(x), f(x))
    box["bias"] = 7
    assert_close(compiled(x), f(x))
    table[0] = -1
    assert_close(compiled(x), f(x))
    assert compiled.refused is None


def test_attributes_of_modules_are_guarded() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor, self.weight = 2.0, nn.Parameter(al.ones(3))

        def forward(self, x: al.Tensor) -> al.Tensor:
            return x * self.weight * (self.factor if self.training else 1.0)

    model = Scaled()
    compiled, x = al.compile(model), al.randn(3)
    for change in (lambda: None, lambda: None, lambda: setattr(model, "factor", 3.0), model.eval, lambda: setattr(model, "weight", nn.Parameter(al.zeros(3)))):
        change()
        assert_close(compiled(x), model(x))
    with al.no_grad():
        model.weight.fill_(4.0)
    assert_close(compiled(x), model(x))


def test_writes_to_arguments_views_and_buffers_are_seen() -> None:
    total = al.zeros(3)

    def f(x: al.Tensor) -> al.Tensor:
        x[1:].mul_(2)
        total.add_(x)
        return x.sum()

    compiled = al.compile(f)
    x, y = al.tensor([1.0, 2.0, 3.0]), al.tensor([1.0, 2.0, 3.0])
    expected = al.zeros(3)
    for _ in range(3):
        version = x._version
        assert_close(compiled(x), (y[0] + y[1:].mul_(2).sum()))
        expected += y
        assert_close(x, y)
        assert_close(total, expected)
        assert x._version > version


def test_arguments_that_share_memory_are_told_from_those_that_do_not() -> None:
    def f(x: al.Tensor, y: al.Tensor) -> al.Tensor:
        x.add_(1)
        return x * y

    compiled = al.compile(f)
    compiled(al.zeros(4), al.ones(4))
    both = al.ones(4)
    assert compiled(both, both).tolist() == [4.0] * 4
    assert compiled(al.zeros(4), al.ones(4)).tolist() == [1.0] * 4


def test_results_are_fresh_tensors() -> None:
    compiled = al.compile(lambda x: (x + 1).view(2, 2))
    a, b = compiled(al.zeros(4)), compiled(al.ones(4))
    c = compiled(al.full((4,), 2.0))
    assert (a.tolist(), b.tolist(), c.tolist()) == ([[1, 1], [1, 1]], [[2, 2], [2, 2]], [[3, 3], [3, 3]])


def test_constants_views_and_containers_come_back() -> None:
    compiled = al.compile(lambda x: {"range": al.arange(3), "view": x[1:], "same": x, "rest": (x.sum(), 5, None)})
    for _ in range(3):
        x = al.randn(3)
        made = compiled(x)
        assert made["range"].tolist() == [0, 1, 2] and made["same"] is x and made["rest"][1:] == (5, None)
        assert made["view"].data_ptr() == x[1:].data_ptr()
        assert_close(made["rest"][0], x.sum())


def test_random_ops_draw_what_eager_draws() -> None:
    def f(x: al.Tensor) -> al.Tensor:
        return nn.functional.dropout(x, 0.5) + al.randn(100)

    compiled, x = al.compile(f), al.ones(100)
    al.manual_seed(3)
    expected = [f(x) for _ in range(3)] + [al.rand(2)]
    al.manual_seed(3)
    assert_close([compiled(x) for _ in range(3)] + [al.rand(2)], expected, 0.0)


def test_backward_of_a_compiled_function_is_a_program() -> None:
    w = al.randn(4, 4, requires_grad=True)
    f = lambda x: ((x @ w).tanh() * x).sum()
    compiled = al.compile(f)
    for _ in range(3):
        x = al.randn(4, 4, requires_grad=True)
        gradients = []
        for g in (f, compiled):
            x.grad = w.grad = None
            g(x).backward()
            gradients.append((x.grad, w.grad))
        assert_close(gradients[1], gradients[0])
    assert len(compiled.reports()) == 2


def test_a_weight_written_between_forward_and_backward_is_an_error() -> None:
    w = al.randn(3, requires_grad=True)
    compiled = al.compile(lambda x: (x * w).sum())
    x = al.randn(3, requires_grad=True)
    compiled(x).backward()
    loss = compiled(x)
    with al.no_grad():
        w.mul_(2)
    with pytest.raises(GradError, match="modified by an inplace operation"):
        loss.backward()


def train(step: Callable[..., Any], model: nn.Module, steps: int) -> list[float]:
    al.manual_seed(1)
    return [step(al.randn(6, 5), al.randint(0, 3, (6,))).item() for _ in range(steps)]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad", "Lion"])
def test_a_compiled_training_step_trains_as_eager(kind: str) -> None:
    def build() -> tuple[nn.Module, Callable[..., Any], Any]:
        al.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3))
        optimizer = getattr(al.optim, kind)(model.parameters(), lr=0.05)
        schedule = al.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)

        def step(x: al.Tensor, y: al.Tensor) -> al.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            return loss.detach()

        return model, step, optimizer

    model, step, _ = build()
    expected = train(step, model, 9)
    model, step, optimizer = build()
    compiled = al.compile(step)
    found = train(compiled, model, 9)
    assert compiled.refused is None and replays(compiled) >= 1
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 / 8)


def test_gradients_accumulate_over_compiled_steps() -> None:
    w = al.ones(3, requires_grad=True)

    def step(x: al.Tensor) -> None:
        (x * w).sum().backward()

    compiled = al.compile(step)
    for k in range(1, 6):
        compiled(al.ones(3))
        assert w.grad.tolist() == [float(k)] * 3
    kept = w.grad
    w.grad = None
    compiled(al.ones(3))
    assert w.grad.tolist() == [1.0] * 3 and kept.tolist() == [5.0] * 3


def item(x: al.Tensor) -> Any:
    return x * x.sum().item()


def branch(x: al.Tensor) -> Any:
    return x if x.sum() > 0 else -x


def array(x: al.Tensor) -> Any:
    return x + float(x.numpy().sum())


def hooked(x: al.Tensor) -> Any:
    y = x * 2
    y.requires_grad_().register_hook(lambda g: g)
    return y


def printing(x: al.Tensor) -> Any:
    print("x")
    return x + 1


@pytest.mark.parametrize("fn, named", [(item, "item"), (branch, "bool"), (array, "numpy"), (hooked, "hook"), (printing, "print")])
def test_what_cannot_be_replayed_runs_eagerly_and_is_named_once(fn: Callable[..., Any], named: str) -> None:
    compiled = al.compile(fn)
    with pytest.warns(UserWarning, match=rf"{fn.__name__} can't be replayed: .*{named}.*test_compile.py:\d+") as told:
        for x in (al.ones(2), -al.ones(2), al.ones(2)):
            assert_close(compiled(x), fn(x))
    assert len(told) == 1 and named in compiled.refused
    with pytest.raises(CompileError, match=named):
        al.compile(fn, fullgraph=True)(al.ones(2))


def test_a_counter_in_python_is_refused_by_name() -> None:
    count = 0

    def f(x: al.Tensor) -> al.Tensor:
        nonlocal count
        count += 1
        return x * count

    compiled = al.compile(f)
    with pytest.warns(UserWarning, match="changes the Python value count"):
        assert [compiled(al.ones(1)).item() for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_an_iterator_is_refused_by_name() -> None:
    batches = iter([al.ones(1), al.zeros(1), al.ones(1)])
    compiled = al.compile(lambda: next(batches) * 2)
    with pytest.warns(UserWarning, match="iterator 'batches'"):
        assert [compiled().item() for _ in range(3)] == [2, 0, 2]


def test_errors_of_kernels_reach_the_caller() -> None:
    compiled = al.compile(lambda x, i: x[i] * 1)
    for _ in range(2):
        compiled(al.ones(4), al.tensor([1, 3]))
    with pytest.raises(IndexError):
        compiled(al.ones(4), al.tensor([1, 4]))


def test_the_number_of_threads_is_not_seen() -> None:
    f = al.compile(lambda x: ((x * 3 + 1).sigmoid() * x).relu())
    x, found, threads = al.randn(100_003), [], al.get_num_threads()
    f(x)
    try:
        for n in (1, 2, 3):
            al.set_num_threads(n)
            found.append(f(x).numpy().tobytes())
    finally:
        al.set_num_threads(threads)
    assert len(set(found)) == 1


def test_the_forms_that_torch_users_expect() -> None:
    @al.compile
    def f(x: al.Tensor) -> al.Tensor:
        return x + 1

    @al.compile(fullgraph=True)
    def g(x: al.Tensor) -> al.Tensor:
        return x + 2

    assert f(al.zeros(1)).item() == 1 and g(al.zeros(1)).item() == 2 and f.__name__ == "f"
    model = nn.Linear(2, 2)
    compiled = al.compile(model)
    assert list(compiled.parameters()) == list(model.parameters()) and compiled.weight is model.weight
    compiled(al.ones(1, 2))
    assert "1 captured forms" in compiled.explain()
    with pytest.raises(CompileError, match="dynamic=True"):
        al.compile(f, dynamic=True)
