# x[key]: numbers, slices, None and Ellipsis become views; masks and index tensors go to `ascendlite.ops.index`.

cdef int64_t index_number(x) except? -1:
    try:
        return x
    except OverflowError:
        raise IndexError(f"index {x} does not fit in 64 bits") from None


cdef Tensor apply_slice(Tensor x, int dim, key):
    cdef int64_t size = x.v.shape[dim], start, stop, step
    try:
        if key.step is not None and operator.index(key.step) <= 0:
            raise ValueError(f"slice step cannot be zero" if operator.index(key.step) == 0 else f"step must be greater than zero, got {key.step}")
        start, stop, step = key.indices(size)
    except TypeError:
        raise TypeError(f"slice indices must be integers or None or have an __index__ method, got {key}") from None
    if start == 0 and stop == size and step == 1:
        return sliced(x, dim, 0, size, 1)
    return sliced(x, dim, start, max(stop, start), step)


def slice_dim(Tensor x not None, int dim, int64_t start, int64_t stop, int64_t step):
    """x[start:stop:step] along `dim`; the bounds are inside."""
    return sliced(x, dim, start, stop, step)


cdef object index_tensor(key):
    # An index that is no number, slice, None or Ellipsis, as an integer or bool tensor.
    cdef Tensor t
    if isinstance(key, Tensor):
        t = <Tensor>key
    elif isinstance(key, (list, tuple, range)) or hasattr(key, "__array_interface__") or hasattr(key, "__array__"):
        t = <Tensor>as_tensor(list(key) if isinstance(key, range) else key)
        if t.count == 0 and t.is_float():
            t = converted(t, kInt64)
    else:
        raise IndexError(f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(key).__name__})")
    if t.v.dtype == kUInt8:
        warn_of_bytes()
        t = converted(t, kBool)
    if t.v.dtype > kInt64 or isinstance(key, Tensor) and t.v.dtype in (kInt8, kInt16):
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, got {DTYPES[t.v.dtype]!r}")
    return t if t.v.dtype in (kBool, kInt64) else converted(t, kInt64)


def warn_of_bytes():
    """UserWarning that bytes are read as a mask here, not as positions; as torch does."""
    import sys
    import warnings
    level, frame = 1, sys._getframe()  # up to the line of the user: wrappers made here have no module's name
    while frame.f_back is not None and frame.f_globals.get("__name__", "ascendlite").startswith("ascendlite"):
        level, frame = level + 1, frame.f_back
    warnings.warn("indexing with dtype uint8 is now deprecated: it is read as a mask; please use a dtype bool instead (mask.bool()), or "
                  "mask.long() for positions", UserWarning, stacklevel=level)


cdef int fills_a_mask(key) except -1:
    # Whether one value goes to where masks hold: masked_fill_, which casts it, and takes bool masks alone.
    for k in key_tuple(key):
        if isinstance(k, Tensor) and (<Tensor>k).v.dtype == kUInt8:
            raise DTypeError(f"__setitem__: masked_fill_ only supports boolean masks, but got mask with dtype uint8 of shape "
                             f"{shape_tuple(<Tensor>k)}; cast it with .bool()")
        if isinstance(k, list) or isinstance(k, Tensor) and (<Tensor>k).v.dtype != kBool:
            return 0
    return 1


cdef tuple key_tuple(key):
    if isinstance(key, tuple):
        return <tuple>key
    if isinstance(key, list) and len(key) < 32 and any([k is None or k is Ellipsis or isinstance(k, (Tensor, list, tuple, range, slice)) for k in key]):
        return tuple(key)  # as torch reads a list of sequences: one index a dim
    return (key,)


cdef object prepare_key(tuple key, int ndim):
    # Index tensors made, Ellipsis replaced by full slices. A second one is nothing at the end, or where the first stands for nothing.
    cdef list out = []
    cdef int used = 0, dots = -1, again = -1
    for k in key:
        if k is None or isinstance(k, bool):
            pass
        elif k is Ellipsis:
            if dots >= 0:
                again = len(out) if again < 0 else again
                continue
            dots = len(out)
        elif PyLong_Check(k) or isinstance(k, slice):
            used += 1
        else:
            if not isinstance(k, (Tensor, list, tuple)) and hasattr(k, "__index__") and getattr(k, "ndim", 0) == 0:
                k = operator.index(k)
            else:
                k = index_tensor(k)
                if (<Tensor>k).v.ndim == 0 and (<Tensor>k).v.dtype != kBool and (<Tensor>k).device_ == CPU:
                    k = (<Tensor>k).item()
            used += (<Tensor>k).v.ndim if isinstance(k, Tensor) and (<Tensor>k).v.dtype == kBool else 1
        out.append(k)
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}: {used} given")
    fill = [slice(None)] * (ndim - used)
    if fill and 0 <= again < len(out):
        raise IndexError("an index can only have a single ellipsis ('...') before others")
    if dots >= 0:
        out[dots:dots + 1] = fill
    return out


