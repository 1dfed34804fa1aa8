# Shapes, dims and tensor headers.

Size = <object>make_size_type()


cdef inline object size_of(Tensor t):
    return new_size(t.v.shape, t.v.ndim)  # what users see; the core itself computes with plain tuples


cdef inline tuple shape_tuple(Tensor t):
    cdef int i
    cdef tuple out = PyTuple_New(t.v.ndim)
    for i in range(t.v.ndim):
        item = <object>t.v.shape[i]
        Py_INCREF(item)
        PyTuple_SET_ITEM(out, i, item)
    return out


cdef int wrap_dim(dim, int ndim, str op) except -1:
    # A 0-d tensor is treated as having one dim, as torch does.
    cdef int64_t d
    cdef int n = ndim if ndim > 0 else 1
    if not PyLong_Check(dim):
        try:
            dim = operator.index(dim)
        except TypeError:
            raise TypeError(f"{op}(): argument 'dim' must be int, not {type(dim).__name__}") from None
    d = dim
    if d < -n or d >= n:
        raise DimensionError(f"{op}: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    return <int>(d + n if d < 0 else d)


def normalize_dim(dim, int ndim, str op="dim"):
    """`dim` as a non-negative number; DimensionError names the legal range."""
    return wrap_dim(dim, ndim, op)


def normalize_dims(dims, int ndim, str op="dim"):
    """A dim, a sequence of dims or None (all) as a tuple of distinct non-negative numbers."""
    if dims is None:
        return tuple(range(ndim))
    if not isinstance(dims, (tuple, list)):
        dims = (dims,)
    out = tuple([wrap_dim(d, ndim, op) for d in dims])
    if len(set(out)) != len(out):
        raise ArgumentError(f"{op}: dim {next(d for d in out if out.count(d) > 1)} appears multiple times in the list of dims {tuple(dims)}")
    return out


cdef tuple shape_argument(tuple args, str op):
    # f(2, 3), f((2, 3)), f([2, 3]) and f(x.shape) are the same; numbers must be integers.
    cdef object seq = args
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        seq = args[0]
    out = []
    for s in seq:
        if not PyLong_CheckExact(s):
            try:
                s = operator.index(s)
            except TypeError:
                raise TypeError(f"{op}(): argument 'size' must be tuple of ints, but found element of type {type(s).__name__}") from None
        out.append(s)
    return tuple(out)


cdef int read_shape(tuple shape, View* v, str op) except -1:
    cdef int i, n = len(shape)
    if n > kMaxDims:
        raise ShapeError(f"{op}: {n} dimensions; at most {kMaxDims} are supported")
    v.ndim = n
    for i in range(n):
        try:
            v.shape[i] = shape[i]
        except OverflowError:
            raise ShapeError(f"{op}: size {shape[i]} does not fit in 64 bits; shape {shape}") from None
    return 0


cdef Tensor allocate(int dtype, int device, int ndim, const int64_t* shape):
    # A fresh contiguous tensor, uninitialised.
    cdef Tensor t = bare_tensor(dtype, device)
    cdef int i
    if device >= NPU and dtype == kFloat64 and not mode.doubles:
        refuse_on_npu(dtype)
    t.v.ndim = ndim
    for i in range(ndim):
        t.v.shape[i] = shape[i]
        if shape[i] < 0:
            raise ShapeError(f"empty: Trying to create tensor with negative dimension {shape[i]}: {[shape[k] for k in range(ndim)]}")
    t.count = fill_strides(t.v)
    if t.count < 0 or t.count > (<int64_t>1 << 62) // ITEMSIZE[dtype]:
        raise ShapeError(f"empty: Storage size calculation overflowed with sizes={[shape[k] for k in range(ndim)]}")
    t.dense = True
    t.storage = new_storage(<size_t>t.count * ITEMSIZE[dtype], device)
    t.v.data = t.storage.ptr
    t.inference = mode.inference
    return t


cdef inline Tensor alias(Tensor x):
    # A new header on the same memory, without history.
    cdef Tensor t = bare_tensor(x.v.dtype, x.device_)
    copy_view(t.v, x.v)
    t.storage, t.dense, t.count, t.offset = x.storage, x.dense, x.count, x.offset
    return t


cdef Tensor window(Tensor x, int ndim, const int64_t* shape, const int64_t* strides, int64_t offset):
    # A header on x's storage with another geometry. The caller knows that it stays inside.
    cdef Tensor t = bare_tensor(x.v.dtype, x.device_)
    cdef int i
    t.v.ndim = ndim
    for i in range(ndim):
        t.v.shape[i] = shape[i]
        t.v.strides[i] = strides[i]
    t.count = count_elements(t.v)
    if t.count < 0:
        raise ShapeError(f"numel: integer multiplication overflow: {shape_tuple(t)} has more elements than 64 bits can count")
    t.storage, t.offset, t.inference = x.storage, offset, x.inference
    t.v.data = x.v.data
    if x.device_ != META and x.storage.ptr != NULL:
        t.v.data = x.storage.ptr + offset * ITEMSIZE[x.v.dtype]
    t.dense = is_contiguous(t.v)
    return t


cdef inline bint same_shape(Tensor a, Tensor b) noexcept:
    return same_sizes(a.v, b.v)


def dense_alike(tuple params, *groups):
    """Whether each tuple of `groups` has one contiguous item for each of `params`, of its shape, in float64 if the first parameter is,
    else in another float type."""
    cdef Tensor param, item
    cdef tuple group
    cdef Py_ssize_t k, count = len(params)
    cdef bint doubles = count > 0 and (<Tensor?>params[0]).v.dtype == kFloat64
    for group in groups:
        if len(group) != count:
            return False
        for k in range(count):
            param, item = <Tensor?>params[k], <Tensor?>group[k]
            if not item.dense or not same_shape(param, item) or item.v.dtype < kFloat16 or item.v.dtype > kFloat64:
                return False
            if (item.v.dtype == kFloat64) != doubles:
                return False
    return True


cdef int broadcast_into(int64_t* shape, int ndim, Tensor t, Op op, tuple args) except -1:
    # Widens `shape` (of `ndim` dims) by t's; returns the new number of dims.
    cdef int i, shift
    cdef int64_t s
    if t.v.ndim > ndim:
        shift = t.v.ndim - ndim
        for i in range(ndim - 1, -1, -1):
            shape[i + shift] = shape[i]
        for i in range(shift):
            shape[i] = 1
        ndim = t.v.ndim
    shift = ndim - t.v.ndim
    for i in range(t.v.ndim):
        s = t.v.shape[i]
        if s == shape[i + shift] or s == 1:
            continue
        if shape[i + shift] != 1:
            shapes = " and ".join([str(tuple((<Tensor>a).shape)) for a in args if isinstance(a, Tensor)])
            raise ShapeError(f"{op.name}: The size of tensor a ({shape[i + shift]}) must match the size of tensor b ({s}) at "
                             f"non-singleton dimension {i + shift}: shapes {shapes} can't be broadcast together")
        shape[i + shift] = s
    return ndim


def broadcast_shapes(*shapes):
    """The shape that tensors of these shapes have after broadcasting."""
    out = []
    for shape in shapes:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        out = [1] * (len(shape) - len(out)) + out
        for i, s in enumerate(reversed(shape), 1):
            if s != 1 and out[-i] != 1 and s != out[-i]:
                raise ShapeError(f"broadcast_shapes: Shape mismatch: shapes {' and '.join(map(str, map(tuple, shapes)))} can't be broadcast")
            if s != 1:
                out[-i] = s
    return Size(out)
