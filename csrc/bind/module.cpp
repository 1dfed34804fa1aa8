// The pybind11 face of the native runtime. One line a function; nothing here runs once per op.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bind/attributes.h"
#include "bind/dlpack.h"
#include "runtime/runtime.h"

namespace py = pybind11;
extern "C" void al_register_kernels(const al::Runtime*);

PYBIND11_MODULE(_native, m) {
  al_register_kernels(al::host_runtime());
  py::class_<al::MemoryStats>(m, "MemoryStats")
      .def_readonly("allocated", &al::MemoryStats::allocated)
      .def_readonly("max_allocated", &al::MemoryStats::max_allocated)
      .def_readonly("reserved", &al::MemoryStats::reserved)
      .def_readonly("max_reserved", &al::MemoryStats::max_reserved)
      .def_readonly("allocations", &al::MemoryStats::allocations)
      .def_readonly("active", &al::MemoryStats::active)
      .def_readonly("segments", &al::MemoryStats::segments)
      .def_readonly("limit", &al::MemoryStats::limit);
  m.def("load_library", &al::load_library);
  m.def("supported_instruction_sets", &al::supported_instruction_sets);
  m.def("kernel_names", &al::entry_names);
  m.def("memory_stats", &al::memory_stats);
  m.def("empty_cache", &al::empty_cache);
  m.def("reset_peak", &al::reset_peak);
  m.def("set_memory_limit", &al::set_memory_limit);
  m.def("set_poison", &al::set_poison);
  m.def("measure", &al::measure, py::arg("name"), py::arg("bytes") = 0, py::arg("seconds") = 0.3, py::call_guard<py::gil_scoped_release>());
  m.def("usable_cores", &al::usable_cores);
  m.def("get_num_threads", &al::get_num_threads);
  m.def("set_num_threads", &al::set_num_threads, py::call_guard<py::gil_scoped_release>());
  al::bind_attributes(m);
  al::bind_dlpack(m);
  m.attr("compiler") = __VERSION__;
  m.attr("runtime") = py::capsule(al::host_runtime(), "ascendlite.runtime");
}
