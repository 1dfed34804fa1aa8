# From tensors to C: kernel launches, attribute flattening, errors on the way back.

cdef dict KERNEL_ERRORS = {kIndexError: BoundsError, kShapeError: ShapeError, kValueError: ArgumentError,
                           kRuntimeError: RuntimeError, kMemoryError: OutOfMemoryError}

cdef frozenset NAMED_BOUNDS = frozenset(("gather", "scatter", "scatter_reduce"))  # others are called by several names: see bounds_of in ops/index.py

cdef raise_kernel_error(Op op, Error* error):
    text = (<bytes>error.message).decode(errors="replace")
    named = text.startswith("not implemented") or error.kind == kIndexError and op.name in NAMED_BOUNDS
    raise KERNEL_ERRORS[error.kind](f"{op.name}: {text}" if named else text)


cdef int flatten_attrs(tuple attrs, FewInts& ints, FewDoubles& floats) except -1:
    for a in attrs:
        if PyFloat_CheckExact(a):
            floats.push_back(a)
        elif PyLong_Check(a):
            ints.push_back(a)
        elif isinstance(a, tuple):
            ints.push_back(len(<tuple>a))
            for item in <tuple>a:
                ints.push_back(item)
        elif isinstance(a, DType):
            ints.push_back((<DType>a).code)
        elif a is not None and not isinstance(a, str):
            raise TypeError(f"attribute {a!r} of type {type(a).__name__} can't be handed to a kernel")
    return 0


cdef launch_kernel(Op op, tuple outputs, tuple inputs, tuple attrs):
    cdef int device = device_of(outputs, inputs)
    if device == CPU:
        launch_on_host(op, outputs, inputs, attrs)
    elif backend_of(device) is not None:
        backend_of(device).launch(op, outputs, inputs, attrs)
    if mode.recording and device != CPU:
        RECORDER.refuse(f"{op.name} on {DEVICES[device]}")


cdef int device_of(tuple outputs, tuple inputs) except -1:
    for tensors in (outputs, inputs):
        for t in tensors:
            if t is not None:
                return (<Tensor?>t).device_
    return CPU


cdef launch_on_host(Op op, tuple outputs, tuple inputs, tuple attrs):
    # Hands the views of outputs, then inputs, to the op's CPU kernel. Inputs are made contiguous where the op wants it.
    cdef FewViews views
    cdef FewInts ints
    cdef FewDoubles floats
    cdef Error error
    cdef Call call
    cdef Tensor t
    cdef int64_t work = 0
    cdef int device = device_of(outputs, inputs)
    cdef list keep = None, given
    cdef KernelFn kernel = op.entry.kernel
    if kernel == NULL:
        raise DeviceError(f"{op.name}: there is no kernel for device 'cpu'")
    for item in outputs:
        t = <Tensor?>item
        views.push_back(&t.v)
        work += t.count
    for item in inputs:
        if item is None:
            if views.count == <int>len(outputs):
                raise TypeError(f"{op.name}(): argument 'input' (position 1) must be Tensor, not None")
            views.push_back(NULL)
            continue
        t = <Tensor?>item
        if t.device_ != device or device == META:
            raise DeviceError(f"{op.name}: a tensor on '{DEVICES[t.device_]}' was handed to a kernel of '{DEVICES[device]}'")
        if op.contiguous and not t.dense:
            t = contiguous_copy(t)
            if keep is None:
                keep = []
            keep.append(t)
        views.push_back(&t.v)
        work += t.count
    flatten_attrs(attrs, ints, floats)
    if mode.recording:
        keep = list(keep or ())
        given = [x if x is None or not op.contiguous or (<Tensor>x).dense else keep.pop(0) for x in inputs]
        RECORDER.kernel(op, outputs, given, attrs)
        keep = given
    error.kind = kOk
    call.views, call.nviews, call.nouts = views.data(), views.count, <int>len(outputs)
    call.ints.data, call.ints.count = ints.data(), ints.count
    call.floats.data, call.floats.count = floats.data(), floats.count
    call.error = &error
    try:
        if work > 4096:
            with nogil:
                kernel(call)
        else:
            kernel(call)
    except TypeError as wrong:
        raise TypeError(f"{op.name}: {wrong}") from None
    if error.kind != kOk:
        raise_kernel_error(op, &error)


cdef run_loop(Op op, LoopFn loop, View** views, int n, int64_t count):
    # views[0] is the output; the others broadcast to it.
    cdef int i, d
    cdef int itemsize[32]
    cdef char* data[32]
    cdef int64_t strides[32]
    cdef bint flat = views[0].ndim == 0 or is_contiguous(views[0][0])
    if count == 0:
        return
    for i in range(n):
        itemsize[i] = ITEMSIZE[views[i].dtype]
        data[i] = views[i].data
        strides[i] = itemsize[i]
        if flat and i:
            if views[i].ndim == 0:
                strides[i] = 0
            elif views[i].ndim != views[0].ndim or not is_contiguous(views[i][0]):
                flat = False
            else:
                for d in range(views[0].ndim):
                    if views[i].shape[d] != views[0].shape[d]:
                        flat = False
    if flat and count <= 32768:
        loop(data, strides, count)
    elif count <= 32768:
        launch_pointwise(loop, views, n, itemsize)
    else:
        with nogil:
            launch_pointwise(loop, views, n, itemsize)


# -- copies
cdef KernelEntry* COPY = host.runtime.entry(b"copy")
cdef KernelEntry* FILL = host.runtime.entry(b"fill")

