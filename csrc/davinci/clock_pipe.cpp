// The pipes of a core: when the head of each queue can begin.
#include <algorithm>

#include "davinci/clock_core.h"

namespace al::davinci {

void CoreClock::pop(PipeState& p, double start) {
  p.starts[static_cast<size_t>(p.popped % static_cast<int64_t>(p.starts.size()))] = start;
  ++p.popped;
  p.queue.pop();
}

// Flags and barriers take no time of their pipe.
bool CoreClock::step_sync(int pipe, Op& op) {
  PipeState& p = pipes_[pipe];
  const double delay = m_.flag * m_.cycle_ns;
  switch (op.sync) {
    case kSetFlag: flag(pipe, op.a, op.b).push(std::max(p.done, op.issued) + delay); break;
    case kWaitFlag: {
      if (free_flags[op.a][pipe]) break;
      auto& set = flag(op.a, pipe, op.b);
      if (set.empty()) return false;
      const double at = set.front();
      set.pop();
      if (at > p.gate) p.gate = at, p.gate_cause = static_cast<Cause>(op.a), p.gate_site = op.site;
      break;
    }
    case kBarrier:
      if (p.done > p.gate && !free_barriers) p.gate = p.done, p.gate_cause = kBarrierCause, p.gate_site = op.site;
      break;
    case kCrossSet:
      exchange_.cross_set(*this, static_cast<int>(op.a), static_cast<int>(op.b), std::max(p.done, op.issued) + m_.cross_flag_ns);
      break;
    default: break;
  }
  pop(p, std::max({p.free, p.gate, op.issued}));
  return true;
}

// Unit flags: Fixpipe may begin with the last Mmad, and the first Mmad of the next tile while Fixpipe still drains.
bool CoreClock::ready(int pipe, Op& op, double& start, double& not_before) {
  if (!op.unit) return true;
  UnitState& u = units_[op.unit_base];
  if (pipe == kFIX) {
    if (u.finished.empty()) return false;
    start = std::max(start, u.finished.front().first);
    not_before = u.finished.front().second;
    u.finished.pop();
    return true;
  }
  if (op.fresh) {
    if (u.fixes_done < op.fixes) return false;
    if (op.fixes) start = std::max(start, u.fix_end - op.cost.occupancy);
  }
  return true;
}

void CoreClock::hand_over(int pipe, const Op& op, double start, double end) {
  if (!op.unit) return;
  UnitState& u = units_[op.unit_base];
  if (pipe == kFIX) ++u.fixes_done, u.fix_end = end;
  else if (op.unit == 3) u.finished.push({start, end});
}

void CoreClock::account(int pipe, const Op& op, double start) {
  PipeState& p = pipes_[pipe];
  PipeTime& t = time.pipes[pipe];
  const double idle = start - std::max(p.free, p.seen);
  if (idle <= 0) return;
  Cause cause = p.gate_cause;
  int32_t site = p.gate_site;
  if (op.issued >= p.gate) {
    cause = kIssueCause, site = op.site;
    if (op.held_until > p.free && op.held_by != kIssueCause) cause = op.held_by, site = op.held_site;
  }
  // Later than flags and issue ask for: the other side of a unit flag.
  if (op.unit && start > std::max({p.free, p.gate, op.issued})) cause = pipe == kFIX ? static_cast<Cause>(kM) : static_cast<Cause>(kFIX), site = op.site;
  t.stall[cause] += idle;
  exchange_.wait_seen(*this, idle, pipe, cause, site);
}

void CoreClock::finish(int pipe, const Op& op, double start, double end) {
  PipeState& p = pipes_[pipe];
  PipeTime& t = time.pipes[pipe];
  const bool copies = op.cost.path != kNoPath;
  // Copies count until their data is there, as on the card; the tail of others overlaps with what follows.
  const double counted = copies ? end + op.cost.tail : end;
  t.busy += std::max(0.0, counted - std::max(start, p.seen));
  t.conflicts += op.cost.conflicts;
  t.work += op.cost.work;
  p.seen = std::max(p.seen, counted);
  p.free = end;
  p.done = std::max(p.done, end + op.cost.tail);
  exchange_.span(*this, pipe, op.opcode, op.site, start, counted);
}

bool CoreClock::drain(int pipe) {
  PipeState& p = pipes_[pipe];
  if (p.in_flight || p.queue.empty()) return false;
  Op& op = p.queue.front();
  if (op.sync != kNoSync) return step_sync(pipe, op);
  double start = std::max({p.free, p.gate, op.issued}), not_before = 0;
  if (!ready(pipe, op, start, not_before)) return false;
  account(pipe, op, start);
  if (op.cost.path != kNoPath) {
    op.cost.occupancy = std::max(op.cost.occupancy, not_before - start);
    p.in_flight = true, p.began = start;
    if (start <= fabric_.engine.now()) start_copy(pipe);
    else fabric_.engine.start_timer(start, token(pipe, true));
    return true;
  }
  const double end = std::max(start + op.cost.occupancy, not_before);
  finish(pipe, op, start, end);
  hand_over(pipe, op, start, end);
  pop(p, start);
  return true;
}

void CoreClock::start_copy(int pipe) {
  PipeState& p = pipes_[pipe];
  p.flow = fabric_.start(p.queue.front().global, p.queue.front().cost, index, token(pipe, false));
}

void CoreClock::copy_event(int pipe, bool started) {
  PipeState& p = pipes_[pipe];
  if (started) return start_copy(pipe);
  Op& op = p.queue.front();
  const double now = fabric_.engine.now(), least = std::max(op.cost.occupancy, p.flow.least), end = std::max(now, p.began + least);
  time.pipes[pipe].contended += std::max(0.0, end - p.began - std::max(least, p.flow.alone));
  // A copy that waits for its share of the memory has its later requests on their way: waiting hides latency.
  op.cost.tail = std::max(0.0, p.flow.latency - std::max(0.0, end - p.began - std::max(least, p.flow.alone)));
  p.in_flight = false;
  finish(pipe, op, p.began, end);
  hand_over(pipe, op, p.began, end);
  pop(p, p.began);
  advance();
}

}  // namespace al::davinci
