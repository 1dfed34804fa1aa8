"""Where values are, and how many: searchsorted, bucketize, bincount, histc, isin."""

from __future__ import annotations

from ascendlite.core import (
    Op,
    Tensor,
    deliver,
    doubles_on_npu,
    float32,
    float64,
    full,
    function,
    int32,
    int64,
    promote_types,
    result_type,
)
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.nonzero import sized_by_values
from ascendlite.ops.sort import sort

Number = int | float | bool

# --- places in sorted values --------------------------------------------------------------------------------

_searchsorted = Op("searchsorted", inputs=3, infer=lambda line, values, sorter, right: (values.shape, int64))


def _side(right: bool, side: str | None) -> bool:
    if side not in (None, "left", "right"):
        raise ArgumentError(f"searchsorted: side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise ArgumentError(
            "searchsorted: side and right can't be set to opposites, got side of left while right was True"
        )
    return right or side == "right"


@function()
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | Number,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Where each value would go in sorted sequences (the last dim); right: after equal ones."""
    if not isinstance(input, Tensor):
        input = full((), input, dtype=sorted_sequence.dtype, device=sorted_sequence.device)
    dtype = promote_types(sorted_sequence.dtype, input.dtype)
    sorted_sequence, input = sorted_sequence.to(dtype), input.to(dtype)
    if sorted_sequence.ndim == 0:
        raise ShapeError("searchsorted: boundaries tensor should have positive dimension: got a 0-d tensor")
    if sorted_sequence.ndim != 1 and sorted_sequence.shape[:-1] != input.shape[:-1]:
        raise ShapeError(
            "searchsorted: boundaries tensor should be 1 dimension or the first N-1 dimensions "
            f"of boundaries and input must match, but got {list(sorted_sequence.shape)} and "
            f"{list(input.shape)}"
        )
    if sorter is not None and (sorter.shape != sorted_sequence.shape or sorter.dtype is not int64):
        raise ShapeError(
            "searchsorted: boundary and sorter must have the same size, and sorter be int64: "
            f"got {list(sorted_sequence.shape)} and {list(sorter.shape)} of {sorter.dtype}"
        )
    found = _searchsorted(sorted_sequence, input, sorter, _side(right, side))
    return deliver(found.to(int32) if out_int32 else found, out)


@function()
def bucketize(
    input: Tensor | Number,
    boundaries: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The bucket of each value between sorted boundaries."""
    if boundaries.ndim != 1:
        raise ShapeError(f"bucketize: boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


@function()
def isin(
    elements: Tensor | Number,
    test_elements: Tensor | Number,
    *,
    assume_unique: bool = False,
    invert: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Which elements are among the test elements."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise ArgumentError(
            "isin: at least one of elements and test_elements must be a tensor: both are numbers"
        )
    dtype = result_type(elements, test_elements)
    device = next(v.device for v in (elements, test_elements) if isinstance(v, Tensor))
    x, tests = (
        v.to(dtype) if isinstance(v, Tensor) else full((), v, dtype=dtype, device=device)
        for v in (elements, test_elements)
    )
    if tests.numel() == 0:
        return deliver(full(x.shape, invert, dtype=bool_, device=x.device), out)
    line = sort(tests.reshape(-1)).values
    places = searchsorted(line, x).clamp(max=line.numel() - 1)
    found = line.take(places) == x
    return deliver(~found if invert else found, out)


# --- counts -------------------------------------------------------------------------------------------------

_bincount = Op(
    "bincount",
    inputs=2,
    infer=lambda x, weights, bins: ((bins,), weights.dtype if weights is not None else int64),
)
_histc = Op("histc", inputs=1, infer=lambda x, bins, low, high: ((bins,), x.dtype))


@function(methods=("bincount",))
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each value of 0, 1, 2, ... occurs, or the sum of the weights where it does.

    On meta, where values are not known, they are taken to be below `minlength`, which must be given.
    """
    if input.ndim != 1 or input.dtype.is_floating_point or input.dtype is bool_:
        raise DTypeError(
            "bincount: bincount only supports 1-d non-negative integral inputs: got "
            f"{input.ndim}-d {input.dtype}"
        )
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength should be >= 0: got {minlength}")
    if weights is not None and weights.shape != input.shape:
        raise ShapeError(
            "bincount: weights should be 1-d and have the same length as input: got "
            f"{list(weights.shape)} and {list(input.shape)}"
        )
    x = input.to(int64)
    if x.is_meta and not minlength:
        sized_by_values(input, "bincount", "pass minlength, which no value reaches")
    known = x.numel() > 0 and not x.is_meta
    if known and x.amin().item() < 0:
        raise ArgumentError(
            "bincount: bincount only supports 1-d non-negative integral inputs: the least "
            f"is {x.amin().item()}"
        )
    bins = max(minlength, x.amax().item() + 1 if known else 0)
    if weights is not None and weights.dtype is not float32:
        with doubles_on_npu():
            weights = weights.to(float64)
    return _bincount(x, None if weights is None else weights.detach(), bins)


@function(methods=("histc",))
def histc(
    input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None
) -> Tensor:
    """Counts of values in equal bins between min and max (both 0: the least and the largest value)."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"histc: not implemented for {input.dtype}; cast to a float dtype")
    if bins <= 0:
        raise ArgumentError(f"histc: bins must be > 0: got {bins}")
    x = input.detach().to(promote_types(input.dtype, float32)).reshape(-1)
    low, high = float(min), float(max)
    if low == high and x.numel():
        low, high = x.amin().item(), x.amax().item()
    if low == high:
        low, high = low - 1, high + 1
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ArgumentError(f"histc: range of [{low}, {high}] is not finite; pass min and max")
    if low > high:
        raise ArgumentError(f"histc: max must be larger than min: got {low} and {high}")
    return deliver(_histc(x, bins, low, high).to(input.dtype), out)
