# What happens to single gradients: hooks, sums, shapes, accumulation into leaves.

cdef bint ready_root(Tensor t, gradient) except -1:
    # A backward pass may start here as things are: what `backward` of ascendlite.core.autograd checks otherwise, with words.
    cdef Tensor g
    if not needs_grad(t) or not t.is_float():
        return False
    if gradient is None:
        return t.count == 1
    if not isinstance(gradient, Tensor):
        return False
    g = <Tensor>gradient
    return same_shape(g, t) and g.v.dtype == t.v.dtype and g.device_ == t.device_


def node_sequence(Node node not None):
    """The place of a node in the order of creation."""
    return node.sequence


cdef inline bint sole_owner(Tensor t) noexcept:
    # One Python reference (the caller's variable), one tensor on the storage, and the storage is nobody else's memory.
    return Py_REFCNT(<PyObject*>t) <= 1 and Py_REFCNT(<PyObject*>t.storage) <= 1 and t.storage.owner is None and t.grad_fn_ is None


cdef accumulate_grad(Tensor leaf, Tensor g, bint create_graph):
    cdef bint former
    if mode.recording:
        RECORDER.note_grad(leaf)
    if leaf.grad_ is None:
        if create_graph:
            leaf.grad_ = g if needs_grad(g) else clone_tensor(g)
        elif Py_REFCNT(<PyObject*>g) <= 1 and Py_REFCNT(<PyObject*>g.storage) <= 1 and g.dense and g.storage.owner is None and g.base is None:
            leaf.grad_ = alias(g)
        else:
            leaf.grad_ = contiguous_copy(g)
    elif create_graph:
        leaf.grad_ = <Tensor>binary_slot(S_ADD, leaf.grad_, g)
    else:
        former, mode.grad = mode.grad, False
        try:
            inplace_slot(S_ADD, leaf.grad_, g)
        finally:
            mode.grad = former
    if leaf.accumulate_hooks:
        refuse_hooks("a hook on a gradient")
        for hook in tuple(leaf.accumulate_hooks):
            hook(leaf)


cdef object conform(r, edge, int number, Node node):
    # A gradient with the shape, dtype and place of what it belongs to: sums what was broadcast.
    cdef Tensor g
    cdef Meta* m
    cdef Spec s
    cdef int i
    if not isinstance(r, Tensor):
        raise TypeError(f"{node.name()}: a gradient must be a Tensor or None, got {type(r).__name__}")
    g = <Tensor>r
    if number:
        s = <Spec>(<Node>edge).more[number - 1]
        return conform_slow(g, s.shape, s.dtype.code, node)
    if fits(<PyObject*>g, <PyObject*>edge):
        return g
    if isinstance(edge, Tensor):
        return conform_slow(g, shape_tuple(<Tensor>edge), (<Tensor>edge).v.dtype, node)
    m = &(<Node>edge).meta
    return conform_slow(g, tuple([m.shape[i] for i in range(m.ndim)]), m.dtype, node)


cdef inline bint is_leaf(PyObject* edge) noexcept:
    return Py_TYPE(edge) != <PyTypeObject*>Node and is_tensor(edge)


cdef inline bint is_single(PyObject* edge) noexcept:
    # A leaf, or a node with one output.
    return is_leaf(edge) or (<Node>edge).more is None


cdef inline bint fits(PyObject* g, PyObject* edge) noexcept:
    # Whether g is a tensor of the shape and dtype of a leaf, or of a node's output 0.
    cdef Meta* m
    cdef int i
    if not is_tensor(g):
        return False
    if is_leaf(edge):
        return (<Tensor>g).v.dtype == (<Tensor>edge).v.dtype and same_sizes((<Tensor>g).v, (<Tensor>edge).v)
    m = &(<Node>edge).meta
    if (<Tensor>g).v.ndim != m.ndim or (<Tensor>g).v.dtype != m.dtype:
        return False
    for i in range(m.ndim):
        if (<Tensor>g).v.shape[i] != m.shape[i]:
            return False
    return True


cdef Tensor conform_slow(Tensor g, tuple shape, int dtype, Node node):
    if shape_tuple(g) != shape:
        g = sum_to_shape(g, shape, node)
    if g.v.dtype != dtype:
        if dtype < kFloat16:
            raise DTypeError(f"{node.name()}: a gradient of dtype {DTYPES[dtype]!r} is not possible")
        g = cast_tensor(g, dtype)
    return g


