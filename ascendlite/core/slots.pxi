# Ops behind the operators, bound when `ascendlite.ops` registers them.
cdef enum Slot:
    S_ADD, S_SUB, S_MUL, S_DIV, S_NEG, S_EQ, S_NE, S_LT, S_LE, S_GT, S_GE, S_COUNT

cdef dict SLOT_NAMES = {"add": S_ADD, "sub": S_SUB, "mul": S_MUL, "div": S_DIV, "neg": S_NEG, "eq": S_EQ, "ne": S_NE, "lt": S_LT,
                        "le": S_LE, "gt": S_GT, "ge": S_GE}
cdef list SLOTS = [None] * S_COUNT
FUNCTIONS = {}  # public functions by name, filled by `ascendlite.core.registry`

cdef object _backward = None  # ascendlite.core.autograd.backward, once it is needed

cdef Op MATMUL = None

cdef bind_slot(str name, Op op):
    global MATMUL
    # The first op of a name stays: a user's op may have a name of ours.
    if name == "matmul" and MATMUL is None:
        MATMUL = op
    if name in SLOT_NAMES and SLOTS[SLOT_NAMES[name]] is None:
        SLOTS[SLOT_NAMES[name]] = op

cdef inline object unary_slot(int slot, x):
    cdef PyObject* operands[1]
    operands[0] = <PyObject*>x
    return apply_operands(<Op>PyList_GET_ITEM(SLOTS, slot), operands, 1)

cdef inline object binary_slot(int slot, a, b):
    cdef PyObject* operands[2]
    if not (is_operand(a) and is_operand(b)):
        return NotImplemented
    operands[0], operands[1] = <PyObject*>a, <PyObject*>b
    return apply_operands(<Op>PyList_GET_ITEM(SLOTS, slot), operands, 2)

cdef inline object inplace_slot(int slot, Tensor a, b):
    if not is_operand(b):
        return NotImplemented
    return apply_inplace(<Op>SLOTS[slot], a, (a, b))

cdef inline object matmul_slot(Tensor a, b):
    if isinstance(b, Tensor) and a.v.ndim >= 2 and (<Tensor>b).v.ndim >= 2:
        return apply_kernel(MATMUL, (a, b), (), None)
    return function_slot("matmul", a, b)

cdef inline object function_slot(str name, a, b):
    if not (is_operand(a) and is_operand(b)):
        return NotImplemented
    return FUNCTIONS[name](a, b)

cdef inline bint is_tensor(PyObject* x) noexcept:
    # isinstance of what somebody else holds: counts no reference.
    return PyObject_TypeCheck(x, <PyTypeObject*>Tensor)

cdef inline bint is_node(PyObject* x) noexcept:
    return PyObject_TypeCheck(x, <PyTypeObject*>Node)

cdef inline bint is_operand(x) noexcept:
    return isinstance(x, Tensor) or PyFloat_Check(x) or PyLong_Check(x) or is_numpy_scalar(x)

cdef bint is_numpy_scalar(x) noexcept:
    return hasattr(type(x), "__array_priority__") and hasattr(x, "item") and getattr(x, "ndim", 1) == 0
