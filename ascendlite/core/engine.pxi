# Backward: visits the graph newest node first, without recursion.

cdef dict ACTIVE = {}      # id of a pass -> GraphTask, for passes that are under way in some thread
cdef int64_t TASKS = 0
cdef GraphTask SPARE = None  # a finished pass, for the next


@cython.final
cdef class GraphTask:
    cdef int64_t id
    cdef bint keep_graph, create_graph, accumulate
    cdef bint all_needed
    cdef vector[Visit] slots      # of every Node and leaf Tensor in reach; the gradients of a node with several outputs are a list
    cdef vector[PyObject*] results  # of the rule that runs
    cdef dict displaced          # id(node) -> slot, where another pass has taken over the node's own mark
    cdef dict captures           # (slot, output number) -> positions in `captured`
    cdef list captured
    cdef set ends                # slots at which the pass ends, or None
    cdef ReadyQueue ready
    cdef list at_end             # what is called when the pass is over, or None
    cdef Node running            # for notes on errors

    def __dealloc__(self):
        self.forget()

    cdef void forget(self) noexcept:
        cdef size_t k
        for k in range(self.slots.size()):
            Py_XDECREF(self.slots[k].target)
            Py_XDECREF(self.slots[k].gradient)
        for k in range(self.results.size()):
            Py_XDECREF(self.results[k])
        self.slots.clear()
        self.results.clear()

    cdef inline int64_t slot_of(self, PyObject* target) except -2:
        # Of a Node or a leaf Tensor; -1: it has none.
        if is_leaf(target):
            if (<Tensor>target).task == self.id:
                return (<Tensor>target).slot
        elif (<Node>target).task == self.id:
            return (<Node>target).slot
        return self.displaced.get(id(<object>target), -1) if self.displaced is not None else -1

    cdef int64_t claim(self, PyObject* target) except -2:
        # Gives the node a slot; a pass that had marked it keeps the mark aside.
        cdef int64_t k = self.slots.size()
        cdef GraphTask other
        cdef Visit slot
        slot.is_node = not is_leaf(target)
        if PyDict_Size(ACTIVE) > 1:
            other = ACTIVE.get((<Node>target).task if slot.is_node else (<Tensor>target).task)
            if other is not None:
                if other.displaced is None:
                    other.displaced = {}
                other.displaced[id(<object>target)] = (<Node>target).slot if slot.is_node else (<Tensor>target).slot
        if slot.is_node:
            (<Node>target).task, (<Node>target).slot, slot.sequence = self.id, k, (<Node>target).sequence
        else:  # leaves first: their gradients are finished, and memory is freed early
            (<Tensor>target).task, (<Tensor>target).slot, slot.sequence = self.id, k, <int64_t>1 << 62
        Py_INCREF(<object>target)
        slot.target, slot.waiting, slot.needed = target, 0, True
        slot.gradient = NULL
        self.slots.push_back(slot)
        return k

    cdef inline int64_t find_or_claim(self, PyObject* target) except -2:
        cdef int64_t slot = self.slot_of(target)
        return self.claim(target) if slot < 0 else slot

    cdef int discover(self) except -1:
        # Counts the edges into every node that can be reached.
        cdef PyObject** edges
        cdef PyObject* node
        cdef size_t k = 0
        cdef int i
        while k < self.slots.size():
            if self.slots[k].is_node and not self.ends_at(k):
                node = self.slots[k].target
                edges = edges_of(<Node>node)
                for i in range((<Node>node).n_edges):
                    if edges[i] != <PyObject*>None:
                        self.slots[self.find_or_claim(edges[i])].waiting += 1
            k += 1
        return 0

    cdef mark_needed(self):
        # Only what leads to a captured tensor runs. Edges always lead to older nodes, so oldest first is one pass.
        cdef size_t k
        cdef list nodes = []
        self.all_needed = False
        for k in range(self.slots.size()):
            self.slots[k].needed = False
            if self.slots[k].is_node and not self.ends_at(k):
                nodes.append(<object>self.slots[k].target)
        for key in self.captures:
            self.slots[<int64_t>key[0]].needed = True
        for item in sorted(nodes, key=node_sequence):
            if any(self.wanted_edges(<Node>item)):
                self.slots[self.slot_of(<PyObject*>item)].needed = True

    cdef inline bint ends_at(self, int64_t slot) except -1:
        return self.ends is not None and slot in self.ends

    cdef locate(self, inputs):
        # Which gradients are asked for.
        cdef Tensor t
        self.captures, self.captured = {}, [None] * len(inputs)
        for position, item in enumerate(inputs):
            t = <Tensor>item
            edge = edge_of(t)
            slot = self.slot_of(<PyObject*>edge) if edge is not None else -1
            if slot >= 0:
                self.captures.setdefault((slot, t.out_nr if isinstance(edge, Node) else 0), []).append(position)

    cdef cut_at(self, inputs):
        # The pass ends at the inputs, without their hooks.
        for item in inputs:
            edge = edge_of(<Tensor>item)
            if edge is not None:
                self.find_or_claim(<PyObject*>edge)
        self.locate(inputs)
        self.ends = {slot for slot, _ in self.captures}

    cdef list wanted_edges(self, Node node):
        return [e is not None and self.slots[self.slot_of(<PyObject*>e)].needed for e in edge_tuple(node)]

    cdef int add(self, int64_t slot, int number, target, Tensor g) except -1:
        # Sums a gradient into that of (slot, output number).
        cdef list several
        cdef Tensor former
        if isinstance(target, Node) and (<Node>target).more is not None:
            if self.slots[slot].gradient == NULL:
                fresh = [None] * (1 + len((<Node>target).more))
                Py_INCREF(fresh)
                self.slots[slot].gradient = <PyObject*>fresh
            several = <list>self.slots[slot].gradient
            former = <Tensor>several[number]
            several[number] = None
            several[number] = g if former is None else self.sum_of(former, g)
            return 0
        if self.slots[slot].gradient == NULL:
            Py_INCREF(g)
            self.slots[slot].gradient = <PyObject*>g
            return 0
        former = <Tensor>self.take_gradient(slot)
        g = self.sum_of(former, g)
        Py_INCREF(g)
        self.slots[slot].gradient = <PyObject*>g
        return 0

    cdef object take_gradient(self, int64_t slot):
        # The slot's gradient, which it forgets; None when there is none.
        cdef PyObject* held = self.slots[slot].gradient
        if held == NULL:
            return None
        self.slots[slot].gradient = NULL
        return owned(held)

    cdef Tensor sum_of(self, Tensor former, Tensor g):
        if not self.create_graph and sole_owner(former) and former.dense and not g.leaf_requires_grad:
            return <Tensor>inplace_slot(S_ADD, former, g)
        return <Tensor>binary_slot(S_ADD, former, g)

    cdef int execute(self) except -1:
        cdef size_t k
        cdef int64_t slot
        for k in range(self.slots.size()):
            if self.slots[k].waiting == 0:
                self.push(k)
        while not self.ready.empty():
            slot = self.ready.top().second
            self.ready.pop()
            if self.slots[slot].is_node:
                self.visit(<Node>self.slots[slot].target, slot)
            else:
                self.arrive(<Tensor>self.slots[slot].target, slot)
        return 0

    cdef inline void push(self, int64_t slot) noexcept:
        self.ready.push(pair[int64_t, int64_t](self.slots[slot].sequence, slot))

    cdef int visit(self, Node node, int64_t slot) except -1:
        cdef list wanted = None
        g = self.take_gradient(slot)
        if self.ends_at(slot):
            if g is not None:
                self.capture(node, slot, tuple(g) if node.more is not None else g)
            return 0
        if <int>self.results.size() < node.n_edges:  # all are NULL between visits
            self.results.resize(node.n_edges, <PyObject*>NULL)
        if not self.all_needed:
            wanted = self.wanted_edges(node)
        if g is not None:
            if node.more is not None:
                g = tuple(g)
            if node.hooks is not None:
                g = run_hooks(node, g)
            if self.captures is not None:
                self.capture(node, slot, g)
            if wanted is None or any(wanted):
                self.running = node
                if node.pre_hooks is not None or node.post_hooks is not None or mode.anomaly:
                    self.run_watched(node, g, wanted)
                elif node.op is not None and node.op.adds and not self.create_graph:
                    run_adding(self, node, g, wanted)
                else:
                    node.run(g, wanted, self.results.data())
                self.running = None
        g = None
        if not self.keep_graph and (wanted is None or any(wanted)):
            node.release()
        return self.distribute(node)

    cdef run_watched(self, Node node, g, list wanted):
        # With hooks of users, and the check for NaN.
        cdef tuple results
        cdef int i
        if node.pre_hooks:
            refuse_hooks("a hook on a node")
            for hook in tuple(node.pre_hooks):
                changed = hook(g if isinstance(g, tuple) else (g,))
                if changed is not None:
                    g = changed if isinstance(g, tuple) else changed[0]
        node.run(g, wanted, self.results.data())
        results = take_results(node.n_edges, self.results.data())
        if mode.anomaly:
            check_nan(node, results)
        if node.post_hooks:
            refuse_hooks("a hook on a node")
            for hook in tuple(node.post_hooks):
                changed = hook(results, g if isinstance(g, tuple) else (g,))
                if changed is not None:
                    results = tuple(changed)
        give(results, node.n_edges, self.results.data())

    cdef int distribute(self, Node node) except -1:
        cdef int64_t slot
        cdef int i, number
        cdef PyObject** edges = edges_of(node)
        cdef PyObject* result
        for i in range(node.n_edges):
            result = self.results[i]
            self.results[i] = NULL
            if edges[i] == <PyObject*>None:
                Py_XDECREF(result)
                continue
            slot = self.slot_of(edges[i])
            if result != NULL:
                number = 0 if node.output_numbers is None else <int>node.output_numbers[i]
                if not self.slots[slot].needed:
                    Py_DECREF(<object>result)
                elif self.slots[slot].gradient == NULL and number == 0 and is_single(edges[i]) and fits(result, edges[i]):
                    self.slots[slot].gradient = result
                else:
                    self.add(slot, number, <object>edges[i], <Tensor>conform(owned(result), <object>edges[i], number, node))
            self.slots[slot].waiting -= 1
            if self.slots[slot].waiting == 0:
                self.push(slot)
        return 0

    cdef capture(self, node, int64_t slot, g):
        for number in range(len(g) if isinstance(g, tuple) else 1):
            for position in self.captures.get((slot, number), ()):
                self.captured[position] = g[number] if isinstance(g, tuple) else g

    cdef int arrive(self, Tensor leaf, int64_t slot) except -1:
        cdef Tensor g = <Tensor>self.take_gradient(slot)
        if g is None:
            return 0
        if leaf.hooks and self.ends is None:
            refuse_hooks("a hook on a gradient")
            g = <Tensor>hooked(g, tuple(leaf.hooks))
        if self.captures is not None and (slot, 0) in self.captures:
            for position in self.captures[(slot, 0)]:
                self.captured[position] = g
        if self.accumulate and (self.captures is None or (slot, 0) in self.captures):
            accumulate_grad(leaf, g, self.create_graph)
        return 0

    cdef explain(self, error):
        # Which node's rule had raised.
        if self.running is not None:
            error.add_note(f"in the gradient of {self.running.name()}")
            if self.running.trace is not None:
                error.add_note("the node was made here (most recent call last):\n" + self.running.trace)


