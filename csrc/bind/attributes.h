// The base type of modules.
#pragma once
#include <pybind11/pybind11.h>

namespace al {
void bind_attributes(pybind11::module_& m);
}
