"""Norms of the vectors along any dims."""

from __future__ import annotations

import math

from ascendlite.core import DType, Op, Tensor, bfloat16, deliver, float16, float32, function, normalize_dim
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.compare import where
from ascendlite.ops.pointwise import sign
from ascendlite.ops.reduce import Dims, as_float, reduced_dims, same_dtype, spread, sum


def _norm2_grad(g, y, x, dims, keepdim):
    y = spread(y, x, dims, keepdim)
    return x * where(y == 0, 0.0, spread(g, x, dims, keepdim) / where(y == 0, 1.0, y))


_norm2 = Op("norm2", inputs=1, contiguous=False, cast="float32", infer=same_dtype, vjp=(_norm2_grad,))


def _power_norm(x: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    wide = x.to(float32) if x.dtype in (float16, bfloat16) else x  # half floats have no room for powers
    if p < 1:  # |x|^p has no slope at 0; its subgradient is 0
        nought = wide == 0
        raised = where(nought, 0.0 if p > 0 else math.inf, where(nought, 1.0, wide).abs().pow(p))
    else:
        raised = wide.abs().pow(p)
    powers = sum(raised, dims, keepdim)
    zero = powers == 0  # where the root has no slope; its subgradient is 0
    return where(zero, 0.0, where(zero, 1.0, powers).pow(1 / p)).to(x.dtype)


def _count_norm(x: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return sum(where(x != 0, 1.0, sign(x)), dims, keepdim)  # sign(0), so that the gradient is 0, not absent


NORMS = {
    0.0: _count_norm,
    1.0: lambda x, p, dims, keepdim: sum(x.abs(), dims, keepdim),
    2.0: lambda x, p, dims, keepdim: _norm2(x, dims, keepdim),
    math.inf: lambda x, p, dims, keepdim: x.abs().amax(dims, keepdim),
    -math.inf: lambda x, p, dims, keepdim: x.abs().amin(dims, keepdim),
}


@function()
def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The norm of order `ord` of the vectors along dims; 0 counts nonzeros, +-inf are the extremes of |x|."""
    x = as_float(x, "vector_norm", dtype)
    dims = reduced_dims(dim, x.ndim, "vector_norm")
    p = float(ord)
    if math.isinf(p) or p < 0:
        empty = [d for d in dims if x.ndim and x.shape[d] == 0]
        if empty:
            raise ArgumentError(
                f"vector_norm: order {ord} is not defined over dim {empty[0]} of size 0; shape {tuple(x.shape)}"
            )
    return deliver(NORMS.get(p, _power_norm)(x, p, dims, keepdim), out)


@function(methods=("norm",))
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """The vector norm over dims (all by default); "fro" is the norm of order 2."""
    if p is None or p == "fro":
        p = 2.0
    if p == "nuc":
        from ascendlite import linalg  # above this layer, and not needed before the first call

        if dim is not None and (isinstance(dim, int) or len(dim) != 2):
            raise ArgumentError(f"norm: linalg.matrix_norm: dim must be a 2-tuple, got {dim}")
        pair = (-2, -1) if dim is None else (dim[0], dim[1])
        return deliver(linalg.matrix_norm(input, "nuc", pair, keepdim, dtype=dtype), out)
    if isinstance(p, str):
        raise ArgumentError(f'norm: p is {p!r}, but only numbers, "fro" and "nuc" are known')
    return vector_norm(input, p, dim, keepdim, dtype=dtype, out=out)


@function(methods=("renorm",), inplace=True, keeps=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None) -> Tensor:
    """Each slice along `dim` scaled down, where its p-norm is above `maxnorm`, to that norm."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"renorm: expected a floating point dtype, but got {input.dtype}; cast it")
    if p <= 0:
        raise ArgumentError(f"renorm: non-positive norm not supported: p is {p}")
    if input.ndim < 2:
        raise ShapeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    if maxnorm < 0:
        raise ArgumentError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    dim = normalize_dim(dim, input.ndim)
    wide = input.to(float32) if input.dtype in (float16, bfloat16) else input
    size = vector_norm(wide, p, tuple(d for d in range(input.ndim) if d != dim), True)
    scale = where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)  # the 1e-7 is torch's
    return deliver(input * scale.to(input.dtype), out)
