"""gather and scatter along one dim, with every reduction of `torch.scatter_reduce`."""

from __future__ import annotations

from ascendlite.core import (
    DType,
    Op,
    Tensor,
    broadcast_shapes,
    deliver,
    full,
    function,
    int32,
    int64,
    is_grad_enabled,
    normalize_dim,
    ones,
    refuse_shared,
    zeros,
)
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.compare import where
from ascendlite.ops.index import widened

Number = int | float | bool
_SET, _SUM, _PRODUCT, _LARGEST, _SMALLEST = range(5)


def _gather_vjp(g, y, _x, index, dim, *, total=None):
    wide = widened(g)
    zero = total if total is not None and wide is g else zeros(_x.shape, dtype=wide.dtype, device=g.device)
    if is_grad_enabled():
        return _scatter(zero, index, wide, dim, _SUM)
    _place.launch((zero,), (zero, index, wide), (dim, _SUM))
    return zero


_gather = Op(
    "gather",
    inputs=2,
    infer=lambda x, index, dim: (index.shape, x.dtype),
    vjp=(_gather_vjp, None),
    contiguous=False,
)


def _product_grads(g, y, x, index, source, dim):
    """As torch does: products without the element itself, so that single zeros get their gradient."""
    safe = x.masked_fill(x == 0, 1)
    into = g * _scatter(safe, index, source, dim, _PRODUCT) / safe
    zero = source == 0
    count = _scatter(zeros(x.shape, dtype=x.dtype, device=x.device), index, zero.to(x.dtype), dim, _SUM)
    single = zero & (_gather(count, index, dim) == 1)
    without = _scatter(x, index, source.masked_fill(single, 1), dim, _PRODUCT)
    others = _gather(g * y, index, dim) / source.masked_fill(zero, 1)
    return into, others.masked_fill(single, 0) + _gather(g * without, index, dim).masked_fill(~single, 0)


def _extreme_grads(g, y, x, index, source, dim):
    """Shared evenly by all that equal the result."""
    mine = (x == y).to(g.dtype)
    theirs = (source == _gather(y, index, dim)).to(g.dtype)
    share = g / _scatter(mine, index, theirs, dim, _SUM)
    return mine * share, theirs * _gather(share, index, dim)


_GRADS = {_PRODUCT: _product_grads, _LARGEST: _extreme_grads, _SMALLEST: _extreme_grads}


def _place_vjp(g, y, _x, index, _source, dim, mode, *, needs):
    into = g
    if mode == _SET and needs[0]:
        nothing = zeros((), dtype=g.dtype, device=g.device).expand(index.shape)
        into = _place(g, index, nothing, dim, _SET)
    return into, None, _gather(g, index, dim) if needs[2] else None


def _reduce_vjp(g, y, x, index, source, dim, mode, *, needs):
    into, of_source = _GRADS[mode](g, y, x, index, source, dim)
    return into, None, of_source


# Two records of one kernel: setting and adding keep nothing but the index for their gradient.
_place = Op(
    "scatter", inputs=3, infer=lambda x, index, source, dim, mode: x, vjp_all=_place_vjp, contiguous=False
)
_reduce = Op(
    "scatter_reduce",
    kernel="scatter",
    inputs=3,
    infer=lambda x, index, source, dim, mode: x,
    vjp_all=_reduce_vjp,
    contiguous=False,
)


def _scatter(x: Tensor, index: Tensor, source: Tensor, dim: int, mode: int) -> Tensor:
    return (_reduce if mode in _GRADS else _place)(x, index, source, dim, mode)


def _index_of(index: Tensor, op: str) -> Tensor:
    if index.dtype is int64:
        return index
    if index.dtype is int32 or index.numel() == 0:
        return index.to(int64)
    raise DTypeError(f"{op}: Expected dtype int64 for index: got {index.dtype}; cast with .long()")


