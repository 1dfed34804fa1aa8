# Gradient rules. A rule that is nothing but arithmetic of pointwise ops (`g * y * -0.5`) is read once, on symbols, and then runs as a
# list of steps without Python; any other rule is called.

import math as _math
import types as _types


@cython.final
cdef class Symbol:
    """Stands for a value while a rule is read: arithmetic on it adds a step to the program."""
    cdef Program program
    cdef int place

    def __add__(self, other): return trace(<Op>SLOTS[S_ADD], (self, other))
    def __radd__(self, other): return trace(<Op>SLOTS[S_ADD], (other, self))
    def __sub__(self, other): return trace(<Op>SLOTS[S_SUB], (self, other))
    def __rsub__(self, other): return trace(<Op>SLOTS[S_SUB], (other, self))
    def __mul__(self, other): return trace(<Op>SLOTS[S_MUL], (self, other))
    def __rmul__(self, other): return trace(<Op>SLOTS[S_MUL], (other, self))
    def __truediv__(self, other): return trace(<Op>SLOTS[S_DIV], (self, other))
    def __rtruediv__(self, other): return trace(<Op>SLOTS[S_DIV], (other, self))
    def __neg__(self): return trace(<Op>SLOTS[S_NEG], (self,))
    def __lt__(self, other): return trace(<Op>SLOTS[S_LT], (self, other))
    def __le__(self, other): return trace(<Op>SLOTS[S_LE], (self, other))
    def __gt__(self, other): return trace(<Op>SLOTS[S_GT], (self, other))
    def __ge__(self, other): return trace(<Op>SLOTS[S_GE], (self, other))


cdef enum:
    MOST_STEPS = 6, MOST_OPERANDS = 3, FIRST_STEP = 48  # places from FIRST_STEP on are results of steps


cdef struct Step:
    int n
    int place[3]
    bint last[3]   # nobody reads this operand later


@cython.final
cdef class Program:
    """The steps of a rule. Places: arguments, then constants; the results of steps from FIRST_STEP on."""
    cdef int nargs, n_steps, result
    cdef bint plain            # the result is the last step's, and no step reads a constant
    cdef list ops, constants
    cdef Step steps[6]

    cdef int place_of(self, x) except -1:
        if isinstance(x, Symbol):
            return (<Symbol>x).place
        if not (PyFloat_CheckExact(x) or PyLong_CheckExact(x)):
            raise TypeError("a rule is a program of tensors and numbers only")
        self.constants.append(x)
        return self.nargs + len(self.constants) - 1


cdef object trace(Op op, tuple operands):
    # One step on symbols; the answer stands for its result.
    cdef Program program = None
    cdef Symbol symbol = Symbol.__new__(Symbol)
    cdef Step* step
    cdef int i
    for x in operands:
        if isinstance(x, Symbol):
            program = (<Symbol>x).program
    if program is None or program.n_steps == MOST_STEPS or len(operands) > MOST_OPERANDS:
        raise TypeError(f"{op.name}: not a step of a program")
    step = &program.steps[program.n_steps]
    step.n = len(operands)
    for i in range(step.n):
        step.place[i], step.last[i] = program.place_of(operands[i]), False
    program.ops.append(op)
    symbol.program, symbol.place = program, FIRST_STEP + program.n_steps
    program.n_steps += 1
    return symbol


cdef bint straight(fn, int depth=3):
    # Whether the function is one straight line of ops, numbers and functions like that: what it does can't depend on its arguments.
    import dis
    if not isinstance(fn, _types.FunctionType) or fn.__closure__ or fn.__defaults__ or depth == 0:
        return False
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    for i in dis.get_instructions(fn.__code__):
        if "JUMP" in i.opname or i.opname in ("IS_OP", "CONTAINS_OP", "IMPORT_NAME", "STORE_GLOBAL", "LOAD_DEREF"):
            return False
        if i.opname in ("LOAD_ATTR", "LOAD_METHOD") and not (isinstance(i.argval, str) and hasattr(_math, i.argval)):
            return False
        if i.opname in loads:
            x = fn.__globals__.get(i.argval)
            if not (isinstance(x, (Op, float, int)) or x is _math or straight(x, depth - 1)):
                return False
    return True


