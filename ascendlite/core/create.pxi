# Where tensors come from: shapes, Python data, arrays of other libraries, raw memory.

cdef Tensor empty_tensor(tuple shape, int dtype, int device, str op="empty"):
    cdef View v
    cdef int64_t sizes[16]
    cdef int i
    if len(shape) > kMaxDims:
        raise ShapeError(f"{op}: {len(shape)} dimensions; at most {kMaxDims} are supported")
    for i in range(len(shape)):
        try:
            sizes[i] = shape[i]
        except OverflowError:
            raise ShapeError(f"{op}: Storage size calculation overflowed with sizes={list(shape)}") from None
        if sizes[i] < 0:
            raise ShapeError(f"{op}: Trying to create tensor with negative dimension {sizes[i]}: {list(shape)}")
    return allocate(dtype, device, len(shape), sizes)


cdef int dtype_code(dtype, int otherwise) except -1:
    if dtype is None:
        return otherwise
    if isinstance(dtype, DType):
        return (<DType>dtype).code
    if dtype is float:
        return kFloat64
    if dtype is bool:
        return kBool
    if dtype is int:
        return kInt64
    raise TypeError(f"dtype: expected an ascendlite dtype such as ascendlite.float32, got {dtype!r}")


cdef Tensor finish(Tensor t, bint requires_grad):
    if requires_grad:
        set_requires_grad(t, True)
    return t


def empty(*size, dtype=None, device=None, bint requires_grad=False, out=None, **names):
    """An uninitialised tensor."""
    if "size" in names:
        size = (names.pop("size"),)
    no_more(names, "empty")
    t = blank(empty_tensor(shape_argument(size, "empty"), dtype_code(dtype, default_dtype), device_code(device)))
    return deliver(finish(t, requires_grad), out)


def zeros(*size, dtype=None, device=None, bint requires_grad=False, out=None, **names):
    """A tensor of zeros."""
    return filled(size, names, 0, dtype_code(dtype, default_dtype), device, requires_grad, out, "zeros")


def ones(*size, dtype=None, device=None, bint requires_grad=False, out=None, **names):
    """A tensor of ones."""
    return filled(size, names, 1, dtype_code(dtype, default_dtype), device, requires_grad, out, "ones")


def full(size, fill_value, *, dtype=None, device=None, bint requires_grad=False, out=None):
    """A tensor with every element equal to `fill_value`; its dtype is that of the value unless given."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    return filled((size,), {}, fill_value, dtype_code(dtype, scalar_dtype(fill_value)), device, requires_grad, out, "full")


cdef no_more(dict names, str op):
    names.pop("layout", None), names.pop("pin_memory", None), names.pop("memory_format", None)
    if names:
        raise TypeError(f"{op}() got an unexpected keyword argument {next(iter(names))!r}")


cdef object filled(tuple size, dict names, value, int dtype, device, bint requires_grad, out, str op):
    if "size" in names:
        size = (names.pop("size"),)
    no_more(names, op)
    cdef Tensor t = empty_tensor(shape_argument(size, op), dtype, device_code(device), op)
    if value is 0 and t.device_ == CPU and t.storage.ptr != NULL and t.storage.nbytes < 65536:
        memset(t.storage.ptr, 0, t.storage.nbytes)
        if mode.recording:
            RECORDER.fill(t, bytes(ITEMSIZE[dtype]))
    else:
        fill_value(t, value)
    return deliver(finish(t, requires_grad), out)


cdef Tensor new_like(Tensor x, dtype, device, bint requires_grad):
    cdef int place = x.device_ if device is None else device_code(device)
    return finish(blank(allocate_like_inputs(dtype_code(dtype, x.v.dtype), place, x.v.ndim, x.v.shape, (x,))), requires_grad)


def empty_like(Tensor input not None, *, dtype=None, device=None, bint requires_grad=False, memory_format=None):
    """An uninitialised tensor with the input's shape, dtype and device."""
    return new_like(input, dtype, device, requires_grad)


def full_like(Tensor input not None, value, *, dtype=None, device=None, bint requires_grad=False, memory_format=None):
    """A tensor with the input's shape, dtype and device and every element equal to `value`."""
    cdef Tensor t = new_like(input, dtype, device, False)
    fill_value(t, value.item() if isinstance(value, Tensor) else value)
    return finish(t, requires_grad)


