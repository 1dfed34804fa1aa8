// Each part of the emulated core adds itself to the module by one function.
#pragma once
#include <pybind11/pybind11.h>

namespace al::davinci {

void bind_executor(pybind11::module_& m);
void bind_clock(pybind11::module_& m);
void bind_heap(pybind11::module_& m);
void bind_checker(pybind11::module_& m);

}  // namespace al::davinci
