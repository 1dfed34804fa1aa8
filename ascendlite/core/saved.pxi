# Hooks on what is saved for the backward pass: what `pack` made of a tensor is kept in its place, and `unpack` makes a tensor of it again.

cdef object _PACKING = _local()  # .hooks: the innermost (pack, unpack) of the thread, where mode.packing is on

def exchange_saved_hooks(hooks):
    """Set the (pack, unpack) that saved tensors of this thread go through, or None; returns the former pair."""
    former = getattr(_PACKING, "hooks", None) if mode.packing else None
    _PACKING.hooks = hooks
    mode.packing = hooks is not None
    return former


@cython.final
cdef class Packed:
    """A saved tensor as a hook keeps it, and where in the graph it was."""
    cdef object value, restore
    cdef Node source
    cdef int out_nr
    cdef Tensor leaf

    def unpack(self):
        """The tensor again, with its history."""
        cdef Tensor t
        found = self.restore(self.value)
        if not isinstance(found, Tensor):
            raise TypeError(f"saved_tensors_hooks: Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}")
        t = alias(<Tensor>found)
        if self.source is not None:
            t.grad_fn_, t.out_nr = self.source, self.out_nr
        elif self.leaf is not None and mode.grad:
            custom_node("UnpackBackward", (self.leaf,), t, identity)
        return t


def identity(x):
    """x itself."""
    return x


def pack_saved(Tensor t not None, bint history=True):
    """The tensor as the hooks of this thread keep it (`history`: it goes back to its place in the graph), or itself without hooks."""
    return pack_tensor(t, history) if mode.packing else t


def unpack_saved(item):
    """What `pack_saved` was given."""
    return (<Packed>item).unpack() if isinstance(item, Packed) else item


cdef object pack_tensor(Tensor t, bint history):
    cdef Packed p = Packed.__new__(Packed)
    pack, p.restore = _PACKING.hooks
    if history:
        p.source = t.grad_fn_ if t.base is None else grad_fn_of(t)
        p.out_nr = t.out_nr
        if p.source is None and t.leaf_requires_grad:
            p.leaf = t
    p.value = pack(alias(t))
    return p


cdef int pack_arguments(Node node) except -1:
    # Every saved tensor of a node, the parts of tuples too. They are not written into any more: no versions to compare.
    cdef PyObject** args = args_of(node)
    cdef int i
    for i in range(node.n_args):
        if node.versions[i] < 0:
            continue
        item = <object>args[i]
        if isinstance(item, Tensor):
            put(&args[i], pack_tensor(<Tensor>item, i > 0))
        else:
            put(&args[i], tuple([pack_tensor(<Tensor>t, i > 0) if isinstance(t, Tensor) else t for t in <tuple>item]))
        node.versions[i] = -1
    node.packed = True
    return 0


cdef object unpack_argument(item):
    if isinstance(item, Packed):
        return (<Packed>item).unpack()
    if isinstance(item, tuple):
        return tuple([unpack_saved(t) for t in <tuple>item])
    return item


cdef int unpack_stack(Node node, Stack& stack) except -1:
    # The inputs: the output was unpacked by check_saved, which puts it back into its place in the graph.
    cdef int i
    for i in range(2, stack.count):
        item = <object>stack.items[i]
        if isinstance(item, (Packed, tuple)):
            put(&stack.items[i], unpack_argument(item))
    return 0
