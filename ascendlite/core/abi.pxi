# Declarations of csrc/abi.h, size.h and host.h.

cdef extern from "abi.h" namespace "al" nogil:
    const int kMaxDims
    const int kMaxViews
    const int kNumDTypes
    int kBool, kUInt8, kInt8, kInt16, kInt32, kInt64, kFloat16, kBFloat16, kFloat32, kFloat64, kFloat8E4M3

    ctypedef struct View:
        char* data
        int32_t dtype
        int32_t ndim
        int64_t* shape
        int64_t* strides

    int kOk, kIndexError, kShapeError, kValueError, kRuntimeError, kMemoryError

    ctypedef struct Error:
        int32_t kind
        char* message

    cdef cppclass Attributes[T]:
        const T* data
        int64_t count

    ctypedef struct Call:
        View** views
        int32_t nviews
        int32_t nouts
        Attributes[int64_t] ints
        Attributes[double] floats
        Error* error

    ctypedef void (*KernelFn)(const Call&) except + nogil
    ctypedef void (*LoopFn)(char** data, int64_t* strides, int64_t n) noexcept nogil

    ctypedef struct KernelEntry:
        const char* name
        KernelFn kernel
        LoopFn* loops
        int32_t* out_dtype
        int32_t nargs

    ctypedef struct Runtime:
        void* (*alloc)(size_t) except +MemoryError nogil
        void (*free)(void*, size_t) noexcept nogil
        KernelEntry* (*entry)(const char*) noexcept

cdef extern from "size.h" namespace "al":
    object new_size(const int64_t*, int)
    PyObject* make_size_type() except NULL

cdef extern from "host.h" namespace "al" nogil:
    cdef struct Mode:
        cbool grad
        cbool inference
        cbool anomaly
        cbool recording
        cbool packing
        cbool capturing
        cbool doubles
        int autocast
        int default_device
        int64_t pass_ "pass"
    Mode mode
    int64_t now_ns()

    cdef struct Capsule:
        const Runtime* runtime
    Capsule host

    cdef cppclass ReadyQueue:
        ReadyQueue()
        void push(pair[int64_t, int64_t])
        pair[int64_t, int64_t] top()
        void pop()
        cbool empty()

    cbool is_contiguous(const View&)
    void copy_sizes(int64_t*, const int64_t*, int)
    void copy_view(View&, const View&)
    cbool same_sizes(const View&, const View&)
    int64_t count_elements(const View&)
    int64_t fill_strides(View&)
    void launch_pointwise(LoopFn, View**, int, const int*) except +
    cbool store_scalar(char*, int, cbool, int64_t, double)
    int64_t load_int(const char*, int)
    double load_float(const char*, int)
    cbool is_integer(int)
    void extent(const View&, int, int64_t&, int64_t&)
    void* try_alloc(size_t)

    cdef struct Visit:  # of one node or leaf in a backward pass
        PyObject* target
        PyObject* gradient
        int64_t waiting
        int64_t sequence
        cbool is_node
        cbool needed


    cdef cppclass FewViews:
        int count
        void push_back(View*)
        View** data()

    cdef cppclass FewInts:
        int count
        void push_back(int64_t)
        int64_t* data()

    cdef cppclass FewDoubles:
        int count
        void push_back(double)
        double* data()

    cdef cppclass CallKey:
        cbool usable
        void add(int64_t)
        void add_view(const View&, int)
        void add_double(double)

    cdef struct AnswerOutput "al::Answers::Output":
        int32_t dtype
        int32_t ndim
        int64_t* shape

    cdef struct Answer "al::Answers::Answer":
        cbool several
        int count
        AnswerOutput* outputs

    cdef cppclass Answers:
        Answer* find(const CallKey&)
        Answer* open(const CallKey&)

    cdef cppclass Stack:
        PyObject* items[48]
        int count
        void push(PyObject*)
        void push_owned(PyObject*)

    cdef cppclass Pool:
        int count
        cbool keep(PyObject*)
        object take()

    PyObject* weak_references(PyObject*)

cdef extern from "Python.h":
    PyObject* PyObject_Vectorcall(PyObject*, PyObject**, size_t, PyObject*) except NULL
    int PyObject_GenericSetAttr(object, object, object) except -1
    void PyType_Modified(PyTypeObject*)
    Py_ssize_t Py_REFCNT(PyObject*)
    bint PyObject_TypeCheck(PyObject*, PyTypeObject*) noexcept
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1

cdef extern from *:
    """
    static inline PyObject* al_type_dict(PyTypeObject* type) { return type->tp_dict; }
    static inline PyObject** al_items(PyObject* tuple) { return ((PyTupleObject*)tuple)->ob_item; }
    static inline PyObject* al_owned(PyObject* x) { return x; }
    static inline void al_put(PyObject** place, PyObject* x) { PyObject* old = *place; Py_INCREF(x); *place = x; Py_DECREF(old); }
    """
    PyObject* al_type_dict(PyTypeObject*)
    PyObject** items_of "al_items"(tuple)      # of a tuple: borrowed references
    void put "al_put"(PyObject** place, object)   # replaces what the place held
    object owned "al_owned"(PyObject*)            # takes over a reference

host.runtime = <const Runtime*>PyCapsule_GetPointer(_native.runtime, b"ascendlite.runtime")