cdef Program program_of(fn, int nargs):
    # The rule as a program, or None.
    cdef Program program = Program.__new__(Program)
    cdef list symbols = []
    cdef Symbol symbol
    cdef int i, k
    if not straight(fn):
        return None
    program.nargs, program.ops, program.constants = nargs, [], []
    for i in range(nargs):
        symbol = Symbol.__new__(Symbol)
        symbol.program, symbol.place = program, i
        symbols.append(symbol)
    try:
        result = fn(*symbols)
    except (TypeError, AttributeError):
        return None
    if not isinstance(result, Symbol) or nargs + len(program.constants) > FIRST_STEP:
        return None
    program.result = (<Symbol>result).place
    program.plain = not program.constants and program.result == FIRST_STEP + program.n_steps - 1
    seen = {program.result}
    for k in range(program.n_steps - 1, -1, -1):
        for i in range(program.steps[k].n - 1, -1, -1):
            if program.steps[k].place[i] >= FIRST_STEP and program.steps[k].place[i] not in seen:
                seen.add(program.steps[k].place[i])
                program.steps[k].last[i] = True
    return program


cdef inline PyObject* run_step(Program program, PyObject** args) except? NULL:
    # A program of one step on arguments, such as `g * b`.
    cdef PyObject* operands[3]
    cdef Step* step = &program.steps[0]
    cdef bint tensors = False
    cdef int i
    for i in range(step.n):
        operands[i] = args[step.place[i]]
        tensors = tensors or isinstance(<object>operands[i], Tensor)
    if not tensors:
        return NULL
    made = apply_operands(<Op>PyList_GET_ITEM(program.ops, 0), operands, step.n)
    Py_INCREF(made)
    return <PyObject*>made


cdef PyObject* run_program(Program program, PyObject** args) except? NULL:
    # The result as a new reference; NULL without an error where numbers alone would meet (Python's arithmetic, not ours).
    cdef Stack results
    cdef PyObject* operands[3]
    cdef Step* step
    cdef int i, k, place
    cdef bint tensors
    if program.n_steps == 1 and program.plain:
        return run_step(program, args)
    for k in range(program.n_steps):
        step = &program.steps[k]
        tensors = False
        for i in range(step.n):
            place = step.place[i]
            if place >= FIRST_STEP:
                operands[i] = results.items[place - FIRST_STEP]
            elif place < program.nargs:
                operands[i] = args[place]
            else:
                operands[i] = PyList_GET_ITEM(program.constants, place - program.nargs)
            tensors = tensors or isinstance(<object>operands[i], Tensor)
        if not tensors:
            return NULL
        made = apply_operands(<Op>PyList_GET_ITEM(program.ops, k), operands, step.n)
        Py_INCREF(made)
        results.push_owned(<PyObject*>made)
        for i in range(step.n):
            if step.last[i]:
                Py_DECREF(<object>operands[i])
                results.items[step.place[i] - FIRST_STEP] = NULL
    operands[0] = args[program.result] if program.result < FIRST_STEP else results.items[program.result - FIRST_STEP]
    Py_XINCREF(operands[0])
    return operands[0]


cdef bint is_short(Rule rule) noexcept:
    # g itself, or one step that reads g and arguments.
    cdef int i
    if rule.program is None:
        return False
    if rule.program.n_steps == 0:
        return rule.program.result == 0
    if rule.program.n_steps == 1 and rule.program.plain:
        for i in range(rule.program.steps[0].n):
            if rule.program.steps[0].place[i] == 0:
                return True
    return False


cdef PyObject* run_short(Program program, PyObject* g, PyObject** args) except NULL:
    # What a short program gives of g and a node's arguments, as a new reference.
    cdef PyObject* operands[3]
    cdef Step* step = &program.steps[0]
    cdef int i
    if program.n_steps == 0:
        Py_INCREF(<object>g)
        return g
    for i in range(step.n):  # held, since another thread may release the node meanwhile
        operands[i] = g if step.place[i] == 0 else args[step.place[i] - 1]
        Py_INCREF(<object>operands[i])
    try:
        made = apply_operands(<Op>PyList_GET_ITEM(program.ops, 0), operands, step.n)
    finally:
        for i in range(step.n):
            Py_DECREF(<object>operands[i])
    Py_INCREF(made)
    return <PyObject*>made


cdef PyObject* call_rule(Rule rule, PyObject** args) except? NULL:
    # What the rule gives, as a new reference; NULL for None.
    cdef PyObject* result
    if rule.program is not None:
        result = run_program(rule.program, args)
        if result != NULL:
            return result
    result = PyObject_Vectorcall(<PyObject*>rule.fn, args, rule.nargs, NULL)
    if result == <PyObject*>None:
        Py_DECREF(None)
        return NULL
    return result


cdef tuple NAME_OF_TOTAL = ("total",)

cdef PyObject* call_adding(Rule rule, Stack& stack, Tensor total) except? NULL:
    # What a rule gives that may add to `total`, as a new reference.
    cdef PyObject* args[48]
    memcpy(args, stack.items, rule.nargs * sizeof(PyObject*))
    args[rule.nargs] = <PyObject*>total
    return PyObject_Vectorcall(<PyObject*>rule.fn, args, rule.nargs, <PyObject*>NAME_OF_TOTAL)
