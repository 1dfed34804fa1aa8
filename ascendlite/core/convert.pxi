# Values out of tensors, and tensors to other dtypes and devices.

cdef object number_at(const char* p, int dtype):
    if is_integer(dtype):
        return bool(load_int(p, dtype)) if dtype == kBool else load_int(p, dtype)
    return load_float(p, dtype)


cdef Tensor readable(Tensor t, str op):
    # t on the host: a copy of a tensor of the NPU, as item() and printing make one.
    if mode.recording:
        RECORDER.read(t, op)
    if t.device_ == META:
        raise DeviceError(f"{op}: a tensor on '{DEVICES[t.device_]}' has no values on the host; it holds shapes only")
    if t.device_ != CPU:
        t = moved(alias(t), CPU)
    return converted(t, kFloat32) if t.v.dtype > kFloat64 else t


cdef object one_value(Tensor t, str what):
    if t.count != 1:
        if what == "bool":
            raise ArgumentError(f"Boolean value of Tensor with {'no values' if t.count == 0 else 'more than one value'} is ambiguous (shape "
                                f"{shape_tuple(t)}); use .any() or .all()")
        raise ArgumentError(f"a Tensor with {t.count} elements cannot be converted to Scalar (shape {shape_tuple(t)})")
    t = readable(t, what)
    return number_at(t.v.data, t.v.dtype)


def item(Tensor self not None):
    """The value of a tensor of one element, as a Python number."""
    return one_value(self, "item")


cdef object nested(Tensor t, int dim, char* p):
    cdef int64_t i, step
    if dim == t.v.ndim:
        return number_at(p, t.v.dtype)
    step = t.v.strides[dim] * ITEMSIZE[t.v.dtype]
    return [nested(t, dim + 1, p + i * step) for i in range(t.v.shape[dim])]


def tolist(Tensor self not None):
    """The values as nested lists (a number for a 0-d tensor)."""
    t = readable(self, "tolist")
    return nested(t, 0, (<Tensor>t).v.data)


class _ArrayInterface:
    """What NumPy reads to make an array on a tensor's memory; keeps the tensor alive."""

    def __init__(self, tensor, interface):
        self.tensor, self.__array_interface__ = tensor, interface


cdef dict KIND = {kBool: "|b1", kUInt8: "|u1", kInt8: "|i1", kInt16: "<i2", kInt32: "<i4", kInt64: "<i8", kFloat16: "<f2", kFloat32: "<f4", kFloat64: "<f8"}


def numpy(Tensor self not None, *, bint force=False):
    """A NumPy array that shares the tensor's memory."""
    import numpy as np
    cdef Tensor t = self
    cdef int64_t size
    if mode.recording:
        RECORDER.refuse("numpy() hands memory to Python")
    if t.device_ == CPU and needs_grad(t):
        if not force:
            raise GradError("numpy: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        t = alias(t)
    if t.device_ >= NPU and not force:
        raise TypeError(f"numpy: can't convert {DEVICES[t.device_]} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")
    t = t if t.device_ == CPU else readable(t, "numpy")
    kind = KIND.get(t.v.dtype)
    if kind is None:
        return numpy_extension(t)
    size = ITEMSIZE[t.v.dtype]
    if t.count == 0:
        return np.empty(shape_tuple(t), dtype=kind)
    return np.asarray(_ArrayInterface(t, {
        "version": 3, "typestr": kind, "shape": shape_tuple(t), "data": (<uintptr_t>t.v.data, bool(t.storage.readonly)),
        "strides": tuple([t.v.strides[i] * size for i in range(t.v.ndim)])}))


cdef object numpy_extension(Tensor t):
    # bfloat16 and the 8-bit floats exist in NumPy through ml_dtypes only.
    cdef Tensor raw
    name = (<DType>DTYPES[t.v.dtype]).name
    try:
        import ml_dtypes
        kind = getattr(ml_dtypes, name)
    except (ImportError, AttributeError):
        raise TypeError(f"numpy: Got unsupported ScalarType {name}; cast first, as with .float().numpy(), or install ml_dtypes") from None
    raw = alias(t)
    raw.v.dtype = kInt16 if ITEMSIZE[t.v.dtype] == 2 else kUInt8
    return numpy(raw).view(kind)


def __array__(Tensor self not None, dtype=None, copy=None):
    """NumPy's protocol: the tensor as an array, sharing memory unless a copy or another dtype is asked for."""
    a = numpy(self)
    if dtype is not None and a.dtype != dtype:
        if copy is False:
            raise ValueError(f"__array__: a conversion from {a.dtype} to {dtype} needs a copy, and copy=False was given")
        return a.astype(dtype)
    return a.copy() if copy else a


cdef Tensor to_dtype_device(Tensor t, int dtype, int device, bint copy):
    cdef Tensor out = t
    if device != t.device_:
        if device >= NPU and dtype != t.v.dtype:  # cast where the wider types are
            return moved(cast_tensor(t, dtype), device)
        out = moved(t, device)
    if dtype != out.v.dtype:
        return cast_tensor(out, dtype)
    return clone_tensor(t) if copy and out is t else out


def to(Tensor self not None, *args, dtype=None, device=None, bint non_blocking=False, bint copy=False, memory_format=None):
    """The tensor as another dtype and/or on another device; itself when nothing changes. Also takes a tensor to be like."""
    for a in args:
        if isinstance(a, DType) or a in (float, int, bool):
            dtype = a
        elif isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, (str, Device)):
            device = a
        elif isinstance(a, bool) or a is None:
            continue
        else:
            raise TypeError(f"to(): expected a dtype, a device or a tensor, got {a!r}")
    return to_dtype_device(self, dtype_code(dtype, self.v.dtype), self.device_ if device is None else device_code(device), copy)


