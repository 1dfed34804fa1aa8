# The graph: one node for each recorded op, pointing at the nodes (or leaf tensors) that made its inputs.

cdef int64_t SEQUENCE = 0

cdef struct Meta:  # what a gradient of an output must look like
    int32_t dtype
    int32_t device
    int32_t ndim
    int64_t shape[16]


cdef enum:
    FEW_EDGES = 4, FEW_ARGS = 6, MOST_ARGS = 40

cdef extern from *:
    """
    #define AL_NODE(x) ((struct __pyx_obj_10ascendlite_4core_5_core_Node*)(x))
    #define al_few_edges(x) (&AL_NODE(x)->edge0)
    #define al_few_args(x) (&AL_NODE(x)->arg0)
    """
    PyObject** few_edges "al_few_edges"(Node)
    PyObject** few_args "al_few_args"(Node)


cdef class Node:
    """A recorded op. `next_functions` are the nodes of its inputs, as in torch."""
    cdef Op op
    # Edges (a Node, a leaf Tensor or None for each input) and arguments ((y, *inputs, *attrs) as the rules see them: Tensor, Spec,
    # scalar or None) are in the node itself when they are few, in a tuple when they are many: see edges_of and args_of.
    cdef object edge0, edge1, edge2, edge3
    cdef object arg0, arg1, arg2, arg3, arg4, arg5
    cdef tuple more_edges, more_args
    cdef int n_edges, n_args
    cdef list output_numbers  # of the edges; None: all zero
    cdef int64_t* versions    # of saved tensors, by argument; NULL when nothing is saved
    cdef int64_t few[6]       # where they are when there are few arguments
    cdef bytearray many       # and when there are many
    cdef Meta meta            # of output 0
    cdef list more            # Spec of the outputs 1..
    cdef int64_t sequence
    cdef bint freed
    cdef bint variadic
    cdef bint packed          # saved tensors went through hooks
    cdef dict hooks           # output number -> list of hooks on that gradient
    cdef list pre_hooks, post_hooks
    cdef object trace         # where it was made, in anomaly mode
    cdef int64_t task, slot   # the backward pass that visits it
    cdef object __weakref__

    def name(self):
        return self.op.node_name if self.op is not None else type(self).__name__

    @property
    def next_functions(self):
        numbers = self.output_numbers or [0] * self.n_edges
        return tuple((AccumulateGrad(e) if isinstance(e, Tensor) else e, n) for e, n in zip(edge_tuple(self), numbers))

    def register_hook(self, hook):
        """Call `hook(grad_inputs, grad_outputs)` after the node ran; a tuple that it returns replaces the gradients of the inputs."""
        if self.post_hooks is None:
            self.post_hooks = []
        return HookHandle(self.post_hooks, hook)

    def register_prehook(self, hook):
        """Call `hook(grad_outputs)` before the node runs; a tuple that it returns replaces the gradients."""
        if self.pre_hooks is None:
            self.pre_hooks = []
        return HookHandle(self.pre_hooks, hook)

    def __repr__(self):
        return f"<{self.name()} object at {hex(id(self))}>"

    cdef int run(self, g, list wanted, PyObject** results) except -1:
        # Fills in the gradients of the inputs, as new references; NULL stays where not wanted or zero.
        if self.op.short and not mode.grad and not self.packed and self.more is None:
            return self.run_short_rules(<PyObject*>g, wanted, results)
        return self.run_onto(None, g, wanted, results)

    cdef int run_onto(self, Tensor total, g, list wanted, PyObject** results) except -1:
        # The same of rules that may add the first gradient to `total`, which is the result then.
        cdef Stack stack
        cdef PyObject** edges = edges_of(self)
        cdef Rule rule
        cdef int i
        fill_stack(self, g, self.check_saved(), stack)
        if self.packed:
            unpack_stack(self, stack)
        if self.op.rule_all is not None:
            return self.run_all(total, wanted, stack.items, results)
        for i in range(self.n_edges):
            if edges[i] != <PyObject*>None and (wanted is None or wanted[i]):
                rule = <Rule>PyList_GET_ITEM(self.op.rules, i)
                if <PyObject*>rule != <PyObject*>None:
                    results[i] = call_rule(rule, stack.items) if total is None or i else call_adding(rule, stack, total)
                    if self.op.holds and mode.grad and results[i] != NULL:
                        results[i] = held(owned(results[i]), self, i)
        return 0

    cdef int run_short_rules(self, PyObject* g, list wanted, PyObject** results) except -1:
        cdef PyObject** edges = edges_of(self)
        cdef PyObject* rule
        cdef int i
        for i in range(self.n_edges):
            if edges[i] != <PyObject*>None and (wanted is None or wanted[i]):
                rule = PyList_GET_ITEM(self.op.rules, i)
                if rule != <PyObject*>None:
                    self.check_versions()  # each time: another thread may have released the node
                    results[i] = run_short((<Rule>rule).program, g, args_of(self))
        return 0

    cdef int run_all(self, Tensor total, list wanted, PyObject** stack, PyObject** results) except -1:
        # One rule gives all gradients.
        cdef Rule rule = self.op.rule_all
        cdef PyObject** edges = edges_of(self)
        cdef int i
        needs = tuple([edges[i] != <PyObject*>None and (wanted is None or wanted[i]) for i in range(self.n_edges)])
        args = tuple([<object>stack[i] for i in range(min(rule.nargs, 1 + self.n_args))])  # `needs` may be among the names
        given = rule.fn(*args, needs=needs) if total is None else rule.fn(*args, needs=needs, total=total)
        give(tuple(given), self.n_edges, results)
        return 0

    cdef object check_saved(self):
        # Raises as check_versions does. Returns y as the rules see it.
        self.check_versions()
        y = <object>args_of(self)[0] if self.n_args else None
        if self.packed:
            y = unpack_argument(y)
        return self.with_graph(y) if mode.grad and self.versions != NULL else y

    cdef int check_versions(self) except -1:
        # Raises if the saved arguments are gone or somebody wrote into them.
        cdef PyObject** args
        cdef int i
        if self.freed:
            raise GradError(f"backward: the saved tensors of {self.name()} are gone: Trying to backward through the graph a second "
                            f"time; call backward(retain_graph=True) the first time")
        if self.versions == NULL:
            return 0
        args = args_of(self)
        for i in range(self.n_args):
            if self.versions[i] < 0 or is_tensor(args[i]) and (<Tensor>args[i]).storage.version == self.versions[i]:
                continue
            if version_of(<object>args[i]) != self.versions[i]:
                item = <object>args[i]
                self.raise_modified(item if isinstance(item, Tensor) else next(t for t in item if isinstance(t, Tensor)), i)
        return 0

    cdef raise_modified(self, Tensor t, int i):
        cdef int64_t version = t.storage.version
        who = t.storage.writer or "an in-place operation"
        raise GradError(
            f"one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{DTYPES[t.v.dtype]!r} {list(t.shape)}], which is {'output 0' if i == 0 else f'input {i - 1}'} of {self.name()}, is at "
            f"version {version}; expected version {self.versions[i]} instead (last written by {who}); "
            f"clone() the tensor before it is overwritten")

    cdef object with_graph(self, y):
        # For higher orders, a saved output must lead back to this node.
        if isinstance(y, Tensor):
            return self.attach(<Tensor>y, 0)
        if isinstance(y, tuple):
            return tuple([self.attach(<Tensor>t, k) if isinstance(t, Tensor) and (<Tensor>t).is_float() else t
                          for k, t in enumerate(<tuple>y)])
        return y

    cdef Tensor attach(self, Tensor saved, int number):
        cdef Tensor t = alias(saved)
        t.grad_fn_ = self
        t.out_nr = number
        return t

    cdef int release(self) except -1:
        if self.versions != NULL:
            self.freed = True
            self.versions = NULL
            drop_args(self)
        return 0


