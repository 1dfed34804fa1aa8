# Backward: visits the graph newest node first, without recursion.

cdef dict ACTIVE = {}      # id of a pass -> GraphTask, for passes that are under way in some thread
cdef int64_t TASKS = 0


@cython.final
cdef class GraphTask:
    cdef int64_t id
    cdef bint keep_graph, create_graph, accumulate
    cdef list nodes              # by slot: Node or leaf Tensor
    cdef list buffers            # by slot: the gradient so far; for nodes with several outputs a list of them
    cdef vector[int64_t] waiting # by slot: edges that have not delivered
    cdef vector[char] needed     # by slot; empty: all are
    cdef dict displaced          # id(node) -> slot, where another pass has taken over the node's own mark
    cdef dict captures           # (slot, output number) -> positions in `captured`
    cdef list captured
    cdef ReadyQueue ready

    cdef int64_t slot_of(self, target) except -2:
        cdef int64_t task, slot
        if isinstance(target, Node):
            task, slot = (<Node>target).task, (<Node>target).slot
        else:
            task, slot = (<Tensor>target).task, (<Tensor>target).slot
        if task == self.id:
            return slot
        return self.displaced.get(id(target), -1) if self.displaced is not None else -1

    cdef int64_t claim(self, target) except -2:
        # Gives the node a slot; a pass that had marked it keeps the mark aside.
        cdef int64_t task, slot = len(self.nodes)
        cdef GraphTask other
        task = (<Node>target).task if isinstance(target, Node) else (<Tensor>target).task
        if task and task in ACTIVE:
            other = <GraphTask>ACTIVE[task]
            if other.displaced is None:
                other.displaced = {}
            other.displaced[id(target)] = (<Node>target).slot if isinstance(target, Node) else (<Tensor>target).slot
        if isinstance(target, Node):
            (<Node>target).task, (<Node>target).slot = self.id, slot
        else:
            (<Tensor>target).task, (<Tensor>target).slot = self.id, slot
        self.nodes.append(target)
        self.buffers.append(None)
        self.waiting.push_back(0)
        return slot

    cdef int64_t find_or_claim(self, target) except -2:
        cdef int64_t slot = self.slot_of(target)
        return self.claim(target) if slot < 0 else slot

    cdef discover(self):
        # Counts the edges into every node that can be reached.
        cdef Node node
        cdef int64_t slot, k = 0
        while k < <int64_t>len(self.nodes):
            target = self.nodes[k]
            k += 1
            if not isinstance(target, Node):
                continue
            node = <Node>target
            for edge in node.edges:
                if edge is not None:
                    slot = self.find_or_claim(edge)
                    self.waiting[slot] += 1

    cdef mark_needed(self):
        # Only what leads to a captured tensor runs. Edges always lead to older nodes, so oldest first is one pass.
        cdef int64_t slot
        cdef Node node
        self.needed.resize(len(self.nodes))
        for key in self.captures:
            self.needed[<int64_t>key[0]] = 1
        nodes = sorted([x for x in self.nodes if isinstance(x, Node)], key=node_sequence)
        for item in nodes:
            node = <Node>item
            slot = self.slot_of(node)
            for edge in node.edges:
                if edge is not None and self.needed[self.slot_of(edge)]:
                    self.needed[slot] = 1
                    break

    cdef add(self, int64_t slot, int number, target, Tensor g):
        # Sums a gradient into the buffer of (slot, output number).
        cdef list several
        if isinstance(target, Node) and (<Node>target).more is not None:
            several = self.buffers[slot]
            if several is None:
                several = self.buffers[slot] = [None] * (1 + len((<Node>target).more))
            several[number] = self.sum_of(several, number, g)
        else:
            self.buffers[slot] = self.sum_of(self.buffers, slot, g)

    cdef Tensor sum_of(self, list where, int64_t k, Tensor g):
        cdef Tensor former
        if where[k] is None:
            return g
        former = <Tensor>where[k]
        where[k] = None
        if not self.create_graph and sole_owner(former) and former.dense and not g.leaf_requires_grad:
            return <Tensor>inplace_slot(S_ADD, former, g)
        return <Tensor>binary_slot(S_ADD, former, g)

    cdef execute(self):
        cdef int64_t slot
        for slot in range(<int64_t>len(self.nodes)):
            if self.waiting[slot] == 0:
                self.push(slot)
        while not self.ready.empty():
            slot = self.ready.top().second
            self.ready.pop()
            target = self.nodes[slot]
            if isinstance(target, Node):
                self.visit(<Node>target, slot)
            else:
                self.arrive(<Tensor>target, slot)

    cdef push(self, int64_t slot):
        target = self.nodes[slot]
        # Leaves first: their gradients are finished, and memory is freed early.
        cdef int64_t sequence = (<Node>target).sequence if isinstance(target, Node) else (<int64_t>1 << 62)
        self.ready.push(pair[int64_t, int64_t](sequence, slot))

    cdef visit(self, Node node, int64_t slot):
        cdef tuple results = None
        cdef list wanted = None
        g = self.buffers[slot]
        self.buffers[slot] = None
        if g is not None:
            if node.more is not None:
                g = tuple(g)
            if node.hooks is not None:
                g = run_hooks(node, g)
            if self.captures is not None:
                self.capture(node, slot, g)
            if self.needed.empty() or self.has_needed_edge(node):
                if not self.needed.empty():
                    wanted = [e is not None and self.needed[self.slot_of(e)] for e in node.edges]
                results = self.call(node, g, wanted)
        g = None
        if not self.keep_graph:
            node.release()
        self.distribute(node, results)

    cdef bint has_needed_edge(self, Node node) except -1:
        for e in node.edges:
            if e is not None and self.needed[self.slot_of(e)]:
                return True
        return False

    cdef tuple call(self, Node node, g, list wanted):
        cdef tuple results
        if node.pre_hooks is not None:
            for hook in tuple(node.pre_hooks):
                changed = hook(g if isinstance(g, tuple) else (g,))
                if changed is not None:
                    g = changed if isinstance(g, tuple) else changed[0]
        try:
            results = node.run(g, wanted)
            if mode.anomaly:
                check_nan(node, results)
        except Exception as error:
            error.add_note(f"in the gradient of {node.name()}")
            if node.trace is not None:
                error.add_note("the node was made here (most recent call last):\n" + node.trace)
            raise
        if node.post_hooks is not None:
            for hook in tuple(node.post_hooks):
                changed = hook(results, g if isinstance(g, tuple) else (g,))
                if changed is not None:
                    results = tuple(changed)
        return results

    cdef distribute(self, Node node, tuple results):
        cdef int64_t slot
        cdef int i, number
        for i in range(<int>PyTuple_GET_SIZE(node.edges)):
            edge = <object>PyTuple_GET_ITEM(node.edges, i)
            if edge is None:
                continue
            slot = self.slot_of(edge)
            number = 0 if node.output_numbers is None else <int>node.output_numbers[i]
            if results is not None and i < <int>PyTuple_GET_SIZE(results):
                r = <object>PyTuple_GET_ITEM(results, i)
                if r is not None and (self.needed.empty() or self.needed[slot]):
                    self.add(slot, number, edge, conform(r, edge, number, node))
            self.waiting[slot] -= 1
            if self.waiting[slot] == 0:
                self.push(slot)

    cdef capture(self, node, int64_t slot, g):
        for number in range(len(g) if isinstance(g, tuple) else 1):
            for position in self.captures.get((slot, number), ()):
                self.captured[position] = g[number] if isinstance(g, tuple) else g

    cdef arrive(self, Tensor leaf, int64_t slot):
        cdef Tensor g
        value = self.buffers[slot]
        self.buffers[slot] = None
        if value is None:
            return
        g = <Tensor>value
        value = None
        if leaf.hooks is not None:
            for hook in tuple(leaf.hooks):
                changed = hook(g)
                if changed is not None:
                    g = <Tensor?>changed
        if self.captures is not None and (slot, 0) in self.captures:
            for position in self.captures[(slot, 0)]:
                self.captured[position] = g
        if self.accumulate and (self.captures is None or (slot, 0) in self.captures):
            accumulate_grad(leaf, g, self.create_graph)


