# Storage: a block of device memory that tensors share, with the count of in-place writes to it.

@cython.final
@cython.no_gc  # an owner is an array or a mapping: it does not lead back to a storage
cdef class Storage:
    """A block of memory that tensors share. `version` counts the in-place writes."""
    cdef char* ptr
    cdef readonly size_t nbytes
    cdef readonly int64_t version
    cdef int device
    cdef bint owned       # ptr came from the runtime's allocator
    cdef readonly bint readonly
    cdef readonly int64_t serial  # on an NPU: tells a block from a later one at the same address
    cdef object owner     # keeps foreign memory alive
    cdef str writer       # name of the op that wrote it last, in place
    cdef int64_t capture_id  # of the recording that it was made in

    def __dealloc__(self):
        global META_BYTES
        if self.owned and self.device == META:
            META_BYTES -= self.nbytes
        elif self.owned and self.ptr != NULL:
            if self.device >= NPU:
                npu_free(self.device - NPU, self.ptr)
            else:
                host.runtime.free(self.ptr, self.nbytes)

    def data_ptr(self):
        return <uintptr_t>self.ptr

    def __len__(self):
        return self.nbytes

    def __repr__(self):
        return f"Storage({self.nbytes} bytes on {DEVICES[self.device]})"


# What tensors on meta would take: bytes now and at most, and how many there may be (0: any number).
cdef int64_t META_BYTES = 0, META_PEAK = 0, META_LIMIT = 0
cdef str META_NAME = ""

cdef hold_on_meta(size_t nbytes):
    global META_BYTES, META_PEAK
    if META_LIMIT and META_BYTES + <int64_t>nbytes > META_LIMIT:
        raise OutOfMemoryError(f"{META_NAME}: out of memory: tried to allocate {nbytes} bytes ({nbytes / 2**30:.2f} GiB); tensors on meta hold "
                               f"{META_BYTES / 2**30:.2f} GiB of {META_LIMIT / 2**30:.2f} GiB; use smaller shapes or dtypes, or free tensors earlier")
    META_BYTES += nbytes
    META_PEAK = max(META_PEAK, META_BYTES)

def watch_meta(str name not None, int64_t limit):
    """Begin a new peak of the bytes of tensors on meta, and refuse to hold more than `limit` (0: no limit) in the name of `name`.

    Returns the former (name, limit, peak), which `rewatch_meta` takes.
    """
    global META_NAME, META_LIMIT, META_PEAK
    former = (META_NAME, META_LIMIT, META_PEAK)
    META_NAME, META_LIMIT, META_PEAK = name, limit, META_BYTES
    return former

def rewatch_meta(tuple former not None):
    """Go back to what was watched; returns the peak since `watch_meta`."""
    global META_NAME, META_LIMIT, META_PEAK
    peak = META_PEAK
    META_NAME, META_LIMIT = former[0], former[1]
    META_PEAK = max(<int64_t>former[2], peak)
    return peak


cdef inline Storage new_storage(size_t nbytes, int device):
    cdef Storage s = bare_storage()
    s.nbytes = nbytes
    s.device = device
    if device == CPU and nbytes:
        s.ptr = <char*>try_alloc(nbytes)
        if s.ptr == NULL:
            raise OutOfMemoryError(f"cpu: can't allocate memory: you tried to allocate {nbytes} bytes "
                                   f"({nbytes / 2**30:.2f} GiB); use a smaller shape or dtype")
        s.owned = True
    elif device == META and nbytes:
        hold_on_meta(nbytes)
        s.owned = True
    elif device >= NPU and nbytes:
        s.ptr = allocate_on_npu(device, nbytes)
        s.serial = next_serial()
        s.owned = True
    if mode.recording:
        s.capture_id = fresh_capture_id()
    return s


cdef Storage share_storage(Storage source):
    # The same memory under a version counter of its own: what `.data` gives.
    cdef Storage s = bare_storage()
    s.ptr, s.nbytes, s.device, s.readonly = source.ptr, source.nbytes, source.device, source.readonly
    s.owner = source if source.owner is None else source.owner
    s.capture_id = source.capture_id
    return s
