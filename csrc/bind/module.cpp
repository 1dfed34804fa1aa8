// The pybind11 face of the native runtime. One line a function; nothing here runs once per op.
#include <dlfcn.h>
#include <pybind11/pybind11.h>

#include "runtime/runtime.h"

namespace py = pybind11;
extern "C" void al_register_kernels(const al::Runtime*);

static void load_library(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw std::runtime_error("load_library: " + path + ": " + dlerror());
  auto entry = reinterpret_cast<void (*)(const al::Runtime*)>(dlsym(handle, "al_register_kernels"));
  if (!entry) throw std::runtime_error("load_library: " + path + " is not a kernel library");
  entry(al::host_runtime());
}

PYBIND11_MODULE(_native, m) {
  al_register_kernels(al::host_runtime());
  m.def("load_library", &load_library);
  m.attr("runtime") = py::capsule(al::host_runtime(), "ascendlite.runtime");
}