def _check_fit(input: Tensor, dim: int, index: Tensor, source: Tensor | None, op: str) -> None:
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise ShapeError(
            f"{op}: Index tensor must have the same number of dimensions as input tensor: got "
            f"{index.ndim} and {input.ndim}"
        )
    fits = all(i <= n for d, (i, n) in enumerate(zip(index.shape, input.shape, strict=False)) if d != dim)
    if not fits:
        raise ShapeError(
            f"{op}: Size does not match: expected index {list(index.shape)} to be no larger "
            f"than self {list(input.shape)} apart from dimension {dim}"
        )
    if source is None:
        return
    if max(source.ndim, 1) != max(index.ndim, 1):
        raise ShapeError(
            f"{op}: Index tensor must have the same number of dimensions as src tensor: got "
            f"{index.ndim} and {source.ndim}"
        )
    if any(i > n for i, n in zip(index.shape, source.shape, strict=False)):
        raise ShapeError(
            f"{op}: Expected index {list(index.shape)} to be no larger than src {list(source.shape)}"
        )


@function(methods=("gather",), apart=True)
def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None
) -> Tensor:
    """Elements picked along a dim: `out[i][j] = input[index[i][j]][j]` for dim 0.

    >>> al.gather(al.tensor([[1, 2], [3, 4]]), 1, al.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    if sparse_grad:
        raise ArgumentError(
            "gather: sparse_grad=True is not supported: there are no sparse tensors; leave it False"
        )
    dim = normalize_dim(dim, input.ndim)
    index = _index_of(index, "gather")
    if index.numel():
        _check_fit(input, dim, index, None, "gather")
    elif max(index.ndim, 1) != max(input.ndim, 1):
        return deliver(input.reshape(-1)[:0].reshape(index.shape), out)  # with a gradient, which is nought
    flat = index.ndim == 0
    result = _gather(input.reshape(1) if input.ndim == 0 else input, index.reshape(1) if flat else index, dim)
    return deliver(result.reshape(()) if flat else result, out)


def _scattered(input: Tensor, dim: int, index: Tensor, source: Tensor, mode: int, op: str) -> Tensor:
    """The checked road of all scatters; `source` has the input's dtype, and serves every index if 0-d."""
    index = _index_of(index, op)
    if index.numel() == 0:
        return input.clone()
    if source.dtype is not input.dtype:
        raise DTypeError(
            f"{op}: Expected self.dtype to be equal to src.dtype: got {input.dtype} and "
            f"{source.dtype}; cast src"
        )
    x = input.reshape(1) if input.ndim == 0 else input
    index = index.reshape(1) if index.ndim == 0 else index
    if source.ndim == 0:
        source = source.expand(index.shape)
    _check_fit(x, dim, index, source, op)
    for d, n in enumerate(index.shape):
        if source.shape[d] != n:
            source = source.narrow(d, 0, n)
    wide = widened(x) if mode in (_SUM, _PRODUCT, _LARGEST, _SMALLEST) else x
    if wide is not x:
        return _scatter(wide, index, widened(source), dim, mode).to(input.dtype).reshape(input.shape)
    return _scatter(x, index, source, dim, mode).reshape(input.shape)


_SCATTER_MODES = {None: _SET, "add": _SUM, "multiply": _PRODUCT}


