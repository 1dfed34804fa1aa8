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
    cdef Tensor t
    for i in range(first, <int>PyTuple_GET_SIZE(args)):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            t = <Tensor>x
            if t.v.ndim:
                dim = t.v.dtype if dim < 0 else promote(dim, t.v.dtype)
            else:
                zero = t.v.dtype if zero < 0 else promote(zero, t.v.dtype)
        else:
            code = scalar_dtype(x)
            wrapped = code if wrapped < 0 else promote(wrapped, code)
    code = combine(dim, combine(zero, wrapped))
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
                raise_devices(op.name, args)
            if t.leaf_requires_grad or t.grad_fn_ is not None or t.base is not None:
                grad[0] = grad[0] or needs_grad(t)
        elif not (PyFloat_Check(x) or PyLong_Check(x)):
            if is_numpy_scalar(x):
                return check_operands(op, args[:i] + (x.item(),) + args[i + 1:], device, grad)
            raise TypeError(f"{op.name}(): argument {i + 1} must be Tensor or a number, not {type(x).__name__}")
    if not seen:
        raise TypeError(f"{op.name}(): argument 'input' (position 1) must be Tensor, not {type(args[0]).__name__}")
    return args


cdef raise_devices(str name, tuple args):
    places = [f"{shape_tuple(<Tensor>a)} on {DEVICES[(<Tensor>a).device_]}" for a in args if isinstance(a, Tensor)]
    raise DeviceError(f"{name}: Expected all tensors to be on the same device, but found {', '.join(places)}; move one with .to()")


cdef object apply_pointwise(Op op, tuple args, Tensor out):
    cdef int device = 0, compute, first = 1 if op.cond else 0
    cdef bint grad = False
    cdef Tensor result
    if out is None and (mode.autocast < 0 or not op.cast):
        result = run_uniform(op, args, &grad)
        if result is not None:
            if grad and mode.grad and op.vjp is not None and result.is_float():
                record(op, args, (), result)
            if LISTENERS:
                notify(op, args, (), result)
            return result
        grad = False
    args = check_operands(op, args, &device, &grad)
    if mode.autocast >= 0 and op.cast:
        args = autocast_args(op, args)
    compute = compute_dtype(op, args, first)
    if op.entry.loops[compute] == NULL:
        raise_missing_loop(op, compute)
    grad = grad and mode.grad and op.vjp is not None
    result = run_pointwise(op, args, compute, device, out)
    if grad and result.is_float():
        if out is not None:
            raise GradError(f"{op.name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
                            f"arguments requires grad; leave out= away or use no_grad()")
        record(op, args, (), result)
    if LISTENERS:
        notify(op, args, (), result)
    return result


cdef Tensor run_uniform(Op op, tuple args, bint* grad):
    # The common case in one pass: contiguous float tensors of one shape and dtype on the CPU, and numbers. None: take the general road.
    cdef char* data[9]
    cdef int64_t strides[9]
    cdef char numbers[9][8]
    cdef View* views[9]
    cdef Tensor t, lead = None, result
    cdef LoopFn loop
    cdef int i, n = <int>PyTuple_GET_SIZE(args)
    if op.cond or op.rule == R_BITWISE or n > 8:
        return None
    for i in range(n):
        x = <object>PyTuple_GET_ITEM(args, i)
        if not isinstance(x, Tensor):
            continue
        t = <Tensor>x
        if lead is None:
            if t.device_ != CPU or not t.dense or t.v.dtype < kFloat16 or t.count > 32768 or t.count == 0:
                return None
            lead = t
        elif t.v.dtype != lead.v.dtype or t.device_ != CPU or not t.dense or not same_shape(t, lead):
            return None
        data[i + 1], strides[i + 1] = t.v.data, ITEMSIZE[t.v.dtype]
        if t.leaf_requires_grad or t.grad_fn_ is not None or t.base is not None:
            grad[0] = grad[0] or needs_grad(t)
    if lead is None:
        return None
    loop = op.entry.loops[lead.v.dtype]
    if loop == NULL:
        return None
    for i in range(n):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            continue
        if not (PyFloat_Check(x) or PyLong_Check(x)):
            return None
        put_number(numbers[i], lead.v.dtype, x)
        data[i + 1], strides[i + 1] = numbers[i], 0
    result = allocate_same(lead, op.entry.out_dtype[lead.v.dtype])
    data[0], strides[0] = result.v.data, ITEMSIZE[result.v.dtype]
    loop(data, strides, lead.count)
    return result


