# The tensor type. What runs hot is a slot or a short method; the work is in the files after this one.

cdef enum:
    UNTRACKED = 1, UNTRACKED_GRAD = 2, PIECE = 3

@cython.binding(False)  # plain method descriptors: they check self, also when called as Tensor.method(x)
cdef class Tensor:
    """A strided window on storage, with PyTorch's attributes and methods.

    >>> import ascendlite as al
    >>> x = al.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    cdef View v
    cdef Storage storage
    cdef int device_
    cdef bint dense            # contiguous, C order
    cdef bint leaf_requires_grad
    cdef bint inference
    cdef char untracked        # a view whose writes the graph can't follow (see check_mutable); views of it are the same
    cdef int64_t count         # elements
    cdef int64_t offset        # elements from the start of the storage
    cdef Node grad_fn_
    cdef int out_nr
    cdef Tensor base           # the tensor this is a differentiable view of
    cdef int64_t view_version  # the base's version that grad_fn_ belongs to
    cdef Tensor grad_
    cdef list hooks            # of a leaf
    cdef list accumulate_hooks
    cdef bint retains          # a non-leaf that keeps its gradient
    cdef int64_t task, slot    # the backward pass that visits this leaf
    cdef object __weakref__
    cdef dict extras           # attributes that users hang on a tensor

    __array_priority__ = 1000

    def __init__(self, *args, device=None):
        if self.storage is None:
            init_legacy(self, args, device)

    cdef inline bint is_float(self) noexcept:
        return kFloat16 <= self.v.dtype

    def __getattr__(self, name):
        if self.extras is not None and name in self.extras:
            return self.extras[name]
        raise absent_attribute(type(self).__name__, name)

    @property
    def _attributes(self):
        return dict(self.extras or ())  # what pickle and deepcopy carry along

    def __setattr__(self, name, value):
        try:
            PyObject_GenericSetAttr(self, name, value)
        except AttributeError:
            if hasattr(type(self), name):
                raise
            if self.extras is None:
                self.extras = {}
            self.extras[name] = value

    def __delattr__(self, name):
        if self.extras is not None and name in self.extras:
            del self.extras[name]
        elif name == "grad":
            if mode.recording:
                RECORDER.note_grad(self)
            self.grad_ = None
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r} to delete")

    # -- what it is
    @property
    def shape(self):
        return size_of(self)

    @property
    def dtype(self):
        return <DType>DTYPES[self.v.dtype]

    @property
    def device(self):
        return <Device>DEVICES[self.device_]

    @property
    def ndim(self):
        return self.v.ndim

    @property
    def itemsize(self):
        return ITEMSIZE[self.v.dtype]

    @property
    def nbytes(self):
        return self.count * ITEMSIZE[self.v.dtype]

    @property
    def layout(self):
        return "strided"

    @property
    def is_cpu(self):
        return self.device_ == CPU

    @property
    def is_meta(self):
        return self.device_ == META

    @property
    def is_npu(self):
        return self.device_ >= NPU

    def dim(self):
        return self.v.ndim

    def ndimension(self):
        return self.v.ndim

    def size(self, dim=None):
        return size_of(self) if dim is None else self.v.shape[wrap_dim(dim, self.v.ndim, "size")]

    def stride(self, dim=None):
        if dim is not None:
            return self.v.strides[wrap_dim(dim, self.v.ndim, "stride")]
        return tuple([self.v.strides[i] for i in range(self.v.ndim)])

    def numel(self):
        return self.count

    def nelement(self):
        return self.count

    def element_size(self):
        return ITEMSIZE[self.v.dtype]

    def storage_offset(self):
        return self.offset

    def data_ptr(self):
        if mode.recording:
            RECORDER.refuse("data_ptr() hands an address to Python")
        return <uintptr_t>self.v.data

    def untyped_storage(self):
        return self.storage

    def is_contiguous(self, memory_format=None):
        return bool(self.dense)

    def is_floating_point(self):
        return self.is_float() != 0

    def is_complex(self):
        return False

    def is_signed(self):
        return (<DType>DTYPES[self.v.dtype]).is_signed

    def is_inference(self):
        return bool(self.inference)

    def _is_view(self):
        return self.base is not None

    @property
    def _base(self):
        return self.base

    @property
    def _version(self):
        return self.storage.version

    @property
    def output_nr(self):
        return self.out_nr

    # -- autograd
    @property
    def requires_grad(self):
        return bool(needs_grad(self))

    @requires_grad.setter
    def requires_grad(self, bint value):
        if grad_fn_of(self) is not None:
            raise_not_leaf()
        set_requires_grad(self, value)

    def requires_grad_(self, bint requires_grad=True):
        set_requires_grad(self, requires_grad)
        return self

    @property
    def grad_fn(self):
        return grad_fn_of(self)

    @property
    def is_leaf(self):
        return grad_fn_of(self) is None

    @property
    def grad(self):
        if mode.recording:
            RECORDER.note_grad(self)
        return self.grad_

    @grad.setter
    def grad(self, value):
        set_grad(self, value)

    @grad.deleter
    def grad(self):
        if mode.recording:
            RECORDER.note_grad(self)
        self.grad_ = None

    @property
    def data(self):
        cdef Tensor t = alias(self)
        t.storage = share_storage(self.storage)
        return t

    @data.setter
    def data(self, Tensor value not None):
        set_data(self, value)

    def detach(self):
        cdef Tensor t = alias(self)
        t.inference = self.inference
        return t

    def detach_(self):
        if self.base is not None:
            raise GradError("detach_: Can't detach views in-place. Use detach() instead")
        if mode.recording:
            RECORDER.change(self, "detach_")
        self.grad_fn_, self.leaf_requires_grad = None, False
        return self

    def backward(self, gradient=None, retain_graph=None, bint create_graph=False, inputs=None):
        """Add the gradient of this scalar (or of the product with `gradient`) to `.grad` of the leaves it came from."""
        global _backward
        if inputs is None and ready_root(self, gradient):
            seed = gradient if gradient is not None else full_like(alias(self), 1)
            run_backward((self,), (seed,), create_graph if retain_graph is None else retain_graph, create_graph, None, True)
            return
        if _backward is None:
            from ascendlite.core.autograd import backward as _backward
        _backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook):
        """Call `hook(grad)` when the gradient of this tensor is known; what it returns replaces the gradient."""
        return add_tensor_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Call `hook(tensor)` after a gradient was added to `.grad` of this leaf."""
        refuse_hooks("register_post_accumulate_grad_hook")
        if not needs_grad(self) or grad_fn_of(self) is not None:
            raise GradError("register_post_accumulate_grad_hook: only leaf tensors that require a gradient have one")
        if self.accumulate_hooks is None:
            self.accumulate_hooks = []
        return HookHandle(self.accumulate_hooks, hook)

    def retain_grad(self):
        """Keep `.grad` of this non-leaf tensor."""
        if not needs_grad(self):
            raise GradError("retain_grad: can't retain_grad on Tensor that has requires_grad=False")
        if grad_fn_of(self) is not None and not self.retains:
            self.retains = True
            keep_grad(self)

    @property
    def retains_grad(self):
        return bool(self.retains)

    # -- Python's protocols
    def __repr__(self):
        from ascendlite.printing import tensor_repr
        return tensor_repr(self)

    def __format__(self, spec):
        if not isinstance(spec, str):
            raise TypeError(f"__format__() argument must be str, not {type(spec).__name__}")
        if self.v.ndim == 0:
            return format(self.item(), spec) if spec else str(self.item())
        if spec:
            raise TypeError(f"unsupported format string passed to Tensor.__format__: {spec!r} for shape {shape_tuple(self)}; only 0-d tensors take one")
        return repr(self)

    def __len__(self):
        if self.v.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.v.shape[0]

    def __iter__(self):
        if self.v.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __bool__(self):
        return bool(one_value(self, "bool"))

    def __int__(self):
        return int(one_value(self, "int"))

    def __float__(self):
        return float(one_value(self, "float"))

    def __complex__(self):
        return complex(one_value(self, "complex"))

    def __index__(self):
        if self.is_float():
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(one_value(self, "index"))

    def __contains__(self, value):
        if not is_operand(value):
            raise ArgumentError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(value)}.")
        return bool((self == value).any().item())

    def __reversed__(self):
        return FUNCTIONS["flip"](self, 0) if self.v.ndim else self

    def __hash__(self):
        return <Py_ssize_t>(<uintptr_t><PyObject*>self >> 4)

    def __reduce_ex__(self, protocol):
        from ascendlite.interop.pickle import reduce_tensor
        return reduce_tensor(self)

    def __deepcopy__(self, memo):
        from ascendlite.interop.pickle import deepcopy_tensor
        return deepcopy_tensor(self, memo)

    # -- operators
    def __add__(self, other): return binary_slot(S_ADD, self, other)
    def __radd__(self, other): return binary_slot(S_ADD, other, self)
    def __iadd__(self, other): return inplace_slot(S_ADD, self, other)
    def __sub__(self, other): return binary_slot(S_SUB, self, other)
    def __rsub__(self, other): return binary_slot(S_SUB, other, self)
    def __isub__(self, other): return inplace_slot(S_SUB, self, other)
    def __mul__(self, other): return binary_slot(S_MUL, self, other)
    def __rmul__(self, other): return binary_slot(S_MUL, other, self)
    def __imul__(self, other): return inplace_slot(S_MUL, self, other)
    def __truediv__(self, other): return binary_slot(S_DIV, self, other)
    def __rtruediv__(self, other): return binary_slot(S_DIV, other, self)
    def __itruediv__(self, other): return inplace_slot(S_DIV, self, other)
    def __neg__(self): return unary_slot(S_NEG, self)
    def __pos__(self): return self
    def __abs__(self): return FUNCTIONS["abs"](self)
    def __invert__(self): return FUNCTIONS["bitwise_not"](self)
    def __floordiv__(self, other): return function_slot("floor_divide", self, other)
    def __rfloordiv__(self, other): return function_slot("floor_divide", other, self)
    def __mod__(self, other): return function_slot("remainder", self, other)
    def __rmod__(self, other): return function_slot("remainder", other, self)
    def __pow__(self, other, modulo): return function_slot("pow", self, other)
    def __rpow__(self, other, modulo): return function_slot("pow", other, self)
    def __matmul__(self, other): return matmul_slot(self, other)
    def __rmatmul__(self, other): return function_slot("matmul", other, self)
    def __and__(self, other): return function_slot("bitwise_and", self, other)
    def __rand__(self, other): return function_slot("bitwise_and", other, self)
    def __or__(self, other): return function_slot("bitwise_or", self, other)
    def __ror__(self, other): return function_slot("bitwise_or", other, self)
    def __xor__(self, other): return function_slot("bitwise_xor", self, other)
    def __rxor__(self, other): return function_slot("bitwise_xor", other, self)
    def __lshift__(self, other): return function_slot("bitwise_left_shift", self, other)
    def __rshift__(self, other): return function_slot("bitwise_right_shift", self, other)
    def __rlshift__(self, other): return function_slot("bitwise_left_shift", other, self)
    def __rrshift__(self, other): return function_slot("bitwise_right_shift", other, self)
    def __ifloordiv__(self, other): return self.floor_divide_(other)
    def __imod__(self, other): return self.remainder_(other)
    def __ipow__(self, other): return self.pow_(other)
    def __iand__(self, other): return self.bitwise_and_(other)
    def __ior__(self, other): return self.bitwise_or_(other)
    def __ixor__(self, other): return self.bitwise_xor_(other)
    def __ilshift__(self, other): return self.bitwise_left_shift_(other)
    def __irshift__(self, other): return self.bitwise_right_shift_(other)
    def __eq__(self, other): return binary_slot(S_EQ, self, other)
    def __ne__(self, other): return binary_slot(S_NE, self, other)
    def __lt__(self, other): return binary_slot(S_LT, self, other)
    def __le__(self, other): return binary_slot(S_LE, self, other)
    def __gt__(self, other): return binary_slot(S_GT, self, other)
    def __ge__(self, other): return binary_slot(S_GE, self, other)
    def __getitem__(self, key): return get_item(self, key)
    def __setitem__(self, key, value): set_item(self, key, value)

    def __delitem__(self, key):
        raise TypeError("Tensor does not support deleting items; select what stays, as with a mask")


def add_method(str name, function):
    """Make `function` a method of Tensor."""
    cdef object d = <object>al_type_dict(<PyTypeObject*>Tensor)
    d[name] = function
    PyType_Modified(<PyTypeObject*>Tensor)
