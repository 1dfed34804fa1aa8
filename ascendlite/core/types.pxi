# dtypes, devices and the promotion table.

@cython.final
cdef class DType:
    """The type of a tensor's elements. Compare with `is`; print gives `ascendlite.float32`."""
    cdef readonly int code
    cdef readonly str name
    cdef readonly int itemsize
    cdef readonly bint is_floating_point
    cdef readonly bint is_signed
    cdef readonly bint is_complex

    def __repr__(self):
        return f"ascendlite.{self.name}"

    def __reduce__(self):
        return (dtype_of_name, (self.name,))

    def to_complex(self):
        raise DTypeError(f"to_complex: {self!r} has no complex counterpart here; complex numbers are not supported")

cdef int ITEMSIZE[16]
cdef list DTYPES = []

cdef _define_dtypes():
    cdef DType d
    rows = [("bool", 1, 0, 0), ("uint8", 1, 0, 0), ("int8", 1, 0, 1), ("int16", 2, 0, 1), ("int32", 4, 0, 1), ("int64", 8, 0, 1),
            ("float16", 2, 1, 1), ("bfloat16", 2, 1, 1), ("float32", 4, 1, 1), ("float64", 8, 1, 1),
            ("float8_e4m3fn", 1, 1, 1), ("float8_e5m2", 1, 1, 1), ("float8_e8m0fnu", 1, 1, 0),
            ("float4_e2m1fn_x2", 1, 1, 1), ("hifloat8", 1, 1, 1)]
    for code, (name, size, floating, signed) in enumerate(rows):
        d = DType.__new__(DType)
        d.code, d.name, d.itemsize, d.is_floating_point, d.is_signed, d.is_complex = code, name, size, floating, signed, False
        ITEMSIZE[code] = size
        DTYPES.append(d)

_define_dtypes()
DTYPE_NAMES = {d.name: d for d in DTYPES}


def dtype_of_name(str name):
    """The dtype called `name`, such as "float32"."""
    try:
        return DTYPE_NAMES[name]
    except KeyError:
        raise DTypeError(f"dtype: there is no dtype {name!r}; known: {', '.join(DTYPE_NAMES)}") from None


cdef int default_dtype = 8  # float32


def get_default_dtype():
    """The dtype of floats that are born without one."""
    return DTYPES[default_dtype]


def set_default_dtype(DType d not None):
    """Set the dtype of floats that are born without one."""
    global default_dtype
    if not d.is_floating_point or d.code > kFloat64:
        raise DTypeError(f"set_default_dtype: got {d!r}; only float16, bfloat16, float32 and float64 can be the default")
    default_dtype = d.code


cdef inline int kind_of(int code) noexcept nogil:
    return 0 if code == kBool else (1 if code <= kInt64 else 2)  # bool, integer, float

cdef int PROMOTED[10][10]

cdef _fill_promotion():
    cdef int a, b, r
    for a in range(10):
        for b in range(10):
            if kind_of(a) != kind_of(b):
                r = a if kind_of(a) > kind_of(b) else b
            elif kind_of(a) == 1:
                r = max(a, b)
                if min(a, b) == kUInt8 and r == kInt8:
                    r = kInt16
            else:
                r = max(a, b)
                if min(a, b) == kFloat16 and r == kBFloat16:
                    r = kFloat32
            PROMOTED[a][b] = r

_fill_promotion()

cdef int promote(int a, int b) except -1:
    if a == b:
        return a
    if a < 10 and b < 10:
        return PROMOTED[a][b]
    raise DTypeError(f"promotion: {DTYPES[a]!r} and {DTYPES[b]!r} have no common dtype; 8-bit float formats are for storage: cast "
                     f"with .to() first")


def promote_types(DType a not None, DType b not None):
    """The smallest dtype that both can be converted to: a row of the promotion table, equal to torch's."""
    return DTYPES[promote(a.code, b.code)]


def can_cast(from_ not None, to not None):
    """Whether a value of dtype `from_` may be written into `to` without changing its kind (float to int may not)."""
    return bool(castable((<DType?>from_).code, (<DType?>to).code))

cdef inline bint castable(int source, int target) noexcept:
    return kind_of(source) <= kind_of(target)

# torch's three priorities: tensors with dims, 0-d tensors, Python scalars; -1 = none seen.
cdef inline int combine(int higher, int lower) except -2:
    if higher < 0:
        return lower
    if lower < 0 or kind_of(higher) == 2:
        return higher
    if higher == kBool or kind_of(lower) == 2:
        return promote(higher, lower)
    return higher


@cython.final
cdef class Device:
    """Where a tensor lives: `Device("cpu")`, `Device("npu", 0)`. `type` and `index` as in torch."""
    cdef readonly str type
    cdef readonly object index
    cdef readonly int code

    def __init__(self, type, index=None):
        cdef Device known
        if isinstance(type, Device):
            known = <Device>type
            self.type, self.index, self.code = known.type, known.index, known.code
            return
        if not isinstance(type, str):
            raise TypeError(f"device: expected a name such as 'cpu' or 'npu:0', got {type!r}")
        name, colon, number = type.partition(":")
        if colon:
            if not number.isdigit() or index is not None:
                raise DeviceError(f"device: {type!r} is not a device; write 'cpu', 'meta' or 'npu:0'")
            index = int(number)
        if name not in DEVICE_KINDS:
            raise DeviceError(f"device: there is no device type {name!r}; known: {', '.join(DEVICE_KINDS)}")
        if name != "npu" and index not in (None, 0):
            raise DeviceError(f"device: {name}:{index} does not exist; there is one {name} device")
        if name == "npu":
            index = npu_device(index)
            self.type, self.index, self.code = name, index, ANY_NPU if index is None else NPU + <int>index
        else:
            self.type, self.index, self.code = name, index, DEVICE_KINDS.index(name)

    def __repr__(self):
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other):
        return isinstance(other, Device) and self.type == (<Device>other).type and self.index == (<Device>other).index

    def __hash__(self):
        return hash((self.type, self.index))

    def __reduce__(self):
        return (Device, (self.type, self.index))

    def __enter__(self):
        _DEVICE_STACK.append(mode.default_device)
        mode.default_device = device_code(self)
        return self

    def __exit__(self, *_):
        mode.default_device = _DEVICE_STACK.pop()

DEVICE_KINDS = ["cpu", "meta", "npu"]
cdef list _DEVICE_STACK = []
cdef list DEVICES = [Device("cpu"), Device("meta")]
cdef enum:
    CPU = 0
    META = 1
    NPU = 2          # the first die; the next have the next numbers
    ANY_NPU = -2     # of a Device("npu") without an index: the current one

cdef int device_code(device) except -1:
    if device is None:
        return mode.default_device
    cdef int code = (<Device>device).code if isinstance(device, Device) else Device(device).code
    return code if code != ANY_NPU else NPU + npu_current


def set_default_device(device):
    """Set where tensors are born in this thread when no device is named."""
    mode.default_device = device_code(device)


def get_default_device():
    """Where tensors are born in this thread when no device is named."""
    return DEVICES[mode.default_device]
