"""The array API standard (2024.12) on tensors: the standard's names and `axis`, our ops behind them.

Complex numbers and `fft` are not here, nor uint16, uint32 and uint64; `linalg` is, without eig and eigvals. Code finds this module through
`Tensor.__array_namespace__`, or imports it.
"""

from __future__ import annotations

import math as _math
from collections.abc import Sequence

import ascendlite as _al
from ascendlite.core import FUNCTIONS as _F
from ascendlite.core import Device, DType, Tensor

from . import array_api_linalg as linalg
from .array_api_forms import OVER_NOTHING as _OVER_NOTHING
from .array_api_forms import of_numbers as _of_numbers
from .array_api_forms import of_one as _of_one
from .array_api_forms import over_axes as _over_axes
from .array_api_info import __array_namespace_info__, can_cast, finfo, iinfo, isdtype, result_type
from .array_api_sets import unique_all, unique_counts, unique_inverse, unique_values
from .dlpack import from_dlpack

__array_api_version__ = "2024.12"
Axis = int | Sequence[int] | None
Number = bool | int | float

# The standard's name -> ours, where the arguments agree.
_SAME = {
    "abs": "abs", "acos": "acos", "acosh": "acosh", "add": "add", "asin": "asin", "asinh": "asinh", "atan": "atan",
    "atan2": "atan2", "atanh": "atanh", "bitwise_and": "bitwise_and", "bitwise_invert": "bitwise_not",
    "bitwise_left_shift": "bitwise_left_shift", "bitwise_or": "bitwise_or", "bitwise_right_shift": "bitwise_right_shift",
    "bitwise_xor": "bitwise_xor", "broadcast_to": "broadcast_to", "ceil": "ceil", "copysign": "copysign", "cos": "cos",
    "cosh": "cosh", "divide": "div", "equal": "eq", "exp": "exp", "expm1": "expm1", "floor": "floor",
    "floor_divide": "floor_divide", "greater": "gt", "greater_equal": "ge", "hypot": "hypot", "isfinite": "isfinite",
    "isinf": "isinf", "isnan": "isnan", "less": "lt", "less_equal": "le", "log": "log", "log10": "log10", "log1p": "log1p",
    "log2": "log2", "logaddexp": "logaddexp", "logical_and": "logical_and", "logical_not": "logical_not",
    "logical_or": "logical_or", "logical_xor": "logical_xor", "matmul": "matmul", "maximum": "maximum",
    "minimum": "minimum", "moveaxis": "movedim", "multiply": "mul", "negative": "neg", "nextafter": "nextafter", "not_equal": "ne", "pow": "pow",
    "reciprocal": "reciprocal", "remainder": "remainder", "round": "round", "sign": "sign", "sin": "sin", "sinh": "sinh",
    "sqrt": "sqrt", "square": "square", "subtract": "sub", "tan": "tan", "tanh": "tanh", "trunc": "trunc", "where": "where",
}  # fmt: skip
_DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
_OURS = ("empty", "zeros", "ones", "empty_like", "zeros_like", "ones_like", "full_like", "isin")
_SCALARS = (  # functions of two tensors, one of which may be a Python number
    "add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "copysign", "divide", "equal",
    "floor_divide", "greater", "greater_equal", "hypot", "less", "less_equal", "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum",
    "minimum", "multiply", "nextafter", "not_equal", "pow", "remainder", "subtract",
)  # fmt: skip

e, inf, nan, newaxis, pi = _math.e, _math.inf, _math.nan, None, _math.pi


