# Writing into tensors: what may be written, version counters, and the history of bases and their views.

cpdef check_writable(Tensor t, str name, bint same_value=False):
    # Raises where a write would be lost, ambiguous, or would break the graph.
    if t.storage.readonly:
        raise ArgumentError(f"{name}: the tensor's memory is read-only (it came from a read-only array); clone() it first")
    check_mutable(t, name)
    if not same_value and t.count:
        refuse_overlap(t, name)


def note_write(Tensor t not None, str name):
    """Say that foreign code is about to write to a tensor: what saved its old values finds out, and a write that would break the graph is refused."""
    check_writable(t, name)
    if mode.grad and needs_grad(t):
        raise GradError(f"{name}: writes into a tensor of the graph (shape {shape_tuple(t)}), whose gradient would not know of it; "
                        f"write to a fresh tensor inside an autograd.Function, or wrap the call in no_grad()")
    t.storage.version += 1
    t.storage.writer = name


@cython.final
@cython.no_gc  # a parameter does not lead back to what was made of its values
cdef class Contents:
    """The values that a tensor has at the moment: `kept(tensor)` tells whether it is that tensor, with those values still."""
    cdef Tensor tensor
    cdef Storage storage
    cdef int64_t version
    cdef void* data

    def __init__(self, Tensor tensor not None):
        self.tensor, self.storage, self.version, self.data = tensor, tensor.storage, tensor.storage.version, tensor.v.data

    def kept(self, tensor):
        """Whether no op has changed them, nor `.data =` put others in their place."""
        cdef Tensor mine = self.tensor
        return tensor is mine and mine.storage is self.storage and self.storage.version == self.version and mine.v.data == self.data


cdef refuse_overlap(Tensor t, str name):
    cdef int i
    for i in range(t.v.ndim):
        if t.v.strides[i] == 0 and t.v.shape[i] > 1:
            raise ShapeError(f"{name}: unsupported operation: more than one element of the written-to tensor refers to a single memory "
                             f"location: shape {shape_tuple(t)}, strides {t.stride()}. Please clone() the tensor before performing the operation.")


cpdef check_mutable(Tensor t, str name):
    # Raises where a change of the tensor itself (its values or its shape) would break the graph.
    if t.inference and not mode.inference:
        raise GradError(f"{name}: Inplace update to inference tensor outside InferenceMode is not allowed; clone() it first")
    if mode.grad:
        if t.leaf_requires_grad and t.grad_fn_ is None:
            raise GradError(f"{name}: a leaf Variable that requires grad is being used in an in-place operation; wrap the update in no_grad()")
        if t.base is not None and t.base.leaf_requires_grad and t.base.grad_fn_ is None:
            raise GradError(f"{name}: a view of a leaf Variable that requires grad is being used in an in-place operation; wrap the update "
                            f"in no_grad()")
        if t.untracked == UNTRACKED_GRAD or t.untracked == PIECE and needs_grad(t):
            raise_untracked(t, name)


cdef raise_untracked(Tensor t, str name):
    # PIECE: one of several views that came from one op. UNTRACKED: made under no_grad, its base does not know of it; UNTRACKED_GRAD: of a
    # base with gradient.
    if t.untracked == PIECE:
        raise GradError(f"{name}: Output of a function that returns multiple views (split, chunk, unbind) is a view and is being modified "
                        f"inplace, itself or through its base; replace the inplace operation by an out-of-place one, or clone() the view first")
    raise GradError(f"{name}: A view was created in no_grad mode and is being modified inplace with grad mode enabled; create the view "
                    f"in grad mode, or modify it under no_grad()")


cdef bint dense_window(Tensor t):
    # Non-overlapping and dense: the elements fill their extent.
    cdef int64_t low = 0, high = 0
    extent(t.v, ITEMSIZE[t.v.dtype], low, high)
    return high - low == t.count * ITEMSIZE[t.v.dtype]


