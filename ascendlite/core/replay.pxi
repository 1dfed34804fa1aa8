# Programs: steps made of what a recorder heard, guards of the Python values it depends on, and the call that walks both.

cdef extern from "replay.h" namespace "al" nogil:
    ctypedef void (*FusedFn)(char**, int64_t, int64_t) noexcept
    cdef struct Place:
        int32_t slot
        int64_t offset
    cdef struct Patch:
        int32_t position, draw, part
    cdef cppclass LaunchStep "al::Step":
        KernelFn kernel
        LoopFn loop
        FusedFn fused
        vector[View] views
        vector[Place] places
        vector[int64_t] ints
        vector[double] floats
        vector[Patch] patches
        int64_t count, bytes
        int nouts
    cdef cppclass Steps:
        LaunchStep& add()
        void finish(LaunchStep&, const int*)
        int64_t run(char**, const int64_t*, int64_t, int64_t, Error*) except +

cdef extern from "Python.h":
    object PyCell_Get(object)
    PyObject* PyDict_GetItem(object, object)
    PyObject* PyList_GET_ITEM(object, Py_ssize_t)
    bint PyDict_Next(object, Py_ssize_t*, PyObject**, PyObject**) noexcept
    PyObject* PyFunction_GetCode(object)
    PyObject* PyFunction_GetDefaults(object)
    PyObject* PyFunction_GetKwDefaults(object)

cdef extern from *:
    """
    static inline PyObject* al_dict_of_class(PyObject* kind) { return ((PyTypeObject*)kind)->tp_dict; }
    """
    PyObject* dict_of_class "al_dict_of_class"(object) noexcept

cdef enum:
    G_CELL, G_ITEM, G_PLACE, G_LENGTH, G_ATTRIBUTE, G_KEYS, G_FUNCTION, G_CLASS, G_EQUAL, G_SEQUENCE

GUARD_KINDS = {"cell": G_CELL, "item": G_ITEM, "place": G_PLACE, "length": G_LENGTH, "attribute": G_ATTRIBUTE, "keys": G_KEYS, "function": G_FUNCTION,
               "class": G_CLASS, "equal": G_EQUAL, "sequence": G_SEQUENCE}


@cython.final
cdef class Guard:
    """A Python value that a capture has read.

    A closure's cell, an item of a dict, a place of a list, a length or an attribute; the keys of a dict in order, the code and the defaults of a
    function, what a class defines, the value of a container without references (equal to a copy), the items of a sequence.
    """
    cdef int kind
    cdef readonly object container, key, expected
    cdef readonly str name
    cdef bint by_value

    def __init__(self, str kind, container, key, expected, bint by_value, str name):
        self.kind, self.container, self.key, self.expected, self.by_value = GUARD_KINDS[kind], container, key, expected, by_value
        self.name = name

    cpdef bint holds(self) except -1:
        """Whether the value is what it was."""
        cdef PyObject* found
        if self.kind == G_LENGTH:
            return len(self.container) == self.expected
        if self.kind >= G_KEYS:
            return self.holds_whole()
        if self.kind == G_CELL:
            try:
                value = PyCell_Get(self.container)
            except ValueError:
                return False
        elif self.kind == G_ITEM:
            found = PyDict_GetItem(self.container, self.key)
            if found == NULL:
                return False
            value = <object>found
        elif self.kind == G_PLACE:
            value = <object>PyList_GET_ITEM(self.container, self.key)  # the length was looked at before
        else:
            value = getattr(self.container, self.key, None)
        return value is self.expected or (self.by_value and same_value(value, self.expected))

    cdef bint holds_whole(self) except -1:
        if self.kind == G_KEYS:
            return same_keys(self.container, <tuple>self.expected)
        if self.kind == G_FUNCTION:
            code, defaults, named = <tuple>self.expected
            return (PyFunction_GetCode(self.container) == <PyObject*>code and or_none(PyFunction_GetDefaults(self.container)) == <PyObject*>defaults
                    and or_none(PyFunction_GetKwDefaults(self.container)) == <PyObject*>named)
        if self.kind == G_CLASS:
            return same_class(<object>dict_of_class(self.container), <dict>self.expected)
        if self.kind == G_EQUAL:
            return bool(self.container == self.expected)
        if len(self.container) != len(<tuple>self.expected):
            return False
        for a, b in zip(self.container, <tuple>self.expected):
            if a is not b and not (isinstance(a, (int, float, str)) and same_value(a, b)):
                return False
        return True


