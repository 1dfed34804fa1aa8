# Copies through which gradients flow, and several views of one tensor at once.

cdef tuple finish_pieces(Op op, Tensor x, list pieces, tuple attrs, char kind):
    # Several views of one tensor under one node: their gradients are joined once, not padded and summed.
    cdef Tensor t
    cdef tuple result = tuple(pieces)
    if not x.inference:
        for t in pieces:
            if mode.grad and not mode.inference:
                t.base = x if x.base is None or x.leaf_requires_grad else x.base
                t.view_version = t.storage.version
                t.untracked = x.untracked if x.untracked else kind
            else:
                t.untracked = UNTRACKED_GRAD if x.untracked == UNTRACKED_GRAD or needs_grad(x) else UNTRACKED
        if mode.grad and not mode.inference and pieces and x.is_float() and needs_grad(x):
            record(op, (x,), attrs, result)
    if LISTENERS:
        notify(op, (x,), attrs, result, began())
    return result


def split_views(Tensor x not None, int dim, sizes, bint writable=False):
    """Consecutive views of the given sizes along `dim` (non-negative); the sizes add up to the dim's. `writable`: also in a graph."""
    cdef list pieces = []
    cdef int64_t shape[16]
    cdef int64_t start = 0, size
    memcpy(shape, x.v.shape, x.v.ndim * sizeof(int64_t))
    for size in sizes:
        shape[dim] = size
        pieces.append(window(x, x.v.ndim, shape, x.v.strides, x.offset + start * x.v.strides[dim]))
        start += size
    return finish_pieces(SPLIT, x, pieces, (dim, tuple(sizes)), 0 if writable else PIECE)


def unbind_views(Tensor x not None, int dim):
    """The slices along `dim` (non-negative), as views without it."""
    cdef list pieces = []
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int64_t k
    cdef int i, n = 0
    for i in range(x.v.ndim):
        if i != dim:
            sizes[n], strides[n] = x.v.shape[i], x.v.strides[i]
            n += 1
    for k in range(x.v.shape[dim]):
        pieces.append(window(x, n, sizes, strides, x.offset + k * x.v.strides[dim]))
    return finish_pieces(UNBIND, x, pieces, (dim,), PIECE)


cdef Tensor clone_tensor(Tensor x):
    cdef int64_t start = began()
    cdef Tensor t = contiguous_copy(x)
    if mode.grad and x.is_float() and needs_grad(x):
        record(CLONE, (x,), (), t)
    if LISTENERS:
        notify(CLONE, (x,), (), t, start)
    return t


cdef Tensor cast_tensor(Tensor x, int dtype):
    cdef Tensor t
    cdef int64_t start = began()
    if x.v.dtype == dtype:
        return x
    t = allocate_like_inputs(dtype, x.device_, x.v.ndim, x.v.shape, (x,))
    copy_values(t, x)
    if mode.grad and x.is_float() and kFloat16 <= dtype and needs_grad(x):
        record(CAST, (x,), (<DType>DTYPES[dtype],), t)
    if LISTENERS:
        notify(CAST, (x,), (<DType>DTYPES[dtype],), t, start)
    return t