cdef bint share_memory(Tensor a, Tensor b):
    # Whether the extents of two tensors meet.
    cdef int64_t a0 = 0, a1 = 0, b0 = 0, b1 = 0
    if a.storage.ptr == NULL or a.storage.ptr != b.storage.ptr or not a.count or not b.count:
        return False
    extent(a.v, ITEMSIZE[a.v.dtype], a0, a1)
    extent(b.v, ITEMSIZE[b.v.dtype], b0, b1)
    return a.v.data + a1 > b.v.data + b0 and b.v.data + b1 > a.v.data + a0


cdef raise_shared(Tensor target, Tensor source, str name):
    raise ShapeError(f"{name}: unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
                     f"location: shapes {shape_tuple(source)} and {shape_tuple(target)}. Please clone() the tensor before performing the operation.")


def refuse_shared(str name not None, target, *sources):
    """Raise ShapeError where a source is `target` or lies over its memory; windows that interleave are no mistake, as in torch."""
    cdef Tensor t, s
    if not isinstance(target, Tensor):
        return
    t = <Tensor>target
    for source in sources:
        if isinstance(source, Tensor):
            s = <Tensor>source
            if t is s or share_memory(t, s) and dense_window(t) and dense_window(s):
                raise_shared(t, s, name)


cdef Tensor disjoint(Tensor target, Tensor source, str name):
    # `source`, or a copy of it where writing `target` would change it under way; a dense partial overlap is a mistake, as in torch.
    cdef int i
    cdef bint same
    if not share_memory(target, source):
        return source
    same = target.v.data == source.v.data and same_shape(target, source) and target.v.dtype == source.v.dtype
    for i in range(target.v.ndim if same else 0):
        same = same and (target.v.strides[i] == source.v.strides[i] or target.v.shape[i] == 1)
    if same:
        return source
    if dense_window(target) and dense_window(source):
        raise_shared(target, source, name)
    return contiguous_copy(source)


cdef object apply_inplace(Op op, Tensor target, tuple args):
    cdef int device = 0, compute, dtype, first = 1 if op.cond else 0
    cdef bint grad = False
    cdef tuple values, saved
    cdef int64_t start = began()
    if PyTuple_GET_SIZE(args) != op.n_inputs:
        raise TypeError(f"{op.name}_() takes {op.n_inputs - 1} arguments after the tensor but {len(args) - 1} were given")
    args = check_operands(op, args, &device, &grad)
    if mode.autocast >= 0 and op.cast == 1:
        args = autocast_args(op, args)
    compute = compute_dtype(op, args, first)
    if op.entry.loops[compute] == NULL:
        raise_missing_loop(op, compute)
    dtype = op.entry.out_dtype[compute]
    if not castable(dtype, target.v.dtype):
        raise DTypeError(f"{op.name}_: result type {(<DType>DTYPES[dtype]).name} can't be cast to the desired output type "
                         f"{(<DType>DTYPES[target.v.dtype]).name}")
    check_writable(target, op.name + "_")
    check_result_shape(op, target, args)
    values = tuple([disjoint(target, <Tensor>x, op.name + "_") if isinstance(x, Tensor) and x is not target else x for x in args])
    grad = grad and mode.grad and op.vjp is not None
    saved = keep_original(op, target, args) if grad else args
    run_pointwise(op, values, compute, device, target)
    target.storage.writer = op.name + "_"
    if grad and target.is_float():
        record_inplace(op, target, args, saved)
    if LISTENERS:
        notify(op, args, (), target, start)
    return target


cdef check_result_shape(Op op, Tensor target, tuple args):
    cdef int64_t shape[16]
    cdef int i, ndim = 0
    cdef bint same
    for x in args:
        if isinstance(x, Tensor):
            ndim = broadcast_into(shape, ndim, <Tensor>x, op, args)
    same = ndim == target.v.ndim
    for i in range(ndim if same else 0):
        same = same and shape[i] == target.v.shape[i]
    if not same:
        raise ShapeError(f"{op.name}_: output with shape {list(shape_tuple(target))} doesn't match the broadcast shape "
                         f"{[shape[i] for i in range(ndim)]}; use the out-of-place form")