cdef inline PyObject** edges_of(Node node) noexcept:
    return few_edges(node) if node.n_edges <= FEW_EDGES else items_of(node.more_edges)


cdef inline PyObject** args_of(Node node) noexcept:
    return few_args(node) if node.n_args <= FEW_ARGS else items_of(node.more_args)


cdef tuple edge_tuple(Node node):
    cdef int i
    return tuple([<object>edges_of(node)[i] for i in range(node.n_edges)])


cdef int open_edges(Node node, int n) except -1:
    # Makes room for the edges of n inputs; all are None.
    if n > FEW_EDGES:
        node.more_edges = (None,) * n
    node.n_edges = n
    return 0


cdef int set_edges(Node node, tuple edges) except -1:
    cdef int i
    open_edges(node, len(edges))
    for i in range(node.n_edges):
        put(&edges_of(node)[i], edges[i])
    return 0


cdef int drop_args(Node node) except -1:
    cdef PyObject** args = few_args(node)
    cdef int i
    for i in range(node.n_args if node.n_args <= FEW_ARGS else 0):
        if args[i] != <PyObject*>None:
            put(&args[i], None)
    node.n_args = 0
    node.more_args = None
    node.many = None
    return 0


cdef inline int fill_stack(Node node, g, y, Stack& stack) noexcept:
    # What rules are called with: g, y, inputs, attributes. Held, since another thread may release the node meanwhile.
    cdef PyObject** args = args_of(node)
    cdef int i
    stack.push(<PyObject*>g)
    stack.push(<PyObject*>y)
    for i in range(1, node.n_args if node.n_args < MOST_ARGS else MOST_ARGS):
        stack.push(args[i])
    return 0


