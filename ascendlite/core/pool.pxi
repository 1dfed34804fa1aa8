# Headers that come back. A tensor, storage or node that ends in a plain state is kept, initialised, for the next one; a chain of
# ends does not nest deeper than MOST_NESTED calls (a graph of 100,000 nodes ends with its last tensor).

cdef extern from "Python.h":
    void Py_SET_REFCNT(PyObject*, Py_ssize_t) noexcept
    PyTypeObject* Py_TYPE(PyObject*) noexcept
    void PyObject_GC_Track(PyObject*) noexcept
    void PyObject_GC_UnTrack(PyObject*) noexcept
    ctypedef void (*destructor)(PyObject*) noexcept

cdef extern from *:
    """
    static inline destructor al_set_destructor(PyTypeObject* type, destructor f) {
      destructor former = type->tp_dealloc;
      type->tp_dealloc = f;
      return former;
    }
    """
    destructor set_destructor "al_set_destructor"(PyTypeObject*, destructor) noexcept

cdef enum:
    MOST_NESTED = 50

cdef Pool STORAGES, TENSORS, NODES
cdef vector[PyObject*] DEFERRED   # ended, but inside of too many others that are ending
cdef int NESTED = 0
cdef destructor FREE_STORAGE, FREE_TENSOR, FREE_NODE, FREE_CUSTOM


cdef inline Storage bare_storage():
    return <Storage>STORAGES.take() if STORAGES.count else Storage.__new__(Storage)


cdef inline Tensor bare_tensor(int dtype, int device):
    cdef Tensor t
    if TENSORS.count:
        t = <Tensor>TENSORS.take()
        PyObject_GC_Track(<PyObject*>t)
    else:
        t = Tensor.__new__(Tensor)
    t.v.dtype = dtype
    t.device_ = device
    return t


cdef inline Node new_node():
    cdef Node node
    if NODES.count:
        node = <Node>NODES.take()
        PyObject_GC_Track(<PyObject*>node)
        return node
    return Node.__new__(Node)


cdef bint keep_storage(Storage s) noexcept:
    if s.owner is not None or s.device != CPU or not STORAGES.keep(<PyObject*>s):
        return False
    if s.owned:
        host.runtime.free(s.ptr, s.nbytes)
    s.ptr = NULL
    s.nbytes, s.version, s.owned, s.readonly, s.serial, s.capture_id = 0, 0, False, False, 0, 0
    s.writer = None
    return True


cdef bint keep_tensor(Tensor t) noexcept:
    # Drops what the tensor holds. False: it has more than most have, or the pool is full.
    if weak_references(<PyObject*>t) != NULL or t.hooks is not None or t.accumulate_hooks is not None or t.extras is not None:
        return False
    t.storage = None
    if t.grad_fn_ is not None:
        t.grad_fn_ = None
    if t.base is not None:
        t.base = None
    if t.grad_ is not None:
        t.grad_ = None
    if not TENSORS.keep(<PyObject*>t):
        return False
    t.v.data = NULL
    t.v.ndim = 0
    t.dense, t.leaf_requires_grad, t.inference, t.retains, t.untracked = False, False, False, False, 0
    t.count, t.offset, t.view_version, t.out_nr, t.task, t.slot = 0, 0, 0, 0, 0, 0
    return True


cdef bint keep_node(Node node) noexcept:
    cdef PyObject** edges
    cdef int i
    if (weak_references(<PyObject*>node) != NULL or node.hooks is not None or node.pre_hooks is not None or node.post_hooks is not None
            or node.trace is not None or node.more_edges is not None or node.more_args is not None or node.more is not None):
        return False
    edges = few_edges(node)
    for i in range(node.n_edges):
        if edges[i] != <PyObject*>None:
            put(&edges[i], None)
    edges = few_args(node)
    for i in range(node.n_args):
        if edges[i] != <PyObject*>None:
            put(&edges[i], None)
    node.output_numbers = None
    if not NODES.keep(<PyObject*>node):
        return False
    node.versions = NULL
    node.freed = node.variadic = node.packed = False
    node.n_edges, node.n_args, node.task, node.slot = 0, 0, 0, 0
    return True


cdef void end_storage(PyObject* o) noexcept:
    Py_SET_REFCNT(o, 1)  # alive while it is put in order
    if not keep_storage(<Storage>o):
        Py_SET_REFCNT(o, 0)
        FREE_STORAGE(o)


cdef inline bint defer(PyObject* o) noexcept:
    global NESTED
    PyObject_GC_UnTrack(o)
    if NESTED >= MOST_NESTED:
        DEFERRED.push_back(o)
        return True
    NESTED += 1
    return False


cdef inline void after_end() noexcept:
    # The outermost end goes on with those that were put off.
    cdef PyObject* o
    global NESTED
    if NESTED == 1:
        while not DEFERRED.empty():
            o = DEFERRED.back()
            DEFERRED.pop_back()
            end_now(o)
    NESTED -= 1


cdef void end_now(PyObject* o) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(o)
    cdef bint kept
    if kind == <PyTypeObject*>CustomNode:
        FREE_CUSTOM(o)
        return
    Py_SET_REFCNT(o, 1)
    kept = keep_tensor(<Tensor>o) if kind == <PyTypeObject*>Tensor else keep_node(<Node>o)
    if not kept:
        Py_SET_REFCNT(o, 0)
        if kind == <PyTypeObject*>Tensor:
            FREE_TENSOR(o)
        else:
            FREE_NODE(o)


cdef void end_tensor(PyObject* o) noexcept:
    if Py_TYPE(o) != <PyTypeObject*>Tensor:
        FREE_TENSOR(o)  # of a subclass
    elif not defer(o):
        end_now(o)
        after_end()


cdef void end_node(PyObject* o) noexcept:
    if Py_TYPE(o) != <PyTypeObject*>Node:
        FREE_NODE(o)
    elif not defer(o):
        end_now(o)
        after_end()


cdef void end_custom_node(PyObject* o) noexcept:
    if not defer(o):
        end_now(o)
        after_end()


FREE_STORAGE = set_destructor(<PyTypeObject*>Storage, end_storage)
FREE_TENSOR = set_destructor(<PyTypeObject*>Tensor, end_tensor)
FREE_NODE = set_destructor(<PyTypeObject*>Node, end_node)
FREE_CUSTOM = set_destructor(<PyTypeObject*>CustomNode, end_custom_node)