def zeros_like(Tensor input not None, *, dtype=None, device=None, bint requires_grad=False, memory_format=None):
    """Zeros with the input's shape, dtype and device."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(Tensor input not None, *, dtype=None, device=None, bint requires_grad=False, memory_format=None):
    """Ones with the input's shape, dtype and device."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_strided(size, stride, *, dtype=None, device=None, bint requires_grad=False):
    """An uninitialised tensor with given strides."""
    cdef int64_t sizes[16]
    cdef int64_t strides[16]
    cdef int64_t reach = 1
    cdef int i
    if len(size) != len(stride) or len(size) > kMaxDims:
        raise ShapeError(f"empty_strided: mismatch in length of strides and shape: size {tuple(size)}, stride {tuple(stride)}")
    for i, (n, s) in enumerate(zip(size, stride)):
        sizes[i], strides[i] = n, s
        if n < 0 or s < 0:
            raise ShapeError(f"empty_strided: negative sizes and strides are not supported: size {tuple(size)}, stride {tuple(stride)}")
        reach = 0 if n == 0 or reach == 0 else reach + (n - 1) * s
    flat = blank(empty_tensor((reach,), dtype_code(dtype, default_dtype), device_code(device)))
    return finish(window(flat, len(size), sizes, strides, 0), requires_grad)