cdef copy_values(Tensor target, Tensor source):
    # Same shape; any dtypes and strides; no gradient, no version.
    if target.count == 0:
        return
    if target.device_ != CPU or source.device_ != CPU:
        if mode.recording:
            RECORDER.refuse("a copy between devices")
        if target.device_ != META and source.device_ == META:
            raise DeviceError("copy: a meta tensor holds no values to copy; make it on 'cpu' first")
        backend = backend_of(max(target.device_, source.device_))
        if backend is not None:
            backend.copy(target, source)
        return
    copy_on_host(target, source)


cdef copy_on_host(Tensor target, Tensor source):
    cdef View* views[2]
    cdef Call call
    cdef Error error
    if mode.recording:
        RECORDER.copy(target, source)
    if target.dense and source.dense and target.v.dtype == source.v.dtype and target.count < 16384:
        memcpy(target.v.data, source.v.data, target.count * ITEMSIZE[target.v.dtype])
        return
    views[0], views[1] = &target.v, &source.v
    memset(&call, 0, sizeof(call))
    call.views, call.nviews, call.nouts, call.error = views, 2, 1, &error
    error.kind = kOk
    if COPY.kernel == NULL:
        raise DeviceError("copy: no kernel library is loaded")
    if target.count > 8192:
        with nogil:
            COPY.kernel(call)
    else:
        COPY.kernel(call)
    if error.kind != kOk:
        raise RuntimeError((<bytes>error.message).decode(errors="replace"))


cdef Tensor contiguous_copy(Tensor x):
    cdef Tensor t = allocate(x.v.dtype, x.device_, x.v.ndim, x.v.shape)
    copy_values(t, x)
    return t


cdef Tensor converted(Tensor x, int dtype):
    # x's values in another dtype, contiguous; no gradient.
    cdef Tensor t
    if x.v.dtype == dtype:
        return x
    t = allocate(dtype, x.device_, x.v.ndim, x.v.shape)
    copy_values(t, x)
    return t


cdef fill_value(Tensor t, value):
    # Sets every element; no gradient, no version.
    if t.count == 0:
        return
    if t.device_ != CPU:
        check_fits(t.v.dtype, value)
        if backend_of(t.device_) is not None:
            backend_of(t.device_).fill(t, value)
        return
    fill_on_host(t, value)


cdef fill_on_host(Tensor t, value):
    cdef View scalar
    cdef View* views[2]
    cdef char buffer[16]
    cdef Call call
    cdef Error error
    cdef Tensor single
    memset(&scalar, 0, sizeof(scalar))
    memset(buffer, 0, 16)
    scalar.data, scalar.dtype = buffer, t.v.dtype
    check_fits(t.v.dtype, value)
    if not put_number(buffer, t.v.dtype, value):
        single = allocate(kFloat32, CPU, 0, NULL)
        put_number(single.v.data, kFloat32, value)
        single = converted(single, t.v.dtype)
        buffer[0] = single.v.data[0]
    if mode.recording:
        RECORDER.fill(t, (<char*>buffer)[:ITEMSIZE[t.v.dtype]])
    memset(&call, 0, sizeof(call))
    views[0], views[1] = &t.v, &scalar
    call.views, call.nviews, call.nouts, call.error = views, 2, 1, &error
    error.kind = kOk
    if FILL.kernel == NULL:
        raise DeviceError("fill: no kernel library is loaded")
    FILL.kernel(call)
    if error.kind != kOk:
        raise RuntimeError((<bytes>error.message).decode(errors="replace"))


cdef int check_fits(int dtype, value) except -1:
    # An integer dtype holds the number; as in torch, negative numbers wrap into unsigned ones.
    cdef int bits = 8 * ITEMSIZE[dtype], overflow = 0
    cdef int64_t high, low
    cdef long long n
    cdef bint fits
    if dtype == kBool or dtype >= kFloat16:
        return 0
    high = <int64_t>((<uint64_t>1 << (bits if dtype == kUInt8 else bits - 1)) - 1)
    low = -high if dtype == kUInt8 else -high - 1
    if PyFloat_Check(value):
        fits = <double>low <= <double>value and <double>value <= <double>high  # NaN does not
    elif PyLong_Check(value):
        n = PyLong_AsLongLongAndOverflow(value, &overflow)
        fits = not overflow and low <= n and n <= high
    else:
        return 0
    if not fits:
        raise ArgumentError(f"value {value} cannot be converted to type {(<DType>DTYPES[dtype]).name} without overflow")
    return 0


cdef bint put_number(char* p, int dtype, value) except -1:
    # A Python number into memory; False when the dtype has no direct form (8-bit floats).
    cdef int overflow = 0
    cdef long long n
    cdef double d
    if PyFloat_Check(value):
        d = value
        return store_scalar(p, dtype, False, 0, d)
    if not PyLong_Check(value):
        value = value.item() if hasattr(value, "item") else value
        if PyFloat_Check(value):
            return store_scalar(p, dtype, False, 0, <double>value)
        if not PyLong_Check(value):
            raise TypeError(f"expected a number, got {type(value).__name__}")
    n = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        if dtype < kFloat16:
            raise ArgumentError(f"value {value} cannot be converted to type {(<DType>DTYPES[dtype]).name} without overflow")
        return store_scalar(p, dtype, False, 0, float(value))
    return store_scalar(p, dtype, True, n, 0.0)
