// DLPack capsules: made over memory that a Python object owns, and taken apart. What may be exchanged is decided in Python.
// The structures are the specification's (dmlc/dlpack, version 1.0), which promises their layout.
#include "bind/dlpack.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace py = pybind11;
namespace {

struct DLDevice { int32_t type, id; };
struct DLDataType { uint8_t code, bits; uint16_t lanes; };
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};

template <class Managed> struct Name;
template <> struct Name<DLManagedTensor> {
  static constexpr const char *fresh = "dltensor", *used = "used_dltensor";
};
template <> struct Name<DLManagedTensorVersioned> {
  static constexpr const char *fresh = "dltensor_versioned", *used = "used_dltensor_versioned";
};

template <class Managed> struct Exported {
  Managed managed{};
  std::vector<int64_t> shape, strides;
  PyObject* owner = nullptr;
};

// The consumer may let go on any thread, and after the interpreter has gone.
template <class Managed> void release(Managed* managed) {
  auto* exported = static_cast<Exported<Managed>*>(managed->context);
  if (Py_IsInitialized()) {
    PyGILState_STATE state = PyGILState_Ensure();
    Py_XDECREF(exported->owner);
    PyGILState_Release(state);
  }
  delete exported;
}

// A capsule that nobody took still holds the tensor.
template <class Managed> void drop_capsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, Name<Managed>::fresh)) return;
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Name<Managed>::fresh));
  if (managed->deleter) managed->deleter(managed);
}

void stamp(DLManagedTensor&, uint64_t) {}
void stamp(DLManagedTensorVersioned& managed, uint64_t flags) {
  managed.major = 1;
  managed.minor = 0;
  managed.flags = flags;
}

template <class Managed>
py::object make(py::object owner, uintptr_t data, std::vector<int64_t> shape, std::vector<int64_t> strides, DLDataType dtype,
                uint64_t flags) {
  auto exported = std::make_unique<Exported<Managed>>();
  exported->shape = std::move(shape);
  exported->strides = std::move(strides);
  Managed& managed = exported->managed;
  managed.tensor = {reinterpret_cast<void*>(data), {1, 0}, static_cast<int32_t>(exported->shape.size()), dtype,
                    exported->shape.data(), exported->strides.data(), 0};
  stamp(managed, flags);
  managed.context = exported.get();
  managed.deleter = release<Managed>;
  PyObject* capsule = PyCapsule_New(&managed, Name<Managed>::fresh, drop_capsule<Managed>);
  if (!capsule) throw py::error_already_set();
  exported->owner = owner.release().ptr();
  exported.release();
  return py::reinterpret_steal<py::object>(capsule);
}

py::object dlpack_export(py::object owner, uintptr_t data, std::vector<int64_t> shape, std::vector<int64_t> strides, int code,
                         int bits, int lanes, bool versioned, uint64_t flags) {
  const DLDataType dtype{static_cast<uint8_t>(code), static_cast<uint8_t>(bits), static_cast<uint16_t>(lanes)};
  if (versioned) return make<DLManagedTensorVersioned>(std::move(owner), data, std::move(shape), std::move(strides), dtype, flags);
  return make<DLManagedTensor>(std::move(owner), data, std::move(shape), std::move(strides), dtype, flags);
}

template <class Managed> void drop_taken(PyObject* capsule) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, "ascendlite.dlpack"));
  if (managed && managed->deleter) managed->deleter(managed);
}

void check_version(const DLManagedTensor&) {}
void check_version(const DLManagedTensorVersioned& managed) {
  if (managed.major == 1) return;
  throw std::invalid_argument("from_dlpack: the capsule is of DLPack version " + std::to_string(managed.major) + "." +
                              std::to_string(managed.minor) + "; version 1 is understood");
}
uint64_t flags_of(const DLManagedTensor&) { return 0; }
uint64_t flags_of(const DLManagedTensorVersioned& managed) { return managed.flags; }

template <class Managed> py::tuple take(const py::object& capsule) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Name<Managed>::fresh));
  if (!managed) throw py::error_already_set();
  check_version(*managed);
  const DLTensor& t = managed->tensor;
  if (t.ndim < 0 || t.ndim > 64) throw std::invalid_argument("from_dlpack: the tensor has " + std::to_string(t.ndim) + " dimensions");
  py::tuple shape(t.ndim), strides(t.ndim);
  int64_t step = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    shape[i] = py::int_(t.shape[i]);
    strides[i] = py::int_(t.strides ? t.strides[i] : step);
    step *= t.shape[i] > 1 ? t.shape[i] : 1;
  }
  PyObject* owner = PyCapsule_New(managed, "ascendlite.dlpack", drop_taken<Managed>);
  if (!owner) throw py::error_already_set();
  PyCapsule_SetName(capsule.ptr(), Name<Managed>::used);
  const auto address = reinterpret_cast<uintptr_t>(t.data) + (t.data ? t.byte_offset : 0);
  return py::make_tuple(py::reinterpret_steal<py::object>(owner), address, shape, strides,
                        py::make_tuple(int(t.dtype.code), int(t.dtype.bits), int(t.dtype.lanes)),
                        py::make_tuple(t.device.type, t.device.id), flags_of(*managed));
}

py::tuple dlpack_import(const py::object& capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), Name<DLManagedTensorVersioned>::fresh)) return take<DLManagedTensorVersioned>(capsule);
  if (PyCapsule_IsValid(capsule.ptr(), Name<DLManagedTensor>::fresh)) return take<DLManagedTensor>(capsule);
  throw std::invalid_argument("from_dlpack: not a DLPack capsule, or one that was taken before; each can be taken once");
}

}  // namespace

void al::bind_dlpack(py::module_& m) {
  m.def("dlpack_export", &dlpack_export);
  m.def("dlpack_import", &dlpack_import);
}