def arange(start, end=None, step=1, *, dtype=None, device=None, bint requires_grad=False, out=None):
    """The numbers from `start` up to, but without, `end`."""
    cdef Tensor t
    cdef int64_t i, n
    cdef double first, by
    cdef int code
    count = None
    if end is None:
        start, end = 0, start
    values = [v.item() if isinstance(v, Tensor) else v for v in (start, end, step)]
    floats = any(isinstance(v, float) for v in values)
    start, end, step = values
    code = (<Tensor?>out).v.dtype if dtype is None and out is not None else dtype_code(dtype, default_dtype if floats else kInt64)
    if floats and not (<DType>DTYPES[code]).is_floating_point:  # as torch: the limits become integers first
        if code != kInt64 and int(step):  # and only int64 counts with these
            count = max(0, _math.ceil((end - start) / step))
        start, end, step, floats = int(start), int(end), int(step), False
    if step == 0 or step != step:
        raise ArgumentError(f"arange: step must be nonzero, got {step}")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise ArgumentError(f"arange: upper bound and lower bound inconsistent with step sign: start {start}, end {end}, step {step}")
    if floats:
        if not (_math.isfinite(start) and _math.isfinite(end)):
            raise ArgumentError(f"arange: unsupported range: {start} -> {end}")
        count = _math.ceil((end - start) / step)
    elif count is None:
        count = -((start - end) // step)
    t = empty_tensor((count,), kFloat64 if floats else kInt64, META if device_code(device) == META else CPU, "arange")
    if t.device_ == CPU:
        n = t.count
        if floats:
            first, by = start, step
            for i in range(n):
                (<double*>t.v.data)[i] = first + <double>i * by
        else:
            fill_range(<int64_t*>t.v.data, n, start, step)
    t = converted(t, code)
    return deliver(finish(t if t.device_ == META else place(t, device), requires_grad), out)


cdef fill_range(int64_t* p, int64_t n, int64_t start, int64_t step):
    cdef int64_t i
    for i in range(n):
        p[i] = start + i * step


# -- from Python data
cdef tuple SEQUENCES = (list, tuple, range)

cdef infer_nested(data, list shape, int* dtype, int depth):
    # Walks nested sequences: sizes on the first path, the dtype over all leaves.
    cdef int code
    if isinstance(data, SEQUENCES):
        if depth >= kMaxDims:
            raise ValueError(f"too many dimensions '{type(data).__name__}': nested deeper than {kMaxDims}")
        if len(shape) == depth:
            shape.append(len(data))
        for item in data:
            infer_nested(item, shape, dtype, depth + 1)
        return
    if isinstance(data, Tensor):
        code = (<Tensor>data).v.dtype
    elif hasattr(data, "__array_interface__") and not hasattr(data, "item"):
        raise TypeError("tensor: nested array objects are not supported; stack them first")
    elif not (PyFloat_CheckExact(data) or PyLong_CheckExact(data)) and is_numpy_scalar(data) and data.dtype.name in DTYPE_NAMES:
        code = (<DType>DTYPE_NAMES[data.dtype.name]).code
    else:
        try:
            code = scalar_dtype(data)
        except TypeError:
            raise TypeError(f"new(): invalid data type '{type(data).__name__}': expected numbers or nested sequences of numbers") from None
    dtype[0] = code if dtype[0] < 0 else promote(dtype[0], code)


cdef char* fill_nested(data, list shape, int depth, char* p, int dtype) except? NULL:
    cdef int64_t n
    if depth < len(shape):
        n = shape[depth]
        if not isinstance(data, SEQUENCES):
            if hasattr(data, "tolist") and not isinstance(data, (int, float)):
                data = data.tolist()
            if not isinstance(data, SEQUENCES):
                raise ValueError(f"expected sequence of length {n} at dim {depth} (got a {type(data).__name__})")
        if len(data) != n:
            raise ValueError(f"expected sequence of length {n} at dim {depth} (got {len(data)})")
        for item in data:
            p = fill_nested(item, shape, depth + 1, p, dtype)
        return p
    if isinstance(data, SEQUENCES):
        raise ValueError(f"expected a number at dim {depth}, got a sequence of length {len(data)}")
    value = (<Tensor>data).item() if isinstance(data, Tensor) else data.item() if is_numpy_scalar(data) else data
    check_fits(dtype, value)
    put_number(p, dtype, value)
    return p + ITEMSIZE[dtype]


cdef Tensor tensor_from_data(data, dtype, device):
    # Always a copy.
    cdef list shape = []
    cdef int found = -1, code
    cdef Tensor t
    if isinstance(data, Tensor):
        t = contiguous_copy(<Tensor>data)
    elif isinstance(data, SEQUENCES) or PyFloat_Check(data) or PyLong_Check(data) or is_numpy_scalar(data):
        if is_numpy_scalar(data) and not (PyFloat_Check(data) or PyLong_Check(data)):
            import numpy
            t = contiguous_copy(from_array_interface(numpy.asarray(data)))  # 0-d arrays count as scalars too
            return place(converted(t, dtype_code(dtype, t.v.dtype)), device)
        data = unpack_arrays(data)
        infer_nested(data, shape, &found, 0)
        code = dtype_code(dtype, default_dtype if found < 0 else found)
        t = empty_tensor(tuple(shape), code if code <= kFloat64 else kFloat32, CPU, "tensor")
        if t.count:
            fill_nested(data, shape, 0, t.v.data, t.v.dtype)
        return place(converted(t, code), device)
    else:
        t = contiguous_copy(foreign_tensor(data))
    return place(converted(t, dtype_code(dtype, t.v.dtype)), device)


cdef object unpack_arrays(data):
    # Lists of arrays become nested lists; numbers and lists stay as they are.
    if isinstance(data, SEQUENCES) and data and hasattr(data[0], "tolist") and getattr(data[0], "ndim", 0):
        if isinstance(data[0], Tensor):
            raise ValueError("only one element tensors can be converted to Python scalars; use stack() to make one tensor of several")
        return [x.tolist() if hasattr(x, "tolist") else x for x in data]
    return data


cdef Tensor place(Tensor t, device):
    cdef int code = device_code(device) if device is not None else mode.default_device
    return t if code == t.device_ else moved(t, code)


cdef Tensor foreign_tensor(data):
    # An array of another library, without a copy where possible.
    if mode.recording:
        RECORDER.refuse(f"a tensor made of a {type(data).__name__}")
    if hasattr(data, "__array_interface__"):
        return from_array_interface(data)
    if hasattr(data, "__dlpack__"):
        from ascendlite.interop.dlpack import from_dlpack
        return from_dlpack(data)
    if hasattr(data, "__array__"):
        return from_array_interface(data.__array__())
    try:
        import array as _array
        view = memoryview(data)
    except TypeError:
        raise DTypeError(f"tensor: can't make a tensor of {type(data).__name__!r}; pass numbers, nested sequences, an array or a tensor") from None
    import numpy
    return from_array_interface(numpy.asarray(view))


def tensor(data, *, dtype=None, device=None, bint requires_grad=False, pin_memory=False):
    """A new tensor with a copy of the data: a number, nested sequences, an array, or a tensor."""
    return finish(tensor_from_data(data, dtype, device), requires_grad)


def as_tensor(data, dtype=None, device=None):
    """The data as a tensor, sharing memory with tensors and arrays where dtype and device allow it."""
    if isinstance(data, Tensor):
        return to_dtype_device(<Tensor>data, dtype_code(dtype, (<Tensor>data).v.dtype),
                               (<Tensor>data).device_ if device is None else device_code(device), False)
    if isinstance(data, (list, tuple, int, float)) or is_numpy_scalar(data):
        return tensor_from_data(data, dtype, device)
    t = foreign_tensor(data)
    return place(converted(t, dtype_code(dtype, (<Tensor>t).v.dtype)), device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=None):
    """The data as a tensor: sharing memory where that can be, always a copy with `copy=True`, never with `copy=False`.

    A tensor keeps its history, unless `requires_grad=False`.
    """
    cdef Tensor t = <Tensor>as_tensor(obj, dtype=dtype, device=device)
    cdef bint shared = t is obj
    if not shared and not isinstance(obj, (list, tuple, int, float, Tensor)) and not is_numpy_scalar(obj):
        shared = t.v.dtype == (<Tensor>foreign_tensor(obj)).v.dtype and t.device_ == CPU
    if copy is not None and not copy and not shared:
        raise ValueError(f"asarray: {type(obj).__name__} to {DTYPES[t.v.dtype]!r} on '{DEVICES[t.device_]}' is a copy, and copy=False was given")
    if copy and shared:
        t = t.clone()
    if requires_grad:
        return t.requires_grad_()
    return t if requires_grad is None or not t.requires_grad else t.detach()


cdef dict TYPESTR = {"b1": kBool, "u1": kUInt8, "i1": kInt8, "i2": kInt16, "i4": kInt32, "i8": kInt64, "f2": kFloat16, "f4": kFloat32, "f8": kFloat64}


cdef Tensor from_array_interface(array):
    cdef dict d = array.__array_interface__
    cdef str kind = d["typestr"][1:]
    cdef Tensor t
    cdef View v
    dtype = getattr(array, "dtype", None)
    code = {"bfloat16": kBFloat16, "float8_e4m3fn": kFloat8E4M3, "float8_e5m2": kFloat8E4M3 + 1}.get(str(dtype), TYPESTR.get(kind))
    if code is None:
        raise TypeError(f"can't convert an array of type {dtype if dtype is not None else kind}; the supported types are bool, uint8, int8 to int64, "
                        f"float16, float32, float64 and, with ml_dtypes, bfloat16")
    if d["typestr"][0] == ">":
        raise ValueError("from_numpy: given array has byte order different from the native byte order; convert it with .astype(a.dtype.newbyteorder('='))")
    pointer, readonly = d["data"]
    shape, strides = d["shape"], d.get("strides")
    size = ITEMSIZE[<int>code]
    if strides is not None and any(s % size for s in strides):
        raise ValueError(f"from_numpy: strides {strides} are not multiples of the item size {size}; copy the array first")
    if strides is not None and any(s < 0 for s in strides):
        raise ValueError("from_numpy: at least one stride in the given array is negative, and tensors with negative strides are not supported; "
                         "make a copy with array.copy()")
    return from_pointer(pointer, None, shape, None if strides is None else [s // size for s in strides], DTYPES[<int>code], array, readonly)


def from_pointer(uintptr_t pointer, nbytes, shape, strides, DType dtype not None, owner, bint readonly=False):
    """A tensor on memory that `owner` keeps alive. Strides count elements; None means C order. Internal: nothing is checked."""
    cdef Tensor t = bare_tensor(dtype.code, CPU)
    cdef Storage s = Storage.__new__(Storage)
    cdef int64_t low = 0, high = 0
    cdef int i
    read_shape(tuple(shape), &t.v, "from_pointer")
    t.count = fill_strides(t.v)
    if strides is not None:
        for i in range(t.v.ndim):
            t.v.strides[i] = strides[i]
    extent(t.v, dtype.itemsize, low, high)
    s.ptr, s.nbytes, s.device, s.owner, s.readonly = <char*>pointer, high if nbytes is None else <size_t>nbytes, CPU, owner, readonly
    t.storage, t.v.data, t.dense = s, s.ptr, is_contiguous(t.v)
    return t


def from_numpy(ndarray):
    """A tensor that shares memory with a NumPy array."""
    if not hasattr(ndarray, "__array_interface__"):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return from_array_interface(ndarray)


cdef init_legacy(Tensor self, tuple args, device):
    # Tensor(2, 3) is uninitialised, Tensor([1, 2]) holds the data; always the default dtype.
    cdef Tensor t
    if len(args) == 1 and not PyLong_Check(args[0]):
        t = <Tensor>tensor_from_data(args[0], DTYPES[default_dtype], device)
    else:
        t = empty_tensor(shape_argument(args, "Tensor") if args else (0,), default_dtype, device_code(device))
    adopt(self, t)


cdef adopt(Tensor self, Tensor t):
    self.v, self.storage, self.dense, self.count, self.offset, self.device_ = t.v, t.storage, t.dense, t.count, t.offset, t.device_
    self.inference = t.inference


def make_subclass(cls, Tensor data not None, bint requires_grad=False):
    """An instance of a subclass of Tensor on data's memory, without its history."""
    cdef Tensor t = <Tensor?>Tensor.__new__(cls)  # not the subclass's own __new__, which calls this
    adopt(t, data)
    if requires_grad:
        set_requires_grad(t, True)
    return t


def assign(Tensor target not None, Tensor value not None):
    """Make `target` the value of another tensor, history included: how a custom in-place function hands back its result."""
    adopt(target, value)
    attach_history(target, value)
    if target is not value:
        target.storage.version += 1
