"""What a compiled function reads of Python is looked at again at each call: code, defaults, classes, containers, optimizers, graphs of arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import ascendlite as al
from ascendlite import nn

pytest.importorskip("numba")


class Base:
    """Defines a value and a method."""

    scale = 2.0

    def apply(self, x: al.Tensor) -> al.Tensor:
        return x * 2


class Derived(Base):
    """Inherits both."""


def helper(x: al.Tensor, scale: float = 2.0, *, shift: float = 0.0) -> al.Tensor:
    return x * scale + shift


def class_value() -> tuple[Any, list[Callable[[], None]]]:
    kind = type("Kind", (Base,), {"scale": 2.0, "__module__": __name__})
    return lambda x: x * kind.scale, [lambda: setattr(kind, "scale", 5.0), lambda: delattr(kind, "scale")]


def inherited_value() -> tuple[Any, list[Callable[[], None]]]:
    base = type("Root", (Base,), {"scale": 3.0, "__module__": __name__})
    kind = type("Kind", (base,), {"__module__": __name__})
    o = kind()
    return lambda x: x * o.scale, [lambda: setattr(base, "scale", 4.0), lambda: setattr(kind, "scale", 5.0), lambda: setattr(o, "scale", 6.0)]


def method() -> tuple[Any, list[Callable[[], None]]]:
    kind = type("Kind", (Derived,), {"__module__": __name__})
    o = kind()
    return lambda x: o.apply(x), [lambda: setattr(kind, "apply", lambda self, x: x * 7), lambda: setattr(o, "apply", lambda x: x * 8)]


def forward() -> tuple[Any, list[Callable[[], None]]]:
    kind = type("Layer", (nn.Module,), {"forward": lambda self, x: x * 2, "__module__": __name__})
    model = kind()
    return model, [lambda: setattr(kind, "forward", lambda self, x: x * 3), lambda: setattr(model, "forward", lambda x: x * 4)]


def code() -> tuple[Any, list[Callable[[], None]]]:
    def inner(x: al.Tensor, scale: float = 2.0, *, shift: float = 0.0) -> al.Tensor:
        return helper(x, scale, shift=shift)

    def replace_code() -> None:
        inner.__code__ = (lambda x, scale=1.0, *, shift=0.0: x * scale * 10).__code__

    return lambda x: inner(x), [lambda: setattr(inner, "__defaults__", (4.0,)), lambda: setattr(inner, "__kwdefaults__", {"shift": 1.0}), replace_code]


def containers() -> tuple[Any, list[Callable[[], None]]]:
    names, recent, raw, table = {1}, deque([1.0, 2.0]), bytearray(b"\1"), {"a": 1.0, "b": 2.0}

    def f(x: al.Tensor) -> al.Tensor:
        for key in table:
            x = x + 1 if key == "a" else x * 10
        return (x * 2 if 1 in names else x * 3) * recent[0] * raw[0]

    def swap() -> None:
        table["a"] = table.pop("a")

    return f, [lambda: names.discard(1), lambda: names.add(2), lambda: names.add(1), lambda: recent.rotate(), lambda: raw.__setitem__(0, 3), swap]


@pytest.mark.parametrize("made", [class_value, inherited_value, method, forward, code, containers])
def test_what_changes_in_python_is_seen(made: Any) -> None:
    f, changes = made()
    compiled, x = al.compile(f), al.ones(2)
    for change in (lambda: None, lambda: None, *changes, lambda: None):
        change()
        assert compiled(x).tolist() == f(x).tolist()
        assert compiled(x).tolist() == f(x).tolist()


def test_a_parameter_added_to_an_optimizer_is_trained() -> None:
    w, v = al.ones(1, requires_grad=True), al.ones(1, requires_grad=True)
    optimizer = al.optim.SGD([w], lr=1.0)

    @al.compile
    def step() -> None:
        optimizer.zero_grad()
        (w + v).sum().backward()
        optimizer.step()

    for _ in range(3):
        step()
    assert (w.item(), v.item(), v.grad.item()) == (-2.0, 1.0, 3.0)
    optimizer.add_param_group({"params": [v]})
    step()
    assert (w.item(), v.item(), v.grad.item()) == (-3.0, 0.0, 1.0)
    optimizer.load_state_dict(optimizer.state_dict())
    step()
    assert (w.item(), v.item()) == (-4.0, -1.0)


def test_gradients_set_to_none_inside_are_none_after() -> None:
    w = al.ones(2, requires_grad=True)
    optimizer = al.optim.SGD([w], lr=0.5)

    @al.compile
    def step() -> None:
        w.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(4):
        step()
        assert w.grad is None
    assert w.tolist() == [0.0, 0.0]


def test_the_graph_of_arguments_is_not_part_of_the_function() -> None:
    compiled, heard = al.compile(lambda x, y: (x * y).sum()), []
    for _ in range(3):
        x = al.ones(2, requires_grad=True)
        y = x * 3
        y.retain_grad()
        y.register_hook(lambda g: heard.append("y"))
        x.register_hook(lambda g: heard.append("x"))
        compiled(x, y).backward()
        assert y.grad.tolist() == [1.0, 1.0] and x.grad.tolist() == [6.0, 6.0]
    assert heard == ["y", "x"] * 3 and compiled.refused is None


def test_arguments_that_are_outputs_of_one_op_have_their_own_gradients() -> None:
    compiled = al.compile(lambda a, b: (a * b * b).sum())
    for _ in range(3):
        x = al.tensor([[2.0], [3.0]], requires_grad=True)
        compiled(*x.unbind()).backward()
        assert x.grad.tolist() == [[9.0], [12.0]]