cdef inline PyObject* or_none(PyObject* o) noexcept:
    return <PyObject*>None if o == NULL else o


cdef bint same_keys(d, tuple keys) except -1:
    cdef Py_ssize_t at = 0, k = 0
    cdef PyObject* key
    if PyDict_Size(d) != PyTuple_GET_SIZE(keys):
        return False
    while PyDict_Next(d, &at, &key, NULL):
        if key != PyTuple_GET_ITEM(keys, k):
            if not isinstance(<object>key, (str, int, float, bytes)) or not same_value(<object>key, <object>PyTuple_GET_ITEM(keys, k)):
                return False
        k += 1
    return True


cdef bint same_class(dict d, dict expected) except -1:
    # What a class defines, as `class_contents` gave it.
    cdef Py_ssize_t at = 0, count = 0
    cdef PyObject* key
    cdef PyObject* value
    while PyDict_Next(d, &at, &key, &value):
        if is_defined(<object>key, <object>value):
            count += 1
            if PyDict_GetItem(expected, <object>key) != value:
                return False
    return count == PyDict_Size(expected)


cdef inline bint is_defined(key, value):
    return isinstance(value, FunctionType) or not (<str>key).startswith("__")


def class_contents(kind):
    """What a class itself defines, less what Python and its tools keep in it."""
    return {k: v for k, v in vars(kind).items() if is_defined(k, v)}


cdef bint same_value(a, b) except -1:
    if type(a) is not type(b):
        return False
    if PyFloat_CheckExact(a):
        return PyFloat_AS_DOUBLE(a) == PyFloat_AS_DOUBLE(b) and (PyFloat_AS_DOUBLE(a) != 0 or str(a) == str(b))
    return bool(a == b)


@cython.final
cdef class Source:
    """Where a program finds a tensor at each call: itself, an argument, or the gradient of a tensor. With what it must look like."""
    cdef readonly Tensor tensor    # fixed, or whose gradient it is
    cdef readonly int64_t argument # -1: none
    cdef readonly bint of_grad
    cdef readonly bint written
    cdef View v
    cdef int device
    cdef bint grad, leaf, inference
    cdef char* home    # where it was at the capture
    cdef char* last
    cdef int64_t low, high  # its lowest and highest byte, from its first

    def __init__(self, Tensor like not None, Tensor tensor, int64_t argument, bint of_grad, bint written):
        self.tensor, self.argument, self.of_grad, self.written = tensor, argument, of_grad, written
        copy_view(self.v, like.v)
        extent(self.v, ITEMSIZE[self.v.dtype], self.low, self.high)
        self.home = self.last = like.v.data
        self.device, self.grad, self.leaf, self.inference = like.device_, needs_grad(like), like.leaf_requires_grad, like.inference

    cdef Tensor find(self, tuple args):
        cdef Tensor t = <Tensor>PyTuple_GET_ITEM(args, self.argument) if self.argument >= 0 else self.tensor
        return t.grad_ if self.of_grad else t

    cdef bint fits(self, Tensor t) noexcept:
        cdef int i
        if t is None or t.v.dtype != self.v.dtype or t.v.ndim != self.v.ndim or t.device_ != self.device:
            return False
        if needs_grad(t) != self.grad or t.leaf_requires_grad != self.leaf or t.inference != self.inference:
            return False
        for i in range(t.v.ndim):
            if t.v.shape[i] != self.v.shape[i] or t.v.strides[i] != self.v.strides[i]:
                return False
        return True