cdef PyObject* held(Tensor g, Node node, int i) except NULL:
    # The gradient of the node's input i, as a new reference, in whose own graph the input has a gradient of zeros: as torch has it
    # where a gradient does not depend on the values of what it is the gradient of.
    cdef Tensor made = alias(g)
    cdef CustomNode both = CustomNode.__new__(CustomNode)
    cdef Node source = grad_fn_of(g)
    both.label, both.fn = "HeldBackward0", zero_beside
    connect_all(both, (g,))
    set_edges(both, (<object>edges_of(both)[0], <object>edges_of(node)[i]))
    both.output_numbers = [g.out_nr if source is not None else 0, 0 if node.output_numbers is None else node.output_numbers[i]]
    attach_outputs(both, made)
    Py_INCREF(made)
    return <PyObject*>made


def zero_beside(g):
    return g, full_like(alias(<Tensor?>g), 0)


cdef int give(tuple values, int n, PyObject** results) except -1:
    # The items of a rule's answer as new references; None is no gradient, and so is what is missing at the end.
    cdef int i
    for i in range(min(n, len(values))):
        item = values[i]
        if item is not None:
            Py_INCREF(item)
            results[i] = <PyObject*>item
    return 0


cdef inline int64_t version_of(item) except -2:
    # Of a saved argument: a tensor, a tuple of tensors (versions only grow, so their sum tells), or neither (-1).
    cdef int64_t total = 0
    if isinstance(item, Tensor):
        return (<Tensor>item).storage.version
    if not isinstance(item, tuple):
        return -1
    for part in <tuple>item:
        if isinstance(part, Tensor):
            total += (<Tensor>part).storage.version
    return total


cdef class HookHandle:
    """Removes a hook: `handle.remove()`, or use it as a context manager."""
    cdef list hooks
    cdef object hook
    cdef readonly int id

    def __init__(self, list hooks, hook):
        self.hooks, self.hook = hooks, hook
        hooks.append(hook)

    def remove(self):
        self.hooks[:] = [h for h in self.hooks if h is not self.hook]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


cdef class AccumulateGrad:
    """The end of a graph: adds the gradient to `variable.grad`. Made for display; the engine uses the tensor itself."""
    cdef readonly object variable

    def __init__(self, variable):
        self.variable = variable

    def name(self):
        return "AccumulateGrad"

    @property
    def next_functions(self):
        return ()

    def __repr__(self):
        return f"<AccumulateGrad object at {hex(id(self.variable))}>"


cdef class CustomNode(Node):
    """A node whose gradient is a Python callable: `fn(*grads) -> tuple of gradients of the inputs`."""
    cdef object fn
    cdef object label

    def name(self):
        return self.label

    cdef int run(self, g, list wanted, PyObject** results) except -1:
        if self.freed:
            raise GradError(f"backward: the graph of {self.label} was freed: Trying to backward through the graph a second time; "
                            f"call backward(retain_graph=True) the first time")
        result = self.fn(*(g if isinstance(g, tuple) else (g,)))
        give(result if isinstance(result, tuple) else (result,), self.n_edges, results)
        return 0

    cdef int release(self) except -1:
        self.freed = True
        self.fn = None
        return 0