def contiguous(Tensor self not None, memory_format=None):
    """The tensor itself if it is in C order, else a copy that is."""
    return self if self.dense else clone_tensor(self)


def clone(Tensor input not None, *, memory_format=None):
    """A copy, through which gradients flow."""
    return clone_tensor(input)


def copy_(Tensor self not None, src, bint non_blocking=False):
    """Write the values of `src`, broadcast and cast, into this tensor."""
    if not isinstance(src, Tensor):
        src = tensor_from_data(src, DTYPES[self.v.dtype], DEVICES[self.device_])
    return copy_into(self, <Tensor>src)


def fill_(Tensor self not None, value):
    """Set every element to `value` (a number or a 0-d tensor)."""
    if isinstance(value, Tensor):
        if (<Tensor>value).v.ndim:
            raise ShapeError(f"fill_: only supports 0-dimension value tensor but got tensor with {(<Tensor>value).v.ndim} dimensions.")
        return copy_into(self, <Tensor>value, "fill_")
    scalar_dtype(value)
    check_writable(self, "fill_", True)
    if mode.grad and self.is_float() and needs_grad(self):
        return copy_into(self, place(tensor_from_data(value, DTYPES[self.v.dtype], None), DEVICES[self.device_]), "fill_")
    fill_value(self, value)
    self.storage.version += 1
    self.storage.writer = "fill_"
    return self


def zero_(Tensor self not None):
    """Set every element to zero."""
    return fill_(self, 0)


def result_type(a, b):
    """The dtype that an arithmetic op on `a` and `b` (tensors or numbers) computes in."""
    return DTYPES[compute_dtype(_RESULT_TYPE, (a, b), 0)]

cdef Op _RESULT_TYPE = Op.__new__(Op)


cdef dict CAST_METHODS = {"half": kFloat16, "bfloat16": kBFloat16, "float": kFloat32, "double": kFloat64, "bool": kBool, "byte": kUInt8,
                          "char": kInt8, "short": kInt16, "int": kInt32, "long": kInt64}


cdef object cast_method(str name, int code):
    def cast(Tensor self not None, *, memory_format=None):
        return cast_tensor(self, code)
    cast.__name__ = name
    cast.__doc__ = f"The values as {(<DType>DTYPES[code]).name}."
    return cast


CORE_METHODS = {name: cast_method(name, code) for name, code in CAST_METHODS.items()}
CORE_METHODS.update(
    item=item, tolist=tolist, numpy=numpy, __array__=__array__, to=to, contiguous=contiguous, clone=clone, copy_=copy_, fill_=fill_,
    zero_=zero_, view=view, reshape=reshape, permute=permute, transpose=transpose, expand=expand, as_strided=as_strided, select=select,
    narrow=narrow, diagonal=diagonal, unfold=unfold, unsqueeze=unsqueeze)
