// Running programs from Python.
#include <pybind11/stl.h>

#include <cstring>

#include "davinci/arguments.h"
#include "davinci/bind.h"
#include "davinci/executor.h"
#include "davinci/queue.h"
#include "davinci/random_order.h"
#include "davinci/shadow.h"
#include "kernel.h"

namespace py = pybind11;

namespace al::davinci {
namespace {

void settle() {
  if (queue().idle()) return;
  py::gil_scoped_release others;
  queue().settle();
}

bool drain() {
  settle();
  return queue().outcome();
}

// Copies host memory to the card, in the order of its other work; the host may change its bytes at once.
void upload(uintptr_t target, uintptr_t source, size_t bytes) {
  const char* from = reinterpret_cast<const char*>(source);
  char* to = reinterpret_cast<char*>(target);
  if (queue().idle()) {
    std::memcpy(to, from, bytes);
    return;
  }
  if (queue().full()) settle();
  queue().push([to, kept = std::vector<char>(from, from + bytes)] {
    std::memcpy(to, kept.data(), kept.size());
    return false;
  });
}

bool run(Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, int mode, int options, bool one_thread) {
  check_launch(executor.program(), blocks, pointers, {mode, options});
  return executor.run({blocks, pointers, {mode, options}, one_thread});
}

// Runs it behind the host's back if it ran before and there is a thread for it; whether a number overflowed, if it ran at once.
bool enqueue(const std::shared_ptr<Executor>& executor, int64_t blocks, std::vector<int64_t> pointers, int mode, int options) {
  const Numerics numerics{mode, options};
  check_launch(executor->program(), blocks, pointers, numerics);
  if (runtime->num_threads() > 1 && executor->proven({blocks, pointers, numerics})) {
    if (queue().full()) settle();
    queue().push([executor, blocks, pointers = std::move(pointers), numerics] { return executor->run({blocks, pointers, numerics}); });
    return false;
  }
  const bool before = drain();
  py::gil_scoped_release others;
  return executor->run({blocks, pointers, numerics}) || before;
}

bool run_random(const Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, uint64_t seed, int policy, int mode, int options) {
  check_launch(executor.program(), blocks, pointers, {mode, options});
  need(policy >= kAny && policy <= kEarliest, "run_random: policy " + std::to_string(policy) + "; it must be 0, 1 or 2");
  return RandomOrder(executor.program(), {mode, options}, blocks, pointers, seed, static_cast<Policy>(policy)).run();
}

// (site, opcode, largest error in, largest error out, largest growth, elements written) of each source line.
using Line = std::tuple<int, int, double, double, double, int64_t>;
std::vector<Line> run_shadow(const Executor& executor, int64_t blocks, const std::vector<int64_t>& pointers, const std::vector<int>& formats, int options) {
  check_launch(executor.program(), blocks, pointers, {kDevice, options});
  for (int format : formats) need(format >= 0 && format < kNumFormats, "shadow: format " + std::to_string(format) + " is not known");
  std::vector<Line> lines;
  for (const auto& [site, e] : ShadowRun(executor.program(), options, blocks, pointers, formats).run())
    lines.emplace_back(site, e.opcode, e.into, e.out, e.growth, e.elements);
  return lines;
}

}  // namespace

void bind_executor(py::module_& m) {
  py::class_<Executor, std::shared_ptr<Executor>>(m, "Executor")
      .def(py::init([](std::shared_ptr<Program> program) { return std::make_shared<Executor>(std::move(program)); }), py::arg("program").none(false))
      .def("enqueue", &enqueue, py::arg("blocks"), py::arg("pointers"), py::arg("mode"), py::arg("options"))
      .def("run", &run, py::arg("blocks"), py::arg("pointers"), py::arg("mode") = 0, py::arg("options") = 0, py::arg("one_thread") = false,
           py::call_guard<py::gil_scoped_release>())
      .def("run_random", &run_random, py::arg("blocks"), py::arg("pointers"), py::arg("seed"), py::arg("policy") = 0, py::arg("mode") = 0,
           py::arg("options") = 0, py::call_guard<py::gil_scoped_release>())
      .def("run_shadow", &run_shadow, py::arg("blocks"), py::arg("pointers"), py::arg("formats"), py::arg("options") = 0,
           py::call_guard<py::gil_scoped_release>());
  m.def("drain", &drain);
  m.def("upload", &upload, py::arg("target"), py::arg("source"), py::arg("bytes"));
}

}  // namespace al::davinci
