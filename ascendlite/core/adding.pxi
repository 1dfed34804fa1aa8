# Gradients in parts: the rule of an op that reads a part of its input (a view, picks by index) makes zeros with the part's gradient in its
# place. Where there is a gradient already that is the pass's own, it adds to that instead, as `Rule.adds` says.

cdef int run_adding(GraphTask task, Node node, g, list wanted) except -1:
    # `node.run` of an op whose first input's rule can add in place.
    cdef PyObject* edge = edges_of(node)[0]
    cdef int number = 0 if node.output_numbers is None else <int>node.output_numbers[0]
    cdef int64_t slot = -1 if edge == <PyObject*>None else task.slot_of(edge)
    cdef Tensor total = None
    cdef bint ends = False
    if slot >= 0 and task.slots[slot].needed:
        total = take_total(task, slot, number)
        ends = total is None and ends_in_grad(task, edge, slot, g)
    if ends:
        total = (<Tensor>edge).grad_
        if mode.recording:
            RECORDER.note_grad(<Tensor>edge)
    node.run_onto(total, g, wanted, task.results.data())
    if total is None:
        return 0
    if ends and task.results[0] == <PyObject*>total:
        task.results[0] = NULL
        Py_DECREF(total)
    elif not ends and task.results[0] != <PyObject*>total:
        task.add(slot, number, <object>edge, total)
    return 0


cdef Tensor take_total(GraphTask task, int64_t slot, int number):
    # The gradient so far, which the slot forgets, in memory of the pass's own; None: there is none.
    cdef PyObject* held = task.slots[slot].gradient
    cdef Tensor total
    if held == NULL:
        return None
    if PyList_CheckExact(<object>held):
        total = <Tensor>(<list>held)[number]
        (<list>held)[number] = None
    else:
        total = <Tensor>task.take_gradient(slot)
    return total if total is None or sole_owner(total) and total.dense else contiguous_copy(total)


cdef bint ends_in_grad(GraphTask task, PyObject* edge, int64_t slot, g) except -1:
    # Whether what comes next is all that the pass adds to a leaf's `.grad`, and nobody looks at it before.
    cdef Tensor leaf
    if not is_leaf(edge) or task.slots[slot].waiting != 1 or not task.accumulate or task.captures is not None:
        return False
    leaf = <Tensor>edge
    if leaf.grad_ is None or not leaf.grad_.dense or leaf.hooks or leaf.accumulate_hooks:
        return False
    for part in g if isinstance(g, tuple) else (g,):
        if part is not None and share_memory(leaf.grad_, <Tensor>part):
            return False
    return True
