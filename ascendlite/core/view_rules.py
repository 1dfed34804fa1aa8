"""Gradient rules of the views: each scatters the gradient of the window into zeros of the input's shape."""

from __future__ import annotations


def _zeros(g, shape):
    from ascendlite.core._core import zeros

    return zeros(shape, dtype=g.dtype, device=g.device)


def view(g, y, _x):
    return g.reshape(_x.shape)


def permute(g, y, _x, dims):
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return g.permute(inverse)


def expand(g):
    return g  # the engine sums what was broadcast


def clone(g):
    return g


def overwritten(g):
    return _zeros(g, g.shape)  # the values before a copy_ count, and have no influence


def cast(g):
    return g  # the engine casts to the input's dtype


def to_device(g, y, _x):
    return g.to(_x.device)


def select(g, y, _x, dim, index):
    whole = _zeros(g, _x.shape)
    whole.select(dim, index).copy_(g)
    return whole


def slice(g, y, _x, dim, start, stop, step):
    from ascendlite.core._core import slice_dim

    whole = _zeros(g, _x.shape)
    slice_dim(whole, dim, start, stop, step).copy_(g)
    return whole


def split(g, y, _x, dim, sizes):
    from ascendlite.core._core import FUNCTIONS

    shapes = [(*_x.shape[:dim], n, *_x.shape[dim + 1 :]) for n in sizes]
    like = next(part for part in g if part is not None)
    return FUNCTIONS["cat"]([_zeros(like, s) if part is None else part for part, s in zip(g, shapes, strict=True)], dim)


def unbind(g, y, _x, dim):
    from ascendlite.core._core import FUNCTIONS

    like = next(part for part in g if part is not None)
    shape = (*_x.shape[:dim], *_x.shape[dim + 1 :])
    return FUNCTIONS["stack"]([_zeros(like, shape) if part is None else part for part in g], dim)


def diagonal(g, y, _x, offset, dim1, dim2):
    whole = _zeros(g, _x.shape)
    whole.diagonal(offset, dim1, dim2).copy_(g)
    return whole


def _storage_positions(shape, strides, offset, device):
    # The storage position of each element of a window, as an int64 tensor.
    from ascendlite.core._core import arange

    total = None
    for d, (n, s) in enumerate(zip(shape, strides)):
        steps = (arange(n, device=device) * s).reshape([n if i == d else 1 for i in range(len(shape))])
        total = steps if total is None else total + steps
    return total + offset if total is not None else arange(1, device=device).reshape(()) + offset


def _overlaps(size, stride):
    reach = 0  # elements before this one that a smaller stride can step over
    for n, s in sorted(((n, s) for n, s in zip(size, stride) if n > 1), key=lambda p: p[1]):
        if s <= reach:
            return True
        reach += (n - 1) * s
    return False


def _is_contiguous(shape, strides):
    step = 1
    for n, s in zip(reversed(shape), reversed(strides)):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def as_strided(g, y, _x, size, stride, offset, x_strides, x_offset):
    """Windows may overlap: gradients of one storage position are summed, then read back through the input's geometry."""
    if not g.numel() or not _x.numel():
        return _zeros(g, _x.shape)
    if _is_contiguous(_x.shape, x_strides) and not _overlaps(size, stride):
        last = offset + sum((n - 1) * s for n, s in zip(size, stride))
        if offset >= x_offset and last < x_offset + _x.numel():
            whole = _zeros(g, _x.shape)
            whole.as_strided(size, stride, offset - x_offset).copy_(g)
            return whole
    positions = _storage_positions(size, stride, offset, g.device).reshape(-1)
    inputs = _storage_positions(_x.shape, x_strides, x_offset, g.device)
    low = min(int(positions.min()), int(inputs.min()))
    span = max(int(positions.max()), int(inputs.max())) - low + 1
    flat = _zeros(g, (span,)).index_add(0, positions - low, g.reshape(-1))
    return flat[inputs - low]


def unfold(g, y, _x, dim, size, step):
    n = len(_x.shape)
    if n == 0:
        return g.sum()  # of one element, or of none
    windows = g.movedim(-1, dim + 1)  # (..., windows, size, ...)
    flat = windows.flatten(dim, dim + 1)
    from ascendlite.core._core import arange

    count = windows.shape[dim]
    where = (arange(count, device=g.device).reshape(-1, 1) * step + arange(size, device=g.device)).reshape(-1)
    return _zeros(g, _x.shape).index_add(dim, where, flat)
