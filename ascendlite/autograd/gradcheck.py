"""Compare gradients with central differences, for people who write a `Function` or an op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ascendlite.core import _core
from ascendlite.core._core import Tensor
from ascendlite.core.autograd import grad
from ascendlite.errors import ArgumentError, GradError


class GradcheckError(GradError):
    """A gradient that differs from the numerical one."""


def _tensors(x: Any) -> tuple[Any, ...]:
    return (x,) if isinstance(x, Tensor) else tuple(x)


def _float_outputs(fn: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    return [o for o in _tensors(fn(*inputs)) if isinstance(o, Tensor) and o.is_floating_point()]


def _numerical(fn: Callable[..., Any], inputs: Sequence[Any], x: Tensor, eps: float) -> list[list[list[float]]]:
    # [output][input element] -> change of each output element
    columns: list[list[list[float]]] = [[] for _ in _float_outputs(fn, inputs)]
    flat = x.data.view(-1)
    for i in range(x.numel()):
        middle = flat[i].item()
        sides = []
        for side in (middle + eps, middle - eps):
            flat[i] = side
            sides.append([o.detach().clone().reshape(-1).tolist() for o in _float_outputs(fn, inputs)])
        flat[i] = middle
        for k, (up, down) in enumerate(zip(*sides, strict=True)):
            columns[k].append([(a - b) / (2 * eps) for a, b in zip(up, down, strict=True)])
    return columns


def _analytical(output: Tensor, x: Tensor) -> list[list[float]]:
    rows = []
    for j in range(output.numel()):
        seed = _core.zeros(tuple(output.shape), dtype=output.dtype)  # contiguous, whatever the output is
        seed.view(-1)[j] = 1.0
        (g,) = grad(output, x, seed, retain_graph=True, allow_unused=True)
        rows.append([0.0] * x.numel() if g is None else g.reshape(-1).tolist())
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(x.numel())]


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True,
    nondet_tol: float = 0.0, check_undefined_grad: bool = False, fast_mode: bool = False, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, check_batched_forward_grad: bool = False, check_forward_ad: bool = False,
    check_backward_ad: bool = True,
) -> bool:
    """Whether the gradients of `func` at `inputs` equal central differences. Use float64 inputs that require a gradient.

    >>> x = al.rand(3, dtype=al.float64, requires_grad=True)
    >>> al.autograd.gradcheck(al.exp, x)
    True
    """
    if check_batched_grad or check_batched_forward_grad or check_forward_ad or not check_backward_ad:
        raise ArgumentError("gradcheck: checks of batched or forward gradients are not supported: backward gradients, one by one, are checked")
    items = _tensors(inputs)
    checked = [x for x in items if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: expects at least one input tensor to require gradient, but none of them have requires_grad=True.")
    for k, x in enumerate(items):
        if isinstance(x, Tensor) and x.requires_grad and not x.is_contiguous():
            raise ValueError(f"gradcheck: input {k} of shape {tuple(x.shape)} is not contiguous; call contiguous() and requires_grad_() on it first")
    try:
        outputs = _float_outputs(func, items)
        for k, x in enumerate(checked):
            numerical = _numerical(func, items, x, eps)
            for j, output in enumerate(outputs):
                exact = _analytical(output, x) if output.requires_grad else [[0.0] * output.numel()] * x.numel()
                _compare(exact, numerical[j], j, k, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _compare(exact: list[list[float]], numerical: list[list[float]], j: int, k: int, atol: float, rtol: float) -> None:
    for i, (a_row, n_row) in enumerate(zip(exact, numerical, strict=True)):
        for m, (a, n) in enumerate(zip(a_row, n_row, strict=True)):
            if not abs(a - n) <= atol + rtol * abs(n):
                raise GradcheckError(f"Jacobian mismatch for output {j} with respect to input {k}: d output[{m}] / d input[{i}] is {a} by the graph "
                                     f"and {n} by central differences (atol {atol}, rtol {rtol})")


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True, **_: Any,
) -> bool:
    """Whether gradients of the gradients of `func` equal central differences of the gradients."""
    items = _tensors(inputs)
    outputs = _float_outputs(func, items)
    if grad_outputs is None:
        seeds = tuple(_core.FUNCTIONS["rand_like"](o.detach()).add_(0.5).requires_grad_() for o in outputs)
    else:
        seeds = tuple(g.detach().requires_grad_() for g in _tensors(grad_outputs))
    wanted = [k for k, x in enumerate(items) if isinstance(x, Tensor) and x.requires_grad]

    def gradient(*both: Any) -> tuple[Tensor, ...]:
        args, given = both[: len(items)], both[len(items) :]
        results = [(o, g) for o, g in zip(_float_outputs(func, args), given, strict=True) if o.requires_grad]
        with_graph = grad([o for o, _ in results], [args[k] for k in wanted], [g for _, g in results], create_graph=True, allow_unused=True)
        return tuple(g for g in with_graph if g is not None)

    return gradcheck(gradient, (*items, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
