// The clock in Python: constants come as a dict, a timeline goes out as one.
#include <pybind11/stl.h>

#include "davinci/arguments.h"
#include "davinci/bind.h"
#include "davinci/clock.h"

namespace py = pybind11;

namespace al::davinci {
namespace {

std::shared_ptr<Model> make_model(const std::map<std::string, double>& constants, const std::map<std::string, std::vector<double>>& vector, const std::map<int, double>& macs) {
  auto model = std::make_shared<Model>();
  auto get = [&](const char* name) {
    auto at = constants.find(name);
    if (at == constants.end()) throw std::invalid_argument(std::string("clock: the constant ") + name + " is missing");
    return at->second;
  };
#define AL_SET(name) model->name = get(#name);
  AL_CLOCK_CONSTANTS(AL_SET)
#undef AL_SET
  for (const auto& [name, v] : vector) {
    if (v.size() != 6) throw std::invalid_argument("clock: the vector cost " + name + " needs head, four slopes and tail");
    model->vector[name] = {v[0], {v[1], v[2], v[3], v[4]}, v[5]};
  }
  model->macs = macs;
  return model;
}

py::tuple pipe_tuple(const PipeTime& p) {
  return py::make_tuple(p.busy, p.contended, p.conflicts, p.work, p.instructions, py::tuple(py::cast(std::vector<double>(p.stall, p.stall + kNumCauses))));
}

py::dict timeline_dict(const Timeline& t) {
  py::list cores, spans, waits;
  for (const CoreTime& c : t.cores) {
    py::list pipes;
    for (const PipeTime& p : c.pipes) pipes.append(pipe_tuple(p));
    cores.append(py::make_tuple(c.kind, c.slot, c.sub, c.blocks, c.begin, c.end, py::tuple(pipes)));
  }
  for (const Span& s : t.spans) spans.append(py::make_tuple(s.core, s.pipe, s.opcode, s.site, s.begin, s.end));
  for (const Wait& w : t.waits) waits.append(py::make_tuple(w.kind, w.pipe, w.cause, w.site, w.ns));
  py::dict d;
  d["total_ns"] = t.total_ns, d["launch_ns"] = t.launch_ns, d["instructions"] = t.instructions, d["rounds_left_out"] = t.rounds_left_out;
  d["cores"] = cores, d["spans"] = spans, d["waits"] = waits;
  d["read_bytes"] = t.read_bytes, d["written_bytes"] = t.written_bytes;
  d["missed_bytes"] = t.missed_bytes, d["evicted_bytes"] = t.evicted_bytes;
  d["hbm_bytes"] = t.hbm_bytes, d["hbm_write_bytes"] = t.hbm_write_bytes, d["l2_bytes"] = t.l2_bytes;
  return d;
}

py::dict timed(const Program& program, const Model& model, L2& l2, int64_t blocks, std::vector<int64_t> bases, std::vector<bool> past_l2, std::vector<int> spans_of,
               std::vector<std::pair<int, int>> free_flags, bool free_barriers, bool in_full) {
  check_blocks(blocks);
  Timeline t;
  {
    py::gil_scoped_release free;
    t = schedule(program, model, l2, {blocks, std::move(bases), std::move(past_l2), std::move(spans_of), std::move(free_flags), free_barriers, in_full});
  }
  return timeline_dict(t);
}

}  // namespace

void bind_clock(py::module_& m) {
  py::class_<Model, std::shared_ptr<Model>>(m, "ClockModel").def(py::init(&make_model));
  py::class_<L2, std::shared_ptr<L2>>(m, "L2").def(py::init<int64_t, int64_t>()).def("clear", &L2::clear).def_property_readonly("held_bytes", &L2::held_bytes);
  m.def("schedule", &timed, py::arg("program"), py::arg("model"), py::arg("l2"), py::arg("blocks"), py::arg("bases"), py::arg("past_l2"),
        py::arg("spans_of") = std::vector<int>(), py::arg("free_flags") = std::vector<std::pair<int, int>>(), py::arg("free_barriers") = false, py::arg("in_full") = false);
}

}  // namespace al::davinci
