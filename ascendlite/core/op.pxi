# An op is one record: how dtypes and shapes come about, the gradient, the cost, and one kernel a device.

# How a pointwise op finds the dtype it computes in.
PROMOTE, FLOAT, COMPARE, LOGICAL, BITWISE, FLOATONLY, NUMERIC = range(7)
cdef enum:
    R_PROMOTE, R_FLOAT, R_COMPARE, R_LOGICAL, R_BITWISE, R_FLOATONLY, R_NUMERIC
cdef tuple RULE_NAMES = ("promote", "float", "compare", "logical", "bitwise", "floatonly", "numeric")
cdef dict CASTS = {None: 0, "low": 1, "float32": 2}
OPS = {}


@cython.final
cdef class Spec:
    """A tensor without values: shape, dtype and device."""
    cdef readonly tuple shape
    cdef readonly DType dtype
    cdef readonly Device device

    def __init__(self, shape, DType dtype not None, Device device=None):
        self.shape, self.dtype, self.device = tuple(shape), dtype, DEVICES[CPU] if device is None else device

    @property
    def ndim(self):
        return len(self.shape)

    def dim(self):
        return len(self.shape)

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def numel(self):
        n = 1
        for s in self.shape:
            n *= s
        return n

    def __repr__(self):
        return f"Spec(shape={self.shape}, dtype={self.dtype!r}, device='{self.device}')"


cdef class Rule:
    # A gradient rule with what its code reads of (y, *inputs, *attrs): bit k = argument k after g.
    cdef object fn
    cdef int nargs            # positional parameters, g included
    cdef uint64_t tensors     # read as tensors: must be saved
    cdef uint64_t specs       # read as shapes only (name starts with an underscore)
    cdef uint64_t outputs     # of an op with several outputs: the ones that are read
    cdef bint adds            # takes `total`, the gradient so far (or None), and gives it back where it added its own to it in place
    cdef Program program      # the rule in steps, where it is that simple

    def __init__(self, fn):
        code = fn.__code__
        self.fn, self.nargs = fn, code.co_argcount
        self.program = program_of(fn, self.nargs)
        self.adds = "total" in code.co_varnames[self.nargs:self.nargs + code.co_kwonlyargcount]
        used = _names_read(code)
        self.outputs = _outputs_read(code)
        for k, name in enumerate(code.co_varnames[1:self.nargs]):
            if name in used:
                if name.startswith("_"):
                    self.specs |= <uint64_t>1 << k
                else:
                    self.tensors |= <uint64_t>1 << k


cdef set _names_read(code):
    import dis
    names = set(code.co_cellvars)
    for i in dis.get_instructions(code):
        if i.opname.startswith("LOAD_FAST"):
            names.update(i.argval if isinstance(i.argval, tuple) else (i.argval,))
    return names


cdef uint64_t _outputs_read(code) except? 0:
    # Bit k: the rule reads y[k]. All of them unless every use of y is an item at a constant place.
    import dis
    cdef uint64_t every = ~(<uint64_t>0), read = 0
    if code.co_argcount < 2 or code.co_varnames[1] in code.co_cellvars:
        return every
    steps = [i for i in dis.get_instructions(code) if i.opname != "CACHE"]
    for n, step in enumerate(steps):
        if isinstance(step.argval, tuple) and code.co_varnames[1] in step.argval:
            return every
        if step.argval == code.co_varnames[1] and step.opname.startswith("LOAD_FAST"):
            place, use = steps[n + 1], steps[n + 2]
            if not isinstance(place.argval, int) or "CONST" not in place.opname or not use.opname.startswith("BINARY_SUBSCR"):
                return every
            if not 0 <= place.argval < 64:
                return every
            read |= <uint64_t>1 << place.argval
    return read


