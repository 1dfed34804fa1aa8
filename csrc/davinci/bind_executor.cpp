// Running programs from Python.
#include <pybind11/stl.h>

#include "davinci/bind.h"
#include "davinci/executor.h"
#include "davinci/random_order.h"
#include "davinci/shadow.h"

namespace py = pybind11;

namespace al::davinci {
namespace {

bool run(Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, int mode, int options, bool one_thread) {
  return executor.run({blocks, pointers, {mode, options}, one_thread});
}

bool run_random(const Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, uint64_t seed, int policy, int mode, int options) {
  return RandomOrder(executor.program(), {mode, options}, blocks, pointers, seed, static_cast<Policy>(policy)).run();
}

// (site, opcode, largest error in, largest error out, largest growth, elements written) of each source line.
using Line = std::tuple<int, int, double, double, double, int64_t>;
std::vector<Line> run_shadow(const Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, const std::vector<int>& formats, int options) {
  std::vector<Line> lines;
  for (const auto& [site, e] : ShadowRun(executor.program(), options, blocks, pointers, formats).run())
    lines.emplace_back(site, e.opcode, e.into, e.out, e.growth, e.elements);
  return lines;
}

}  // namespace

void bind_executor(py::module_& m) {
  py::class_<Executor>(m, "Executor")
      .def(py::init([](std::shared_ptr<Program> program) { return std::make_unique<Executor>(std::move(program)); }), py::arg("program"))
      .def("run", &run, py::arg("blocks"), py::arg("pointers"), py::arg("mode") = 0, py::arg("options") = 0, py::arg("one_thread") = false,
           py::call_guard<py::gil_scoped_release>())
      .def("run_random", &run_random, py::arg("blocks"), py::arg("pointers"), py::arg("seed"), py::arg("policy") = 0, py::arg("mode") = 0,
           py::arg("options") = 0, py::call_guard<py::gil_scoped_release>())
      .def("run_shadow", &run_shadow, py::arg("blocks"), py::arg("pointers"), py::arg("formats"), py::arg("options") = 0,
           py::call_guard<py::gil_scoped_release>());
}

}  // namespace al::davinci