cdef inline Tensor allocate_same(Tensor lead, int dtype):
    # A fresh contiguous tensor of lead's shape on the CPU.
    cdef Tensor t = bare_tensor(dtype, CPU)
    t.v = lead.v
    t.v.dtype = dtype
    t.count, t.dense, t.inference = lead.count, True, mode.inference
    t.storage = new_storage(<size_t>lead.count * ITEMSIZE[dtype], CPU)
    t.v.data = t.storage.ptr
    return t


cdef Tensor run_pointwise(Op op, tuple args, int compute, int device, Tensor out):
    # Shape, allocation and launch; `out`, when given, is written (and resized when it is empty).
    cdef Operands o
    cdef int64_t shape[16]
    cdef int i, ndim = 0, n = <int>PyTuple_GET_SIZE(args), dtype = op.entry.out_dtype[compute]
    cdef Tensor t, result
    cdef list keep = None
    for i in range(n):
        x = <object>PyTuple_GET_ITEM(args, i)
        if isinstance(x, Tensor):
            t = <Tensor>x
            if t.v.dtype != compute and not (op.cond and i == 0):
                t = converted(t, compute)
                if keep is None:
                    keep = []
                keep.append(t)
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
    if device != META:
        run_loop(op, op.entry.loops[compute], o.views, n + 1, result.count)
    if out is not None:
        if result is not out:
            copy_values(out, result)
        out.storage.version += 1
        return out
    return result


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
    cdef Tensor wanted
    cdef int i
    cdef bint same = out.v.ndim == ndim
    if out.device_ != device:
        raise_devices(op.name, (out, allocate(dtype, META, ndim, shape)))
    if not castable(dtype, out.v.dtype):
        raise DTypeError(f"{op.name}: result type {(<DType>DTYPES[dtype]).name} can't be cast to the desired output type "
                         f"{(<DType>DTYPES[out.v.dtype]).name}")
    for i in range(ndim if same else 0):
        same = same and out.v.shape[i] == shape[i]
    if not same:
        resize_out(op.name, out, tuple([shape[i] for i in range(ndim)]))
    return out if out.v.dtype == dtype else allocate(dtype, device, ndim, shape)


cdef resize_out(str name, Tensor out, tuple shape):
    # An empty `out` takes the result's shape, as in torch; any other shape is a mistake.
    cdef Tensor fresh
    if out.count != 0 or out.base is not None:
        raise ShapeError(f"{name}: out has shape {shape_tuple(out)}, the result has shape {shape}; pass an out of that shape, or an empty one")
    fresh = empty_tensor(shape, out.v.dtype, out.device_)
    out.v, out.storage, out.dense, out.count, out.offset = fresh.v, fresh.storage, True, fresh.count, 0


# -- ops with their own kernel
cdef object apply_kernel(Op op, tuple inputs, tuple attrs, Tensor out):
    cdef int device = -1
    cdef bint grad = False
    cdef Tensor t
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
    specs = op.infer(*inputs, *attrs) if op.inputs is not None else op.infer(inputs, *attrs)
    device = mode.default_device if device < 0 else device
    if isinstance(specs, list):
        outputs = tuple([allocate_spec(s, device) for s in specs])
    else:
        outputs = (allocate_spec(specs, device),)
    if device != META:
        launch_kernel(op, outputs, inputs, attrs)
    result = outputs if isinstance(specs, list) else outputs[0]
    if grad and mode.grad and op.differentiable:
        record(op, inputs, attrs, result)
    if LISTENERS:
        notify(op, inputs, attrs, result)
    if out is not None:
        return deliver(result, out)
    return result


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
    if mode.grad and (needs_grad(r) or needs_grad(o)):
        raise GradError("out=: functions with out=... arguments don't support automatic differentiation, but one of the arguments requires "
                        "grad; leave out= away or use no_grad()")
    if not castable(r.v.dtype, o.v.dtype):
        raise DTypeError(f"out=: result type {(<DType>DTYPES[r.v.dtype]).name} can't be cast to the desired output type "
                         f"{(<DType>DTYPES[o.v.dtype]).name}")
    if not same_shape(r, o):
        resize_out("out=", o, shape_tuple(r))
    copy_values(o, r)
    o.storage.version += 1
    return o


cdef notify(Op op, tuple inputs, tuple attrs, result):
    outputs = result if isinstance(result, tuple) else (result,)
    for listener in tuple(LISTENERS):
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


# -- recording
cdef inline bint needs_grad(Tensor t):
    if t.leaf_requires_grad or t.grad_fn_ is not None:
        return True
    return t.base is not None and grad_fn_of(t) is not None


