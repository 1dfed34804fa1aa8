# How a pointwise op runs once its dtype is known: operands to views, the output's shape and memory, the launch.

cdef Tensor run_uniform(Op op, PyObject** operands, int n, bint* grad):
    # The common case in one pass: contiguous float tensors of one shape and dtype on the CPU, and numbers. None: take the general road.
    # The caller holds the operands, so nothing is counted here.
    cdef char* data[9]
    cdef int64_t strides[9]
    cdef char numbers[9][8]
    cdef PyObject* lead = NULL
    cdef PyObject* x
    cdef Tensor result
    cdef LoopFn loop
    cdef int i, dtype = 0, seen = 0
    if op.cond or op.rule == R_BITWISE or n > 8:
        return None
    for i in range(n):
        x = operands[i]
        if not is_tensor(x):
            continue
        if (<Tensor>x).device_ != CPU or not (<Tensor>x).dense:
            return None
        if lead == NULL:
            lead, dtype = x, (<Tensor>x).v.dtype
            if dtype < kFloat16 or (<Tensor>x).count > 32768 or (<Tensor>x).count == 0:
                return None
        elif (<Tensor>x).v.dtype != dtype or not same_sizes((<Tensor>x).v, (<Tensor>lead).v):
            return None
        seen += 1
        data[i + 1], strides[i + 1] = (<Tensor>x).v.data, ITEMSIZE[dtype]
        if not grad[0] and ((<Tensor>x).leaf_requires_grad or (<Tensor>x).grad_fn_ is not None or (<Tensor>x).base is not None):
            grad[0] = needs_grad(<Tensor>x)
    if lead == NULL:
        return None
    loop = op.entry.loops[dtype]
    if loop == NULL:
        return None
    for i in range(n if seen < n else 0):
        x = operands[i]
        if is_tensor(x):
            continue
        if not (PyFloat_Check(<object>x) or PyLong_Check(<object>x)) or <object>x is True or <object>x is False:
            return None
        put_number(numbers[i], dtype, <object>x)
        data[i + 1], strides[i + 1] = numbers[i], 0
    result = allocate_same(<Tensor>lead, op.entry.out_dtype[dtype])
    data[0], strides[0] = result.v.data, ITEMSIZE[result.v.dtype]
    if mode.recording:
        RECORDER.loop(op, dtype, result, operands, n, None)
    loop(data, strides, result.count)
    return result


cdef inline Tensor allocate_same(Tensor lead, int dtype):
    # A fresh contiguous tensor of lead's shape on the CPU.
    cdef Tensor t = bare_tensor(dtype, CPU)
    copy_view(t.v, lead.v)
    t.v.dtype = dtype
    t.count, t.dense, t.inference = lead.count, True, mode.inference
    t.storage = new_storage(<size_t>lead.count * ITEMSIZE[dtype], CPU)
    t.v.data = t.storage.ptr
    return t


cdef Tensor run_pointwise(Op op, tuple args, int compute, int device, Tensor out):
    # Shape, allocation and launch; `out`, when given, is written (and resized when it has another shape).
    cdef Operands o
    cdef int64_t shape[16]
    cdef int i, ndim = 0, n = <int>PyTuple_GET_SIZE(args), dtype = op.entry.out_dtype[compute]
    cdef Tensor t, result
    cdef list keep = None
    cdef PyObject* given[8]
    for i in range(n):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            t = <Tensor>x
            if t.v.dtype != compute and not (op.cond and i == 0):
                t = converted(t, compute)
                if keep is None:
                    keep = [None] * n
                keep[i] = t
            o.views[i + 1] = &t.v
            if ndim == 0:
                ndim = t.v.ndim
                memcpy(shape, t.v.shape, ndim * sizeof(int64_t))
            else:
                ndim = broadcast_into(shape, ndim, t, op, args)
        else:
            o.scalars[i].data = o.numbers[i]
            o.scalars[i].dtype, o.scalars[i].ndim = compute, 0
            put_number(o.numbers[i], compute, x)
            o.views[i + 1] = &o.scalars[i]
    if out is None:
        result = allocate_like_inputs(dtype, device, ndim, shape, args)
    else:
        result = prepare_out(op, out, dtype, device, ndim, shape)
    o.views[0] = &result.v
    if device == CPU:
        if mode.recording and result.count:
            for i in range(n):
                given[i] = PyTuple_GET_ITEM(args, i)
            RECORDER.loop(op, compute, result, given, n, keep)
        run_loop(op, op.entry.loops[compute], o.views, n + 1, result.count)
    elif mode.recording:
        RECORDER.refuse(f"{op.name} on {DEVICES[device]}")
    if device != CPU and backend_of(device) is not None and result.count:
        operands = args if keep is None else tuple([x if kept is None else kept for x, kept in zip(args, keep)])
        backend_of(device).pointwise(op, result, operands, <DType>DTYPES[compute])
    if out is not None:
        if result is not out:
            if not same_shape(out, result):
                if any([x is out for x in args]):
                    raise ShapeError(f"{op.name}: output with shape {list(shape_tuple(out))} doesn't match the broadcast shape {list(shape_tuple(result))}; "
                                     f"out is an input too, and keeps its shape")
                resize_out(op.name, out, shape_tuple(result))
            copy_values(out, result)
        out.storage.version += 1
        return out
    return result


