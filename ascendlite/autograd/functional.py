"""Derivatives of functions of tensors: Jacobians, Hessians, and products with them, with the names of `torch.autograd.functional`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ascendlite.core import FUNCTIONS, Tensor, enable_grad, ones_like, zeros_like
from ascendlite.core.autograd import grad as _grad
from ascendlite.errors import ArgumentError, GradError, ShapeError

Tensors = Tensor | tuple[Tensor, ...]


def _tuple(op: str, name: str, x: Any) -> tuple[Tensor, ...]:
    items = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    for item in items:
        if not isinstance(item, Tensor):
            raise TypeError(f"{op}(): {name} must be a Tensor or a tuple of Tensors, not {type(item).__name__}")
    return items


def _like(whole: Any, items: Sequence[Any]) -> Any:
    return tuple(items) if isinstance(whole, (tuple, list)) else items[0]


def _traced(op: str, func: Callable[..., Any], inputs: Any, create_graph: bool) -> tuple[tuple[Tensor, ...], Any, tuple[Tensor, ...]]:
    """(inputs that need a gradient, what `func` returns of them, the same as a tuple)."""
    given = _tuple(op, "inputs", inputs)
    xs = tuple(x.view(x.shape) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in given)
    with enable_grad():
        y = func(*xs)
    return xs, y, _tuple(op, "the result of func", y)


def _gradients(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], seeds: Any, create_graph: bool, op: str, strict: bool) -> tuple[Tensor, ...]:
    pairs = [(y, s) for y, s in zip(outputs, seeds, strict=True) if y.requires_grad]
    found: tuple[Any, ...] = (None,) * len(inputs)
    if pairs:
        found = _grad([y for y, _ in pairs], inputs, [s for _, s in pairs], retain_graph=True, create_graph=create_graph, allow_unused=True)
    if strict and any(g is None for g in found):
        raise GradError(f"{op}: input {next(k for k, g in enumerate(found) if g is None)} is independent of the outputs; strict=False gives zeros")
    return tuple(zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True))


def _seeds(op: str, v: Any, like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise ShapeError(f"{op}: v may be left out only where there is one element; the shapes are {[tuple(t.shape) for t in like]}")
        return (ones_like(like[0]),)
    seeds = _tuple(op, "v", v)
    if [s.shape for s in seeds] != [t.shape for t in like]:
        raise ShapeError(f"{op}: v has the shapes {[tuple(s.shape) for s in seeds]}, but {[tuple(t.shape) for t in like]} are expected")
    return seeds


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), the product of `v` with the Jacobian)."""
    xs, y, ys = _traced("vjp", func, inputs, create_graph)
    found = _gradients(ys, xs, _seeds("vjp", v, ys), create_graph, "vjp", strict)
    return _finish(y, create_graph), _like(inputs, found)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), the product of the Jacobian with `v`), by the gradient of a gradient."""
    xs, y, ys = _traced("jvp", func, inputs, create_graph)
    along = _seeds("jvp", v, xs)
    dummies = tuple(zeros_like(t).requires_grad_() for t in ys)
    with enable_grad():
        products = _gradients(ys, xs, dummies, True, "jvp", strict)
        found = _gradients(products, dummies, along, create_graph, "jvp", False)
    return _finish(y, create_graph), _like(y, found)


def _finish(y: Any, create_graph: bool) -> Any:
    return y if create_graph else _like(y, [t.detach() for t in (y if isinstance(y, (tuple, list)) else (y,))])


def _check_strategy(op: str, strategy: str) -> None:
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(f"{op}: Expected strategy to be either 'forward-mode' or 'reverse-mode', got {strategy!r}")


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The derivative of each output (a tensor or a tuple) by each input: shape (*output, *input).

    `vectorize` and `strategy` ("reverse-mode", "forward-mode") change nothing here.

    >>> al.autograd.functional.jacobian(lambda x: x * x, al.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    _check_strategy("jacobian", strategy)
    xs, y, ys = _traced("jacobian", func, inputs, create_graph)
    rows = []
    for out in ys:
        flat = out.reshape(-1)
        found = [_gradients((flat[i],), xs, (ones_like(flat[i]),), create_graph, "jacobian", strict) for i in range(flat.numel())]
        rows.append(_like(inputs, [FUNCTIONS["stack"]([f[k] for f in found]).reshape(*out.shape, *x.shape) if found
                                   else x.new_zeros(*out.shape, *x.shape) for k, x in enumerate(xs)]))
    return _like(y, rows)


def _scalar(op: str, func: Callable[..., Any]) -> Callable[..., Tensor]:
    def checked(*xs: Tensor) -> Tensor:
        y = func(*xs)
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise ShapeError(f"{op}: func must return a Tensor with one element; got {tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__}")
        return y

    return checked


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function with one element: shape (*input, *input) for each pair of inputs.

    >>> al.autograd.functional.hessian(lambda x: (x ** 3).sum(), al.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    _check_strategy("hessian", outer_jacobian_strategy)
    single = _scalar("hessian", func)

    def gradient(*xs: Tensor) -> Any:
        found = _gradients((single(*xs),), xs, (None,), True, "hessian", strict)
        return _like(inputs, found)

    return jacobian(gradient, inputs, create_graph, strict)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), the product of `v` with the Hessian)."""
    xs, y, ys = _traced("vhp", _scalar("vhp", func), inputs, create_graph)
    along = _seeds("vhp", v, xs)
    with enable_grad():
        first = _gradients(ys, xs, (None,), True, "vhp", strict)
    return _finish(y, create_graph), _like(inputs, _gradients(first, xs, along, create_graph, "vhp", strict))


hvp = vhp  # the Hessian is symmetric
