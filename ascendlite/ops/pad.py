"""Padding, as in `torch.nn.functional.pad`."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Op, Tensor, arange, full
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.ops.index import index_select


def _padded(x, value, before, after):
    shape = tuple(n + b + a for n, b, a in zip(x.shape, before, after, strict=True))
    for d, n in enumerate(shape):
        if n < 0:
            raise ShapeError(
                f"pad: The input size {x.shape[d]}, plus negative padding {before[d]} and "
                f"{after[d]}, resulted in a negative output size, which is invalid. Check "
                f"dimension {d} of your input."
            )
    return shape, x.dtype


def _unpad(g, y, _x, _value, before, after):
    return _pad_constant(g, g.new_zeros(()), tuple(-b for b in before), tuple(-a for a in after))


_pad_constant = Op("pad_constant", inputs=2, infer=_padded, vjp=(_unpad, None), contiguous=False)

# The index in x that stands at place i of the padded dim, for one dim of size n.
_SOURCES = {
    "reflect": lambda i, n: (n - 1) - (i % (2 * n - 2) - (n - 1)).abs(),
    "replicate": lambda i, n: i.clamp(0, n - 1),
    "circular": lambda i, n: i % n,
}
_TOO_WIDE = {"reflect": lambda n: n - 1, "circular": lambda n: n}


def _check_wide(input: Tensor, pad: Sequence[int], mode: str) -> None:
    for k in range(len(pad) // 2):
        d = input.ndim - 1 - k
        size, widths = input.shape[d], tuple(pad[2 * k : 2 * k + 2])
        if mode in _TOO_WIDE and max(widths) > _TOO_WIDE[mode](size):
            raise ArgumentError(
                "pad: Padding size should be less than the corresponding input dimension, "
                f"but got: padding {widths} at dimension {d} of input {list(input.shape)}; "
                "pad twice or use mode='replicate'"
            )
        if size + sum(widths) < 1 or size == 0:
            raise ShapeError(f"pad: input size {size} with padding {widths} leaves nothing in dimension {d}")


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Widen the last dims: (left, right) of the last, then of the one before, and so on; negative widths crop.

    `mode` is "constant", "reflect", "replicate" or "circular"; the latter take all
    dims but batch and channels.
    """
    widths = tuple(pad)
    if len(widths) % 2:
        raise ArgumentError(f"pad: Padding length must be divisible by 2: got {len(widths)}")
    if len(widths) // 2 > input.ndim:
        raise ArgumentError(
            "pad: Padding length should be less than or equal to two times the input "
            f"dimension but got padding length {len(widths)} and input of dimension "
            f"{input.ndim}"
        )
    if mode == "constant":
        before, after = [0] * input.ndim, [0] * input.ndim
        for k in range(len(widths) // 2):
            before[-1 - k], after[-1 - k] = widths[2 * k], widths[2 * k + 1]
        fill = full((), 0 if value is None else value, dtype=input.dtype, device=input.device)
        return _pad_constant(input, fill, tuple(before), tuple(after))
    if mode not in _SOURCES:
        raise NotImplementedError(
            f"pad: Unrecognised padding mode {mode}; use constant, reflect, replicate or circular"
        )
    if value is not None and value != 0:
        raise ArgumentError(f'pad: Padding mode "{mode}" doesn\'t take in value argument')
    if len(widths) // 2 not in (input.ndim - 1, input.ndim - 2) or len(widths) > 6:
        raise NotImplementedError(
            "pad: Only 2D, 3D, 4D, 5D padding with non-constant padding are supported "
            f"for now: got {len(widths)} widths for {input.ndim} dims; give widths of "
            "all dims but batch and channels"
        )
    _check_wide(input, widths, mode)
    for k in range(len(widths) // 2):
        d, (left, right) = input.ndim - 1 - k, widths[2 * k : 2 * k + 2]
        if left or right:
            places = arange(-left, input.shape[d] + right, device=input.device)
            input = index_select(input, d, _SOURCES[mode](places, input.shape[d]))
    return input