cdef tuple keep_original(Op op, Tensor target, tuple args):
    # A rule that reads the overwritten input gets a copy of it.
    cdef Rule rule
    cdef int i, k
    cdef Tensor kept = None
    if op.rules is None:
        op.prepare_rules()
    for i in range(len(args)):
        if not (isinstance(args[i], Tensor) and needs_grad(<Tensor>args[i])) or op.rules[i] is None:
            continue
        rule = <Rule>op.rules[i]
        for k in range(len(args)):
            if args[k] is target and rule.tensors >> (k + 1) & 1:
                kept = contiguous_copy(target)
    if kept is None:
        return args
    attach_history(kept, target)
    return tuple([kept if x is target else x for x in args])


def kept_original(Tensor t not None):
    """A copy of `t` that stands in the graph where `t` stands: for a function whose gradient reads what its in-place form overwrites."""
    cdef Tensor kept = contiguous_copy(t)
    attach_history(kept, t)
    return kept


cdef attach_history(Tensor t, Tensor source):
    t.grad_fn_, t.out_nr, t.leaf_requires_grad = grad_fn_of(source), source.out_nr, source.leaf_requires_grad


cdef record_inplace(Op op, Tensor target, tuple args, tuple saved):
    cdef Node node = new_node()
    cdef uint64_t tensors = 0, specs = 0
    cdef Rule rule
    cdef int i, n = len(saved)
    node.op = op
    connect(node, items_of(saved), n)
    for i in range(n):
        if edges_of(node)[i] != <PyObject*>None and op.rules[i] is not None:
            rule = <Rule>op.rules[i]
            tensors |= rule.tensors
            specs |= rule.specs
    save(node, items_of(saved), n, (), target, tensors, specs, 0)
    rebase(target, node, op.name + "_")


cdef rebase(Tensor target, Node node, str name):
    # `node` made target's present value; if target is a view, its base changed with it.
    cdef Tensor base = target.base
    cdef CustomNode slices
    if mode.recording:
        RECORDER.change(target, f"{name} with gradients")
    set_meta(node, target)
    if target.untracked:
        raise_untracked(target, name)
    if base is None:
        target.grad_fn_, target.out_nr, target.leaf_requires_grad = node, 0, False
        if target.retains:
            keep_grad(target)
        return
    slices = CustomNode.__new__(CustomNode)
    slices.label = "CopySlices"
    connect_all(slices, (base,))
    set_edges(slices, edge_tuple(slices) + edge_tuple(node)[1:])
    if node.output_numbers is not None or slices.output_numbers is not None:
        slices.output_numbers = (slices.output_numbers or [0]) + (node.output_numbers or [0] * node.n_edges)[1:]
    geometry = (shape_tuple(target), target.stride(), target.offset - base.offset)
    slices.fn = copy_slices_rule(node, (shape_tuple(base), base.stride()), geometry)
    set_meta(slices, base)
    base.grad_fn_, base.out_nr = slices, 0
    if base.retains:
        keep_grad(base)
    target.view_version = -1


cdef object copy_slices_rule(Node node, tuple base_geometry, tuple view_geometry):
    def rule(g):
        shape, strides = base_geometry
        whole = empty_strided(shape, strides, dtype=g.dtype, device=g.device)
        whole.copy_(g)
        part = whole.as_strided(*view_geometry)
        results = run_node(node, part.clone())
        if edges_of(node)[0] != <PyObject*>None:
            part.copy_(results[0]) if results[0] is not None else part.zero_()
        return (whole, *results[1:])
    return rule


cdef Node grad_fn_of(Tensor t):
    # A view's node is made anew when its base was written since.
    if t.base is None or t.view_version == t.storage.version:
        return t.grad_fn_
    t.view_version = t.storage.version
    if needs_grad(t.base):
        if t.untracked == PIECE:
            raise_untracked(t, "grad_fn")
        record(AS_STRIDED, (t.base,), (shape_tuple(t), t.stride(), t.offset, t.base.stride(), t.base.offset), t)
        t.out_nr = 0
        if t.retains:
            keep_grad(t)
    return t.grad_fn_


