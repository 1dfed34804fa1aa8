"""Gradient rules of the views: each scatters the gradient of the window into zeros of the input's shape, or adds it to `total` if given."""

from __future__ import annotations


def _zeros(g, shape):
    from ascendlite.core._core import zeros

    return zeros(shape, dtype=g.dtype, device=g.device)


def _placed(g, _x, total, window):
    whole = _zeros(g, _x.shape) if total is None else total
    if total is None:
        window(whole).copy_(g)
    else:
        window(whole).add_(g)
    return whole


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


def select(g, y, _x, dim, index, *, total=None):
    return _placed(g, _x, total, lambda whole: whole.select(dim, index))


def slice(g, y, _x, dim, start, stop, step, *, total=None):
    from ascendlite.core._core import slice_dim

    return _placed(g, _x, total, lambda whole: slice_dim(whole, dim, start, stop, step))


def split(g, y, _x, dim, sizes, *, total=None):
    from ascendlite.core._core import FUNCTIONS

    if total is not None:
        return _added(g, total, total.split(sizes, dim))
    shapes = [(*_x.shape[:dim], n, *_x.shape[dim + 1 :]) for n in sizes]
    like = next(part for part in g if part is not None)
    return FUNCTIONS["cat"]([_zeros(like, s) if part is None else part for part, s in zip(g, shapes, strict=True)], dim)


def unbind(g, y, _x, dim, *, total=None):
    from ascendlite.core._core import FUNCTIONS

    if total is not None:
        return _added(g, total, total.unbind(dim))
    like = next(part for part in g if part is not None)
    shape = (*_x.shape[:dim], *_x.shape[dim + 1 :])
    return FUNCTIONS["stack"]([_zeros(like, shape) if part is None else part for part in g], dim)


def _added(parts, total, windows):
    for part, window in zip(parts, windows, strict=True):
        if part is not None:
            window.add_(part)
    return total


def diagonal(g, y, _x, offset, dim1, dim2, *, total=None):
    return _placed(g, _x, total, lambda whole: whole.diagonal(offset, dim1, dim2))


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


def as_strided(g, y, _x, size, stride, offset, x_strides, x_offset, *, total=None):
    """Windows may overlap: gradients of one storage position are summed, then read back through the input's geometry."""
    if not g.numel() or not _x.numel():
        return _zeros(g, _x.shape)
    if _is_contiguous(_x.shape, x_strides) and not _overlaps(size, stride):
        last = offset + sum((n - 1) * s for n, s in zip(size, stride))
        if offset >= x_offset and last < x_offset + _x.numel():
            return _placed(g, _x, total, lambda whole: whole.as_strided(size, stride, whole.storage_offset() + offset - x_offset))
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
