# Recording: every launch, copy and fill of this thread, by the storages that it reads and writes. `ascendlite.compile` makes programs of it.

cdef Recorder RECORDER = None
cdef int64_t last_capture_id = 0


class Drawn(int):
    """A seed or an offset that `next_philox` gave while recording: `draw` numbers the draw, `part` is 0 for the seed, 1 for the offset."""


@cython.final
cdef class Recorder:
    """What ran between `start` and `stop`. A reference to memory is (storage, byte offset, dtype, shape, strides); storages are numbered.

    Events: ("loop", op, compute dtype, output, operands), ("kernel", op, views, outputs, ints, floats, draws), ("copy", target, source),
    ("fill", target, bytes), ("host", function, gradients). `refuse` is called, with what can't be recorded, at the user's line.
    """
    cdef readonly list events
    cdef readonly dict externals   # number -> storage that was there before
    cdef readonly dict constants   # number -> bytes of a storage made here, but by no recorded launch
    cdef readonly dict sizes       # number -> bytes of a storage
    cdef readonly list draws       # (generator, count)
    cdef readonly dict grads       # id -> (tensor, its gradient before)
    cdef readonly int64_t first
    cdef dict by_address
    cdef set seen, written
    cdef bint updates              # the outputs of the next launch are read, too
    cdef object refuse

    def __init__(self, refuse):
        self.events, self.externals, self.constants, self.sizes, self.draws, self.grads = [], {}, {}, {}, [], {}
        self.by_address, self.seen, self.written, self.refuse = {}, set(), set(), refuse
        self.first = last_capture_id + 1

    def start(self):
        global RECORDER
        RECORDER = self
        mode.recording = True

    def stop(self):
        global RECORDER
        mode.recording = False
        RECORDER = None

    def number(self, Storage storage not None):
        """The number of a storage; one from before is entered into `externals`."""
        if storage.ptr == NULL:
            return 0
        if storage.capture_id >= self.first:
            return storage.capture_id
        address = <uintptr_t>storage.ptr
        known = self.by_address.get(address)
        if known is None:
            known = self.by_address[address] = fresh_capture_id()
            self.externals[known] = storage
        return known

    def is_new(self, Storage storage not None):
        """Whether the storage was made since the start."""
        return storage.capture_id >= self.first

    def reference(self, Tensor t not None):
        """A tensor as a reference, to be read; what it holds becomes a constant if no launch wrote it."""
        return self.view(t, False)

    cdef tuple view(self, Tensor t, bint writes):
        number = self.number(t.storage)
        if t.storage.capture_id >= self.first and number not in self.seen:
            self.seen.add(number)
            if not (writes and t.dense and <size_t>t.nbytes == t.storage.nbytes):
                self.constants[number] = (<char*>t.storage.ptr)[:t.storage.nbytes]
        if writes:
            self.written.add(number)
        self.sizes[number] = t.storage.nbytes
        return (number, (t.v.data - t.storage.ptr) if number else 0, t.v.dtype, shape_tuple(t), t.stride())

    cdef loop(self, Op op, int compute, Tensor out, PyObject** args, int n, list keep):
        cdef char buffer[16]
        cdef list operands = []
        cdef int i
        for i in range(n):
            x = <object>args[i]
            if isinstance(x, Tensor):
                operands.append(self.view(<Tensor>(x if keep is None or keep[i] is None else keep[i]), False))
            else:
                memset(buffer, 0, 16)
                put_number(buffer, compute, x)
                operands.append((<char*>buffer)[:ITEMSIZE[compute]])
        self.events.append(("loop", op, compute, self.view(out, True), tuple(operands)))

    cdef kernel(self, Op op, tuple outputs, list inputs, tuple attrs):
        cdef list views = [], ints = [], floats = [], draws = []
        for t in inputs:
            views.append(None if t is None else self.view(<Tensor>t, False))
        written = [self.view(<Tensor>t, not self.updates) for t in outputs]
        for t in outputs:
            self.written.add(self.number((<Tensor>t).storage))
        for a in attrs:
            for item in (len(a), *a) if isinstance(a, tuple) else (a,):
                if PyFloat_CheckExact(item):
                    floats.append(item)
                elif isinstance(item, DType):
                    ints.append((<DType>item).code)
                elif PyLong_Check(item):
                    if isinstance(item, Drawn):
                        draws.append((len(ints), item.draw, item.part))
                    ints.append(int(item))
        self.events.append(("kernel", op, tuple(written + views), len(outputs), tuple(ints), tuple(floats), tuple(draws), bool(self.updates)))

    cdef copy(self, Tensor target, Tensor source):
        read = self.view(source, False)
        self.events.append(("copy", self.view(target, True), read))

    cdef fill(self, Tensor target, bytes value):
        self.events.append(("fill", self.view(target, True), value))

    cdef read(self, Tensor t, str what):
        # A value goes to Python: known for ever only if no launch wrote it.
        if t.storage.capture_id < self.first or t.storage.capture_id in self.written:
            self.refuse(f"{what}() hands a value to Python")

    cdef note_grad(self, Tensor t):
        if id(t) not in self.grads:
            self.grads[id(t)] = (t, t.grad_)

    cdef change(self, Tensor t, str what):
        # The tensor itself changes, not its values.
        if t.storage.capture_id < self.first:
            self.refuse(f"{what} changes a tensor that was made outside")

    cdef tuple draw(self, Generator g, int64_t count):
        seed, offset = Drawn(<int64_t>g.seed_), Drawn(<int64_t>g.offset)
        seed.draw = offset.draw = len(self.draws)
        seed.part, offset.part = 0, 1
        self.draws.append((g, count))
        return seed, offset


cdef inline int64_t fresh_capture_id() noexcept:
    global last_capture_id
    last_capture_id += 1
    return last_capture_id


cdef blank(Tensor t):
    # Made without values: nothing to keep.
    if mode.recording:
        RECORDER.seen.add(RECORDER.number(t.storage))
    return t


def recorder():
    """The recorder that listens to this thread, or None."""
    return RECORDER if mode.recording else None


def run_on_the_host(function):
    """Call `function()` unrecorded, and again at every replay: it sees the gradients and values of that moment. Its result is dropped."""
    cdef Recorder r = RECORDER
    cdef list grads
    if not mode.recording:
        return function()
    grads = [(t, None if (<Tensor>t).grad_ is None else r.view((<Tensor>t).grad_, False)) for t, _ in r.grads.values()]
    r.events.append(("host", function, tuple(grads)))
    mode.recording = False
    try:
        return function()
    finally:
        mode.recording = True


cdef refuse_hooks(str what):
    if mode.recording:
        RECORDER.refuse(what)