cdef class Op:
    """One record of the op table. Call it with tensors (and scalars), then attributes; see `pointwise` and `Op.__init__`."""
    cdef readonly str name
    cdef readonly bint is_pointwise
    cdef readonly bint is_view
    cdef readonly int rule
    cdef readonly object inputs       # number of leading tensor arguments; None: variadic, see call()
    cdef readonly bint contiguous
    cdef readonly bint holds          # gradients keep the inputs in their graph, see `held`
    cdef readonly object infer
    cdef readonly object cost
    cdef readonly object vjp, vjp_all
    cdef readonly object __name__, __doc__
    cdef bint cond
    cdef int tensors                  # bit k: operand k is a tensor, never a number
    cdef int cast
    cdef int n_inputs
    cdef int light                    # of a variadic op: so many leading inputs that rules read the shape of, not the values
    cdef KernelEntry* entry
    cdef list rules                   # Rule or None per input, made at the first recording
    cdef bint short                   # all of them are programs of one step at most
    cdef bint adds                    # the first input's rule does
    cdef Rule rule_all
    cdef Answers answers              # of `infer`
    cdef tuple keywords               # names of the inputs, for calls by keyword
    cdef readonly str node_name

    def __init__(self, str name, *, inputs=1, infer=None, vjp=None, vjp_all=None, bint contiguous=True, kernel=None, cost=None,
                 cast=None, int light=0, bint holds=False):
        self.name = self.__name__ = name
        self.inputs, self.n_inputs = inputs, -1 if inputs is None else inputs
        self.infer, self.vjp, self.vjp_all, self.contiguous, self.cost = infer, vjp, vjp_all, contiguous, cost
        self.cast, self.light, self.holds = CASTS[cast], light, holds
        self.entry = host.runtime.entry((kernel or name).encode())
        self.node_name = name.title().replace("_", "") + "Backward0"
        if vjp is not None and inputs is not None and len(vjp) != inputs:
            raise ValueError(f"Op {name}: {len(vjp)} gradient rules for {inputs} inputs; give one rule (or None) per tensor input")
        OPS[name] = self
        bind_slot(name, self)

    cdef int prepare_rules(self) except -1:
        if self.vjp_all is not None:
            self.rule_all = Rule(self.vjp_all)
            self.rules, self.adds = [], self.rule_all.adds
        else:
            self.rules = [None if fn is None else Rule(fn) for fn in self.vjp]
            self.short = all([rule is None or is_short(<Rule>rule) for rule in self.rules])
            self.adds = bool(self.rules) and self.rules[0] is not None and (<Rule>self.rules[0]).adds
        return 0

    @property
    def differentiable(self):
        return self.vjp is not None or self.vjp_all is not None

    def has_kernel(self, str device="cpu", DType dtype=None):
        """Whether the op has a kernel (for pointwise ops: for that dtype) on the device."""
        if device != "cpu":
            return False
        if self.is_pointwise:
            if dtype is not None:
                return self.entry.loops[dtype.code] != NULL
            return any(self.entry.loops[i] != NULL for i in range(kNumDTypes))
        return self.entry.kernel != NULL

    def __repr__(self):
        return f"<op {self.name}>"

    @property
    def __signature__(self):
        import inspect
        names = self.keywords or tuple([f"x{i + 1}" for i in range(max(self.n_inputs, 0))])
        parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
        return inspect.Signature([*parameters, inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)])

    def __get__(self, instance, owner):
        return self if instance is None else _MethodType(self, instance)

    def __call__(self, *args, **kwargs):
        cdef Tensor out = None
        if kwargs:
            out = kwargs.pop("out", None)
            for key in self.keywords or ():
                if key in kwargs:
                    args += (kwargs.pop(key),)
            if kwargs:
                raise TypeError(f"{self.name}() got an unexpected keyword argument {next(iter(kwargs))!r}")
        if self.is_pointwise:
            if PyTuple_GET_SIZE(args) != self.n_inputs:
                raise TypeError(f"{self.name}() takes {self.n_inputs} positional arguments but {len(args)} were given")
            if self.tensors:
                refuse_numbers(self, args)
            if out is None:
                return apply_operands(self, items_of(args), self.n_inputs)
            return apply_pointwise(self, args, out)
        return apply_kernel(self, args[:self.n_inputs], args[self.n_inputs:], out)

    def call(self, tuple tensors, tuple attrs=()):
        """Apply a variadic op to a tuple of tensors and a tuple of attributes."""
        return apply_kernel(self, tensors, attrs, None)

    def inplace(self, Tensor target not None, *others):
        """Apply a pointwise op to `target` and `others`, writing the result into `target`."""
        if self.tensors > 1:
            refuse_numbers(self, (target, *others))
        return apply_inplace(self, target, (target, *others))

    def launch(self, tuple outputs, tuple inputs, tuple attrs=()):
        """Run the kernel on given tensors: no gradient, no checks but the kernel's own; the outputs' versions are bumped."""
        cdef Tensor t
        cdef int64_t start = began()
        if mode.recording:
            RECORDER.updates = True
        try:
            launch_kernel(self, outputs, inputs, attrs)
        finally:
            if mode.recording:
                RECORDER.updates = False
        for out in outputs:
            t = <Tensor?>out
            t.storage.version += 1
        if LISTENERS:
            notify(self, inputs, attrs, outputs, start, True)

    def launch_native(self, tuple outputs, tuple inputs, tuple attrs=()):
        """Run the native kernel on tensors of one device whose memory this process can read: what an NPU's own CPU does."""
        launch_on_host(self, outputs, inputs, attrs)

    def loop_native(self, Tensor output not None, tuple args, DType compute not None):
        """The same of a pointwise op: tensors of the compute dtype that broadcast to the output, and numbers."""
        run_on_host(self, output, args, compute.code)

from types import MethodType as _MethodType


cdef int refuse_numbers(Op op, tuple args) except -1:
    for i in range(<int>PyTuple_GET_SIZE(args)):
        if op.tensors >> i & 1 and not isinstance(args[i], Tensor):
            name = repr(op.keywords[i]) if op.keywords else i + 1
            raise TypeError(f"{op.name}(): argument {name} (position {i + 1}) must be Tensor, not {type(args[i]).__name__}")
    return 0


def pointwise(str name, int rule, vjp=None, *, int inputs=0, bint cond=False, cast=None, kernel=None, keywords=None, tensors=()):
    """Register a pointwise op: broadcast inputs, one result dtype by `rule`, one loop per dtype in the native registry.

    `tensors`: the operands that may not be numbers (any other may).
    """
    cdef Op op
    n = inputs or (len(vjp) if vjp is not None else host.runtime.entry((kernel or name).encode()).nargs - 1)
    if n < 1:
        raise ValueError(f"pointwise {name}: no gradient rules and no native loop of that name; pass inputs= or register the loop")
    op = Op(name, inputs=n, vjp=vjp, kernel=kernel, cast=cast)
    op.is_pointwise, op.rule, op.cond = True, rule, cond
    for i in tensors:
        op.tensors |= 1 << i
    op.keywords = keywords if keywords is not None else ("input", "other")[:n] if n <= 2 else ()
    return op


cdef Op view_op(str name, vjp):
    cdef Op op = Op(name, inputs=1, vjp=(vjp,))
    op.is_view = True
    return op
