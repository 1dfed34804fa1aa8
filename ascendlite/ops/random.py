"""Random tensors from a counter-based generator (Philox): an element depends on the seed and its number only.

So the same seed gives the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import (
    DType,
    Generator,
    Op,
    Tensor,
    bfloat16,
    deliver,
    empty,
    float16,
    float32,
    float64,
    function,
    get_default_dtype,
    int64,
    next_philox,
)
from ascendlite.errors import ArgumentError, DTypeError
from ascendlite.ops.movement import ints_of
from ascendlite.ops.scatter import integer_limits

Number = int | float | bool


def _filler(name: str) -> Op:
    """A kernel that fills its output and has no inputs; only launched."""
    return Op(name, inputs=0, infer=lambda: ((), float32))


UNIFORM, NORMAL, EXPONENTIAL, INTEGERS, _RANDPERM = (
    _filler(name)
    for name in (
        "philox_uniform",
        "philox_normal",
        "philox_exponential",
        "philox_integers",
        "randperm",
    )
)


def drawn(
    op: Op, tensor: Tensor, generator: Generator | None, *attrs: Number, inputs: tuple[Tensor, ...] = ()
) -> Tensor:
    """Fill a new tensor, taking one number of the generator per element; none for meta, where a dry run counts the kernel."""
    key = (0, 0) if tensor.device.type == "meta" else next_philox(generator, tensor.numel())
    op.launch((tensor,), inputs, (*attrs, *key))
    return tensor


def _new(size: tuple[int | Sequence[int], ...], dtype: DType | None, device: object, out: Tensor | None) -> Tensor:
    dtype = dtype or (out.dtype if out is not None else get_default_dtype())
    return empty(ints_of(size), dtype=dtype, device=device)


def float_only(tensor: Tensor, op: str) -> Tensor:
    if not tensor.dtype.is_floating_point:
        raise DTypeError(f"{op}: not implemented for {tensor.dtype}; use a float dtype")
    return tensor


def _finish(tensor: Tensor, requires_grad: bool, out: Tensor | None) -> Tensor:
    return deliver(tensor.requires_grad_(True) if requires_grad else tensor, out)


# --- new tensors --------------------------------------------------------------------------------------------


@function()
def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform in [0, 1)."""
    new = float_only(_new(size, dtype, device, out), "rand")
    return _finish(drawn(UNIFORM, new, generator, 0.0, 1.0), requires_grad, out)


@function()
def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with mean 0 and standard deviation 1."""
    new = float_only(_new(size, dtype, device, out), "randn")
    return _finish(drawn(NORMAL, new, generator, 0.0, 1.0), requires_grad, out)


def range_of(low: int, high: int, dtype: DType, op: str) -> tuple[int, int]:
    """low and the length of [low, high) as kernels take it, after checking both against the dtype."""
    if low >= high:
        raise ArgumentError(
            f"{op}: random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    least, most = exact_integers(dtype)
    if not least <= low <= most or not least <= high - 1 <= most:
        raise ArgumentError(
            f"{op}: from={low}, to={high} is out of bounds for {dtype}: it holds {least} to {most}"
        )
    length = high - low
    return low, length - 2**64 if length >= 2**63 else length


_SIGNIFICAND_BITS = {float16: 11, bfloat16: 8, float32: 24, float64: 53}


def exact_integers(dtype: DType) -> tuple[int, int]:
    """The range in which a dtype holds every integer."""
    if not dtype.is_floating_point:
        return integer_limits(dtype)
    if dtype not in _SIGNIFICAND_BITS:
        raise DTypeError(f"random: not implemented for dtype {dtype}; draw in a wider float and cast with .to()")
    most = 2 ** _SIGNIFICAND_BITS[dtype]
    return -most, most


def _bound(value: object) -> int:
    """A bound of randint as an integer; a 0-d tensor is one, too."""
    if isinstance(value, (bool, float)):
        raise TypeError(f"randint(): bounds must be int, not {type(value).__name__} ({value})")
    return int(value)  # type: ignore[call-overload, no-any-return]  # what is no number is refused by int()


@function()
def randint(
    low: int | None = None,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), or in [0, low) when only one bound is given before the size.

    >>> al.randint(10, (2, 3)).shape
    (2, 3)
    """
    if size is None and not isinstance(high, int):  # randint(high, size)
        low, high, size = None, low, high
    elif high is None:  # randint(high, size=size)
        low, high = None, low
    if high is None or size is None:
        raise TypeError("randint: missing size; call randint(high, size) or randint(low, high, size)")
    bounds = _bound(0 if low is None else low), _bound(high)
    dtype = dtype or (out.dtype if out is not None else int64)
    new = empty(tuple(size), dtype=dtype, device=device)
    return _finish(
        drawn(INTEGERS, new, generator, *range_of(*bounds, dtype, "randint")), requires_grad, out
    )


