#include "davinci/checker_group.h"

#include <algorithm>

namespace al::davinci {
namespace {

// A queue this long stops the scalar unit, as a full queue does on the card (which holds fewer).
constexpr size_t kQueueDepth = 1024;

std::vector<CoreState> make_cores(const Program& program, int64_t block, const Limits& limits) {
  std::vector<CoreState> cores;
  auto add = [&](CoreKind kind, int index, int64_t sub) {
    CoreState c(program, kind, index, block, sub);
    for (int m = kUB; m < kNumMemories; ++m) c.shadow[m] = LocalShadow(limits.bytes[m]);
    c.flags.resize(7 * 7 * kEvents);
    c.unit_set.resize(limits.bytes[kL0C] / 512 + 1);
    cores.push_back(std::move(c));
  };
  if (program.has_cube()) add(kAIC, 0, 0);
  for (int v = 0; v < program.vectors_per_group(); ++v) add(kAIV, 1 + v, v);
  return cores;
}

}  // namespace

std::optional<Party> barrier_of_all(const Program& program) {
  for (const CoreKind core : {kAIC, kAIV}) {
    const Code& code = program.code(core);
    for (const Statement& s : code.statements) {
      if (s.kind != kInstr) continue;
      const uint8_t sync = program.declarations[s.opcode].sync;
      const Expr* mode = sync == kCrossSet && s.nargs ? &program.exprs[code.arg_nodes[s.first_arg]] : nullptr;
      if (sync != kSyncAll && !(mode && (mode->op != kConst || mode->a == 0))) continue;
      Party party;
      party.core = static_cast<int8_t>(core), party.pipe = s.pipe, party.opcode = s.opcode, party.site = s.site;
      return party;
    }
  }
  return {};
}

GroupCheck::GroupCheck(const Program& program, int64_t block, const Limits& limits, const std::vector<Traits>& traits,
                       const std::vector<int64_t>& storage, const std::vector<int64_t>& offset, const std::vector<char>& tracked,
                       Taken taken)
    : phase_of(kCores),
      program_(program),
      block_(block),
      limits_(limits),
      traits_(traits),
      storage_(storage),
      offset_(offset),
      tracked_(tracked),
      taken_(taken),
      has_streams_(barrier_of_all(program).has_value()),
      cores_(make_cores(program, block, limits)),
      shared_(tracked.size()),
      cross_(kCores * kCrossIds * 3 * kCores),
      cross_waits_(kCores * kCrossIds) {}

void GroupCheck::run() {
  for (bool moved = true; moved;) {
    moved = false;
    for (CoreState& c : cores_) moved = advance(c) || moved;
  }
  bool stuck = false;
  for (CoreState& c : cores_) {
    stuck = stuck || !c.ended || c.queued;
    instructions += c.walked;
  }
  if (stuck)
    deadlock();
  else
    leftovers();
  finish_phases();
  resolve();
}

// Runs what can run on a core: waiting queues first, then new instructions until the scalar unit is held.
bool GroupCheck::advance(CoreState& c) {
  bool moved = drain(c);
  if (c.ended) return moved;
  Pending& p = c.current;
  for (;;) {
    if (c.holding) {
      const uint8_t pipe = p.instr.pipe;
      if (pipe == kS ? !execute(c, p) : c.queue[pipe].size() >= kQueueDepth) return moved;
      if (pipe != kS) c.queue[pipe].push_back(p), ++c.queued;
      c.holding = false;
      drain(c);
      moved = true;
    }
    if (c.walked >= limits_.most_instructions) report(kUnsupported, kTooLong, c, p.instr, -1);
    if (c.walked >= limits_.most_instructions || !c.walker.next(p.instr)) break;
    moved = true;
    ++c.walked;
    fetch(c);
    if (p.instr.pipe != kS && c.queue[p.instr.pipe].empty() && execute(c, p)) {
      if (c.queued) drain(c);
    } else {
      c.holding = true;
    }
  }
  return c.ended = true;
}

bool GroupCheck::drain(CoreState& c) {
  bool moved = false;
  for (bool again = c.queued > 0; again;) {
    again = false;
    for (auto& q : c.queue)
      while (!q.empty() && execute(c, q.front())) {
        q.pop_front();
        --c.queued;
        again = moved = true;
      }
  }
  return moved;
}

// Looks at an instruction as it is issued: its limits, its footprint.
void GroupCheck::fetch(CoreState& c) {
  Pending& p = c.current;
  p.scalar_version = static_cast<uint32_t>(c.scalar_clock.size() - 1);
  p.index = c.walked - 1;
  p.widened = 0;
  running_ = false;
  bool args_vary = false;
  if (c.ranges.concerns(c.walker)) p.widened = c.ranges.widen(c.walker, p.instr, args_vary);
  if (args_vary && p.instr.sync != kNoSync) report(kUnsupported, kDataDependentSync, c, p.instr, -1);
  limits(c, p);
  running_ = true;
}

void GroupCheck::inherit(CoreState& c, int pipe, uint32_t version) {
  if (c.joined[pipe] >= version) return;
  c.clock[pipe].join(c.scalar_clock[version]);
  c.joined[pipe] = version;
}

void GroupCheck::scalar_advanced(CoreState& c) { c.scalar_clock.push_back(c.clock[kS]); }

bool GroupCheck::execute(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  if (i.pipe != kS) inherit(c, i.pipe, p.scalar_version);
  if (i.sync != kNoSync && i.sync != kGetValue && i.sync != kCacheClean) return synchronise(c, p);
  return operate(c, p);
}

bool GroupCheck::operate(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const Traits& t = traits_[i.opcode];
  const bool unit = t.unit_flag >= 0 && t.unit_flag < i.nargs && i.args[t.unit_flag] >= 2;
  if (unit && !unit_ready(c, p, 0)) return false;
  const uint32_t ticket = next_ticket(c, i);
  if (unit) unit_ready(c, p, ticket);
  record_phase(c, p, i.pipe, ticket);
  Touch a{c.index, i.pipe, ticket, false, false, false, false, unit, false, i.sync == kGetValue, nullptr, &i};
  if (t.mmad && i.nargs > 1) {
    const auto blocks = [](int64_t size) { return (std::clamp<int64_t>(size, 0, 1 << 20) + 15) / 16; };
    a.small = blocks(i.args[0]) * blocks(i.args[1]) < 10;
  }
  unwritten_.clear();
  // Reads come first: an operand may be a source and the destination.
  for (const bool writes : {false, true})
    for (int r = 0; r < i.nregions; ++r) {
      a.region = &i.regions[r];
      a.atomic = a.region->access & kAtomic;
      a.read = (a.region->access & kRead) && !a.atomic;
      a.write = a.region->access & (kWrite | kPartial | kAtomic);
      a.maybe = p.widened >> r & 1;
      if (a.write == writes && p.spans[r].bytes > 0) touch(c, a, p.spans[r]);
    }
  if (!unwritten_.empty()) pass_on_unwritten(c, p, t.unwritten);
  declare(i, c.walker, c.ranges);
  return true;
}

void GroupCheck::record_phase(CoreState& c, const Pending& p, int pipe, uint32_t ticket) {
  if (!has_streams_) return;
  bool shared = false;
  for (int r = 0; r < p.instr.nregions; ++r) shared = shared || p.instr.regions[r].memory == kGM;
  if (shared) accesses_.emplace_back(c.index, p.index, slot_of(c.index, pipe), ticket, c.clock[pipe]);
}

// When the group has run, it is known which barrier was the first to know an access complete.
void GroupCheck::finish_phases() {
  std::map<Phase, int32_t> ids;
  for (const auto& [core, index, slot, ticket, clock] : accesses_) {
    Phase phase;
    for (int s = 0; s < kMostStreams; ++s) {
      phase.passed[s] = clock.at[kPipesOfGroup + s];
      phase.complete[s] = UINT32_MAX;
      if (s >= static_cast<int>(streams.size())) continue;
      const auto& clocks = streams[s].clocks;
      auto first = std::partition_point(clocks.begin(), clocks.end(),
                                        [slot = slot, ticket = ticket](const Clock& k) { return k.at[slot] < ticket; });
      if (first != clocks.end()) phase.complete[s] = static_cast<uint32_t>(first - clocks.begin() + 1);
    }
    auto [it, made] = ids.try_emplace(phase, static_cast<int32_t>(phases.size()));
    if (made) phases.push_back(phase);
    auto& of = phase_of[core];
    if (static_cast<int64_t>(of.size()) <= index) of.resize(index + 1, -1);
    of[index] = it->second;
  }
}

}  // namespace al::davinci
