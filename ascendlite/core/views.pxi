# Views: new geometry on the same storage. Gradient rules are in `ascendlite.core.view_rules`.

from ascendlite.core import view_rules as _rules

cdef Op VIEW = view_op("view", _rules.view)
cdef Op PERMUTE = view_op("permute", _rules.permute)
cdef Op EXPAND = view_op("expand", _rules.expand)
cdef Op SELECT = view_op("select", _rules.select)
cdef Op SLICE = view_op("slice", _rules.slice)
cdef Op AS_STRIDED = view_op("as_strided", _rules.as_strided)
cdef Op DIAGONAL = view_op("diagonal", _rules.diagonal)
cdef Op UNFOLD = view_op("unfold", _rules.unfold)
cdef Op SPLIT = view_op("split", _rules.split)
cdef Op UNBIND = view_op("unbind", _rules.unbind)
cdef Op CLONE = Op("clone", vjp=(_rules.clone,))
cdef Op CAST = Op("cast", vjp=(_rules.cast,))
cdef Op COPY_OP = Op("copy_", inputs=2, vjp=(_rules.overwritten, _rules.clone), kernel="copy")


cdef Tensor finish_view(Op op, Tensor x, Tensor t, tuple attrs):
    if not x.inference:
        if mode.grad and not mode.inference:
            t.base = x if x.base is None or x.leaf_requires_grad else x.base
            t.view_version = t.storage.version
            t.untracked = x.untracked
            if x.is_float() and needs_grad(x):
                record(op, (x,), attrs, t)
        else:
            t.untracked = UNTRACKED_GRAD if x.untracked == UNTRACKED_GRAD or needs_grad(x) else UNTRACKED
    if LISTENERS:
        notify(op, (x,), attrs, t, began())
    return t


cdef bint view_strides(Tensor x, int ndim, const int64_t* shape, int64_t* strides) noexcept:
    # Strides of the same elements in another shape; False when that needs a copy. Walks both shapes from the right, as in torch.
    cdef int view_d = ndim - 1, d
    cdef int64_t chunk_base, tensor_numel = 1, view_numel = 1
    if x.count == 0 or x.dense:
        chunk_base = 1
        for d in range(ndim - 1, -1, -1):
            strides[d] = chunk_base
            chunk_base *= shape[d] if shape[d] > 1 else 1
        return True
    if x.v.ndim == 0:
        for d in range(ndim):
            strides[d] = 1
        return True
    chunk_base = x.v.strides[x.v.ndim - 1]
    for d in range(x.v.ndim - 1, -1, -1):
        tensor_numel *= x.v.shape[d]
        if d == 0 or (x.v.shape[d - 1] != 1 and x.v.strides[d - 1] != tensor_numel * chunk_base):
            while view_d >= 0 and (view_numel < tensor_numel or shape[view_d] == 1):
                strides[view_d] = view_numel * chunk_base
                view_numel *= shape[view_d]
                view_d -= 1
            if view_numel != tensor_numel:
                return False
            if d > 0:
                chunk_base = x.v.strides[d - 1]
                tensor_numel = view_numel = 1
    return view_d == -1


cdef int infer_shape(Tensor x, tuple shape, int64_t* out, str op) except -1:
    # Fills in the one -1; checks the number of elements.
    cdef int i, n = len(shape), unknown = -1
    cdef int64_t known = 1, s
    if n > kMaxDims:
        raise ShapeError(f"{op}: {n} dimensions; at most {kMaxDims} are supported")
    for i in range(n):
        s = shape[i]
        if s == -1:
            if unknown >= 0:
                raise ShapeError(f"{op}: only one dimension can be inferred, got shape {shape}")
            unknown = i
        elif s < 0:
            raise ShapeError(f"{op}: invalid shape dimension {s} in {shape}; sizes are not negative (one may be -1)")
        else:
            known *= s
        out[i] = s
    if unknown >= 0:
        if known == 0:
            raise ShapeError(f"{op}: cannot reshape tensor of {x.count} elements into shape {list(shape)} because the unspecified dimension "
                             f"size -1 can be any value and is ambiguous")
        if x.count % known == 0:
            out[unknown] = x.count // known
            known *= out[unknown]
    if known != x.count:
        raise ShapeError(f"{op}: shape '{list(shape)}' is invalid for input of size {x.count} (shape {shape_tuple(x)})")
    return n


cdef Tensor view_as_shape(Tensor x, tuple shape, str op, bint may_copy):
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int n = infer_shape(x, shape, sizes, op)
    if not view_strides(x, n, sizes, strides):
        if not may_copy:
            raise ShapeError(f"view: view size {shape} is not compatible with input tensor's size {shape_tuple(x)} and stride {x.stride()} (at least "
                             f"one dimension spans across two contiguous subspaces). Use .reshape(...) instead.")
        x = clone_tensor(x)
        view_strides(x, n, sizes, strides)
    return finish_view(VIEW, x, window(x, n, sizes, strides, x.offset), (shape,))