@cython.final
cdef class Output:
    """A tensor that a program makes anew at each call: a window on a storage of its own, or of a source, or of an output before it."""
    cdef readonly int64_t slot, nbytes, offset, owner
    cdef View v
    cdef int64_t elements

    def __init__(self, int64_t slot, int64_t nbytes, int64_t offset, int dtype, tuple shape, tuple strides, int64_t owner):
        cdef int i
        self.slot, self.nbytes, self.offset, self.owner = slot, nbytes, offset, owner
        self.v.dtype, self.v.ndim = dtype, len(shape)
        for i in range(self.v.ndim):
            self.v.shape[i], self.v.strides[i] = shape[i], strides[i]

    cdef Tensor make(self, Storage storage):
        cdef Tensor t = bare_tensor(self.v.dtype, CPU)
        copy_view(t.v, self.v)
        t.count, t.dense, t.storage, t.inference = count_elements(t.v), is_contiguous(t.v), storage, mode.inference
        t.offset = self.offset // ITEMSIZE[t.v.dtype]
        t.v.data = storage.ptr + self.offset if storage.ptr != NULL else NULL
        return t


@cython.final
cdef class Launches:
    """Steps with the slots that they refer to: 0 the arena, 1 the constants, then sources, then outputs."""
    cdef Steps steps
    cdef list ops                     # of the steps, for errors
    cdef vector[char*] bases
    cdef vector[int64_t] drawn
    cdef readonly list sources, outputs, draws
    cdef bytes constants
    cdef readonly int64_t arena_bytes
    cdef readonly int64_t length
    cdef Storage arena
    cdef bint large, writes

    def __init__(self, list sources, list outputs, list draws, bytes constants, int64_t arena_bytes, bint large):
        self.sources, self.outputs, self.draws, self.constants = sources, outputs, draws, constants
        self.arena_bytes, self.large, self.ops = arena_bytes, large, []
        self.writes = any([(<Source>s).written for s in sources])
        self.bases.resize(2 + len(sources) + len(outputs))
        self.drawn.resize(2 * len(draws))
        self.bases[1] = <char*>constants

    cdef operand(self, LaunchStep* s, place, int dtype, tuple shape, tuple strides):
        cdef View v
        cdef Place p
        cdef int i
        memset(&v, 0, sizeof(v))
        v.dtype, v.ndim = dtype, len(shape)
        for i in range(v.ndim):
            v.shape[i], v.strides[i] = shape[i], strides[i]
        p.slot, p.offset = place[0], place[1]
        s.views.push_back(v)
        s.places.push_back(p)

    def add(self, str kind, Op op, list operands, *, int compute=0, int nouts=1, tuple ints=(), tuple floats=(), tuple draws=(),
            uintptr_t fused=0, int64_t count=0):
        """Append a step. An operand is ((slot, offset), dtype, shape, strides), or None."""
        cdef LaunchStep* s = &self.steps.add()
        cdef Patch patch
        for operand in operands:
            if operand is None:
                self.operand(s, (-1, 0), 0, (), ())
            else:
                self.operand(s, operand[0], operand[1], operand[2], operand[3])
        s.nouts, s.count = nouts, count
        for item in ints:
            s.ints.push_back(item)
        for item in floats:
            s.floats.push_back(item)
        for position, draw, part in draws:
            patch.position, patch.draw, patch.part = position, draw, part
            s.patches.push_back(patch)
        if kind == "loop":
            s.loop = op.entry.loops[compute]
        elif kind == "kernel":
            s.kernel = op.entry.kernel
        elif kind == "fused":
            s.fused = <FusedFn>fused
        elif kind == "memcpy":
            s.bytes = count
        else:
            s.kernel = COPY.kernel if kind == "copy" else FILL.kernel
        self.steps.finish(s[0], ITEMSIZE)
        self.ops.append(op)
        self.length += 1

    cdef bint find(self, tuple args) except -1:
        # Looks at the sources and takes their addresses; False: something differs from the capture.
        cdef Source s
        cdef Tensor t
        cdef int i = 2
        cdef bint moved = False
        for item in self.sources:
            s = <Source>item
            t = s.find(args)
            if not s.fits(t):
                return False
            if t.v.data != s.last:
                s.last = t.v.data
                moved = True
            self.bases[i] = t.v.data
            i += 1
        if moved and self.writes and not self.apart():
            for item in self.sources:
                (<Source>item).last = NULL
            return False
        return True

    cdef bint apart(self):
        # What is written overlaps other sources as it did, or not at all.
        cdef Source a, b
        cdef int i, k, n = len(self.sources)
        cdef bint now, then
        for i in range(n):
            a = <Source>self.sources[i]
            if not a.written or a.home == NULL:
                continue
            for k in range(n):
                b = <Source>self.sources[k]
                if i == k:
                    continue
                now = a.last + a.low < b.last + b.high and b.last + b.low < a.last + a.high
                then = a.home + a.low < b.home + b.high and b.home + b.low < a.home + a.high
                if now != then or (then and a.last - b.last != a.home - b.home):
                    return False
        return True

    cdef list begin(self):
        # Fresh memory for outputs, the arena, the draws.
        cdef Output o
        cdef Storage storage
        cdef Generator g
        cdef int i = 0
        cdef list storages = []
        if self.arena_bytes:
            self.arena = new_storage(self.arena_bytes, CPU)
            self.bases[0] = self.arena.ptr
        for item in self.outputs:
            storage = new_storage(<size_t>item, CPU)
            self.bases[2 + len(self.sources) + i] = storage.ptr
            storages.append(storage)
            i += 1
        i = 0
        for item, count in self.draws:
            if item is None:  # given, by the program whose gradient this is
                break
            g = <Generator>item
            self.drawn[2 * i], self.drawn[2 * i + 1] = <int64_t>g.seed_, <int64_t>g.offset
            g.offset += <uint64_t>count
            i += 1
        return storages

    cdef walk(self, int64_t first, int64_t last):
        cdef Error error
        cdef int64_t failed
        if self.large:
            with nogil:
                failed = self.steps.run(self.bases.data(), self.drawn.data(), first, last, &error)
        else:
            failed = self.steps.run(self.bases.data(), self.drawn.data(), first, last, &error)
        if failed >= 0:
            raise_kernel_error(<Op>self.ops[failed], &error)

    cdef finish(self, tuple args):
        cdef Source s
        cdef Tensor t
        for item in self.sources:
            s = <Source>item
            if s.written:
                t = s.find(args)
                t.storage.version += 1

    cdef list run(self, tuple args, list parts):
        # Walks the steps after `find(args)`. `parts`: (last, function or None, gradients) each; gives the outputs' storages.
        cdef list storages
        cdef int64_t first = 0
        try:
            storages = self.begin()
            for last, function, grads in parts:
                self.walk(first, last)
                first = last
                if function is not None:
                    self.finish(args)
                    set_grads(grads, storages, self, args)
                    function()
            self.finish(args)
        finally:
            self.arena = None
        return storages


def all_hold(list guards):
    """The first guard that no longer holds, or None."""
    for item in guards:
        if not (<Guard>item).holds():
            return item
    return None


cdef inline int64_t mode_bits() noexcept:
    return (<int64_t>mode.grad | <int64_t>mode.inference << 1 | <int64_t>mode.anomaly << 2 | <int64_t>(mode.autocast + 1) << 4
            | <int64_t>default_dtype << 12 | <int64_t>mode.default_device << 20)


def modes():
    """What a capture depends on besides values, as bits: grad, inference, anomaly, autocast, default dtype and default device."""
    return mode_bits()
