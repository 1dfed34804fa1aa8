// The Python face of the emulated core. Each part binds itself in its own file.
#include "davinci/arguments.h"
#include "davinci/bind.h"

#include <pybind11/stl.h>

#include "abi.h"
#include "davinci/program.h"

namespace py = pybind11;
using namespace al::davinci;
extern "C" void al_register_kernels(const al::Runtime*);

namespace {

using Declared = std::tuple<std::string, std::string, std::string, int, int>;  // name, meaning, cost, pipe, sync

std::shared_ptr<Program> make_program(std::string name, int kind, const std::vector<Declared>& declared, const std::vector<int64_t>& exprs,
                                      const std::vector<int64_t>& cube, const std::vector<int64_t>& vector, std::vector<int64_t> tensor_bytes,
                                      int loops, int scalars) {
  std::vector<Declaration> declarations;
  for (const auto& [n, meaning, cost, pipe, sync] : declared)
    declarations.push_back({n, meaning, cost, static_cast<uint8_t>(pipe), static_cast<uint8_t>(sync)});
  return std::make_shared<Program>(std::move(name), static_cast<uint8_t>(kind), std::move(declarations), exprs, cube, vector, std::move(tensor_bytes), loops, scalars);
}

py::tuple region_tuple(const Region& r) {
  py::list repeats;
  for (int d = 0; d < r.ndim; ++d) repeats.append(py::make_tuple(r.count[d], r.stride[d]));
  return py::make_tuple(r.memory, r.access, r.dtype, r.tensor, r.base + r.lead, r.bytes, py::tuple(repeats));
}

// (opcode, pipe, site, regions, args, floats) of each instruction that a core runs; at most `limit`.
py::list expand(const Program& program, int core, int64_t block, int64_t sub_block, int64_t limit) {
  need(core == kAIC || core == kAIV, "expand: core " + std::to_string(core) + "; it must be 0 (AIC) or 1 (AIV)");
  need(block >= 0 && (sub_block == 0 || sub_block == 1), "expand: block " + std::to_string(block) + ", sub-block " + std::to_string(sub_block) + "; sub-blocks are 0 and 1");
  py::list all;
  Walker walker(program, static_cast<CoreKind>(core), block, sub_block);
  Instr i;
  while (static_cast<int64_t>(all.size()) < limit && walker.next(i)) {
    py::list regions;
    for (int k = 0; k < i.nregions; ++k) regions.append(region_tuple(i.regions[k]));
    all.append(py::make_tuple(i.opcode, i.pipe, i.site, py::tuple(regions), py::cast(std::vector<int64_t>(i.args, i.args + i.nargs)),
                              py::cast(std::vector<double>(i.floats, i.floats + i.nfloats))));
  }
  return all;
}

}  // namespace

PYBIND11_MODULE(_davinci, m) {
  // Threads, memory and the loops of the machine's instruction set are the native runtime's.
  al_register_kernels(py::module_::import("ascendlite._native").attr("runtime").cast<py::capsule>().get_pointer<al::Runtime>());
  bind_heap(m);
  py::class_<Program, std::shared_ptr<Program>>(m, "Program")
      .def(py::init(&make_program))
      .def_readonly("name", &Program::name)
      .def_readonly("reads_scalars", &Program::reads_scalars)
      .def_readonly("tensor_bytes", &Program::tensor_bytes)
      .def("tell", [](Program& p, std::vector<std::string> lines, std::vector<std::string> buffers) { p.lines = std::move(lines), p.vector_buffers = std::move(buffers); },
           py::arg("lines"), py::arg("vector_buffers"))
      .def("expand", &expand, py::arg("core"), py::arg("block"), py::arg("sub_block") = 0, py::arg("limit") = INT64_MAX);
  bind_executor(m);
  bind_checker(m);
  bind_clock(m);
}