cdef object parse_index(Tensor x, key):
    # (view of x, None) or (view of x, index tensors by dim of the view).
    cdef Tensor t = x
    cdef int dim = 0
    cdef list advanced = []
    cdef bint any_advanced = False
    for k in prepare_key(key_tuple(key), x.v.ndim):
        if PyLong_Check(k) and not isinstance(k, bool):
            t = selected_named(t, dim, k, x)
        elif isinstance(k, slice):
            if k.start is not None or k.stop is not None or k.step is not None:
                t = apply_slice(t, dim, k)
            dim += 1
            advanced.append(None)
        elif k is None:
            t = unsqueeze(t, dim)
            dim += 1
            advanced.append(None)
        else:
            any_advanced = True
            if isinstance(k, bool):
                k = tensor_from_data(k, None, DEVICES[t.device_])
            if (<Tensor>k).v.dtype == kBool and (<Tensor>k).v.ndim == 0:
                t = unsqueeze(t, dim)
                k = view_as_shape(k, (1,), "index", True)
            if (<Tensor>k).v.dtype == kBool:
                check_mask(t, dim, <Tensor>k)
                parts = FUNCTIONS["expand_mask"](k)
                advanced.extend(parts)
                dim += len(parts)
            else:
                advanced.append(k)
                dim += 1
    return t, (tuple(advanced) if any_advanced else None)


cdef Tensor selected_named(Tensor t, int dim, k, Tensor x):
    return selected(t, dim, index_number(k))


cdef check_mask(Tensor t, int dim, Tensor mask):
    cdef int i
    for i in range(mask.v.ndim):
        if dim + i >= t.v.ndim or mask.v.shape[i] != t.v.shape[dim + i]:
            raise IndexError(f"The shape of the mask {list(shape_tuple(mask))} at index {i} does not match the shape of the indexed tensor "
                             f"{list(shape_tuple(t))} at index {dim + i}")


cdef object get_item(Tensor x, key):
    if PyLong_CheckExact(key):
        if x.v.ndim == 0:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a number")
        return selected(x, 0, index_number(key))
    if isinstance(key, slice):
        if x.v.ndim == 0:
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        return apply_slice(x, 0, key)
    t, advanced = parse_index(x, key)
    if advanced is not None:
        return FUNCTIONS["index"](t, advanced)
    return alias_view(x) if t is x else t


cdef Tensor alias_view(Tensor x):
    return finish_view(VIEW, x, window(x, x.v.ndim, x.v.shape, x.v.strides, x.offset), (shape_tuple(x),))


cdef set_item(Tensor x, key, value):
    cdef Tensor target, source
    t, advanced = parse_index(x, key)
    target = <Tensor>t
    if isinstance(value, Tensor):
        source = <Tensor>value
    elif advanced is None and (PyFloat_Check(value) or PyLong_Check(value)):
        fill_(alias_view(x) if target is x else target, value)
        return
    else:
        source = tensor_from_data(value, DTYPES[x.v.dtype], DEVICES[x.device_])
    if advanced is not None:
        if source.v.dtype != x.v.dtype and isinstance(key, bool) or source.count == 1 and fills_a_mask(key):
            source = source if source.v.dtype == x.v.dtype else cast_tensor(source, x.v.dtype)
        while source.v.ndim > 1 and source.v.shape[0] == 1:  # leading ones are no dims of the value, as in torch and NumPy
            source = selected(source, 0, 0)
        FUNCTIONS["index_put_"](target, advanced, source)
        return
    while source.v.ndim > target.v.ndim and source.v.shape[0] == 1:
        source = selected(source, 0, 0)
    if source.device_ != target.device_ and source.v.ndim == 0 and source.device_ == CPU:
        source = moved(source, target.device_)
    copy_into(target, source, "__setitem__")