cdef object edge_of(Tensor t):
    cdef Node node = grad_fn_of(t)
    if node is not None:
        return node
    return t if t.leaf_requires_grad else None


def run_backward(tuple tensors, tuple grads, bint keep_graph, bint create_graph, inputs, bint accumulate):
    """One pass from `tensors` with their gradients. Returns the gradients of `inputs` (None: unused), or adds to `.grad` of leaves."""
    global TASKS
    cdef GraphTask task = GraphTask.__new__(GraphTask)
    cdef Tensor t
    cdef int64_t slot
    cdef bint former = mode.grad
    TASKS += 1
    task.id, task.keep_graph, task.create_graph, task.accumulate = TASKS, keep_graph, create_graph, accumulate
    task.nodes, task.buffers = [], []
    ACTIVE[task.id] = task
    mode.grad = create_graph
    try:
        for item, g in zip(tensors, grads):
            t = <Tensor>item
            edge = edge_of(t)
            slot = task.find_or_claim(edge)
            task.add(slot, t.out_nr if isinstance(edge, Node) else 0, edge, <Tensor>g)
        task.discover()
        if inputs is not None:
            task.captures, task.captured = {}, [None] * len(inputs)
            for position, item in enumerate(inputs):
                t = <Tensor>item
                edge = edge_of(t)
                slot = task.slot_of(edge) if edge is not None else -1
                if slot >= 0:
                    task.captures.setdefault((slot, t.out_nr if isinstance(edge, Node) else 0), []).append(position)
            task.mark_needed()
        task.execute()
    finally:
        mode.grad = former
        del ACTIVE[task.id]
    return task.captured


def custom_node(str label, tuple inputs, outputs, fn):
    """Attach a node to `outputs` (a tensor or a tuple of them): `fn(*grads)` gives the gradients of `inputs`."""
    cdef CustomNode node = CustomNode.__new__(CustomNode)
    node.label, node.fn = label, fn
    connect(node, inputs)
    attach_outputs(node, outputs)
    return node


def mark_dirty(Tensor target not None, str label, tuple inputs, fn):
    """Attach a custom node to a tensor that was written in place (its history, and its base's, is rebased on the node)."""
    cdef CustomNode node = CustomNode.__new__(CustomNode)
    node.label, node.fn = label, fn
    connect(node, inputs)
    rebase(target, node, label)


def requires_grad_any(tensors):
    """Whether any of the tensors needs a gradient."""
    for t in tensors:
        if isinstance(t, Tensor) and needs_grad(<Tensor>t):
            return True
    return False
