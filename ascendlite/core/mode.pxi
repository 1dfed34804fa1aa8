# Grad mode, inference mode, autocast and anomaly mode: per thread, set by context managers in `ascendlite.core.modes`.

def is_grad_enabled():
    """Whether ops of this thread are recorded."""
    return mode.grad

def is_inference_mode_enabled():
    """Whether this thread is in `inference_mode`."""
    return mode.inference

def is_plain():
    """Whether ops of this thread compute values and nothing else: no graph, no capture, no autocast."""
    return not (mode.grad or mode.capturing or mode.autocast >= 0)

def is_anomaly_enabled():
    """Whether this thread records where each node was made, and checks gradients for NaN."""
    return mode.anomaly

def exchange_grad(bint on):
    """Set grad mode of this thread; returns the former value."""
    cdef bint former = mode.grad
    mode.grad = on
    return bool(former)

def exchange_inference(bint on):
    """Set inference mode of this thread; returns the former value."""
    cdef bint former = mode.inference
    mode.inference = on
    return bool(former)

def exchange_anomaly(bint on):
    """Set anomaly mode of this thread; returns the former value."""
    cdef bint former = mode.anomaly
    mode.anomaly = on
    return bool(former)

def exchange_doubles(bint on):
    """Set whether this thread may make float64 tensors on an NPU; returns the former value."""
    cdef bint former = mode.doubles
    mode.doubles = on
    return bool(former)

def set_autocast(bint enabled, DType dtype=None):
    """Set the dtype that ops marked `cast="low"` compute in; returns the former (enabled, dtype)."""
    former = (mode.autocast >= 0, DTYPES[mode.autocast] if mode.autocast >= 0 else None)
    if enabled and (dtype is None or dtype.code not in (kFloat16, kBFloat16, kFloat32)):
        raise DTypeError(f"autocast: got {dtype!r}; use float16 or bfloat16")
    mode.autocast = dtype.code if enabled else -1
    if not enabled:
        _AUTOCAST_CACHE.clear()
    return former

def get_autocast():
    """(enabled, dtype) of this thread."""
    return (mode.autocast >= 0, DTYPES[mode.autocast] if mode.autocast >= 0 else None)

# Casts of parameters inside one autocast region: weak key -> (version, cast tensor).
cdef dict _AUTOCAST_CACHE = {}

cdef list LISTENERS = []  # (function, timed)

def add_listener(listener, bint timed=False):
    """Call `listener(op, inputs, attrs, outputs)` after every op of this process. Returns a function that removes it.

    `timed`: also after kernels that run on given tensors (an optimizer's), and with when the op began (time.perf_counter_ns) and whether a backward pass ran it.
    """
    entry = (listener, timed)
    LISTENERS.append(entry)
    return lambda: LISTENERS.remove(entry)

cdef inline int64_t began() noexcept:
    # When an op begins, if someone wants to know.
    return now_ns() if PyList_GET_SIZE(LISTENERS) else 0
