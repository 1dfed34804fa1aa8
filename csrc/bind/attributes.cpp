// The base of objects that keep some attributes in tables of their own, as modules keep parameters, buffers and submodules. Looking
// there from C costs a tenth of a Python __getattr__, which runs only after an AttributeError was made and thrown away.
#include "bind/attributes.h"

namespace al {
namespace {

constexpr int kTables = 3;
const char* const kNames[kTables] = {"_parameters", "_modules", "_buffers"};
PyObject* tables[kTables];

PyObject* get_attribute(PyObject* self, PyObject* name) {
  // as PyObject_GenericGetAttr, but a miss makes no exception
  if (PyObject* found = _PyObject_GenericGetAttrWithDict(self, name, nullptr, 1)) return found;
  if (PyErr_Occurred()) return nullptr;  // a property failed
  const auto own = pybind11::reinterpret_steal<pybind11::object>(PyObject_GenericGetDict(self, nullptr));
  if (!own) return nullptr;
  for (PyObject* table : tables) {
    PyObject* values = PyDict_GetItemWithError(own.ptr(), table);
    PyObject* found = values && PyDict_Check(values) ? PyDict_GetItemWithError(values, name) : nullptr;
    if (found) return Py_NewRef(found);
    if (PyErr_Occurred()) return nullptr;
  }
  return PyObject_GenericGetAttr(self, name);  // raises
}

PyType_Slot slots[] = {{Py_tp_getattro, (void*)get_attribute},
                       {Py_tp_doc, (void*)"Looks attributes up in the tables _parameters, _modules and _buffers too."},
                       {0, nullptr}};
PyType_Spec spec = {"ascendlite._native.AttributeTables", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

void bind_attributes(pybind11::module_& m) {
  for (int i = 0; i < kTables; i++) tables[i] = PyUnicode_InternFromString(kNames[i]);
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw pybind11::error_already_set();
  m.attr("AttributeTables") = pybind11::reinterpret_steal<pybind11::object>(type);
}

}  // namespace al
