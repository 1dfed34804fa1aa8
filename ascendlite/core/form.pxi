# Calls of captured functions without Python: the form of a call, the program that fits it, its results, and the node that runs its gradient.

cdef extern from "pythread.h":
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock() noexcept
    void PyThread_free_lock(PyThread_type_lock) noexcept
    int PyThread_acquire_lock(PyThread_type_lock, int) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock) noexcept
    unsigned long PyThread_get_thread_ident() noexcept

cdef object MISS = object()  # a form does not fit


@cython.final
cdef class Gate:
    """Lets one thread in at a time, and that thread again."""
    cdef PyThread_type_lock lock
    cdef unsigned long owner
    cdef int depth

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    cdef int enter(self) except -1:
        # How often this thread is inside now.
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.depth == 0 or self.owner != me:
            if not PyThread_acquire_lock(self.lock, 0):
                with nogil:
                    PyThread_acquire_lock(self.lock, 1)
            self.owner = me
        self.depth += 1
        return self.depth

    cdef void leave(self) noexcept:
        self.depth -= 1
        if self.depth == 0:
            PyThread_release_lock(self.lock)


@cython.final
cdef class Key:
    """The form of a call: where tensors stand in its arguments, and the values of everything else."""
    cdef readonly tuple tensors
    cdef readonly list objects  # what is no tensor, number or container: watched
    cdef readonly object form
    cdef list found

    def __init__(self, tuple args, dict kwargs):
        self.objects, self.found = [], []
        if not kwargs and only_tensors(args):
            self.form, self.tensors = len(args), args
        else:
            self.form = (self.form_of(args), self.form_of(kwargs) if kwargs else ())
            self.tensors = tuple(self.found)

    cdef object form_of(self, x):
        if isinstance(x, Tensor):
            self.found.append(x)
            return "tensor"
        if isinstance(x, (tuple, list)):
            return (type(x), tuple([self.form_of(item) for item in x]))
        if isinstance(x, dict):
            return (type(x), tuple([(k, self.form_of(v)) for k, v in (<dict>x).items()]))
        if type(x) in (bool, int, str, bytes, type(None)):
            return (type(x), x)
        if type(x) is float:
            return (float, x.hex())
        self.objects.append(x)
        return ("object", id(x))


cdef bint only_tensors(tuple items) noexcept:
    for x in items:
        if not isinstance(x, Tensor):
            return False
    return True


@cython.final
cdef class Recipe:
    """How a result is put together: one of the tensors that were made (`leaf`), a constant, or a container of recipes."""
    cdef int64_t leaf  # -1: none
    cdef object constant, kind
    cdef list parts, keys

    def __init__(self, *, int64_t leaf=-1, constant=None, kind=None, list parts=None, list keys=None):
        self.leaf, self.constant, self.kind, self.parts, self.keys = leaf, constant, kind, parts, keys

    cdef object build(self, list made):
        if self.leaf >= 0:
            return made[self.leaf]
        if self.kind is None:
            return self.constant
        items = [(<Recipe>p).build(made) for p in self.parts]
        if self.keys is not None:
            return self.kind(zip(self.keys, items))
        if self.kind is list:
            return items
        return self.kind(*items) if hasattr(self.kind, "_fields") else self.kind(items)


cdef Tensor make_output(Output o, list storages, Launches p, tuple args):
    # On a storage of its own (slot counts outputs), or on a source's (slot is -1 - its number).
    cdef Tensor t, made
    if o.slot >= 0:
        return o.make(<Storage>storages[o.slot])
    t = (<Source>p.sources[-1 - o.slot]).find(args)
    made = o.make(t.storage)
    made.v.data = t.v.data + o.offset
    made.offset = (made.v.data - t.storage.ptr) // ITEMSIZE[made.v.dtype]
    return made


cdef Tensor make_leaf(leaf, list storages, Launches p, tuple args):
    # Of a result: an Output, a tensor from outside, (shape, strides, dtype) of one without elements, or the number of an argument.
    if isinstance(leaf, Output):
        return make_output(<Output>leaf, storages, p, args)
    if isinstance(leaf, Tensor):
        return <Tensor>leaf
    if isinstance(leaf, tuple):
        return empty_strided(leaf[0], leaf[1], dtype=leaf[2])
    return <Tensor>args[leaf]


cdef set_grads(list grads, list storages, Launches p, tuple args):
    # (tensor or number of an argument, Output or None: no gradient)
    cdef Tensor t
    for owner, output in grads:
        t = <Tensor>owner if isinstance(owner, Tensor) else <Tensor>args[owner]
        t.grad_ = None if output is None else make_output(<Output>output, storages, p, args)


cdef class Form:
    """A captured form of a function: what must hold, the program, and how its results are made. `ascendlite.compile` fills it in."""
    cdef public int64_t state          # modes
    cdef public Launches program
    cdef public list guards, parts     # parts: (steps up to, function of the host or None, its gradients)
    cdef public list gradients         # what the call leaves in `.grad`
    cdef public list without_gradient  # numbers of arguments whose `.grad` must be None
    cdef public list leaves            # the distinct tensors of the result
    cdef public Recipe recipe
    cdef public Gradient graph

    cdef object call(self, tuple args):
        # The result, or MISS.
        cdef Launches p = self.program
        cdef list storages, made
        if mode_bits() != self.state:
            return MISS
        for k in self.without_gradient:
            if (<Tensor>args[k]).grad_ is not None:
                return MISS
        for item in self.guards:
            if not (<Guard>item).holds():
                return MISS
        if not p.find(args):
            return MISS
        storages = p.run(args, self.parts)
        if self.gradients:
            set_grads(self.gradients, storages, p, args)
        made = [make_leaf(leaf, storages, p, args) for leaf in self.leaves]
        if self.graph is not None:
            self.graph.attach(made, args, storages)
        return self.recipe.build(made)


