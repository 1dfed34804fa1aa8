"""Sinkhorn's normalisation of small matrices to (nearly) doubly stochastic ones: one kernel forward, one backward."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, float32, float64, function, is_grad_enabled
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.softmax import softmax

__all__ = ["sinkhorn"]

_MOST_ITERATIONS = 10_000  # a kernel can't be interrupted
_MOST_ROWS = 16  # what the kernel holds beside one another


def _plain_gradient(g: Tensor, x: Tensor, iterations: int, eps: float) -> Tensor:
    """The gradient in ops that can be differentiated: each step's is (g - sum(g a)) / divisor, with its result a."""
    p = softmax(x, -1)
    a, steps = p + eps, []
    for step in range(2 * iterations - 1):
        dim = -1 if step % 2 else -2
        divisor = a.sum(dim, keepdim=True) + eps
        a = a / divisor
        steps.append((a, divisor, dim))
    for a, divisor, dim in reversed(steps):
        g = (g - (g * a).sum(dim, keepdim=True)) / divisor
    return p * (g - (g * p).sum(-1, keepdim=True))


def _gradient(g, y, x, iterations, eps):
    return _plain_gradient(g, x, iterations, eps) if is_grad_enabled() else _sinkhorn_backward(g, x, iterations, eps)


_sinkhorn = Op(
    "sinkhorn",
    inputs=1,
    infer=lambda x, iterations, eps: x,
    cast="float32",
    cost=lambda x, iterations, eps: 4 * iterations * x.numel(),
    vjp=(_gradient,),
)
_sinkhorn_backward = Op("sinkhorn_backward", inputs=2, infer=lambda g, x, iterations, eps: x)


@function()
def sinkhorn(input: Tensor, iterations: int = 20, eps: float = 1e-6) -> Tensor:
    """Matrices, (..., n, n), whose columns sum to 1 and whose rows nearly do.

    softmax of each row, + eps, then columns divided by (their sum + eps); then `iterations` - 1 times rows, then columns: the
    order and the places of eps of DeepSeek-V4's hyper-connections (arXiv:2512.24880). float32 or float64, n up to 16.

    >>> al.nn.functional.sinkhorn(al.zeros(2, 2))
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    if input.ndim < 2 or input.shape[-1] != input.shape[-2] or not 1 <= input.shape[-1] <= _MOST_ROWS:
        raise ShapeError(f"sinkhorn: input has the shape {tuple(input.shape)}; it must be (..., n, n) with n from 1 to {_MOST_ROWS}")
    if input.dtype not in (float32, float64):
        raise DTypeError(f"sinkhorn: input is {input.dtype}; use float32 or float64")
    if not 1 <= iterations <= _MOST_ITERATIONS or not eps >= 0:
        raise ArgumentError(f"sinkhorn: iterations is {iterations}, eps {eps}; iterations is from 1 to {_MOST_ITERATIONS}, eps at least 0")
    return _sinkhorn(input, int(iterations), float(eps))