cdef record(Op op, tuple inputs, tuple attrs, result):
    # Attaches a node that knows the inputs' nodes and holds what the gradient rules read.
    cdef Node node = Node.__new__(Node)
    cdef int i, n = <int>PyTuple_GET_SIZE(inputs)
    cdef uint64_t tensors = 0, specs = 0
    cdef Rule rule
    if op.rules is None:
        op.prepare_rules()
    node.op = op
    connect(node, inputs)
    if op.rule_all is not None:
        tensors, specs = op.rule_all.tensors, op.rule_all.specs
    else:
        for i in range(n):
            if <object>PyTuple_GET_ITEM(node.edges, i) is not None and op.rules[i] is not None:
                rule = <Rule>op.rules[i]
                tensors |= rule.tensors
                specs |= rule.specs
    save(node, op, inputs, attrs, result, tensors, specs)
    attach_outputs(node, result)


cdef connect(Node node, tuple inputs):
    cdef int i, n = <int>PyTuple_GET_SIZE(inputs)
    cdef Tensor t
    cdef Node source
    cdef tuple edges = PyTuple_New(n)
    global SEQUENCE
    for i in range(n):
        x = <object>PyTuple_GET_ITEM(inputs, i)
        edge = None
        if isinstance(x, Tensor):
            t = <Tensor>x
            source = grad_fn_of(t)
            if source is not None:
                edge = source
                if t.out_nr:
                    if node.output_numbers is None:
                        node.output_numbers = [0] * n
                    node.output_numbers[i] = t.out_nr
            elif t.leaf_requires_grad:
                edge = t
            if t.inference and edge is not None:
                raise GradError("Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
                                "computation tracked by autograd; clone() them outside of inference_mode first")
        Py_INCREF(edge)
        PyTuple_SET_ITEM(edges, i, edge)
    node.edges = edges
    SEQUENCE += 1
    node.sequence = SEQUENCE
    if mode.anomaly:
        import traceback
        node.trace = "".join(traceback.format_stack()[-12:])


cdef save(Node node, Op op, tuple inputs, tuple attrs, result, uint64_t tensors, uint64_t specs):
    # Fills node.args = (y, *inputs, *attrs); a variadic op has its inputs as one tuple.
    cdef int i, n
    cdef tuple items = (inputs,) if op.inputs is None else inputs
    cdef int total = 1 + <int>PyTuple_GET_SIZE(items) + <int>PyTuple_GET_SIZE(attrs)
    cdef tuple args = PyTuple_New(total)
    cdef uint64_t bit = 1
    cdef bint any_saved = False
    n = 1 + <int>PyTuple_GET_SIZE(items)
    if tensors:
        node.versions = <int64_t*>malloc(total * sizeof(int64_t))
        if node.versions == NULL:
            raise MemoryError()
    for i in range(total):
        if i == 0:
            item = result
        elif i < n:
            item = <object>PyTuple_GET_ITEM(items, i - 1)
        else:
            item = <object>PyTuple_GET_ITEM(attrs, i - n)
        if i < n:
            if tensors & bit:
                item = saved_output(item) if i == 0 else item
            elif specs & bit:
                item = spec_of(item)
            elif isinstance(item, (Tensor, tuple)):
                item = None
        if node.versions != NULL:
            node.versions[i] = version_of(item) if i < n else -1
        Py_INCREF(item)
        PyTuple_SET_ITEM(args, i, item)
        bit <<= 1
    node.args = args


cdef object saved_output(y):
    # Without history, or node and output would hold each other.
    if isinstance(y, Tensor):
        return alias(<Tensor>y)
    return tuple([alias(<Tensor>t) for t in <tuple>y])


cdef object spec_of(x):
    cdef Spec s
    cdef Tensor t
    if isinstance(x, Tensor):
        t = <Tensor>x
        s = Spec.__new__(Spec)
        s.shape, s.dtype, s.device = shape_tuple(t), <DType>DTYPES[t.v.dtype], <Device>DEVICES[t.device_]
        return s
    return tuple([spec_of(t) for t in x]) if isinstance(x, tuple) else x


cdef inline void set_meta(Node node, Tensor y) noexcept:
    node.meta.dtype, node.meta.device, node.meta.ndim = y.v.dtype, y.device_, y.v.ndim
    memcpy(node.meta.shape, y.v.shape, y.v.ndim * sizeof(int64_t))


cdef attach_outputs(Node node, result):
    cdef Tensor y
    cdef int k
    if isinstance(result, Tensor):
        y = <Tensor>result
        y.grad_fn_ = node
        set_meta(node, y)
        return
    node.more = []
    for k, item in enumerate(<tuple>result):
        y = <Tensor>item
        if y.is_float():
            y.grad_fn_, y.out_nr = node, k
        if k == 0:
            set_meta(node, y)
        else:
            node.more.append(spec_of(y))
