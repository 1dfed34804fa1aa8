# The emulated NPU as the core sees it: memory from a heap of its own, and one object, the backend, that runs ops there.
# The same object may stand behind `meta` tensors, which have no memory: that is a dry run.

ctypedef void* (*HeapAlloc)(int, size_t) noexcept nogil
ctypedef void (*HeapFree)(int, void*) noexcept nogil

cdef object npu_backend = None
cdef object dry_backend = None
cdef HeapAlloc npu_alloc = NULL
cdef HeapFree npu_free = NULL
cdef int npu_current = 0
cdef bint npu_present = False


def install_npu(backend, int count, uintptr_t alloc, uintptr_t free):
    """Give the core its NPU: `count` dies, a backend, and the heap's C functions `void* alloc(int, size_t)`, `void free(int, void*)`.

    The backend has `launch(op, outputs, inputs, attrs)`, `pointwise(op, output, args, compute)`, `copy(target, source)`,
    `fill(target, number)`, `view(dtype, new)`, which raises where bytes of one dtype cannot be read as another, and
    `out_of_memory(index, nbytes)`, which raises.
    """
    global npu_backend, npu_alloc, npu_free, npu_present
    npu_backend, npu_alloc, npu_free, npu_present = backend, <HeapAlloc>alloc, <HeapFree>free, True
    del DEVICES[NPU:]
    DEVICES.extend([Device("npu", i) for i in range(count)])


def exchange_dry_backend(backend):
    """Put a backend behind meta tensors (None: shapes only); returns the former one."""
    global dry_backend
    former, dry_backend = dry_backend, backend
    return former


def exchange_npu_backend(backend):
    """Put another backend in the place of the NPU's; returns the former one."""
    global npu_backend
    former, npu_backend = npu_backend, backend
    return former


def exchange_npu_device(int index):
    """Set which die 'npu' means; returns the former index."""
    global npu_current
    former, npu_current = npu_current, index
    return former


cdef object npu_device(index):
    # The checked index of a Device of type npu. The backend is imported when the first one is made.
    if not npu_present:
        import ascendlite.npu.backend
    if index is not None and npu_present and len(DEVICES) > NPU and not 0 <= index < len(DEVICES) - NPU:
        raise DeviceError(f"device: npu:{index} does not exist; this machine has {len(DEVICES) - NPU}: "
                          f"{', '.join([str(d) for d in DEVICES[NPU:]])}; al.npu.set_chip() chooses another chip")
    return index


cdef inline object backend_of(int device):
    return npu_backend if device >= NPU else dry_backend if device == META else None


cdef char* allocate_on_npu(int device, size_t nbytes) except? NULL:
    cdef char* p = <char*>npu_alloc(device - NPU, nbytes)
    if p == NULL:
        npu_backend.out_of_memory(device - NPU, nbytes)
    return p


cdef int64_t last_serial = 0

cdef int64_t next_serial() noexcept:
    global last_serial
    last_serial += 1
    return last_serial


cdef refuse_on_npu(int dtype):
    raise DTypeError(f"npu: not implemented for dtype {(<DType>DTYPES[dtype]).name}: the cards have no 64-bit floats; use float32, as with .float()")


cdef Tensor moved(Tensor t, int device):
    # The values on another device; gradients come back the same way.
    cdef Tensor out
    if device == t.device_:
        return t
    if t.device_ == META:
        raise DeviceError(f"to: a tensor on '{DEVICES[t.device_]}' has no values to move to '{DEVICES[device]}'")
    out = allocate_like_inputs(t.v.dtype, device, t.v.ndim, t.v.shape, (t,))
    copy_values(out, t)
    if device != META and mode.grad and t.is_float() and needs_grad(t):
        record(TO_DEVICE, (t,), (), out)
    return out


cdef Op TO_DEVICE = Op("to_device", vjp=(_rules.to_device,))


def copy_native(Tensor target not None, Tensor source not None):
    """Copy and cast values between tensors of one shape whose memory this process can read, wherever they are said to live."""
    if target.count:
        copy_on_host(target, source)


def fill_native(Tensor target not None, value):
    """Set every element of a tensor whose memory this process can read."""
    if target.count:
        fill_on_host(target, value)