cdef tuple take_results(int n, PyObject** results):
    cdef list values = []
    cdef int i
    for i in range(n):
        values.append(None if results[i] == NULL else owned(results[i]))
        results[i] = NULL
    return tuple(values)


cdef tuple run_node(Node node, g):
    # The gradients of a node's inputs, outside of a pass.
    cdef vector[PyObject*] results
    results.assign(node.n_edges, <PyObject*>NULL)
    node.run(g, None, results.data())
    return take_results(node.n_edges, results.data())


cdef object edge_of(Tensor t):
    cdef Node node = grad_fn_of(t)
    if node is not None:
        return node
    return t if t.leaf_requires_grad else None


def run_backward(tuple tensors, tuple grads, bint keep_graph, bint create_graph, inputs, bint accumulate, bint cut=False):
    """One pass from `tensors` with their gradients. Returns the gradients of `inputs` (None: unused), or adds to `.grad` of leaves.

    `cut`: nothing before the inputs runs, nor do hooks on their gradients.
    """
    global TASKS, SPARE
    cdef GraphTask task
    cdef Tensor t
    cdef int64_t slot
    cdef bint former = mode.grad
    cdef int64_t outer = mode.pass_
    task, SPARE = SPARE if SPARE is not None else GraphTask.__new__(GraphTask), None
    TASKS += 1
    task.id, task.keep_graph, task.create_graph, task.accumulate = TASKS, keep_graph, create_graph, accumulate
    task.all_needed = True
    ACTIVE[task.id] = task
    mode.grad, mode.pass_ = create_graph, task.id
    try:
        for item, g in zip(tensors, grads):
            t = <Tensor>item
            edge = edge_of(t)
            slot = task.find_or_claim(<PyObject*>edge)
            task.add(slot, t.out_nr if isinstance(edge, Node) else 0, edge, <Tensor>g)
        if cut:
            task.cut_at(inputs)
        task.discover()
        if inputs is not None:
            if not cut:
                task.locate(inputs)
            task.mark_needed()
        task.execute()
        for call in task.at_end or ():
            call()
    except Exception as error:
        task.explain(error)
        raise
    finally:
        mode.grad, mode.pass_ = former, outer
        del ACTIVE[task.id]
    captured = task.captured
    task.forget()
    task.displaced = task.captures = task.captured = task.ends = task.at_end = None
    SPARE = task  # with the memory of its lists; one that raised is dropped
    return captured