cdef Tensor permuted(Tensor x, tuple dims):
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int i, d
    for i in range(x.v.ndim):
        d = dims[i]
        sizes[i], strides[i] = x.v.shape[d], x.v.strides[d]
    return finish_view(PERMUTE, x, window(x, x.v.ndim, sizes, strides, x.offset), (dims,))


cdef Tensor transposed(Tensor x, int a, int b):
    cdef list dims = list(range(x.v.ndim))
    if x.v.ndim:
        dims[a], dims[b] = b, a
    return permuted(x, tuple(dims))


cdef Tensor expand_to(Tensor x, tuple shape, str op):
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int i, k, n = len(shape)
    cdef int64_t s
    if n < x.v.ndim or n > kMaxDims:
        raise ShapeError(f"{op}: the number of sizes provided ({n}) must be greater or equal to the number of dimensions in the tensor ({x.v.ndim}): "
                         f"{shape_tuple(x)} to {shape}")
    for i in range(n):
        k, s = i - (n - x.v.ndim), shape[i]
        if k < 0:
            if s < 0:
                raise ShapeError(f"{op}: the expanded size of the tensor ({s}) isn't allowed in a leading, non-existing dimension {i}")
            sizes[i], strides[i] = s, 0
        elif s == -1 or s == x.v.shape[k]:
            sizes[i], strides[i] = x.v.shape[k], x.v.strides[k]
        elif x.v.shape[k] == 1 and s >= 0:
            sizes[i], strides[i] = s, 0
        else:
            raise ShapeError(f"{op}: the expanded size of the tensor ({s}) must match the existing size ({x.v.shape[k]}) at non-singleton dimension "
                             f"{i}. Target sizes: {list(shape)}. Tensor sizes: {list(shape_tuple(x))}")
    return finish_view(EXPAND, x, window(x, n, sizes, strides, x.offset), (shape,))


cdef Tensor selected(Tensor x, int dim, int64_t index):
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int i, k = 0
    cdef int64_t size = x.v.shape[dim]
    if index < -size or index >= size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    index = index + size if index < 0 else index
    for i in range(x.v.ndim):
        if i != dim:
            sizes[k], strides[k] = x.v.shape[i], x.v.strides[i]
            k += 1
    return finish_view(SELECT, x, window(x, k, sizes, strides, x.offset + index * x.v.strides[dim]), (dim, index))


cdef Tensor sliced(Tensor x, int dim, int64_t start, int64_t stop, int64_t step):
    # Bounds are already inside [0, size].
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    memcpy(sizes, x.v.shape, x.v.ndim * sizeof(int64_t))
    memcpy(strides, x.v.strides, x.v.ndim * sizeof(int64_t))
    sizes[dim] = (stop - start + step - 1) // step if stop > start else 0
    strides[dim] *= step
    return finish_view(SLICE, x, window(x, x.v.ndim, sizes, strides, x.offset + start * x.v.strides[dim]), (dim, start, stop, step))


cdef object given_dim(dim, axis, str name):
    if (dim is None) == (axis is None):
        raise TypeError(f"{name}(): " + ("missing argument: 'dim'" if dim is None else "'dim' and 'axis' are the same argument: give one of them"))
    return axis if dim is None else dim