@function(methods=("scatter",), inplace=True, apart=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | Number | None = None,
    *,
    value: Number | None = None,
    reduce: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The tensor with src (or one value) written along a dim: `out[index[i][j]][j] = src[i][j]` for dim 0.

    Of several writes to one place the last one stays. `reduce` is None, "add" or "multiply".
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: give either src or value")
    if reduce not in _SCATTER_MODES:
        raise ArgumentError(f"scatter: reduce argument must be either add or multiply: got {reduce!r}")
    dim = normalize_dim(dim, input.ndim)
    given = value if src is None else src
    if not isinstance(given, Tensor):
        given = full((), given, dtype=input.dtype, device=input.device)
    elif given.ndim == 0 and index.ndim:
        raise ShapeError(
            "scatter: Index tensor must have the same number of dimensions as src tensor: got "
            f"{index.ndim} and 0; pass a number as value="
        )
    return deliver(_scattered(input, dim, index, given, _SCATTER_MODES[reduce], "scatter"), out)


@function(methods=("scatter_add",), inplace=True, apart=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The tensor with src added along a dim: `out[index[i][j]][j] += src[i][j]` for dim 0, in order."""
    return deliver(_scattered(input, normalize_dim(dim, input.ndim), index, src, _SUM, "scatter_add"), out)


def integer_limits(dtype: DType) -> tuple[int, int]:
    """The least and the largest integer of a dtype that is no float."""
    if dtype is bool_:
        return 0, 1
    bits = 8 * dtype.itemsize
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.is_signed else (0, 2**bits - 1)


def _lowest(dtype):
    return float("-inf") if dtype.is_floating_point else integer_limits(dtype)[0]


def _highest(dtype):
    return float("inf") if dtype.is_floating_point else integer_limits(dtype)[1]


_REDUCTIONS = {
    "sum": (_SUM, lambda dtype: 0),
    "prod": (_PRODUCT, lambda dtype: 1),
    "mean": (_SUM, lambda dtype: 0),
    "amax": (_LARGEST, _lowest),
    "amin": (_SMALLEST, _highest),
}


def _scatter_reduce_(
    self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """In-place form of scatter_reduce."""
    refuse_shared("scatter_reduce_", self, index, src)
    before = self.clone()  # the gradient reads the old values
    return self.copy_(scatter_reduce(before, dim, index, src, reduce, include_self=include_self))


@function(methods=("scatter_reduce",), inplace=_scatter_reduce_, apart=True)
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Tensor | None = None,
) -> Tensor:
    """The tensor reduced with src along a dim by "sum", "prod", "mean", "amax" or "amin".

    With `include_self=False` the old values of places that are written to do not count.
    """
    if reduce not in _REDUCTIONS:
        raise ArgumentError(
            f"scatter_reduce: reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    dim = normalize_dim(dim, input.ndim)
    mode, neutral = _REDUCTIONS[reduce]
    start = input
    if not include_self:
        nothing = full((), neutral(input.dtype), dtype=input.dtype, device=input.device)
        start = _scattered(input, dim, index, nothing, _SET, "scatter_reduce")
    total = _scattered(start, dim, index, src, mode, "scatter_reduce")
    if reduce == "mean":
        total = _mean(total, dim, index, src, include_self)
    return deliver(total, out)


def _mean(total: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool) -> Tensor:
    wide = widened(total).dtype
    one = ones((), dtype=wide, device=total.device)
    counts = (ones if include_self else zeros)(total.shape, dtype=wide, device=total.device)
    counts = _scattered(counts, dim, index, one, _SUM, "scatter_reduce").clamp(min=1)
    if total.dtype.is_floating_point:
        return (total / counts).to(total.dtype)
    return total.div(counts, rounding_mode="floor")


@function(methods=("take_along_dim",), apart=True)
def take_along_dim(
    input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`gather` with shapes broadcast on all dims but `dim`; without dim: elements of the flattened tensor."""
    if dim is None:
        return take_along_dim(input.reshape(-1), indices.reshape(-1), 0, out=out)
    if indices.ndim != input.ndim:
        raise ShapeError(
            "take_along_dim: input and indices should have the same number of dimensions, but "
            f"got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    dim = normalize_dim(dim, input.ndim)
    picks = list(broadcast_shapes(_without(input.shape, dim), _without(indices.shape, dim)))
    shape = picks[:]
    picks[dim], shape[dim] = indices.shape[dim], input.shape[dim]
    if indices.dtype is int64:
        indices = where(indices < 0, indices + input.shape[dim], indices)  # counted from the end
    return gather(input.expand(shape), dim, indices.expand(picks), out=out)


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return shape[:dim] + (1,) + shape[dim + 1 :]