def _dims(x: Tensor, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _one_by_one(name: str, x: Tensor, axis: Axis, keepdims: object) -> Tensor:
    # For reductions that take one dim at a time; from the back, so that numbers stay right.
    for dim in sorted((d % x.ndim for d in _dims(x, axis)), reverse=True):
        x = _F[name](x, dim=dim, keepdim=keepdims)
    return x


def _flattened(x: Tensor, axis: int | None) -> tuple[Tensor, int]:
    return (x.reshape(-1), 0) if axis is None else (x, axis)


# ---- creation


def asarray(obj: object, /, *, dtype: DType | None = None, device: str | Device | None = None, copy: object = None) -> Tensor:
    """A tensor of the values; shares memory with a tensor or array unless `copy` is True."""
    made = obj if isinstance(obj, Tensor) else _al.as_tensor(obj)
    moved = made.to(device=device or made.device, dtype=dtype or made.dtype)
    if copy is False and (moved is not made or not hasattr(obj, "__array__")):
        raise ValueError(f"asarray: {type(obj).__name__} to {moved.dtype!r} on '{moved.device}' is a copy, and copy=False was given")
    return moved.clone() if copy and (moved is obj or moved is made) else moved


def arange(
    start: Number, /, stop: Number | None = None, step: Number = 1, *, dtype: DType | None = None, device: str | Device | None = None
) -> Tensor:
    """Evenly spaced values."""
    first, last = (0, start) if stop is None else (start, stop)
    return _al.arange(first, last, step, dtype=dtype, device=device)


def full(
    shape: int | Sequence[int], fill_value: Number, *, dtype: DType | None = None, device: str | Device | None = None
) -> Tensor:
    """A tensor of one value."""
    return _al.full((shape,) if isinstance(shape, int) else tuple(shape), fill_value, dtype=dtype, device=device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType | None = None, device: str | Device | None = None
) -> Tensor:
    """Ones on the diagonal k, zeros elsewhere."""
    width = n_rows if n_cols is None else n_cols
    columns = _al.arange(width, device=device)
    rows = _al.arange(n_rows, device=device).unsqueeze(1)
    return (columns - rows == k).to(dtype or _al.get_default_dtype())


def linspace(
    start: Number, stop: Number, /, num: int, *, dtype: DType | None = None, device: str | Device | None = None, endpoint: object = True
) -> Tensor:
    """`num` evenly spaced values, with or without the end."""
    whole = _F["linspace"](start, stop, num if endpoint else num + 1, dtype=dtype, device=device)
    return whole if endpoint else whole[:-1]


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of a grid."""
    return list(_F["meshgrid"](*arrays, indexing=indexing))


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The part on and below the diagonal k."""
    return _F["tril"](x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The part on and above the diagonal k."""
    return _F["triu"](x, k)


# ---- elementwise and dtypes


def astype(x: Tensor, dtype: DType, /, *, copy: object = True, device: str | Device | None = None) -> Tensor:
    """The values as another dtype."""
    moved = x.to(dtype=dtype, device=device or x.device)
    return moved.clone() if copy and moved is x else moved


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """Views of a common shape."""
    shape = _al.broadcast_shapes(*(x.shape for x in arrays))
    return [x.expand(shape) for x in arrays]


def clip(x: Tensor, /, min: Number | Tensor | None = None, max: Number | Tensor | None = None) -> Tensor:
    """Values no smaller than min and no larger than max."""
    return x.clone() if min is None and max is None else _F["clamp"](x, min, max)


def positive(x: Tensor, /) -> Tensor:
    """The values."""
    return x.clone()


def signbit(x: Tensor, /) -> Tensor:
    """Whether the sign is negative, that of -0.0 too."""
    return _F["copysign"](_al.ones_like(x), x) < 0


# ---- shapes


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis that they have; flattened first for None."""
    return _F["cat"]([x.reshape(-1) for x in arrays] if axis is None else list(arrays), dim=axis or 0)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Arrays joined along a new axis."""
    return _F["stack"](list(arrays), dim=axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis."""
    return tuple(x.unbind(axis))


def expand_dims(x: Tensor, /, *, axis: int = 0) -> Tensor:
    """With an axis of size 1 more."""
    return x.unsqueeze(axis)


def squeeze(x: Tensor, /, axis: int | Sequence[int]) -> Tensor:
    """Without axes, which must be of size 1."""
    dims = _dims(x, axis)
    if {x.shape[dim] for dim in dims} - {1}:
        raise ValueError(f"squeeze: axis {axis} of shape {tuple(x.shape)} is not of size 1")
    return x.squeeze(dims)


def flip(x: Tensor, /, *, axis: Axis = None) -> Tensor:
    """In reverse along axes."""
    return _F["flip"](x, _dims(x, axis))


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """With the axes in another order."""
    return x.permute(tuple(axes))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """With the last two axes swapped."""
    return x.mT


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Each element several times."""
    flat, dim = _flattened(x, axis)
    return _F["repeat_interleave"](flat, repeats, dim=dim)


def reshape(x: Tensor, /, shape: Sequence[int], *, copy: object = None) -> Tensor:
    """The elements in another shape."""
    if copy is False:
        return x.view(tuple(shape))
    return x.clone().reshape(tuple(shape)) if copy else x.reshape(tuple(shape))


def roll(x: Tensor, /, shift: int | Sequence[int], *, axis: Axis = None) -> Tensor:
    """Moved round in a circle."""
    if isinstance(axis, Sequence) and isinstance(shift, int):
        shift = (shift,) * len(axis)
    return _F["roll"](x, shift) if axis is None else _F["roll"](x, shift, axis)


def tile(x: Tensor, repetitions: Sequence[int], /) -> Tensor:
    """Copies side by side."""
    return _F["tile"](x, tuple(repetitions))


# ---- indexing, searching, sorting


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The elements at indices of an axis."""
    flat, dim = _flattened(x, axis) if x.ndim == 1 or axis is not None else (x, -1)
    return _F["index_select"](flat, dim, _F["where"](indices < 0, indices + flat.shape[dim], indices))


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """One element for each index, along an axis."""
    return _F["take_along_dim"](x, indices, axis)


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: object = False) -> Tensor:
    """Where the largest is."""
    return _F["argmax"](x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: object = False) -> Tensor:
    """Where the smallest is."""
    return _F["argmin"](x, axis, keepdims)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Indices of what is not zero, one tensor an axis."""
    if not x.ndim:
        raise ValueError("nonzero: is not of a 0-d tensor; reshape it to (1,)")
    return tuple(_F["nonzero"](x).unbind(1))


def searchsorted(x1: Tensor, x2: Tensor, /, *, side: str = "left", sorter: Tensor | None = None) -> Tensor:
    """Where to insert values so that the order stays."""
    return _F["searchsorted"](x1, x2, side=side, sorter=sorter)


def argsort(x: Tensor, /, *, axis: int = -1, descending: object = False, stable: object = True) -> Tensor:
    """The indices that sort."""
    return _F["argsort"](x, dim=axis, descending=descending, stable=stable)


def sort(x: Tensor, /, *, axis: int = -1, descending: object = False, stable: object = True) -> Tensor:
    """The values in order."""
    return _F["sort"](x, dim=axis, descending=descending, stable=stable)[0]


# ---- reductions


def sum(x: Tensor, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: object = False) -> Tensor:
    """The sum."""
    return _F["sum"](x, dim=_dims(x, axis), keepdim=keepdims, dtype=dtype) if x.ndim else _F["sum"](x, dtype=dtype)


def prod(x: Tensor, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: object = False) -> Tensor:
    """The product."""
    whole = x if dtype is None else x.to(dtype)
    return _one_by_one("prod", whole, axis, keepdims) if x.ndim else _F["prod"](whole)


def mean(x: Tensor, /, *, axis: Axis = None, keepdims: object = False) -> Tensor:
    """The mean."""
    return _F["mean"](x, dim=_dims(x, axis), keepdim=keepdims) if x.ndim else x.clone()


def max(x: Tensor, /, *, axis: Axis = None, keepdims: object = False) -> Tensor:
    """The largest value."""
    return _F["amax"](x, dim=_dims(x, axis), keepdim=keepdims)


def min(x: Tensor, /, *, axis: Axis = None, keepdims: object = False) -> Tensor:
    """The smallest value."""
    return _F["amin"](x, dim=_dims(x, axis), keepdim=keepdims)


def var(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: object = False) -> Tensor:
    """The variance."""
    return _F["var"](x, dim=_dims(x, axis), correction=correction, keepdim=keepdims)


def std(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: object = False) -> Tensor:
    """The standard deviation."""
    return _F["std"](x, dim=_dims(x, axis), correction=correction, keepdim=keepdims)


def all(x: Tensor, /, *, axis: Axis = None, keepdims: object = False) -> Tensor:
    """Whether all are true."""
    return _one_by_one("all", x != 0, axis, keepdims) if x.ndim else x != 0


def any(x: Tensor, /, *, axis: Axis = None, keepdims: object = False) -> Tensor:
    """Whether one is true."""
    return _one_by_one("any", x != 0, axis, keepdims) if x.ndim else x != 0


def count_nonzero(x: Tensor, /, *, axis: Axis = None, keepdims: object = False) -> Tensor:
    """How many are not zero."""
    return sum((x != 0).to(_al.int64), axis=axis, keepdims=keepdims)


def cumulative_sum(x: Tensor, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: object = False) -> Tensor:
    """Sums of what came so far."""
    return _cumulative("cumsum", 0, x, axis, dtype, include_initial)


def cumulative_prod(x: Tensor, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: object = False) -> Tensor:
    """Products of what came so far."""
    return _cumulative("cumprod", 1, x, axis, dtype, include_initial)


def _cumulative(name: str, first: int, x: Tensor, axis: int | None, dtype: DType | None, include_initial: object) -> Tensor:
    if axis is None and x.ndim != 1:
        raise ValueError(f"{name}: an axis must be given for shape {tuple(x.shape)}")
    dim = 0 if axis is None else axis
    result = _F[name](x, dim, dtype=dtype)
    if not include_initial:
        return result
    shape = list(result.shape)
    shape[dim] = 1
    return _F["cat"]([_al.full(tuple(shape), first, dtype=result.dtype, device=x.device), result], dim=dim)


def diff(x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """Differences of neighbours, n times."""
    parts = [part for part in (prepend, x, append) if part is not None]
    x = _F["cat"](parts, dim=axis) if len(parts) > 1 else x
    for _ in range(n):
        size = x.shape[axis]
        after, before = x.narrow(axis, 1, size - 1), x.narrow(axis, 0, size - 1)
        x = after != before if x.dtype is _al.bool else after - before
    return x


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """A product summed over axes."""
    return _F["tensordot"](x1, x2, axes)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Products of vectors along an axis."""
    return _F["sum"](x1 * x2, dim=axis)


def _remainder(x1: Tensor, x2: Tensor) -> Tensor:
    result = _F["remainder"](x1, x2)
    return _F["where"](result == 0, _F["copysign"](result, x2), result) if result.dtype.is_floating_point else result


def _sign(x: Tensor) -> Tensor:
    return _F["where"](x != x, x, _F["sign"](x)) if x.dtype.is_floating_point else _F["sign"](x)


_KEPT = ("broadcast_to", "matmul", "moveaxis", "where")  # functions of other arguments
globals().update({
    name: _F[ours] if name in _KEPT else (_of_numbers if name in _SCALARS else _of_one)(name, _F[ours]) for name, ours in _SAME.items()
})
globals().update({"remainder": _of_numbers("remainder", _remainder), "sign": _of_one("sign", _sign)})  # of zeros and of NaN
globals().update({name: _over_axes(name, globals()[name], nothing) for name, nothing in _OVER_NOTHING.items()})
globals().update({name: vars(_al)[name] for name in (*_DTYPES, *_OURS)})
__all__ = ["__array_namespace_info__", "can_cast", "finfo", "from_dlpack", "iinfo", "isdtype", "linalg", "result_type", "unique_all", "unique_counts", "unique_inverse", "unique_values"]
__all__ += [name for name in globals() if not name.startswith("_") and name not in ("annotations", "Sequence", "array_api_linalg")]
