// Size: a shape as Python sees it, a tuple of ints that knows how many elements it counts. Slices, sums and multiples of it are
// sizes, too. Those that ended wait for the next, so that `x.shape` costs what a plain tuple would.
#pragma once
#include <Python.h>

#include <cstdint>

namespace al {

constexpr int kPooledDims = 6, kPooledSizes = 64;

struct SizePool {
  PyObject* items[kPooledSizes];
  int count = 0;
};
inline SizePool size_pools[kPooledDims + 1];

inline PyTypeObject* size_type = nullptr;

// `n` items to fill in; new reference or null. A size holds ints alone, so no collector needs to see it.
inline PyObject* bare_size(Py_ssize_t n) noexcept {
  PyObject* size;
  if (n <= kPooledDims && size_pools[n].count) {
    size = size_pools[n].items[--size_pools[n].count];
    Py_SET_REFCNT(size, 1);
  } else {
    if (!(size = size_type->tp_alloc(size_type, n))) return nullptr;
    PyObject_GC_UnTrack(size);
  }
#if PY_VERSION_HEX >= 0x030E0000
  reinterpret_cast<PyTupleObject*>(size)->ob_hash = -1;  // not known yet
#endif
  return size;
}

inline PyObject* new_size(const int64_t* shape, int n) noexcept {
  PyObject* size = bare_size(n);
  for (int i = 0; size && i < n; ++i) {
    PyObject* item = PyLong_FromLongLong(shape[i]);
    if (!item) Py_CLEAR(size);
    else PyTuple_SET_ITEM(size, i, item);
  }
  return size;
}

inline void end_size(PyObject* size) noexcept {
  const Py_ssize_t n = PyTuple_GET_SIZE(size);
  if (n > kPooledDims || size_pools[n].count == kPooledSizes) return PyTuple_Type.tp_dealloc(size);
  for (Py_ssize_t i = 0; i < n; ++i) {
    Py_XDECREF(PyTuple_GET_ITEM(size, i));
    PyTuple_SET_ITEM(size, i, nullptr);
  }
  size_pools[n].items[size_pools[n].count++] = size;
}

// A size of what a tuple holds; steals the tuple, which may be null.
inline PyObject* size_of_tuple(PyObject* tuple) noexcept {
  if (!tuple) return nullptr;
  const Py_ssize_t n = PyTuple_GET_SIZE(tuple);
  PyObject* size = bare_size(n);
  for (Py_ssize_t i = 0; size && i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(tuple, i);
    PyObject* number = PyLong_CheckExact(item) ? Py_NewRef(item) : PyNumber_Index(item);
    if (number) {
      PyTuple_SET_ITEM(size, i, number);
      continue;
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError))
      PyErr_Format(PyExc_TypeError, "Size() takes an iterable of 'int' (item %zd is '%s')", i, Py_TYPE(item)->tp_name);
    Py_CLEAR(size);
  }
  Py_DECREF(tuple);
  return size;
}

inline PyObject* size_new(PyTypeObject*, PyObject* args, PyObject* kwargs) noexcept {
  return size_of_tuple(PyTuple_Type.tp_new(&PyTuple_Type, args, kwargs));
}

inline PyObject* size_add(PyObject* a, PyObject* b) noexcept {
  if (!PyTuple_Check(a) || !PyTuple_Check(b)) Py_RETURN_NOTIMPLEMENTED;
  return size_of_tuple(PySequence_Concat(a, b));
}

inline PyObject* size_repeat(PyObject* size, Py_ssize_t times) noexcept {
  return size_of_tuple(PyTuple_Type.tp_as_sequence->sq_repeat(size, times));
}

inline PyObject* size_item(PyObject* size, PyObject* key) noexcept {
  PyObject* item = PyTuple_Type.tp_as_mapping->mp_subscript(size, key);
  return PySlice_Check(key) ? size_of_tuple(item) : item;
}

inline PyObject* size_numel(PyObject* size, PyObject*) noexcept {
  PyObject* count = PyLong_FromLong(1);
  for (Py_ssize_t i = 0; count && i < PyTuple_GET_SIZE(size); ++i) {
    PyObject* product = PyNumber_Multiply(count, PyTuple_GET_ITEM(size, i));
    Py_SETREF(count, product);
  }
  return count;
}

inline PyObject* size_reduce(PyObject* size, PyObject*) noexcept {
  PyObject* items = PySequence_Tuple(size);
  return items ? Py_BuildValue("O(N)", size_type, items) : nullptr;
}

inline PyMethodDef size_methods[] = {
    {"numel", size_numel, METH_NOARGS, "numel($self, /)\n--\n\nHow many elements a tensor of this shape has."},
    {"__reduce__", size_reduce, METH_NOARGS, nullptr},
    {},
};

// The type, made ready; borrowed, or null.
inline PyObject* make_size_type() noexcept {
  static PyNumberMethods number;
  static PySequenceMethods sequence;
  static PyMappingMethods mapping;
  static PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  number.nb_add = size_add;
  sequence.sq_repeat = size_repeat;
  mapping.mp_subscript = size_item;
  type.tp_name = "ascendlite.Size";
  type.tp_doc = "Size(iterable=(), /)\n--\n\nA shape: a tuple of ints that counts its elements, and prints as one. Slices, sums and multiples of sizes are sizes.";
  type.tp_base = &PyTuple_Type;
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_new = size_new;
  type.tp_dealloc = end_size;
  type.tp_methods = size_methods;
  type.tp_as_number = &number;
  type.tp_as_sequence = &sequence;
  type.tp_as_mapping = &mapping;
  size_type = &type;
  return PyType_Ready(&type) < 0 ? nullptr : reinterpret_cast<PyObject*>(&type);
}

}  // namespace al