cdef class Gradient:
    """The gradient of a captured function as a program of its own, behind one node. Filled in like a Form."""
    cdef public bint spent             # the function went backward itself
    cdef public list roots, leaves     # numbers among the tensors made; numbers of arguments, or tensors
    cdef public list watched           # what must not be written before the gradient is asked for, like `leaves`
    cdef public list strides           # of the gradients that come in
    cdef public list saved             # Outputs of the function's program that are read again
    cdef public list makers            # an Output, or None, for each leaf
    cdef public list parts
    cdef public Launches program, forward
    cdef Gate gate

    def __cinit__(self, *args, **kwargs):
        self.gate = Gate()

    cdef attach(self, list made, tuple args, list storages):
        # Give the results their history: one node that runs the program.
        cdef tuple roots = tuple([made[k] for k in self.roots])
        cdef tuple leaves = tuple([tensor_at(x, args) for x in self.leaves])
        cdef Pass run = Pass.__new__(Pass)
        run.plan, run.args = self, args
        if not self.spent:
            run.kept = tuple([(<Output>o).make(<Storage>storages[(<Output>o).slot]) for o in self.saved])
            for x in self.watched:
                run.versions.push_back(tensor_at(x, args).storage.version)
            for x in run.kept:
                run.versions.push_back((<Tensor>x).storage.version)
            run.drawn = self.forward.drawn
            run.like = [(shape_tuple(<Tensor>t), (<Tensor>t).dtype) for t in roots]  # a node must not hold its outputs
        custom_node("CompiledBackward", leaves, roots if len(roots) > 1 else roots[0], run)

    cdef tuple run(self, Pass call, tuple grads):
        cdef tuple given
        cdef list storages
        if self.spent:
            raise GradError("CompiledBackward: Trying to backward through the graph a second time: the compiled function went backward itself; "
                            "call backward(retain_graph=True) in it")
        if mode.grad:
            raise GradError("CompiledBackward: create_graph=True is not possible through a compiled function; call the function that was compiled")
        call.check(self)
        given = (*call.args, *[self.seed(g, k, call) for k, g in enumerate(grads)], *call.kept)
        self.gate.enter()  # a program runs for one thread at a time
        try:
            self.program.drawn = call.drawn
            if not self.program.find(given):
                raise GradError("CompiledBackward: a tensor that the function read has another form or place now; call backward before it is changed")
            storages = self.program.run(given, self.parts)
        finally:
            self.gate.leave()
        return tuple([None if m is None else make_output(<Output>m, storages, self.program, given) for m in self.makers])

    cdef Tensor seed(self, g, int k, Pass call):
        # A gradient that came in, in the strides of the capture.
        shape, dtype = call.like[k]
        if g is None:
            g = zeros(shape, dtype=dtype)
        g = (<Tensor>g).detach()
        return g if g.stride() == self.strides[k] else empty_strided(shape, self.strides[k], dtype=dtype).copy_(g)


cdef inline Tensor tensor_at(x, tuple args):
    return <Tensor>x if isinstance(x, Tensor) else <Tensor>args[x]


@cython.final
cdef class Pass:
    """What a call of a captured function keeps for its gradient."""
    cdef Gradient plan
    cdef tuple args, kept
    cdef list like                 # (shape, dtype) of the results
    cdef vector[int64_t] versions  # of what is read again
    cdef vector[int64_t] drawn

    def __call__(self, *grads):
        return self.plan.run(self, grads)

    cdef int check(self, Gradient plan) except -1:
        cdef size_t k = 0
        for x in (*plan.watched, *self.kept):
            t = tensor_at(x, self.args)
            if (<Tensor>t).storage.version != self.versions[k]:
                raise GradError(
                    f"one of the variables needed for gradient computation has been modified by an inplace operation: a tensor that a compiled "
                    f"function read or made is at version {t._version}; expected version {self.versions[k]} instead"
                )
            k += 1
        return 0


cdef class Front:
    """A function in front of its forms. A subclass gives `capture(key, args, kwargs)`."""
    cdef public object fn, refused  # refused: why it runs eagerly, or None
    cdef public dict entries        # form of a call -> the captured forms
    cdef Gate gate

    def __cinit__(self, *args, **kwargs):
        self.gate, self.entries = Gate(), {}

    def __call__(self, *args, **kwargs):
        cdef Key key = None
        cdef tuple tensors = args
        cdef int depth
        if self.refused is not None or mode.capturing:
            return self.fn(*args, **kwargs)
        if kwargs or not only_tensors(args):
            key = Key(args, kwargs)
            tensors = key.tensors
        depth = self.gate.enter()
        try:
            if depth > 1:  # called by what it calls
                return self.fn(*args, **kwargs)
            found = self.entries.get(len(tensors) if key is None else key.form)
            if found is not None:
                for form in <list>found:
                    result = (<Form>form).call(tensors)
                    if result is not MISS:
                        return result
            return self.capture(Key(args, kwargs) if key is None else key, args, kwargs)
        finally:
            self.gate.leave()


def is_capturing() -> bool:
    """Whether this thread captures a function."""
    return bool(mode.capturing)


def exchange_capturing(bint on):
    """Set whether this thread captures a function; returns the former value."""
    cdef bint former = mode.capturing
    mode.capturing = on
    return bool(former)
