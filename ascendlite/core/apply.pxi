# The one road that every op takes: one device? promote, infer, allocate, launch, record, tell the listeners.

cdef struct Operands:  # of a pointwise op, on the caller's stack
    View* views[9]        # output first
    View scalars[8]
    char numbers[8][8]
    int n
    int compute           # dtype
    int device

cdef int scalar_dtype(x) except -1:
    if x is True or x is False:
        return kBool
    if PyLong_Check(x):
        return kInt64
    if PyFloat_Check(x):
        return default_dtype
    value = x.item() if hasattr(x, "item") else x
    if PyFloat_Check(value) or PyLong_Check(value):
        return scalar_dtype(value)
    raise TypeError(f"expected a Tensor or a Python number, got {type(x).__name__}")


cdef int compute_dtype(Op op, tuple args, int first) except -1:
    # torch's type promotion over args[first:], then the op's own rule.
    cdef int dim = -1, zero = -1, wrapped = -1, code, i, rule = op.rule
    cdef bint bools = False
    cdef Tensor t
    for i in range(first, <int>PyTuple_GET_SIZE(args)):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            t = <Tensor>x
            bools = bools or t.v.dtype == kBool
            if t.v.ndim:
                dim = t.v.dtype if dim < 0 else promote(dim, t.v.dtype)
            else:
                zero = t.v.dtype if zero < 0 else promote(zero, t.v.dtype)
        else:
            code = scalar_dtype(x)
            bools = bools or code == kBool
            wrapped = code if wrapped < 0 else promote(wrapped, code)
    code = combine(dim, combine(zero, wrapped))
    if bools and op.name == "sub":
        raise DTypeError("sub: not supported on bool tensors: Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                         "trying to invert a mask, use the `~` or `logical_not()` operator instead; else cast it, as with .to(x.dtype)")
    if rule == R_FLOAT and code < kFloat16:
        return default_dtype
    if rule == R_FLOATONLY:
        i = combine(dim, zero)  # a float scalar does not make integers acceptable
        if i < kFloat16:
            raise DTypeError(f"{op.name}: not implemented for dtype {(<DType>DTYPES[i]).name}; cast to a float dtype first, as with .float()")
    if rule == R_BITWISE and code >= kFloat16:
        raise DTypeError(f"{op.name}: not implemented for dtype {(<DType>DTYPES[code]).name}; it takes integers and bools")
    if rule == R_NUMERIC and code == kBool:
        raise DTypeError(f"{op.name}: not supported on bool tensors; use logical_not, logical_xor or bitwise_not, or cast to an integer dtype")
    return code


cdef raise_missing_loop(Op op, int compute):
    if not op.has_kernel():
        raise DeviceError(f"{op.name}: no kernel for device 'cpu' is loaded")
    raise DTypeError(f"{op.name}: not implemented for dtype {(<DType>DTYPES[compute]).name} on cpu; cast with .to() first")


cdef tuple check_operands(Op op, tuple args, int* device, bint* grad):
    # Rejects what is no tensor or number, mixed devices; numpy scalars become numbers.
    cdef int i
    cdef Tensor t
    cdef bint seen = False
    for i in range(<int>PyTuple_GET_SIZE(args)):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            t = <Tensor>x
            if not seen:
                device[0], seen = t.device_, True
            elif t.device_ != device[0]:
                return check_operands(op, one_device(op.name, args), device, grad)
            if t.leaf_requires_grad or t.grad_fn_ is not None or t.base is not None:
                grad[0] = grad[0] or needs_grad(t)
        elif not (PyFloat_Check(x) or PyLong_Check(x)):
            if is_numpy_scalar(x):
                return check_operands(op, args[:i] + (x.item(),) + args[i + 1:], device, grad)
            raise TypeError(f"{op.name}(): argument {i + 1} must be Tensor or a number, not {type(x).__name__}")
    if not seen:
        raise TypeError(f"{op.name}(): argument 'input' (position 1) must be Tensor, not {type(args[0]).__name__}")
    return args


cdef tuple one_device(str name, tuple args):
    # A 0-d tensor of the CPU joins tensors of an NPU, as in torch; other mixtures are a mistake.
    cdef int device = max([(<Tensor>a).device_ for a in args if isinstance(a, Tensor)])
    if device < NPU or any([isinstance(a, Tensor) and (<Tensor>a).device_ != device and ((<Tensor>a).device_ != CPU or (<Tensor>a).v.ndim) for a in args]):
        raise_devices(name, args)
    return tuple([scalar_on(<Tensor>a, device) if isinstance(a, Tensor) else a for a in args])


cdef Tensor scalar_on(Tensor t, int device):
    return moved(cast_tensor(t, kFloat32) if t.v.dtype == kFloat64 and device >= NPU else t, device)


cdef raise_devices(str name, tuple args):
    places = [f"{shape_tuple(<Tensor>a)} on {DEVICES[(<Tensor>a).device_]}" for a in args if isinstance(a, Tensor)]
    raise DeviceError(f"{name}: Expected all tensors to be on the same device, but found {', '.join(places)}; move one with .to()")


cdef object apply_operands(Op op, PyObject** operands, int n):
    # A pointwise op without `out`.
    cdef bint grad = False
    cdef Tensor result
    cdef int64_t start = began()
    if mode.autocast < 0 or not op.cast:
        result = run_uniform(op, operands, n, &grad)
        if result is not None:
            if grad and mode.grad and op.vjp is not None and result.is_float():
                record_operands(op, None, operands, n, (), result)
            if PyList_GET_SIZE(LISTENERS):
                notify(op, tuple([<object>operands[i] for i in range(n)]), (), result, start)
            return result
    args = tuple([<object>operands[i] for i in range(n)])
    for x in args:
        if isinstance(x, Symbol):
            return trace(op, args)
    return apply_pointwise(op, args, None)


cdef object apply_pointwise(Op op, tuple args, Tensor out):
    cdef int device = 0, compute, first = 1 if op.cond else 0
    cdef bint grad = False
    cdef Tensor result
    cdef int64_t start = began()
    args = check_operands(op, args, &device, &grad)
    if mode.autocast >= 0 and op.cast:
        args = autocast_args(op, args)
    compute = compute_dtype(op, args, first)
    if op.entry.loops[compute] == NULL:
        raise_missing_loop(op, compute)
    grad = grad and mode.grad and op.vjp is not None
    if out is not None:
        check_out(op.name, out, grad)
        args = tuple([disjoint(out, <Tensor>x, op.name) if isinstance(x, Tensor) and x is not out else x for x in args])
    result = run_pointwise(op, args, compute, device, out)
    if grad and result.is_float():
        record(op, args, (), result)
    if LISTENERS:
        notify(op, args, (), result, start)
    return result


cdef check_out(str name, Tensor out, bint grad):
    if mode.grad and (grad or needs_grad(out)):
        raise GradError(f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
                        f"arguments requires grad; leave out= away or use no_grad()")
    check_writable(out, name)


cdef refuse_out_device(str name, Tensor out, int device):
    if out.device_ != device:
        raise DeviceError(f"{name}: Expected all tensors to be on the same device, but out= is on {DEVICES[out.device_]} and the result on "
                          f"{DEVICES[device]}; pass an out of that device, or move the result with .to()")


# -- ops with their own kernel
cdef object apply_kernel(Op op, tuple inputs, tuple attrs, Tensor out):
    cdef int device = -1
    cdef bint grad = False, several = False
    cdef Tensor t
    cdef tuple outputs
    cdef int64_t start = began()
    for x in inputs:
        if x is None:
            continue
        if not isinstance(x, Tensor):
            raise TypeError(f"{op.name}(): expected a Tensor, got {type(x).__name__}")
        t = <Tensor>x
        if device < 0:
            device = t.device_
        elif t.device_ != device:
            raise_devices(op.name, inputs)
        if needs_grad(t):
            grad = True
    if mode.autocast >= 0 and op.cast:
        inputs = autocast_args(op, inputs)
    device = mode.default_device if device < 0 else device
    outputs = make_outputs(op, inputs, attrs, device, &several)
    launch_kernel(op, outputs, inputs, attrs)
    result = outputs if several else <object>PyTuple_GET_ITEM(outputs, 0)
    if grad and mode.grad and op.differentiable:
        record(op, inputs, attrs, result)
    if LISTENERS:
        notify(op, inputs, attrs, result, start)
    if out is not None:
        return deliver(result, out)
    return result


cdef tuple make_outputs(Op op, tuple inputs, tuple attrs, int device, bint* several):
    # Fresh outputs as the op's shape rule says; what it said of a call like this one is remembered.
    cdef CallKey key
    cdef Answer* answer = NULL
    cdef tuple outputs
    cdef int i
    describe_call(inputs, attrs, device, key)
    if key.usable:
        answer = op.answers.find(key)
    if answer != NULL:
        several[0] = answer.several
        outputs = PyTuple_New(answer.count)
        for i in range(answer.count):
            made = allocate(answer.outputs[i].dtype, device, answer.outputs[i].ndim, answer.outputs[i].shape)
            Py_INCREF(made)
            PyTuple_SET_ITEM(outputs, i, made)
        return outputs
    specs = op.infer(*inputs, *attrs) if op.inputs is not None else op.infer(inputs, *attrs)
    several[0] = isinstance(specs, list)
    outputs = tuple([allocate_spec(s, device) for s in specs]) if several[0] else (allocate_spec(specs, device),)
    if key.usable:
        remember(op, key, outputs, several[0])
    return outputs


cdef int describe_call(tuple inputs, tuple attrs, int device, CallKey& key) except -1:
    # Everything that a shape rule may look at: it reads no values, no strides and no modes but the default dtype.
    key.add(device << 8 | default_dtype)
    for x in inputs:
        if x is None:
            key.add(-1)
        else:
            key.add_view((<Tensor>x).v, (<Tensor>x).device_)
    for a in attrs:
        if isinstance(a, tuple):
            key.add(-(<int64_t>len(<tuple>a)) - 16)
            for item in <tuple>a:
                describe_attribute(item, key)
        else:
            describe_attribute(a, key)
    return 0


cdef inline int describe_attribute(a, CallKey& key) except -1:
    cdef int overflow = 0
    cdef long long n
    if a is None:
        key.add(-2)
    elif PyLong_Check(a):
        n = PyLong_AsLongLongAndOverflow(a, &overflow)
        key.add(-3)
        key.add(n)
        key.usable = key.usable and not overflow
    elif PyFloat_CheckExact(a):
        key.add(-4)
        key.add_double(a)
    elif isinstance(a, DType):
        key.add(-5)
        key.add((<DType>a).code)
    else:
        key.usable = False
    return 0


cdef int remember(Op op, const CallKey& key, tuple outputs, bint several) except -1:
    cdef Answer* answer
    cdef Tensor t
    cdef int i, d
    if not 1 <= len(outputs) <= 3 or any([(<Tensor>t).v.ndim > 6 for t in outputs]):
        return 0
    answer = op.answers.open(key)
    answer.several, answer.count = several, <int>len(outputs)
    for i in range(answer.count):
        t = <Tensor>outputs[i]
        answer.outputs[i].dtype, answer.outputs[i].ndim = t.v.dtype, t.v.ndim
        for d in range(t.v.ndim):
            answer.outputs[i].shape[d] = t.v.shape[d]
    return 0


cdef Tensor allocate_spec(spec, int device):
    cdef Tensor like
    if isinstance(spec, Tensor):
        like = <Tensor>spec
        return allocate(like.v.dtype, device, like.v.ndim, like.v.shape)
    if isinstance(spec, Spec):
        return empty_tensor((<Spec>spec).shape, (<Spec>spec).dtype.code, device)
    shape, dtype = spec
    return empty_tensor(tuple(shape), (<DType?>dtype).code, device)


def deliver(result, out):
    """Finish a function with an `out` argument: the result itself, or `out` with the result written into it."""
    cdef Tensor r, o
    if out is None:
        return result
    if isinstance(result, tuple):
        return type(result)(*[deliver(a, b) for a, b in zip(result, out)]) if hasattr(result, "_fields") else tuple(
            [deliver(a, b) for a, b in zip(result, out)])
    r, o = <Tensor?>result, <Tensor?>out
    check_out("out=", o, needs_grad(r))
    refuse_out_device("out=", o, r.device_)
    if not castable(r.v.dtype, o.v.dtype):
        raise DTypeError(f"out=: result type {(<DType>DTYPES[r.v.dtype]).name} can't be cast to the desired output type "
                         f"{(<DType>DTYPES[o.v.dtype]).name}")
    if not same_shape(r, o):
        r = contiguous_copy(r) if r.storage is o.storage else r
        resize_out("out=", o, shape_tuple(r))
    refuse_overlap(o, "out=")
    copy_values(o, r)
    o.storage.version += 1
    return o


cdef notify(Op op, tuple inputs, tuple attrs, result, int64_t start, bint given=False):
    # `given`: the outputs were there before.
    cdef tuple outputs = result if isinstance(result, tuple) else (result,)
    for listener, timed in tuple(LISTENERS):
        if timed:
            listener(op, inputs, attrs, outputs, start, mode.pass_ != 0)
        elif not given:
            listener(op, inputs, attrs, outputs)


cdef tuple autocast_args(Op op, tuple args):
    # `low`: float32 and lower compute in the autocast dtype; `float32`: halves are widened.
    cdef int target = mode.autocast if op.cast == 1 else kFloat32
    cdef list out = None
    cdef Tensor t
    for i, x in enumerate(args):
        if not isinstance(x, Tensor):
            continue
        t = <Tensor>x
        if t.v.dtype == target or not (kFloat16 <= t.v.dtype <= kFloat32):
            continue
        if op.cast == 2 and t.v.dtype == kFloat32:
            continue
        if out is None:
            out = list(args)
        out[i] = autocast_tensor(t, target)
    return args if out is None else tuple(out)


cdef Tensor autocast_tensor(Tensor t, int target):
    # A parameter is cast once per region and version.
    cdef Tensor made
    if not (t.leaf_requires_grad and mode.grad):
        return cast_tensor(t, target)
    key = (id(t), target)
    hit = _AUTOCAST_CACHE.get(key)
    if hit is not None and hit[0]() is t and hit[1] == t.storage.version:
        return hit[2]
    made = cast_tensor(t, target)
    _AUTOCAST_CACHE[key] = (weakref.ref(t), t.storage.version, made)
    return made
