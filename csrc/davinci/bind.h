// Each part of the emulated core adds itself to the module by one function.
#pragma once
#include <pybind11/pybind11.h>
