"""softmax and log_softmax: one fused kernel each way; the backward kernels are ops with gradients too."""

from __future__ import annotations

from typing import Any

from ascendlite.core import DType, Op, Tensor, deliver, function, normalize_dim
from ascendlite.errors import DTypeError

_softmax = Op(
    "softmax",
    inputs=1,
    infer=lambda x, dim: x,
    cast="float32",
    vjp=(lambda g, y, _x, dim: softmax_backward(g, y, dim),),
)
_log_softmax = Op(
    "log_softmax",
    inputs=1,
    infer=lambda x, dim: x,
    cast="float32",
    vjp=(lambda g, y, _x, dim: log_softmax_backward(g, y, dim),),
)
softmax_backward = Op(  # (g - sum(g y)) y
    "softmax_backward",
    inputs=2,
    infer=lambda g, y, dim: y,
    vjp=(
        lambda h, d, g, y, dim: softmax_backward(h, y, dim),
        lambda h, d, g, y, dim: h * (g - (g * y).sum(dim, True)) - g * (h * y).sum(dim, True),
    ),
)
log_softmax_backward = Op(  # g - exp(y) sum(g)
    "log_softmax_backward",
    inputs=2,
    infer=lambda g, y, dim: y,
    vjp=(
        lambda h, d, g, y, dim: h - (h * y.exp()).sum(dim, True),
        lambda h, d, g, y, dim: -h * y.exp() * g.sum(dim, True),
    ),
)


def _apply(op: Op, x: Tensor, dim: int | None, dtype: DType | None) -> Tensor:
    if dim is None:  # what PyTorch does, with a warning, for calls without a dim
        dim = 0 if x.ndim in (0, 1, 3) else 1
    dim = normalize_dim(dim, x.ndim, op.name)
    if dtype is not None and dtype != x.dtype:
        x = x.to(dtype)
    if not x.dtype.is_floating_point:
        raise DTypeError(f"{op.name}: not defined for dtype {x.dtype}; pass dtype= or convert with .float()")
    return op(x, dim) if x.ndim else op(x.reshape(1), dim).reshape(())


@function(methods=("softmax",))
def softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: DType | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """exp(x) / sum(exp(x)) along a dim, of float dtypes.

    >>> al.softmax(al.zeros(2), 0)
    tensor([0.5000, 0.5000])
    """
    return deliver(_apply(_softmax, input, dim, _dtype_of(_stacklevel, dtype)), out)


@function(methods=("log_softmax",))
def log_softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: DType | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """x - log(sum(exp(x))) along a dim, of float dtypes."""
    return deliver(_apply(_log_softmax, input, dim, _dtype_of(_stacklevel, dtype)), out)


@function(toplevel=False)
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """softmax of -x."""
    return softmax(-input, dim, dtype=_dtype_of(_stacklevel, dtype))


def _dtype_of(third: Any, dtype: DType | None) -> DType | None:
    """The dtype may come third, as in `torch.softmax(x, dim, dtype)`, or after `_stacklevel`."""
    return third if isinstance(third, DType) else dtype
