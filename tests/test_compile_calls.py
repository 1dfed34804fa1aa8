"""Calls of compiled functions: arguments and results of every form, copies, threads, errors, and what a caller does with results and graphs."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections import OrderedDict, namedtuple
from typing import Any

import pytest

import ascendlite as al
from ascendlite import nn
from ascendlite.errors import GradError

pytest.importorskip("numba")

Pair = namedtuple("Pair", "a b")


def double(x: al.Tensor) -> al.Tensor:
    return x * 2 + 1


def test_a_tensor_returned_twice_is_one_tensor_with_one_gradient() -> None:
    compiled = al.compile(lambda x: (y := x * 3, y, {"y": y}))
    for _ in range(3):
        x = al.ones(2, requires_grad=True)
        a, b, c = compiled(x)
        assert a is b and c["y"] is a
        (a + b).sum().backward()
        assert x.grad.tolist() == [6.0, 6.0]


def test_containers_of_results_keep_their_types() -> None:
    compiled = al.compile(lambda x: (Pair(x + 1, [x * 2]), OrderedDict(z=x - 1, a=(x,))))
    for _ in range(3):
        pair, table = compiled(al.ones(1))
        assert type(pair) is Pair and type(pair.b) is list and type(table) is OrderedDict and list(table) == ["z", "a"]
        assert (pair.a.item(), pair.b[0].item(), table["z"].item(), table["a"][0].item()) == (2, 2, 0, 1)


def test_arguments_of_every_form_are_part_of_the_form() -> None:
    def f(x: al.Tensor, scale: float = 1.0, *, parts: Any = (), flag: bool = False) -> al.Tensor:
        y = x * scale
        for p in parts:
            y = y + p["w"]
        return -y if flag else y

    compiled, x = al.compile(f), al.ones(2)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((x,), {}), ((x, 2.0), {}), ((x,), {"scale": 2}), ((x, -0.0), {}), ((x, 0.0), {}), ((x, True), {"flag": True}), ((x, 1), {"flag": 1}),
        ((x,), {"parts": [{"w": x}]}), ((x,), {"parts": ({"w": x}, {"w": x})}),
    ]
    for _ in range(2):
        for args, kwargs in calls:
            made, expected = compiled(*args, **kwargs), f(*args, **kwargs)
            assert made.tolist() == expected.tolist() and str(made.tolist()) == str(expected.tolist())
    assert compiled.refused is None and len(compiled.reports()) == len(calls)


def test_a_result_written_before_its_gradient_is_asked_for_is_an_error() -> None:
    compiled = al.compile(lambda x: x.exp())
    x = al.zeros(3, requires_grad=True)
    compiled(x).sum().backward()
    y = compiled(x)
    with al.no_grad():
        y.mul_(5)
    with pytest.raises(GradError, match="modified by an inplace operation"):
        y.sum().backward()


def test_graphs_of_compiled_functions_are_kept_used_once_and_not_differentiated_again() -> None:
    compiled = al.compile(lambda x: (x * x).sum())
    for _ in range(2):
        x = al.ones(2, requires_grad=True)
        y = compiled(x)
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.tolist() == [4.0, 4.0]
        with pytest.raises(GradError, match="second time"):
            y.backward()
    with pytest.raises(GradError, match="create_graph=True is not possible through a compiled function"):
        al.autograd.grad(compiled(x), x, create_graph=True)


def test_hooks_on_results_and_arguments_run() -> None:
    compiled, seen = al.compile(double), []
    for _ in range(3):
        x = al.ones(1, requires_grad=True)
        x.register_hook(lambda g: seen.append(g.item()))
        y = compiled(x)
        y.register_hook(lambda g: g * 10)
        y.sum().backward()
    assert seen == [20.0] * 3


def test_a_new_leaf_that_requires_a_gradient_is_refused_by_name() -> None:
    compiled = al.compile(lambda x: (x * 2).detach().requires_grad_())
    with pytest.warns(UserWarning, match="requires a gradient itself"):
        assert all(compiled(al.ones(1)).requires_grad for _ in range(3))


def test_copies_and_pickles_capture_for_themselves() -> None:
    model = al.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    x = al.randn(5, 3)
    expected = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for _ in range(3):
            assert other(x).tolist() == expected.tolist()
        with al.no_grad():
            next(other.parameters()).zero_()
        assert other(x).tolist() != expected.tolist() and model(x).tolist() == expected.tolist()
        assert len(other.state_dict()) == len(model.state_dict())
    assert pickle.loads(pickle.dumps(al.compile(double)))(al.ones(1)).item() == 3


def test_compiled_functions_call_each_other_and_themselves() -> None:
    inner = al.compile(double)

    @al.compile
    def outer(x: al.Tensor, depth: int) -> al.Tensor:
        return inner(x) if depth == 0 else outer(x, depth - 1) + inner(x)

    for _ in range(3):
        assert outer(al.ones(1), 2).item() == 9
    assert outer.refused is None and inner(al.ones(1)).item() == 3


def test_an_error_inside_reaches_the_caller_and_later_calls_work() -> None:
    limit = 2

    def f(x: al.Tensor) -> al.Tensor:
        if x.shape[0] > limit:
            raise ValueError("too long")
        return x + 1

    compiled = al.compile(f)
    for n in (1, 3, 1, 3, 2):
        if n > limit:
            with pytest.raises(ValueError, match="too long"):
                compiled(al.zeros(n))
        else:
            assert compiled(al.zeros(n)).tolist() == [1.0] * n
    assert compiled.refused is None


def test_threads_share_a_compiled_function() -> None:
    compiled, wrong = al.compile(lambda x: (x * 2 + 1).sigmoid().sum()), []

    def work(seed: int) -> None:
        for k in range(30):
            x = al.full((8 if k % 2 else 60_000,), float(seed), requires_grad=True)
            y = compiled(x)
            y.backward()
            z = (x.detach() * 2 + 1).sigmoid()
            if abs(y.item() - z.sum().item()) > 1e-3 * abs(y.item()) or not al.allclose(x.grad, 2 * z * (1 - z), atol=1e-5):
                wrong.append((seed, k))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_shapes_without_end_are_given_up_with_a_notice() -> None:
    compiled = al.compile(double)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for n in range(1, 80):
            assert compiled(al.ones(n)).tolist() == [3.0] * n
    assert len(told) == 1 and "forms of it were captured" in str(told[0].message) and compiled.refused is not None


@pytest.mark.parametrize("region", [al.no_grad, al.inference_mode, lambda: al.autocast("cpu", dtype=al.bfloat16)])
def test_regions_around_a_call_are_part_of_the_form(region: Any) -> None:
    w = al.randn(4, 4, requires_grad=True)
    f = lambda x: x @ w
    compiled, x = al.compile(f), al.randn(4, 4)
    for inside in (False, True, False, True):
        if inside:
            with region():
                made, expected = compiled(x), f(x)
        else:
            made, expected = compiled(x), f(x)
        assert made.tolist() == expected.tolist()
        assert (made.dtype, made.requires_grad, made.is_inference()) == (expected.dtype, expected.requires_grad, expected.is_inference())


def test_a_gradient_that_cannot_be_made_is_an_error_only_when_it_is_asked_for() -> None:
    class Square(al.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: al.Tensor) -> al.Tensor:
            return x * x

        @staticmethod
        def backward(ctx: Any, g: al.Tensor) -> al.Tensor:
            raise RuntimeError("no gradient here")

    compiled = al.compile(lambda x: Square.apply(x) + 1)
    x = al.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="no gradient here"):
        assert [compiled(x).item() for _ in range(3)] == [2.0] * 3
    with pytest.raises(RuntimeError, match="no gradient here"):
        compiled(x).backward()