def select(Tensor input not None, dim=None, index=None, *, axis=None):
    """The slice at `index` along `dim` (NumPy's name: `axis`), as a view without that dim."""
    cdef int d
    if index is None:
        raise TypeError("select(): missing argument: 'index'")
    dim = given_dim(dim, axis, "select")
    if input.v.ndim == 0:
        raise IndexError("select: select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input.v.ndim, "select")
    return selected(input, d, operator.index(index))


def narrow(Tensor input not None, dim=None, start=None, length=None, *, axis=None):
    """A view of `length` elements along `dim` (NumPy's name: `axis`) from `start`, an integer or a 0-d tensor of one."""
    cdef int d
    cdef int64_t size, first, n
    if start is None or length is None:
        raise TypeError(f"narrow(): missing argument: '{'start' if start is None else 'length'}'")
    if isinstance(start, Tensor) and ((<Tensor>start).v.ndim or (<Tensor>start).v.dtype == kBool or not (<Tensor>start).v.dtype <= kInt64):
        raise ShapeError(f"narrow: start must be an 0-dim integral Tensor: got {DTYPES[(<Tensor>start).v.dtype]!r} of shape {shape_tuple(<Tensor>start)}")
    dim = given_dim(dim, axis, "narrow")
    first, n = operator.index(start), operator.index(length)
    if input.v.ndim == 0:
        raise ShapeError("narrow: narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input.v.ndim, "narrow")
    size = input.v.shape[d]
    if n < 0:
        raise ShapeError(f"narrow: length must be non-negative, got {n}")
    if first < -size or first > size:
        raise IndexError(f"narrow: start ({first}) is out of range [{-size}, {size}]")
    first = first + size if first < 0 else first
    if n > size - first:
        raise ShapeError(f"narrow: start ({first}) + length ({n}) exceeds dimension size ({size})")
    return sliced(input, d, first, first + n, 1)


def reshape(Tensor input not None, *shape):
    """The same elements in another shape: a view where the strides allow it, else a copy."""
    return view_as_shape(input, shape_argument(shape, "reshape"), "reshape", True)


def view(Tensor self not None, *shape, dtype=None):
    """The same elements in another shape, never a copy; or, with a dtype, the same bytes as another type."""
    if dtype is None and len(shape) == 1 and isinstance(shape[0], DType):
        dtype = shape[0]
    if dtype is not None:
        return view_as_dtype(self, dtype)
    return view_as_shape(self, shape_argument(shape, "view"), "view", False)


cdef Tensor view_as_dtype(Tensor x, DType dtype):
    cdef Tensor t = alias(x)
    cdef int64_t old = ITEMSIZE[x.v.dtype], new = dtype.itemsize
    cdef int last = x.v.ndim - 1, i
    if x.device_ >= NPU:
        npu_backend.view(DTYPES[x.v.dtype], dtype)
    t.v.dtype = dtype.code
    t.inference = x.inference
    if old == new:
        return t
    if last < 0 or x.v.strides[last] != 1 and x.v.shape[last] != 1:
        raise ShapeError(f"view: a view of {DTYPES[x.v.dtype]!r} as {dtype!r} needs a last dimension of stride 1; shape {shape_tuple(x)}, strides {x.stride()}")
    if (x.v.shape[last] * old) % new or (x.offset * old) % new:
        raise ShapeError(f"view: self.size(-1) must be divisible by {new // old} to view {DTYPES[x.v.dtype]!r} as {dtype!r}, but got {x.v.shape[last]}")
    for i in range(last):
        if (x.v.strides[i] * old) % new:
            raise ShapeError(f"view: self.stride({i}) must be divisible by {new // old} to view as {dtype!r}, but got {x.v.strides[i]}")
        t.v.strides[i] = x.v.strides[i] * old // new
    t.v.shape[last] = x.v.shape[last] * old // new
    t.offset = x.offset * old // new
    t.count = t.count * old // new
    t.dense = is_contiguous(t.v)
    return t


def permute(Tensor input not None, *dims):
    """The dims in another order, as a view."""
    cdef tuple order = shape_argument(dims, "permute")
    if len(order) != input.v.ndim:
        raise ShapeError(f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of "
                         f"dimensions i.e. input.dim() = {input.v.ndim} is not equal to len(dims) = {len(order)}".replace("(sparse_coo)", ""))
    wrapped = tuple([wrap_dim(d, input.v.ndim, "permute") for d in order])
    if len(set(wrapped)) != len(wrapped):
        raise ShapeError(f"permute: duplicate dims are not allowed, got {order}")
    return permuted(input, wrapped)


def transpose(Tensor input not None, dim0, dim1):
    """Two dims exchanged, as a view."""
    return transposed(input, wrap_dim(dim0, input.v.ndim, "transpose"), wrap_dim(dim1, input.v.ndim, "transpose"))


def expand(Tensor self not None, *sizes):
    """Dims of size 1 repeated without a copy; -1 keeps a size."""
    return expand_to(self, shape_argument(sizes, "expand"), "expand")


def as_strided(Tensor input not None, size, stride, storage_offset=None):
    """A window on the input's storage with any sizes and strides; it must stay inside the storage."""
    cdef int64_t offset = input.offset if storage_offset is None else operator.index(storage_offset)
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int i, n = len(size)
    cdef int64_t last = offset, items = input.storage.nbytes // ITEMSIZE[input.v.dtype], reach
    cdef bint empty = False
    if n != len(stride) or n > kMaxDims:
        raise ShapeError(f"as_strided: mismatch in length of strides and shape: size {tuple(size)}, stride {tuple(stride)}")
    for i in range(n):
        sizes[i], strides[i] = operator.index(size[i]), operator.index(stride[i])
        if sizes[i] < 0 or strides[i] < 0:
            raise ShapeError(f"as_strided: negative sizes and strides are not supported: size {tuple(size)}, stride {tuple(stride)}")
        empty = empty or sizes[i] == 0
    for i in range(n if not empty else 0):
        if sizes[i] > 1 and strides[i] > 0:
            if sizes[i] - 1 > ((<int64_t>1 << 62) - last) // strides[i]:
                last = <int64_t>1 << 62
                break
            last += (sizes[i] - 1) * strides[i]
    if offset < 0 or (not empty and last >= items):
        raise ShapeError(f"as_strided: setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize "
                         f"{ITEMSIZE[input.v.dtype]} requiring a storage size of {(last + 1) * ITEMSIZE[input.v.dtype]} are out of bounds for storage of "
                         f"size {input.storage.nbytes}")
    return finish_view(AS_STRIDED, input, window(input, n, sizes, strides, offset),
                       (tuple([sizes[i] for i in range(n)]), tuple([strides[i] for i in range(n)]), offset, input.stride(), input.offset))


def diagonal(Tensor input not None, offset=0, dim1=0, dim2=1):
    """The diagonal of two dims as a view; it becomes the last dim."""
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int a = wrap_dim(dim1, input.v.ndim, "diagonal"), b = wrap_dim(dim2, input.v.ndim, "diagonal"), i, k = 0
    cdef int64_t shift = offset, length, start = input.offset
    if a == b or input.v.ndim < 2:
        raise ShapeError(f"diagonal: diagonal dimensions cannot be identical {dim1}, {dim2} (shape {shape_tuple(input)})")
    if shift >= 0:
        length = min(input.v.shape[a], input.v.shape[b] - shift)
    else:
        length = min(input.v.shape[a] + shift, input.v.shape[b])
    length = max(length, 0)
    if length:
        start += shift * input.v.strides[b] if shift >= 0 else -shift * input.v.strides[a]
    for i in range(input.v.ndim):
        if i != a and i != b:
            sizes[k], strides[k] = input.v.shape[i], input.v.strides[i]
            k += 1
    sizes[k], strides[k] = length, input.v.strides[a] + input.v.strides[b]
    return finish_view(DIAGONAL, input, window(input, k + 1, sizes, strides, start), (int(offset), a, b))


def unfold(Tensor self not None, dimension, size, step):
    """Windows of `size` along a dim, `step` apart, as a new last dim (a view)."""
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int d = wrap_dim(dimension, self.v.ndim, "unfold"), n = self.v.ndim
    cdef int64_t length = self.v.shape[d] if n else 1, w = size, s = step
    if n + 1 > kMaxDims:
        raise ShapeError(f"unfold: {n + 1} dimensions; at most {kMaxDims} are supported")
    if w < 0 or w > length:
        raise ShapeError(f"unfold: maximum size for tensor at dimension {d} is {length} but size is {w}")
    if s <= 0:
        raise ShapeError(f"unfold: step is {s} but must be > 0")
    memcpy(sizes, self.v.shape, n * sizeof(int64_t))
    memcpy(strides, self.v.strides, n * sizeof(int64_t))
    sizes[n], strides[n] = w, strides[d] if n else 1
    if n:
        sizes[d] = (length - w) // s + 1
        strides[d] *= s
    return finish_view(UNFOLD, self, window(self, n + 1, sizes, strides, self.offset), (d, w, s))


def squeeze_dims(Tensor x not None, tuple dims):
    """x without those of `dims` (non-negative) that have size 1."""
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int i, k = 0
    for i in range(x.v.ndim):
        if x.v.shape[i] != 1 or i not in dims:
            sizes[k], strides[k] = x.v.shape[i], x.v.strides[i]
            k += 1
    return finish_view(VIEW, x, window(x, k, sizes, strides, x.offset), (tuple([sizes[i] for i in range(k)]),))


def unsqueeze(Tensor input not None, dim=None, *, axis=None):
    """A view with a new dim of size 1 at `dim` (NumPy's name: `axis`)."""
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int i, d = wrap_dim(given_dim(dim, axis, "unsqueeze"), input.v.ndim + 1, "unsqueeze"), n = input.v.ndim
    if n + 1 > kMaxDims:
        raise ShapeError(f"unsqueeze: {n + 1} dimensions; at most {kMaxDims} are supported")
    for i in range(n + 1):
        if i == d:
            sizes[i] = 1
            strides[i] = input.v.shape[i] * input.v.strides[i] if i < n else 1
        else:
            sizes[i], strides[i] = input.v.shape[i - (i > d)], input.v.strides[i - (i > d)]
    return finish_view(VIEW, input, window(input, n + 1, sizes, strides, input.offset), (tuple([sizes[i] for i in range(n + 1)]),))
