// Flags, barriers and the counters between cores: what one pipe knows of another.
#include <algorithm>

#include "davinci/checker_group.h"

namespace al::davinci {
namespace {

constexpr int kMostCount = 15;  // of a cross-core flag's counter

bool in_range(int64_t x, int64_t n) { return x >= 0 && x < n; }

}  // namespace

bool GroupCheck::synchronise(CoreState& c, Pending& p) {
  using Handler = bool (GroupCheck::*)(CoreState&, Pending&);
  static constexpr Handler kHandlers[] = {nullptr,
                                          &GroupCheck::set_flag,
                                          &GroupCheck::wait_flag,
                                          &GroupCheck::barrier,
                                          &GroupCheck::cross_set,
                                          &GroupCheck::cross_wait,
                                          &GroupCheck::sync_all};
  if (p.instr.sync >= std::size(kHandlers)) return operate(c, p);
  if (!(this->*kHandlers[p.instr.sync])(c, p)) return false;
  if (p.instr.pipe == kS) scalar_advanced(c);
  return true;
}

uint32_t GroupCheck::next_ticket(CoreState& c, const Instr& i) {
  c.sites[i.pipe].push_back(i.site);
  return ++c.count[i.pipe];
}

// The wait that S passes is known at once to all that is issued later.
void GroupCheck::passed_wait(CoreState& c) { c.clock[kS].at[slot_of(c.index, kWaits)] = ++c.waits; }

bool GroupCheck::set_flag(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const uint32_t ticket = next_ticket(c, i);
  if (i.nargs < 2 || !in_range(i.args[0], 7) || !in_range(i.args[1], kEvents)) return true;
  Flag& f = c.flag(i.pipe, static_cast<int>(i.args[0]), static_cast<int>(i.args[1]));
  const int waiter = slot_of(c.index, i.args[0] == kS ? kWaits : static_cast<int>(i.args[0]));
  if (f.set)
    report(kFlagSetTwice, kPlain, c, i, -1, slot_of(c.index, i.pipe), f.set_by);
  else if (f.waited && c.clock[i.pipe].at[waiter] < f.waited)
    report(kFlagSetTwice, kMaySetTwice, c, i, -1, i.args[0] == kS ? -1 : waiter, f.waited);
  Clock& mine = c.clock[i.pipe];
  f.clock = mine;
  f.clock.at[slot_of(c.index, i.pipe)] = ticket;
  f.set = true;
  f.set_by = ticket;
  return true;
}

bool GroupCheck::wait_flag(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const bool known = i.nargs >= 2 && in_range(i.args[0], 7) && in_range(i.args[1], kEvents);
  if (!known) return next_ticket(c, i), true;
  Flag& f = c.flag(static_cast<int>(i.args[0]), i.pipe, static_cast<int>(i.args[1]));
  if (!f.set) return false;
  const uint32_t ticket = next_ticket(c, i);
  c.clock[i.pipe].join(f.clock);
  f.set = false;
  if (i.pipe == kS) passed_wait(c);
  f.waited = i.pipe == kS ? c.waits : ticket;
  return true;
}

bool GroupCheck::barrier(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const bool all = i.nargs && i.args[0];
  if (all && c.queued) return false;
  const uint32_t ticket = next_ticket(c, i);
  c.clock[i.pipe].at[slot_of(c.index, i.pipe)] = ticket;
  if (all) complete_all(c);
  return true;
}

// All pipes of the core are empty, and all know it.
void GroupCheck::complete_all(CoreState& c) {
  Clock& s = c.clock[kS];
  for (int q = 0; q < 7; ++q) {
    s.join(c.clock[q]);
    s.at[slot_of(c.index, q)] = c.count[q];
  }
  passed_wait(c);
}

// The cores of the group whose sets a wait of core `c` needs, by mode.
std::vector<int> GroupCheck::sources(const CoreState& c, int mode) const {
  std::vector<int> list;
  for (const CoreState& o : cores_)
    if (mode == 2 ? o.kind != c.kind : o.kind == c.kind) list.push_back(o.index);
  return list;
}

bool GroupCheck::cross_set(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const uint32_t ticket = next_ticket(c, i);
  if (i.nargs < 2) return true;
  const int64_t mode = i.args[0], id = i.args[1];
  if (!in_range(id, kCrossIds)) return report(kCrossFlag, kIdRange, c, i, -1, -1, 0, 0, 0, {id}), true;
  const bool pair = cores_.size() > 1 && (mode != 1 || c.kind == kAIV);
  if (!in_range(mode, 3) || (mode != 0 && !pair)) return report(kUnsupported, kUnknownMode, c, i, -1, -1, 0, 0, 0, {mode}), true;
  Clock clock = c.clock[i.pipe];
  clock.at[slot_of(c.index, i.pipe)] = ticket;
  for (const CoreState& o : cores_) {
    if (mode == 2 ? o.kind == c.kind : o.kind != c.kind) continue;
    CrossQueue& q = cross(o.index, static_cast<int>(id), static_cast<int>(mode), c.index);
    q.sets.push_back(clock);
    ++q.total;
    q.last_slot = slot_of(c.index, i.pipe), q.last = ticket;
    counter(c, p, o.index, q.total, static_cast<int>(id));
  }
  if (mode == 0) {
    const int s = stream(c.kind, static_cast<int>(id));
    if (s < 0)
      report(kUnsupported, kTooManyStreams, c, i, -1);
    else
      arrive(streams[s], static_cast<size_t>(cross(c.index, static_cast<int>(id), 0, c.index).total - 1), clock);
  }
  return true;
}

// How high the counter may be when this set comes: sets so far less the waits that the setter knows to be over.
void GroupCheck::counter(CoreState& c, const Pending& p, int destination, int64_t sets, int id) {
  const auto& waits = cross_waits_[destination * kCrossIds + id];
  const uint32_t known = c.clock[p.instr.pipe].at[slot_of(destination, kWaits)];
  const int64_t over = std::upper_bound(waits.begin(), waits.end(), known) - waits.begin();
  if (sets - over > kMostCount) report(kCrossFlag, kCounterOverflow, c, p.instr, -1, -1, 0, 0, 0, {sets - over, id, destination});
}

bool GroupCheck::cross_wait(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const int64_t id = i.nargs ? i.args[0] : -1;
  if (!in_range(id, kCrossIds)) {
    next_ticket(c, i);
    return report(kCrossFlag, kIdRange, c, i, -1, -1, 0, 0, 0, {id}), true;
  }
  for (int mode = 0; mode < 3; ++mode) {
    const std::vector<int> from = sources(c, mode);
    auto queue = [&](int source) -> CrossQueue& { return cross(c.index, static_cast<int>(id), mode, source); };
    if (from.empty() || !std::all_of(from.begin(), from.end(), [&](int o) { return !queue(o).sets.empty(); })) continue;
    next_ticket(c, i);
    for (int o : from) {
      c.clock[kS].join(queue(o).sets.front());
      queue(o).sets.pop_front();
    }
    passed_wait(c);
    cross_waits_[c.index * kCrossIds + id].push_back(c.waits);
    const int s = mode == 0 ? stream(c.kind, static_cast<int>(id)) : -1;
    if (s >= 0) c.clock[kS].at[kPipesOfGroup + s] = ++c.stream_waits[id];
    return true;
  }
  return false;
}

bool GroupCheck::sync_all(CoreState& c, Pending& p) {
  const Instr& i = p.instr;
  const bool own = (i.nargs && i.args[0]) || cores_.size() == 1;
  const int s = stream(own ? c.kind : 2, -1);
  if (s < 0) return next_ticket(c, i), report(kUnsupported, kTooManyStreams, c, i, -1), true;
  if (c.queued) return false;
  Stream& all = streams[s];
  const uint32_t generation = c.syncs[own];
  if (!c.arrived) {
    complete_all(c);
    arrive(all, generation, c.clock[kS]);
    c.arrived = true;
  }
  const int cores = static_cast<int>(own ? sources(c, 0).size() : cores_.size());
  if (all.arrived[generation] < cores) return false;
  c.arrived = false;
  next_ticket(c, i);
  c.clock[kS].join(all.clocks[generation]);
  c.clock[kS].at[kPipesOfGroup + s] = ++c.syncs[own];
  passed_wait(c);
  return true;
}

int GroupCheck::stream(int kind, int id) {
  for (size_t s = 0; s < streams.size(); ++s)
    if (streams[s].kind == kind && streams[s].id == id) return static_cast<int>(s);
  if (streams.size() == kMostStreams) return -1;
  streams.push_back({kind, id, {}, {}});
  return static_cast<int>(streams.size()) - 1;
}

void GroupCheck::arrive(Stream& s, size_t generation, const Clock& clock) {
  if (s.clocks.size() <= generation) s.clocks.resize(generation + 1), s.arrived.resize(generation + 1);
  s.clocks[generation].join(clock);
  ++s.arrived[generation];
}

}  // namespace al::davinci
