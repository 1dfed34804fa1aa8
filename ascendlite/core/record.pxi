# Recording: a node for an op's outputs, edges to what made its inputs, and the arguments that its rules read.

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
    tensors &= (<uint64_t>1 << n) - 1  # attributes are read, not saved: a node with nothing else can run again
    if tensors:
        if total <= 4:
            node.versions = node.few
        else:
            node.many = bytearray(total * sizeof(int64_t))
            node.versions = <int64_t*><char*>node.many
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