cdef run_on_host(Op op, Tensor result, tuple args, int compute):
    # The op's native loop on operands that are converted already, wherever their memory is.
    cdef Operands o
    cdef int i, n = <int>PyTuple_GET_SIZE(args)
    for i in range(n):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            o.views[i + 1] = &(<Tensor>x).v
        else:
            o.scalars[i].data = o.numbers[i]
            o.scalars[i].dtype, o.scalars[i].ndim = compute, 0
            put_number(o.numbers[i], compute, x)
            o.views[i + 1] = &o.scalars[i]
    o.views[0] = &result.v
    run_loop(op, op.entry.loops[compute], o.views, n + 1, result.count)


cdef Tensor allocate_like_inputs(int dtype, int device, int ndim, int64_t* shape, tuple args):
    # Contiguous, but where the inputs of full shape are all one and the same permutation of it (as a transposed matrix is).
    cdef Tensor t, lead = None, result = allocate(dtype, device, ndim, shape)
    cdef int i
    for i in range(<int>PyTuple_GET_SIZE(args)):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            t = <Tensor>x
            if t.dense and t.v.ndim:
                return result
            if lead is None and t.v.ndim == ndim and ndim > 1:
                lead = t
    if lead is not None and lead.count == result.count and result.count:
        adopt_permutation(result, lead)
    return result


cdef adopt_permutation(Tensor result, Tensor lead):
    # lead's strides, if its elements are dense and do not overlap.
    cdef int i, k, n = lead.v.ndim
    cdef int64_t extent_ = 1
    cdef list order = sorted([(lead.v.strides[i], lead.v.shape[i], i) for i in range(n) if lead.v.shape[i] != 1])
    for stride, size, k in order:
        if stride != extent_:
            return
        extent_ *= size
    for i in range(n):
        result.v.strides[i] = lead.v.strides[i]
    result.dense = is_contiguous(result.v)


cdef Tensor prepare_out(Op op, Tensor out, int dtype, int device, int ndim, int64_t* shape):
    cdef int i
    cdef bint same = out.v.ndim == ndim
    refuse_out_device(op.name, out, device)
    if not castable(dtype, out.v.dtype):
        raise DTypeError(f"{op.name}: result type {(<DType>DTYPES[dtype]).name} can't be cast to the desired output type "
                         f"{(<DType>DTYPES[out.v.dtype]).name}")
    for i in range(ndim if same else 0):
        same = same and out.v.shape[i] == shape[i]
    return out if same and out.v.dtype == dtype else allocate(dtype, device, ndim, shape)


cdef resize_out(str name, Tensor out, tuple shape):
    # `out` takes the result's shape, as in torch: within its memory where that is enough. One that had elements says so.
    cdef Tensor fresh = empty_tensor(shape, out.v.dtype, META)
    cdef int i
    if out.count:
        import warnings
        warnings.warn(f"{name}: An output with one or more elements was resized since it had shape {list(shape_tuple(out))}, which does not match the "
                      f"required output shape {list(shape)}; pass an out of that shape, or an empty one", UserWarning)
    if mode.recording:
        RECORDER.change(out, "resizing")
    if (out.offset + fresh.count) * ITEMSIZE[out.v.dtype] <= out.storage.nbytes:
        out.v.ndim = fresh.v.ndim
        for i in range(fresh.v.ndim):
            out.v.shape[i], out.v.strides[i] = fresh.v.shape[i], fresh.v.strides[i]
        out.dense, out.count = True, fresh.count
        if out.storage.ptr != NULL:
            out.v.data = out.storage.ptr + out.offset * ITEMSIZE[out.v.dtype]
        return
    if out.base is not None:
        raise ShapeError(f"{name}: out is a view of shape {shape_tuple(out)}, the result has shape {shape}, for which its memory is too small; pass an out "
                         f"of that shape, or an empty tensor of its own")
    fresh = empty_tensor(shape, out.v.dtype, out.device_)
    out.v, out.storage, out.dense, out.count, out.offset = fresh.v, fresh.storage, True, fresh.count, 0
