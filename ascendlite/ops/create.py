"""Tensors made from a formula: linspace, logspace, eye, tril_indices. The plain ones are the core's."""

from __future__ import annotations

from ascendlite.core import (
    DType,
    Op,
    Tensor,
    bfloat16,
    deliver,
    empty,
    float16,
    float32,
    function,
    get_default_dtype,
    int64,
    zeros,
)
from ascendlite.errors import ArgumentError, DTypeError

Number = int | float | bool


def made(op: Op, shape: tuple[int, ...], dtype: DType, device: object, attrs: tuple[object, ...]) -> Tensor:
    """A new tensor that a kernel without inputs fills."""
    tensor = empty(shape, dtype=dtype, device=device)
    op.launch((tensor,), (), attrs)
    return tensor


_linspace = Op("linspace", inputs=0, infer=lambda: ((), float32))
_logspace = Op("logspace", inputs=0, infer=lambda: ((), float32))
_triangle_indices = Op("triangle_indices", inputs=0, infer=lambda: ((), int64))


def _end(value: Tensor | Number, name: str, op: str) -> float:
    if isinstance(value, Tensor):
        if value.ndim:
            raise ArgumentError(
                f"{op}: only supports 0-dimensional start and end tensors, but got {name} "
                f"with {value.ndim} dimension(s)"
            )
        return float(value.item())
    return float(value)


def _sequence(
    op: Op, ends: tuple[Tensor | Number, ...], steps: int, dtype: DType | None, device: object, more: tuple[float, ...] = ()
) -> Tensor:
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise TypeError(f"{op.name}: argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise ArgumentError(f"{op.name}: number of steps must be non-negative: got {steps}")
    start, end = (_end(v, name, op.name) for v, name in zip(ends, ("start", "end"), strict=True))
    dtype = dtype or get_default_dtype()
    if not dtype.is_floating_point:  # as torch: the ends become integers first
        start, end = float(int(start)), float(int(end))
    half = dtype in (float16, bfloat16)
    made_of = made(op, (steps,), float32 if half else dtype, device, (start, end, *more))
    return made_of.to(dtype) if half else made_of


@function()
def linspace(
    start: Tensor | Number,
    end: Tensor | Number,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Evenly spaced values from start to end, both included.

    >>> al.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    made_of = _sequence(_linspace, (start, end), steps, out.dtype if out is not None else dtype, device)
    return deliver(made_of.requires_grad_(requires_grad), out)


@function()
def logspace(
    start: Tensor | Number,
    end: Tensor | Number,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Powers of base whose exponents are evenly spaced from start to end, both included."""
    made_of = _sequence(
        _logspace, (start, end), steps, out.dtype if out is not None else dtype, device, (float(base),)
    )
    return deliver(made_of.requires_grad_(requires_grad), out)


def _sizes(op: str, **sizes: int) -> None:
    for name, n in sizes.items():
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"{op}: argument '{name}' must be int, not {type(n).__name__}")
        if n < 0:
            raise ArgumentError(f"{op}: {name} must be greater or equal to 0, got {n}")


@function()
def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """A matrix with ones on the diagonal and zeros elsewhere."""
    m = n if m is None else m
    _sizes("eye", n=n, m=m)
    dtype = out.dtype if out is not None and dtype is None else dtype
    matrix = zeros((n, m), dtype=dtype, device=device)
    matrix.diagonal().fill_(1)
    return deliver(matrix.requires_grad_(requires_grad), out)


def _triangle(
    op: str, row: int, col: int, offset: int, upper: bool, dtype: DType | None, device: object
) -> Tensor:
    _sizes(op, row=row, col=col)
    dtype = dtype or int64
    if dtype.is_floating_point:
        raise DTypeError(f"{op}: not implemented for {dtype}; use an integer dtype")
    first = offset + (0 if upper else 1)  # the cut of row 0; that of row r is r more, held inside [0, col]
    rising = range(max(0, -first), min(row, col - first)) if col > first else range(0)
    below = sum(r + first for r in (rising[0], rising[-1])) * len(rising) // 2 if rising else 0
    full = max(0, row - max(0, col - first)) * col
    count = row * col - below - full if upper else below + full
    return made(_triangle_indices, (2, count), dtype, device, (row, col, offset, upper))


@function()
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: object = None
) -> Tensor:
    """Coordinates (2, n) of the lower triangle of a matrix, row by row."""
    return _triangle("tril_indices", row, col, offset, False, dtype, device)


@function()
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: object = None
) -> Tensor:
    """Coordinates (2, n) of the upper triangle of a matrix, row by row."""
    return _triangle("triu_indices", row, col, offset, True, dtype, device)
