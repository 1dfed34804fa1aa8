// Running programs from Python.
#include <pybind11/stl.h>

#include "davinci/bind.h"
#include "davinci/executor.h"

namespace py = pybind11;

namespace al::davinci {
namespace {

bool run(Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, int mode, int options, bool one_thread) {
  return executor.run({blocks, pointers, {mode, options}, one_thread});
}

}  // namespace

void bind_executor(py::module_& m) {
  py::class_<Executor>(m, "Executor")
      .def(py::init([](std::shared_ptr<Program> program) { return std::make_unique<Executor>(std::move(program)); }), py::arg("program"))
      .def("run", &run, py::arg("blocks"), py::arg("pointers"), py::arg("mode") = 0, py::arg("options") = 0, py::arg("one_thread") = false,
           py::call_guard<py::gil_scoped_release>());
}

}  // namespace al::davinci