@function()
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """A random permutation of 0 to n - 1."""
    if n < 0:
        raise ArgumentError(f"randperm: n must be non-negative, got {n}")
    order = drawn(_RANDPERM, empty(n, dtype=int64, device=device), generator)
    dtype = dtype or (out.dtype if out is not None else int64)
    return _finish(order if dtype is int64 else order.to(dtype), requires_grad, out)


def like_of(input: Tensor, dtype: DType | None, device: object) -> Tensor:
    return empty(input.shape, dtype=dtype or input.dtype, device=device or input.device)


@function()
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform in [0, 1), in the shape of a tensor."""
    new = float_only(like_of(input, dtype, device), "rand_like")
    return _finish(drawn(UNIFORM, new, generator, 0.0, 1.0), requires_grad, None)


@function()
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with mean 0 and standard deviation 1, in the shape of a tensor."""
    new = float_only(like_of(input, dtype, device), "randn_like")
    return _finish(drawn(NORMAL, new, generator, 0.0, 1.0), requires_grad, None)


@function()
def randint_like(
    input: Tensor,
    low: int | None = None,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), or in [0, low), in the shape of a tensor."""
    low, high = (0, low) if high is None else (0 if low is None else low, high)
    if high is None:
        raise TypeError("randint_like(): missing argument 'high'")
    new = like_of(input, dtype, device)
    return _finish(
        drawn(INTEGERS, new, generator, *range_of(low, high, new.dtype, "randint_like")), requires_grad, None
    )


@function()
def normal(
    mean: Tensor | float,
    std: Tensor | float = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with means and standard deviations given as numbers (then with a size) or as tensors."""
    if isinstance(std, Tensor) and std.numel() and bool((std < 0).any()):
        raise ArgumentError("normal: expects all elements of std >= 0.0")
    if not isinstance(std, Tensor) and std < 0:
        raise ArgumentError(f"normal: expects std >= 0.0, but found std {std}")
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        like = mean + std
        assert isinstance(like, Tensor)
        return deliver(randn_like(like.detach(), generator=generator) * std + mean, out)
    if size is None:
        raise TypeError("normal: missing size; two numbers need it")
    new = float_only(_new((size,), dtype, device, out), "normal")
    return _finish(drawn(NORMAL, new, generator, float(mean), float(std)), requires_grad, out)


# --- dropout ------------------------------------------------------------------------------------------------

# No mask is kept: the gradient draws the same numbers again.
_dropout = Op(
    "dropout",
    inputs=1,
    infer=lambda x, p, seed, offset: x,
    vjp=(lambda g, y, _x, p, seed, offset: _dropout(g, p, seed, offset),),
)


@function()
def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p); nothing when not training."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input.numel() == 0:
        return input
    float_only(input, "dropout")
    seed, offset = next_philox(generator, input.numel())
    result = _dropout(input, float(p), seed, offset)
    return input.copy_(result) if inplace else result