cdef Tensor sum_to_shape(Tensor g, tuple shape, Node node):
    cdef int extra = g.v.ndim - len(shape), i
    cdef list dims
    sizes = shape_tuple(g)[extra:] if extra >= 0 else ()
    if extra >= 0 and all([s == n or s == 1 for s, n in zip(shape, sizes)]) and g.device_ != META and g.is_float() and g.count:
        return <Tensor>apply_kernel(SUM_TO, (g,), (shape,), None)
    if extra < 0 or any([s != 1 and s != n and n != 1 for s, n in zip(shape, sizes)]):
        if extra < 0:
            try:
                return expand_to(g, shape, "gradient")
            except ShapeError:
                pass
        raise ShapeError(f"Function {node.name()} returned an invalid gradient: got {shape_tuple(g)} but expected shape compatible with {shape}")
    dims = list(range(extra)) + [i + extra for i, s in enumerate(shape) if s == 1 and g.v.shape[i + extra] != 1]
    if dims:
        g = <Tensor>FUNCTIONS["sum"](g, tuple(dims), True)
    if extra:
        g = view_as_shape(g, shape_tuple(g)[extra:], "gradient", True)
    return g if shape_tuple(g) == shape else expand_to(g, shape, "gradient")


def sum_to_spec(x, shape):
    """The shape rule of the op that undoes broadcasting."""
    return shape, x.dtype


cdef Op SUM_TO = Op("sum_to", infer=sum_to_spec, vjp=(_rules.expand,), contiguous=False)


def sum_to(Tensor x not None, shape):
    """x summed over the dims that broadcasting `shape` to x's shape had made."""
    return sum_to_shape(x, tuple(shape), _ANONYMOUS)

cdef Node _ANONYMOUS = CustomNode.__new__(CustomNode)
(<CustomNode>_ANONYMOUS).label = "sum_to"


cdef object run_hooks(Node node, g):
    cdef list several
    refuse_hooks("a hook on a gradient")
    if node.more is None:
        return hooked(g, (*node.hooks.get(0, ()), *node.hooks.get(~0, ())))
    several = list(g)
    for number in range(len(several)):
        if several[number] is not None:
            several[number] = hooked(several[number], (*node.hooks.get(number, ()), *node.hooks.get(~number, ())))
    return tuple(several)


cdef object hooked(g, hooks):
    # The gradient after its hooks, each of which may replace it by one of the same kind.
    cdef Tensor old, new
    for hook in hooks:
        changed = hook(g)
        if changed is None:
            continue
        name = getattr(hook, "__name__", type(hook).__name__)
        if not isinstance(changed, Tensor):
            raise TypeError(f"expected Tensor, but hook '{name}' returned {type(changed).__name__}; return None to keep the gradient")
        old, new = <Tensor>g, <Tensor>changed
        if not same_shape(old, new):
            raise ShapeError(f"hook '{name}' has changed the size of value: the gradient is {shape_tuple(old)}, it returned {shape_tuple(new)}")
        if old.v.dtype != new.v.dtype or old.device_ != new.device_:
            raise DTypeError(f"hook '{name}' has changed the type of value: the gradient is {DTYPES[old.v.dtype]!r} on '{DEVICES[old.device_]}', it "
                             f"returned {DTYPES[new.v.dtype]!r} on '{DEVICES[new.device_]}'")
        g = changed
    return g


cdef check_nan(Node node, tuple results):
    for k, r in enumerate(results):
        if isinstance(r, Tensor) and bool(FUNCTIONS["isnan"](r).any().item()):
            raise GradError(f"Function '{node.name()}' returned nan values in its {k}th output.")


cdef object add_tensor_hook(Tensor t, hook, bint last=False):
    # `last`: after the hooks of users, whenever those came.
    refuse_hooks("registering a hook on a tensor")
    cdef Node node = grad_fn_of(t)
    if node is None:
        if not t.leaf_requires_grad:
            raise GradError("register_hook: cannot register a hook on a tensor that doesn't require gradient")
        if t.hooks is None:
            t.hooks = []
        return HookHandle(t.hooks, hook)
    if node.hooks is None:
        node.hooks = {}
    return HookHandle(node.hooks.setdefault(~t.out_nr if last else t.out_nr, []), hook)


cdef keep_grad(Tensor t):
    # The gradient of the value that t has now: after an in-place write it is called again, and what was hooked before keeps nothing more.
    reference = weakref.ref(t)
    cdef Node now = grad_fn_of(t)
    cdef size_t node = <size_t><void*>now
    def keep(g):
        owner = reference()
        if owner is not None and <size_t><void*>(<Tensor>owner).grad_fn_ == node:
            (<Tensor>owner).grad_ = g if (<Tensor>owner).grad_ is None else <Tensor>binary_slot(S_ADD, (<Tensor>owner).grad_, g)
    add_tensor_hook(t, keep, True)
