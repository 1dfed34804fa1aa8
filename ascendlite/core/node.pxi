# The graph: one node for each recorded op, pointing at the nodes (or leaf tensors) that made its inputs.

cdef int64_t SEQUENCE = 0

cdef struct Meta:  # what a gradient of an output must look like
    int32_t dtype
    int32_t device
    int32_t ndim
    int64_t shape[16]


@cython.freelist(128)
@cython.trashcan(True)
cdef class Node:
    """A recorded op. `next_functions` are the nodes of its inputs, as in torch."""
    cdef Op op
    cdef tuple edges          # Node, leaf Tensor or None for each input
    cdef list output_numbers  # of the edges; None: all zero
    cdef tuple args           # (y, *inputs, *attrs) as the rules see them: Tensor, Spec, scalar or None
    cdef int64_t* versions    # of saved tensors, by argument; NULL when nothing is saved
    cdef int64_t few[4]       # where they are when there are few arguments
    cdef bytearray many       # and when there are many
    cdef Meta meta            # of output 0
    cdef list more            # Spec of the outputs 1..
    cdef int64_t sequence
    cdef bint freed
    cdef bint variadic
    cdef dict hooks           # output number -> list of hooks on that gradient
    cdef list pre_hooks, post_hooks
    cdef object trace         # where it was made, in anomaly mode
    cdef int64_t task, slot   # the backward pass that visits it
    cdef object __weakref__

    def name(self):
        return self.op.node_name if self.op is not None else type(self).__name__

    @property
    def next_functions(self):
        numbers = self.output_numbers or [0] * len(self.edges)
        return tuple((AccumulateGrad(e) if isinstance(e, Tensor) else e, n) for e, n in zip(self.edges, numbers))

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

    cdef tuple run(self, g, list wanted):
        # The gradients of the inputs; None where not wanted or zero.
        cdef Rule rule
        cdef int i, n = <int>PyTuple_GET_SIZE(self.edges)
        cdef tuple results
        args = self.unpack()
        if self.op.rule_all is not None:
            rule = self.op.rule_all
            needs = tuple([self.edges[i] is not None and (wanted is None or wanted[i]) for i in range(n)])
            return tuple(rule.fn(g, *args[:rule.nargs - 1], needs=needs))
        results = PyTuple_New(n)
        for i in range(n):
            r = None
            if <PyObject*>PyTuple_GET_ITEM(self.edges, i) != <PyObject*>None and (wanted is None or wanted[i]):
                rule = <Rule>self.op.rules[i]
                if rule is not None:
                    r = call_rule(rule, g, args)
            Py_INCREF(r)
            PyTuple_SET_ITEM(results, i, r)
        return results

    cdef tuple unpack(self):
        # The saved arguments, after the check that nobody wrote into them.
        cdef int i
        cdef Tensor t
        cdef Storage s
        if self.freed:
            raise GradError(f"backward: the saved tensors of {self.name()} are gone: Trying to backward through the graph a second "
                            f"time; call backward(retain_graph=True) the first time")
        if self.versions == NULL:
            return self.args
        for i in range(<int>PyTuple_GET_SIZE(self.args)):
            if self.versions[i] < 0:
                continue
            item = <object>PyTuple_GET_ITEM(self.args, i)
            if version_of(item) != self.versions[i]:
                self.raise_modified(item if isinstance(item, Tensor) else item[0], i)
        if mode.grad:
            return self.with_graph()
        return self.args

    cdef raise_modified(self, Tensor t, int i):
        cdef int64_t version = t.storage.version
        who = t.storage.writer or "an in-place operation"
        raise GradError(
            f"one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{DTYPES[t.v.dtype]!r} {list(t.shape)}], which is {'output 0' if i == 0 else f'input {i - 1}'} of {self.name()}, is at "
            f"version {version}; expected version {self.versions[i]} instead (last written by {who}); "
            f"clone() the tensor before it is overwritten")

    cdef tuple with_graph(self):
        # For higher orders, a saved output must lead back to this node.
        cdef object y = <object>PyTuple_GET_ITEM(self.args, 0)
        if isinstance(y, Tensor):
            return (self.attach(<Tensor>y, 0),) + self.args[1:]
        if isinstance(y, tuple):
            return (tuple([self.attach(<Tensor>t, k) if isinstance(t, Tensor) and (<Tensor>t).is_float() else t
                           for k, t in enumerate(<tuple>y)]),) + self.args[1:]
        return self.args

    cdef Tensor attach(self, Tensor saved, int number):
        cdef Tensor t = alias(saved)
        t.grad_fn_ = self
        t.out_nr = number
        return t

    cdef release(self):
        if self.versions != NULL:
            self.freed = True
            self.args = None
            self.many = None
            self.versions = NULL


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


cdef object call_rule(Rule rule, g, tuple args):
    cdef PyObject* stack[40]
    cdef int k, n = rule.nargs
    stack[0] = <PyObject*>g
    for k in range(1, n):
        stack[k] = PyTuple_GET_ITEM(args, k - 1)
    cdef PyObject* result = PyObject_Vectorcall(<PyObject*>rule.fn, stack, n, NULL)
    value = <object>result
    Py_XDECREF(result)
    return value


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

    cdef tuple run(self, g, list wanted):
        if self.freed:
            raise GradError(f"backward: the graph of {self.label} was freed: Trying to backward through the graph a second time; "
                            f"call backward(retain_graph=True) the first time")
        result = self.fn(*(g if isinstance(g, tuple) else (g,)))
        return result if isinstance(result, tuple) else (result,)

    cdef release(self):
        self.freed = True
        self.fn = None

