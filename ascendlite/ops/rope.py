"""Rotary position embedding: pairs of elements are turned by an angle that grows with the position."""

from __future__ import annotations

from ascendlite.core import Op, Tensor, arange, broadcast_shapes, doubles_on_npu, float32, function
from ascendlite.errors import DTypeError, ShapeError


def _shape(x, cos, sin, interleaved, inverse):
    shape, table = x.shape, cos.shape
    alike = table == sin.shape and cos.dtype is sin.dtype and x.dtype.is_floating_point
    if alike and len(table) == 2 <= len(shape) and table[0] == shape[-2] and 2 * table[1] <= shape[-1]:  # what decoding calls all the time
        return x
    if not x.dtype.is_floating_point:
        raise DTypeError(f"rope: not implemented for dtype {x.dtype}; cast to a float dtype first")
    if tuple(cos.shape) != tuple(sin.shape) or cos.dtype != sin.dtype:
        raise ShapeError(
            f"rope: cos is {cos.dtype} of shape {tuple(cos.shape)}, sin is {sin.dtype} of shape {tuple(sin.shape)}; they must be alike"
        )
    if x.ndim == 0 or cos.ndim == 0 or 2 * cos.shape[-1] > x.shape[-1]:
        raise ShapeError(
            f"rope: tables of shape {tuple(cos.shape)} turn {2 * cos.shape[-1] if cos.ndim else 0} elements a row, but x has shape {tuple(x.shape)}"
        )
    lead = tuple(x.shape[:-1])
    try:
        fits = broadcast_shapes(tuple(cos.shape[:-1]), lead) == lead
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"rope: tables of shape {tuple(cos.shape)} do not broadcast to the rows of x of shape {tuple(x.shape)}"
        )
    return x


_rope = Op(
    "rope",
    inputs=3,
    infer=_shape,
    vjp=(
        lambda g, y, _x, cos, sin, interleaved, inverse: _rope(g, cos, sin, interleaved, not inverse),
        None,
        None,
    ),
    contiguous=False,
    cost=lambda x, cos, sin, interleaved, inverse: 3 * x.numel(),
)


@function()
def rope(
    input: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool = False, inverse: bool = False
) -> Tensor:
    """Turn pairs of the last dim by the angles whose cosines and sines are given, of shape (..., n), broadcast to the rows.

    The first 2n elements of a row are turned, the rest is kept: pairs are (i, i + n), or (2i, 2i + 1) when `interleaved`.
    `inverse` turns back. The tables get no gradient.

    >>> cos, sin = al.rope_tables(4, 8)
    >>> al.rope(al.ones(2, 4, 8), cos, sin).shape
    (2, 4, 8)
    """
    return _rope(input, cos, sin, bool(interleaved), bool(inverse))


@function()
def rope_tables(positions: int | Tensor, dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines of position * base ** (-2i / dim): two float32 tables of shape (positions, dim / 2)."""
    if dim % 2 or dim <= 0:
        raise ShapeError(f"rope_tables: dim is {dim}; it must be even and positive")
    at = arange(positions) if isinstance(positions, int) else positions
    with doubles_on_npu():
        frequencies = base ** (arange(0, dim, 2, device=at.device).double() * (-1.0 / dim))
        angles = at.double().unsqueeze(-1) * frequencies
        return angles.cos().to(float32), angles.sin().to(float32)
