// DLPack capsules: what other libraries' arrays and ours are exchanged as.
#pragma once
#include <pybind11/pybind11.h>

namespace al {
void bind_dlpack(pybind11::module_& m);
}
