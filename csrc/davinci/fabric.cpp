#include "davinci/fabric.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace al::davinci {
namespace {
constexpr double kSteps = 32;  // flows whose shares differ by less than one part of these run as one class
}

Fabric::Fabric(const Model& model, const Costs& costs, L2& l2, std::vector<int64_t> bases, std::vector<bool> past_l2)
    : m_(model), costs_(costs), cache_(l2), bases_(std::move(bases)), past_l2_(std::move(past_l2)), meetings_(kMeetings) {
  hbm = engine.add_resource(m_.hbm_rate);
  hbm_writes = engine.add_resource(m_.hbm_write_rate);
  l2_port = engine.add_resource(m_.l2_rate);
}

// Bytes a ns that a core's own way can carry; misses and hits take turns on it.
double Fabric::port_rate(Path path, double missed) const {
  const bool l1 = path == kIntoL1;
  const double hit = l1 ? m_.in_l1_hit_rate : m_.in_ub_hit_rate, miss = l1 ? m_.in_l1_miss_rate : m_.in_ub_miss_rate;
  return 1 / (m_.cycle_ns * ((1 - missed) / hit + missed / miss));
}

// How many cores read the same lines as this one, as the same copy in their order: together they get what one part of the cache
// can give. What a copy's crowd will be, its predecessor's was.
int Fabric::crowd(int core, int64_t block) {
  if (core >= static_cast<int>(reads_.size())) reads_.resize(static_cast<size_t>(core) + 1);
  Reads& mine = reads_[static_cast<size_t>(core)];
  const Meeting& last = meetings_[mine.slot];
  const int before = mine.ordinal && last.ordinal == mine.ordinal && last.block == mine.block ? last.cores : 0;
  ++mine.ordinal;
  mine.block = block;
  mine.slot = (static_cast<uint64_t>(mine.ordinal) * 0x9E3779B97F4A7C15u ^ static_cast<uint64_t>(block) * 0xC2B2AE3D27D4EB4Fu) >> 48 & (kMeetings - 1);
  Meeting& now = meetings_[mine.slot];
  if (now.ordinal != mine.ordinal || now.block != block) now = {mine.ordinal, block, 0};
  return std::max(before, ++now.cores);
}

int Fabric::flow_class(Path path, double missed, double memory, double limit, bool around) {
  const int missed_steps = static_cast<int>(std::lround(missed * kSteps)), memory_steps = around ? -1 : static_cast<int>(std::lround(memory * kSteps));
  const Key key{path, missed_steps, memory_steps, static_cast<int64_t>(limit * 1024)};
  auto known = classes_.find(key);
  if (known != classes_.end()) return known->second;
  std::vector<events::Use> uses;
  if (around) uses.push_back({hbm_writes, 1});
  else uses = {{l2_port, 1}, {hbm, memory_steps / kSteps}};
  return classes_[key] = engine.add_class(limit, std::move(uses));
}

Flow Fabric::start(const Region& region, const Cost& cost, int core, int64_t token) {
  if (region.tensor < 0 || region.tensor >= static_cast<int>(bases_.size()))
    throw std::invalid_argument("clock: a copy names the argument " + std::to_string(region.tensor) + " of " + std::to_string(bases_.size()));
  Flow flow;
  const bool write = cost.path == kOutOfUB || cost.path == kOutOfL0C, around = write && past_l2_[region.tensor];
  const double named = costs_.bytes_of(region);
  if (named <= 0) {
    engine.start_timer(engine.now(), token);
    return flow;
  }
  bool whole_lines = false;
  const double fetched = costs_.fetched_bytes(region, whole_lines), bytes = fetched + m_.copy_overhead_bytes;
  Traffic t;
  if (!around) t = cache_.touch(region, bases_[region.tensor], write);
  // A line that odd runs touch twice is fetched twice: the runs come too close after each other to find it.
  if (whole_lines && t.miss >= t.hit) t.miss += t.hit, t.hit = 0;
  const double lines = t.hit + t.miss, missed = write || lines == 0 ? 0 : t.miss / lines;
  const double memory = (((write ? 0 : t.miss) + t.evicted) * m_.line_bytes + missed * m_.copy_overhead_bytes) / bytes;
  const double port = around ? m_.around_rate / m_.cycle_ns : write ? m_.out_rate / m_.cycle_ns : port_rate(cost.path, std::round(missed * kSteps) / kSteps);
  // What a copy's start costs is taken from the memory, not from the core's own way to it.
  double limit = cost.path == kOutOfL0C ? cost.rate * fetched / named : port;
  if (!write) limit = std::min(limit, m_.line_readers_rate / crowd(core, cache_.block_of(bases_[region.tensor] + region.base)));
  limit *= 1 - (1 - m_.unaligned_share) * costs_.unaligned(region, bases_[region.tensor]);
  limit *= bytes / fetched;
  flow.latency = write ? m_.out_latency_ns : m_.in_latency_hit_ns + missed * (m_.in_latency_miss_ns - m_.in_latency_hit_ns);
  flow.alone = bytes / limit;
  flow.least = cost.rows * (m_.nd2nz_row_hit_ns + missed * (m_.nd2nz_row_miss_ns - m_.nd2nz_row_hit_ns));
  (write ? written_bytes : read_bytes) += named;
  missed_bytes += (write ? 0 : t.miss) * m_.line_bytes;
  evicted_bytes += t.evicted * m_.line_bytes;
  engine.start_flow(flow_class(cost.path, missed, memory, limit, around), bytes, token);
  return flow;
}

}  // namespace al::davinci