cdef Tensor copy_into(Tensor target, Tensor source, str name="copy_", bint replaces=False):
    # target[...] = source: broadcasts, casts, keeps history. `replaces`: source was made of the target, whose own way has no gradient then.
    cdef Node node
    cdef bint grad
    cdef Tensor values = source
    cdef int64_t start = began()
    check_writable(target, name)
    if not same_shape(target, source):
        if dense_window(source) and source.count and share_memory(target, source) and dense_window(target):
            raise_shared(target, source, name)
        values = expand_to(source, shape_tuple(target), name)
    grad = mode.grad and target.is_float() and (needs_grad(target) or (needs_grad(source) and source.is_float()))
    values = disjoint(target, values, name)
    transfer(target, values, name)
    target.storage.version += 1
    target.storage.writer = name
    if grad:
        node = new_node()
        node.op = COPY_OP
        if COPY_OP.rules is None:
            COPY_OP.prepare_rules()
        connect_all(node, (None if replaces and target.base is None else target, source))
        node.n_args = 3  # (y, target, source), of which the rules read nothing
        rebase(target, node, name)
    if LISTENERS:
        notify(COPY_OP, (target, source), (), target, start)
    return target


def overwrite(Tensor target not None, Tensor result not None, str name not None):
    """Write what a function made of `target` into it: its in-place form."""
    return copy_into(target, result, name, True)


cdef transfer(Tensor target, Tensor values, str name):
    if values.device_ == META and target.device_ != META:
        raise DeviceError(f"{name}: can't copy values from '{DEVICES[values.device_]}' to '{DEVICES[target.device_]}'")
    copy_values(target, values)


cdef raise_not_leaf():
    raise GradError("requires_grad: you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                    "a subgraph that doesn't require differentiation use var_no_grad = var.detach().")


cdef set_requires_grad(Tensor t, bint value):
    if mode.recording and bool(needs_grad(t)) != value:
        RECORDER.change(t, "requires_grad_")
    if grad_fn_of(t) is not None:
        if not value:
            raise_not_leaf()
        return
    if value and not t.is_float():
        raise DTypeError(f"requires_grad: only Tensors of floating point dtype can require gradients, got {DTYPES[t.v.dtype]!r}")
    if value and t.inference and not mode.inference:
        raise GradError("requires_grad: Setting requires_grad=True on inference tensor outside InferenceMode is not allowed; clone() it first")
    t.leaf_requires_grad = value


cdef set_grad(Tensor t, value):
    cdef Tensor g
    if mode.recording:
        RECORDER.note_grad(t)
    if value is None:
        t.grad_ = None
        return
    if not isinstance(value, Tensor):
        raise TypeError(f"grad: assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
    g = <Tensor>value
    if g is t:
        raise GradError("grad: can't assign a tensor as its own grad; clone() it")
    if not same_shape(t, g):
        raise ShapeError(f"grad: assigned grad has data of a different size: the tensor is {shape_tuple(t)}, the grad {shape_tuple(g)}")
    if g.v.dtype != t.v.dtype:
        raise DTypeError(f"grad: assigned grad has data of a different type: the tensor is {DTYPES[t.v.dtype]!r}, the grad {DTYPES[g.v.dtype]!r}")
    if g.device_ != t.device_:
        raise DeviceError(f"grad: assigned grad is on '{DEVICES[g.device_]}', the tensor on '{DEVICES[t.device_]}'")
    t.grad_ = g


cdef set_data(Tensor t, Tensor value):
    if mode.recording:
        RECORDER.change(t, "assigning .data")
    if t.grad_fn_ is not None and not same_shape(t, value):
        raise ShapeError(f"data: a computed tensor of shape {shape_tuple(t)} can't take data of shape {shape_tuple(value)}; detach() it first")
    if needs_grad(t) and not value.is_float():
        raise DTypeError(f"data: the tensor requires a gradient and can't take data of dtype {DTYPES[value.v.dtype]!r}")
    t.v, t.count, t.dense, t.offset, t.device_ = value.v, value.count, value.dense, value.offset, value.device_
    if value.storage.ptr != t.storage.ptr or t.storage.nbytes != value.storage.nbytes:
        t.storage = value.storage if value.storage.owner is None else share_storage(value.storage)
        t.base = None