def backward_pass() -> int:
    """The number of the backward pass that runs in this thread, 0 outside of one."""
    return mode.pass_


def at_end_of_pass(call: Callable[[], None]) -> None:
    """Call a function when the backward pass that runs in this thread is over, if it does not fail."""
    cdef GraphTask task = <GraphTask>ACTIVE[mode.pass_]
    if task.at_end is None:
        task.at_end = []
    task.at_end.append(call)


def custom_node(str label, tuple inputs, outputs, fn):
    """Attach a node to `outputs` (a tensor or a tuple of them): `fn(*grads)` gives the gradients of `inputs`."""
    cdef CustomNode node = CustomNode.__new__(CustomNode)
    node.label, node.fn = label, fn
    connect_all(node, inputs)
    attach_outputs(node, outputs)
    return node


def mark_dirty(Tensor target not None, str label, tuple inputs, fn):
    """Attach a custom node to a tensor that was written in place (its history, and its base's, is rebased on the node)."""
    cdef CustomNode node = CustomNode.__new__(CustomNode)
    check_mutable(target, label)
    node.label, node.fn = label, fn
    connect_all(node, inputs)
    rebase(target, node, label)
    return node


def attached(Node node not None, Tensor saved not None, int number):
    """A saved output without history as output `number` of its node again."""
    return node.attach(saved, number)
