// The Python face of the hazard check: findings as tuples.
#include <pybind11/stl.h>

#include "davinci/arguments.h"
#include "davinci/bind.h"
#include "davinci/checker.h"
#include "davinci/mutate.h"

namespace py = pybind11;

namespace al::davinci {
namespace {

py::dict party_dict(const Party& p) {
  using namespace pybind11::literals;
  return py::dict("core"_a = p.core, "pipe"_a = p.pipe, "memory"_a = p.memory, "access"_a = p.access, "tensor"_a = p.tensor,
                  "opcode"_a = p.opcode, "site"_a = p.site, "ordinal"_a = p.ordinal, "block"_a = p.block, "low"_a = p.low,
                  "high"_a = p.high, "args"_a = p.args);
}

py::dict finding_dict(const Finding& f) {
  using namespace pybind11::literals;
  py::list parties;
  for (const Party& p : f.parties) parties.append(party_dict(p));
  return py::dict("rule"_a = f.rule, "reason"_a = f.reason, "parties"_a = parties, "low"_a = f.low, "high"_a = f.high,
                  "count"_a = f.count, "blocks"_a = f.blocks, "numbers"_a = f.numbers);
}

constexpr int64_t kMostBytes = int64_t{1} << 56;  // sums of two such are numbers still

py::dict run_check(const Program& program, int64_t blocks, const std::vector<int64_t>& bytes, const std::vector<int64_t>& align,
                   const std::vector<int64_t>& cores, bool split_cores, const std::vector<int64_t>& storage,
                   const std::vector<int64_t>& offset) {
  using namespace pybind11::literals;
  if (bytes.size() != kNumMemories || align.size() != kNumMemories || cores.size() != 2)
    throw py::value_error("check: capacities and alignments are one number a memory, cores are AIC and AIV");
  if (storage.size() != offset.size() || (!storage.empty() && storage.size() != program.tensor_bytes.size()))
    throw py::value_error("check: storages and offsets are one number an argument");
  check_blocks(blocks);
  for (size_t t = 0; t < storage.size(); ++t) {
    need(storage[t] >= 0 && storage[t] < static_cast<int64_t>(storage.size()), "check: storage " + std::to_string(storage[t]) + " is not below the number of arguments");
    need(offset[t] >= 0 && offset[t] <= kMostBytes, "check: offset " + std::to_string(offset[t]) + "; it must be 0.." + std::to_string(kMostBytes));
  }
  for (int m = 0; m < kNumMemories; ++m) need(bytes[m] >= 0 && bytes[m] <= kMostBytes && align[m] <= kMostBytes, "check: a capacity or alignment is below 0 or beyond any memory");
  for (int64_t n : cores) need(n >= 0 && n <= kMostBlocks, "check: " + std::to_string(n) + " cores");
  Limits limits{};
  for (int m = 0; m < kNumMemories; ++m) limits.bytes[m] = bytes[m], limits.align[m] = align[m] > 0 ? align[m] : 1;
  limits.cores[0] = cores[0], limits.cores[1] = cores[1], limits.split_cores = split_cores;
  CheckReport report;
  {
    py::gil_scoped_release release;
    report = check(program, blocks, limits, storage, offset);
  }
  py::list findings;
  for (const Finding& f : report.findings) findings.append(finding_dict(f));
  return py::dict("findings"_a = findings, "classes"_a = report.classes, "instructions"_a = report.instructions,
                  "used"_a = std::vector<int64_t>(report.used, report.used + kNumMemories));
}

// (core kind, statement, sync, pipe, site, args, which of them are constants) of each.
py::list list_syncs(const Program& program) {
  py::list all;
  for (const SyncStatement& s : sync_statements(program)) all.append(py::make_tuple(s.core, s.statement, s.sync, s.pipe, s.site, s.args, s.constant));
  return all;
}

// (core kind, set, wait) of each pair: statements.
std::vector<std::tuple<int, int, int>> list_pairs(const Program& program, int64_t blocks) {
  check_blocks(blocks);
  std::vector<std::tuple<int, int, int>> all;
  for (const FlagPair& p : flag_pairs(program, blocks)) all.emplace_back(p.core, p.set, p.wait);
  return all;
}

std::shared_ptr<Program> remove_statements(const Program& program, const std::vector<std::pair<int, int>>& statements) {
  return std::make_shared<Program>(without(program, statements));
}

}  // namespace

void bind_checker(py::module_& m) {
  m.def("check", &run_check, py::arg("program"), py::arg("blocks"), py::arg("bytes"), py::arg("align"), py::arg("cores"),
        py::arg("split_cores") = true, py::arg("storage") = std::vector<int64_t>{}, py::arg("offset") = std::vector<int64_t>{});
  m.def("sync_statements", &list_syncs, py::arg("program"));
  m.def("flag_pairs", &list_pairs, py::arg("program"), py::arg("blocks"));
  m.def("without", &remove_statements, py::arg("program"), py::arg("statements"));
}

}  // namespace al::davinci
