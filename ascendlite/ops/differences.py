"""Differences of neighbours along a dim, and what is made of them: gradients of samples and running integrals."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Tensor, as_tensor, deliver, function, normalize_dim, normalize_dims
from ascendlite.core import bool as bool_
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.movement import cat

Number = int | float
Spacing = Number | Tensor | Sequence[Number] | Sequence[Tensor]


def _cut(x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    """x[start:size - stop] along a dim."""
    return x.narrow(dim, start, x.shape[dim] - start - stop)


def _widened(input: Tensor, dim: int, prepend: Tensor | None, append: Tensor | None) -> Tensor:
    parts = [x for x in (prepend, input, append) if x is not None]
    for x in parts:
        if x.ndim != input.ndim:
            raise ShapeError(
                f"diff: expects prepend or append to be the same dimension as input: got {x.ndim} and {input.ndim}"
            )
    return cat(parts, dim) if len(parts) > 1 else input


@function(methods=("diff",), apart=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The n-th differences of neighbours along a dim; of bools: where they differ.

    >>> al.diff(al.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    if input.ndim == 0:
        raise ShapeError("diff: expects input to be at least one-dimensional: got a 0-d tensor")
    if n < 0:
        raise ArgumentError(f"diff: order must be non-negative but got {n}")
    dim = normalize_dim(dim, input.ndim)
    if n == 0:
        return deliver(input.clone(), out)
    x = _widened(input, dim, prepend, append)
    for _ in range(min(n, x.shape[dim])):
        later, earlier = _cut(x, dim, 1, 0), _cut(x, dim, 0, 1)
        x = later != earlier if x.dtype is bool_ else later - earlier
    return deliver(x, out)


# --- gradients of samples -----------------------------------------------------------------------------------


def _uniform(x: Tensor, dim: int, step: Number, edge_order: int) -> list[Tensor]:
    """The slopes at the first place, between, and at the last, of samples that are `step` apart."""
    inner = (_cut(x, dim, 2, 0) - _cut(x, dim, 0, 2)) / (2 * step)
    if edge_order == 1:
        ends = [(x.narrow(dim, k + 1, 1) - x.narrow(dim, k, 1)) / step for k in (0, x.shape[dim] - 2)]
    else:
        a, b, c = (x.narrow(dim, k, 1) for k in range(3))
        f, e, d = (x.narrow(dim, x.shape[dim] - k, 1) for k in (3, 2, 1))
        ends = [(a * -1.5 + b * 2 - c * 0.5) / step, (f * 0.5 - e * 2 + d * 1.5) / step]
    return [ends[0], inner, ends[1]]


def _uneven(x: Tensor, dim: int, places: Tensor, edge_order: int) -> list[Tensor]:
    """The same for samples at the given places: the slopes of the parabolas through three neighbours."""
    step = diff(places).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
    p, q = _cut(step, dim, 0, 1), _cut(step, dim, 1, 0)
    before, here, after = -q / (p * (p + q)), (q - p) / (p * q), p / (q * (p + q))
    inner = _cut(x, dim, 0, 2) * before + _cut(x, dim, 1, 1) * here + _cut(x, dim, 2, 0) * after
    last = x.shape[dim]
    if edge_order == 1:
        ends = [
            (x.narrow(dim, k + 1, 1) - x.narrow(dim, k, 1)) / step.narrow(dim, k, 1) for k in (0, last - 2)
        ]
        return [ends[0], inner, ends[1]]
    a, b, c = (x.narrow(dim, k, 1) for k in range(3))
    p, q = step.narrow(dim, 0, 1), step.narrow(dim, 1, 1)
    first = a * (-(p * 2 + q) / (p * (p + q))) + b * ((p + q) / (p * q)) - c * (p / (q * (p + q)))
    a, b, c = (x.narrow(dim, last - k, 1) for k in (3, 2, 1))
    p, q = step.narrow(dim, last - 3, 1), step.narrow(dim, last - 2, 1)
    end = a * (q / (p * (p + q))) - b * ((p + q) / (p * q)) + c * ((p + q * 2) / (q * (p + q)))
    return [first, inner, end]


def _spacings(spacing: Spacing | None, dims: tuple[int, ...]) -> list[Number | Tensor]:
    if spacing is None or isinstance(spacing, (int, float)):
        return [1 if spacing is None else spacing] * len(dims)
    given = [spacing] if isinstance(spacing, Tensor) else list(spacing)
    if len(given) != len(dims):
        raise ArgumentError(
            f"gradient: expected spacing to be unspecified, a scalar or a list of length {len(dims)}, one for each "
            f"dim, but got a list of length {len(given)}"
        )
    return [s.item() if isinstance(s, Tensor) and s.ndim == 0 else s for s in given]


@function()
def gradient(
    input: Tensor,
    *,
    spacing: Spacing | None = None,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Tensor, ...]:
    """The slopes of samples along each dim, by central differences; `spacing` is steps (1), or places of the samples.

    >>> al.gradient(al.tensor([1.0, 2.0, 4.0]))
    (tensor([1.0000, 1.5000, 2.0000]),)
    """
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: only supports edge_order=1 and edge_order=2: got {edge_order}")
    dims = normalize_dims(dim, input.ndim, "gradient")
    slopes = []
    for d, step in zip(dims, _spacings(spacing, dims), strict=True):
        if input.shape[d] < edge_order + 1:
            raise ShapeError(
                f"gradient: expected each dimension size to be at least edge_order+1 = {edge_order + 1}: dim {d} "
                f"has size {input.shape[d]}"
            )
        if not isinstance(step, Tensor):
            parts = _uniform(input, d, step, edge_order)
        elif step.ndim != 1 or step.shape[0] != input.shape[d]:
            raise ShapeError(
                f"gradient: expected the places of dim {d} to be a 1-d tensor of {input.shape[d]} elements, but "
                f"got {list(step.shape)}"
            )
        else:
            parts = _uneven(input, d, step, edge_order)
        slopes.append(cat(parts, d))
    return tuple(slopes)


# --- running integrals --------------------------------------------------------------------------------------


def _steps(y: Tensor, x: Tensor, dim: int) -> Tensor:
    """The widths of the trapezoids, with as many dims as y."""
    if x.ndim == 1:
        if x.shape[0] != y.shape[dim]:
            raise ShapeError(
                f"cumulative_trapezoid: There must be one `x` value for each sample point: {x.shape[0]} for "
                f"{y.shape[dim]}"
            )
        return diff(x).reshape([-1 if d == dim else 1 for d in range(y.ndim)])
    return diff(x.reshape((1,) * (y.ndim - x.ndim) + tuple(x.shape)), dim=dim)


@function()
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Number = 1, dim: int = -1) -> Tensor:
    """The running integral along a dim by trapezoids; `x`: the places of the samples, else they are `dx` apart.

    >>> al.cumulative_trapezoid(al.tensor([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    if y.ndim == 0:
        raise ShapeError("cumulative_trapezoid: y needs a dim to run along, but it is a 0-d tensor")
    dim = normalize_dim(dim, y.ndim)
    for name, t in (("y", y), ("x", x)):
        if t is not None and t.dtype is bool_:
            raise DTypeError(f"cumulative_trapezoid: received a bool input for `{name}`; cast it to a number dtype")
    width = as_tensor(dx, device=y.device) if x is None else _steps(y, x, dim)
    return ((_cut(y, dim, 1, 0) + _cut(y, dim, 0, 1)) * width / 2.0).cumsum(dim)
