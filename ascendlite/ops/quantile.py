"""Quantiles between sorted values, and the value that occurs most often."""

from __future__ import annotations

from ascendlite.core import Tensor, deliver, float32, float64, function, int64, normalize_dim, tensor
from ascendlite.errors import ArgumentError, DimensionError, DTypeError
from ascendlite.ops.scatter import gather
from ascendlite.ops.search import searchsorted
from ascendlite.ops.sort import Ranked, sort

# How a rank between two values is read: its place, or the weight of the upper neighbour.
_PLACES = {"lower": Tensor.floor, "higher": Tensor.ceil, "nearest": Tensor.round}
_WEIGHTS = {"linear": lambda rank: rank - rank.floor(), "midpoint": lambda rank: rank * 0 + 0.5}


def _checked_q(op: str, input: Tensor, q: Tensor | float) -> Tensor:
    if input.dtype not in (float32, float64):
        raise DTypeError(f"{op}() input tensor must be either float or double dtype: got {input.dtype}; cast it")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise ArgumentError(f"{op}() q must be in the range [0, 1] but got {q}")
        return tensor(q, dtype=input.dtype, device=input.device)
    if q.ndim > 1:
        raise ArgumentError(f"{op}() q must be a scalar or 1D tensor: got {q.ndim} dims; flatten it")
    if q.dtype is not input.dtype:
        raise DTypeError(f"{op}() q tensor must be same dtype as the input tensor: {q.dtype} and {input.dtype}")
    if q.numel() and not bool(((q >= 0) & (q <= 1)).all()):
        raise ArgumentError(f"{op}() q values must be in the range [0, 1]: got {q.tolist()}")
    return q


def _ranks(line: Tensor, q: Tensor, skip_nan: bool) -> Tensor:
    """The rank of each q among the sorted last dim; a NaN that is not skipped is every rank."""
    nan = line != line
    if skip_nan:
        return (((~nan).sum(-1, True) - 1).clamp(min=0).to(q.dtype)) * q
    last = line.shape[-1] - 1
    return (q * last).expand(*line.shape[:-1], q.numel()).masked_fill(nan.any(-1, True), last)


def _quantile(
    op: str,
    input: Tensor,
    q: Tensor | float,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
    out: Tensor | None,
) -> Tensor:
    ways = [*_WEIGHTS, *_PLACES]
    if interpolation not in ways:
        raise ArgumentError(f"{op}() interpolation must be one of {', '.join(ways)}, but got {interpolation}")
    points = _checked_q(op, input, q)
    if input.numel() == 0:
        raise ArgumentError(f"{op}() input tensor must be non-empty: the shape is {tuple(input.shape)}")
    axis = normalize_dim(0 if dim is None else dim, input.ndim)
    x = input.reshape(-1) if dim is None or not input.ndim else input.movedim(axis, -1)
    line = sort(x).values
    rank = _ranks(line.detach(), points.reshape(-1), op == "nanquantile")
    if interpolation in _PLACES:
        found = gather(line, -1, _PLACES[interpolation](rank).to(int64))
    else:
        below = gather(line, -1, rank.floor().to(int64))
        above = gather(line, -1, rank.ceil().to(int64))
        found = below.lerp(above, _WEIGHTS[interpolation](rank))
    found = found.movedim(-1, 0)  # (q, rest)
    if keepdim:
        shape = [1 if dim is None or d == axis else n for d, n in enumerate(input.shape)]
        found = found.reshape(found.shape[0], *shape)
    return deliver(found if points.ndim else found.squeeze(0), out)


@function(methods=("quantile",))
def quantile(
    input: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The q-th quantiles along a dim (of all elements without one); a 1-d q comes first in the shape.

    >>> al.quantile(al.tensor([0.0, 1.0, 2.0, 3.0]), 0.5)
    tensor(1.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, out)


@function(methods=("nanquantile",))
def nanquantile(
    input: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """`quantile` of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, out)


@function(methods=("mode",), apart=True)
def mode(
    input: Tensor, dim: int = -1, keepdim: bool = False, *, out: tuple[Tensor, Tensor] | None = None
) -> Ranked:
    """The value that occurs most often along a dim (the least of several), and where it is last."""
    axis = normalize_dim(dim, input.ndim)
    if not input.ndim:
        return deliver(Ranked(input.clone(), input.new_zeros((), dtype=int64)), out)
    if input.shape[axis] == 0:
        raise DimensionError(
            f"mode(): Expected reduction dim {axis} to have non-zero size, but the shape is {tuple(input.shape)}"
        )
    x = input.movedim(axis, -1)
    line = sort(x.detach())
    end = searchsorted(line.values, line.values, right=True)
    most = (end - searchsorted(line.values, line.values)).argmax(-1, True)
    places = gather(line.indices, -1, gather(end, -1, most) - 1)
    values = gather(x, -1, places)
    found = (v.movedim(-1, axis) if keepdim else v.squeeze(-1) for v in (values, places))
    return deliver(Ranked(*found), out)
