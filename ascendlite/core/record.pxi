# Recording: a node for an op's outputs, edges to what made its inputs, and the arguments that its rules read.

cdef inline bint needs_grad(Tensor t):
    if t.leaf_requires_grad or t.grad_fn_ is not None:
        return True
    return t.base is not None and grad_fn_of(t) is not None


def requires_grad_any(tensors):
    """Whether any of the tensors needs a gradient."""
    for t in tensors:
        if isinstance(t, Tensor) and needs_grad(<Tensor>t):
            return True
    return False


cdef inline int record(Op op, tuple inputs, tuple attrs, result) except -1:
    return record_operands(op, inputs, items_of(inputs), <int>PyTuple_GET_SIZE(inputs), attrs, result)


cdef int record_operands(Op op, tuple whole, PyObject** inputs, int n, tuple attrs, result) except -1:
    # Attaches a node that knows the inputs' nodes and holds what the gradient rules read. `whole` is needed of variadic ops only.
    cdef Node node = new_node()
    cdef PyObject** edges
    cdef PyObject* single
    cdef int i
    cdef uint64_t tensors = 0, specs = 0, outputs = 0
    cdef Rule rule
    if op.rules is None:
        op.prepare_rules()
    node.op = op
    connect(node, inputs, n)
    if op.rule_all is not None:
        tensors, specs, outputs = op.rule_all.tensors, op.rule_all.specs, op.rule_all.outputs
    else:
        edges = edges_of(node)
        for i in range(n):
            if edges[i] != <PyObject*>None and PyList_GET_ITEM(op.rules, i) != <PyObject*>None:
                rule = <Rule>PyList_GET_ITEM(op.rules, i)
                tensors |= rule.tensors
                specs |= rule.specs
                outputs |= rule.outputs
    if op.inputs is None:
        if op.light:
            whole = tuple([spec_of(x) if i < op.light else x for i, x in enumerate(whole)])
        single = <PyObject*>whole
        inputs, n = &single, 1
    save(node, inputs, n, attrs, result, tensors, specs, outputs)
    attach_outputs(node, result)
    return 0


cdef raise_inference():
    raise GradError("Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
                    "computation tracked by autograd; clone() them outside of inference_mode first")


cdef int refuse_inference(item) except -1:
    # What is saved could be overwritten unseen: tensors of inference mode count no versions in torch.
    if isinstance(item, Tensor):
        if (<Tensor>item).inference:
            raise_inference()
    elif isinstance(item, tuple):
        for part in <tuple>item:
            refuse_inference(part)
    return 0


cdef int connect(Node node, PyObject** inputs, int n) except -1:
    cdef int i
    cdef PyObject* t      # held by the caller
    cdef PyObject** edges
    global SEQUENCE
    open_edges(node, n)
    edges = edges_of(node)
    for i in range(n):
        t = inputs[i]
        if not is_tensor(t):
            continue
        if (<Tensor>t).base is not None:
            grad_fn_of(<Tensor>t)
        if (<Tensor>t).grad_fn_ is not None:
            put(&edges[i], (<Tensor>t).grad_fn_)
            if (<Tensor>t).out_nr:
                if node.output_numbers is None:
                    node.output_numbers = [0] * n
                node.output_numbers[i] = (<Tensor>t).out_nr
        elif (<Tensor>t).leaf_requires_grad:
            put(&edges[i], <Tensor>t)
        else:
            continue
        if (<Tensor>t).inference:
            raise_inference()
    SEQUENCE += 1
    node.sequence = SEQUENCE
    if mode.anomaly:
        import traceback
        node.trace = "".join(traceback.format_stack()[-12:])
    return 0


cdef inline int connect_all(Node node, tuple inputs) except -1:
    return connect(node, items_of(inputs), <int>PyTuple_GET_SIZE(inputs))


cdef int save(Node node, PyObject** inputs, int n, tuple attrs, result, uint64_t tensors, uint64_t specs,
              uint64_t outputs) except -1:
    # Fills the arguments (y, *inputs, *attrs); a variadic op has its inputs as one tuple.
    cdef PyObject** args
    cdef int i, k = 1 + n, total = k + <int>PyTuple_GET_SIZE(attrs)
    cdef int64_t version
    tensors &= (<uint64_t>1 << k) - 1  # attributes are read, not saved: a node with nothing else can run again
    if total > FEW_ARGS:
        node.more_args = (None,) * total
    node.n_args = total
    args = args_of(node)
    if tensors:
        node.versions = node.few
        if total > FEW_ARGS:
            node.many = bytearray(total * sizeof(int64_t))
            node.versions = <int64_t*><char*>node.many
    for i in range(total):
        version = -1
        if i >= k:
            put(&args[i], <object>PyTuple_GET_ITEM(attrs, i - k))
        elif tensors >> i & 1:
            if i and is_tensor(inputs[i - 1]) and not (<Tensor>inputs[i - 1]).inference:
                put(&args[i], <Tensor>inputs[i - 1])
                version = (<Tensor>inputs[i - 1]).storage.version
            else:
                item = saved_output(result, outputs) if i == 0 else <object>inputs[i - 1]
                refuse_inference(item)
                put(&args[i], item)
                version = version_of(item)
        elif specs >> i & 1:
            put(&args[i], spec_of(result if i == 0 else <object>inputs[i - 1]))
        elif i and not is_tensor(inputs[i - 1]) and not isinstance(<object>inputs[i - 1], tuple):
            put(&args[i], <object>inputs[i - 1])
        if tensors:
            node.versions[i] = version
    if mode.packing and tensors:
        pack_arguments(node)
    return 0


cdef object saved_output(y, uint64_t outputs):
    # Without history, or node and output would hold each other. Of several, only the ones that the rule reads: the others may be written into.
    if isinstance(y, Tensor):
        return alias(<Tensor>y)
    return tuple([alias(<Tensor>t) if outputs >> k & 1 else None for k, t in enumerate(<tuple>y)])


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
    copy_sizes(node.meta.shape, y.v.shape, y.v.ndim)


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
