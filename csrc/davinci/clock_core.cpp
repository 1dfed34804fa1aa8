#include "davinci/clock_core.h"

#include <algorithm>
#include <stdexcept>

namespace al::davinci {
namespace {

const char* const kPipeNames[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};
constexpr int kMmadInit = 3;

}  // namespace

CoreClock::CoreClock(const Program& program, const Model& model, const Costs& costs, Fabric& fabric, Exchange& exchange, CoreKind kind_, int index_, int slot_, int sub_)
    : kind(kind_), index(index_), slot(slot_), sub(sub_), program_(program), m_(model), costs_(costs), fabric_(fabric), exchange_(exchange) {
  time.kind = kind, time.slot = slot, time.sub = sub;
  vectors = program.vectors_per_group();
}

void CoreClock::begin(int64_t block, double at) {
  if (time.blocks++ == 0) time.begin = at;
  walker_.emplace(program_, kind, block, sub);
  rounds_ = 0;
  walker_done_ = pending_ = arrived_ = false;
  scalar_ = held_until_ = at;
  held_by_ = kStartCause;
  for (PipeState& p : pipes_) {
    p.starts.assign(static_cast<size_t>(m_.queue_depth), at);
    p.pushed = p.popped = 0;
    p.free = p.done = p.gate = p.seen = std::max(p.free, at);
    p.gate_cause = kStartCause;
  }
}

bool CoreClock::idle() const {
  return std::all_of(pipes_.begin(), pipes_.end(), [](const PipeState& p) { return p.queue.empty() && !p.in_flight; });
}

Fifo<double>& CoreClock::flag(int64_t source, int64_t destination, int64_t id) {
  if (id < 0 || id >= kFlags) throw std::invalid_argument("clock: event " + std::to_string(id) + " does not exist; ids are 0.." + std::to_string(kFlags - 1));
  return flags_[source][destination][id];
}

double CoreClock::end() const {
  double last = scalar_;
  for (const PipeState& p : pipes_) last = std::max(last, p.done);
  return last;
}

void CoreClock::advance() {
  if (!walker_) return;
  for (bool moved = true; moved;) {
    moved = issue();
    for (int p = kV; p < kNumPipes; ++p)
      while (drain(p)) moved = true;
  }
  if (finished()) time.end = end();
}

// The scalar unit waits: for a flag, for other cores or for all.
void CoreClock::hold(double until, Cause cause, int32_t site) {
  if (until <= scalar_) return;
  exchange_.wait_seen(*this, until - scalar_, kS, cause, site);
  time.pipes[kS].stall[cause] += until - scalar_;
  scalar_ = held_until_ = until;
  held_by_ = cause, held_site_ = site;
}

bool CoreClock::issue() {
  bool moved = false;
  for (;;) {
    if (!pending_) {
      if (walker_done_ || !walker_->next(next_)) {
        walker_done_ = true;
        return moved;
      }
      pending_ = true;
      if (walker_->rounds() != rounds_) rounds_ = walker_->rounds(), exchange_.round_began(*this);
    }
    if (!(next_.pipe == kS ? issue_scalar(next_) : push(next_))) return moved;
    pending_ = false;
    moved = true;
    ++time.pipes[next_.pipe].instructions;
  }
}

bool CoreClock::take_cross(int id) {
  auto& from = crossed[id];
  // A cube core needs the flag of each of its vector cores; a vector core that of its cube core or of its sibling.
  if (!from[3].empty()) {
    hold(from[3].front(), kCrossCause, next_.site);
    from[3].pop();
    return true;
  }
  if (kind == kAIC) {
    for (int v = 0; v < vectors; ++v)
      if (from[v].empty()) return false;
    for (int v = 0; v < vectors; ++v) hold(from[v].front(), kCrossCause, next_.site), from[v].pop();
    return vectors > 0;
  }
  for (int sender : {2, 1 - sub})
    if (!from[sender].empty()) {
      hold(from[sender].front(), kCrossCause, next_.site);
      from[sender].pop();
      return true;
    }
  return false;
}

bool CoreClock::issue_scalar(const Instr& i) {
  switch (i.sync) {
    case kSetFlag: flag(kS, i.args[0], i.args[1]).push(scalar_); break;
    case kWaitFlag: {
      auto& set = flag(i.args[0], kS, i.args[1]);
      if (set.empty()) return false;
      hold(set.front(), static_cast<Cause>(i.args[0]), i.site);
      set.pop();
      break;
    }
    case kBarrier: {
      if (!idle()) return false;
      double all = scalar_;
      for (const PipeState& p : pipes_) all = std::max(all, p.done);
      hold(all, kBarrierCause, i.site);
      break;
    }
    case kCrossSet: exchange_.cross_set(*this, static_cast<int>(i.args[0]), static_cast<int>(i.args[1]), scalar_ + m_.cross_flag_ns); break;
    case kCrossWait:
      if (!take_cross(static_cast<int>(i.args[0]))) return false;
      break;
    case kSyncAll: {
      if (!idle()) return false;
      hold(std::max(scalar_, end()), kBarrierCause, i.site);
      std::optional<double> all = exchange_.arrive(*this, i.nargs && i.args[0], scalar_);
      if (!all) return false;
      hold(*all, kSyncAllCause, i.site);
      arrived_ = false;
      break;
    }
    default: {
      Cost c = costs_.of(i);
      // Neighbours in one line of the data cache come with the first.
      if (i.nregions && i.regions[0].memory == kGM) {
        const int64_t line = i.regions[0].base / 64 + (static_cast<int64_t>(i.regions[0].tensor) << 48);
        if (line == cached_line_) c.occupancy = m_.scalar_access * m_.cycle_ns;
        cached_line_ = line;
      }
      if (i.sync == kGetValue) {
        const int64_t typical = typical_value(i);
        walker_->set_scalar(static_cast<int>(i.args[0]), typical, static_cast<double>(typical));
      }
      scalar_ += c.occupancy;
      time.pipes[kS].busy += c.occupancy;
      return true;
    }
  }
  scalar_ += m_.issue * m_.cycle_ns;
  time.pipes[kS].busy += m_.issue * m_.cycle_ns;
  return true;
}

// Into the queue of a pipe; false while it is full of instructions whose start is not known.
bool CoreClock::push(const Instr& i) {
  PipeState& p = pipes_[i.pipe];
  const int64_t depth = static_cast<int64_t>(p.starts.size());
  if (p.pushed - p.popped >= depth) return false;
  Op& op = p.queue.push();
  op = Op();
  op.sync = i.sync, op.site = i.site, op.opcode = i.opcode;
  op.a = i.nargs > 0 ? i.args[0] : 0, op.b = i.nargs > 1 ? i.args[1] : 0;
  if (i.sync == kNoSync) {
    op.cost = costs_.of(i);
    if (op.cost.region >= 0) op.global = i.regions[op.cost.region];
    const int at = costs_.unit_argument(i);
    op.unit = static_cast<int8_t>(at >= 0 && at < i.nargs ? i.args[at] : 0);
    if (op.unit) {
      const bool mmad = i.pipe == kM, fix = !mmad;
      op.unit_base = i.regions[mmad ? 0 : 1].base;
      UnitState& u = units_[op.unit_base];
      op.fresh = mmad && i.args[kMmadInit] != 0;
      op.fixes = u.fixes_issued;
      if (fix) ++u.fixes_issued;
    }
  }
  const double room = p.starts[static_cast<size_t>(p.pushed % depth)];
  if (room > scalar_) hold(room, kIssueCause, i.site);
  op.issued = scalar_, op.held_until = held_until_, op.held_by = held_by_, op.held_site = held_site_;
  scalar_ += m_.issue * m_.cycle_ns;
  time.pipes[kS].busy += m_.issue * m_.cycle_ns;
  ++p.pushed;
  return true;
}

std::string CoreClock::waits_for() const {
  std::string text;
  for (int p = kV; p < kNumPipes; ++p)
    if (!pipes_[p].queue.empty()) {
      const Op& op = pipes_[p].queue.front();
      text += std::string(text.empty() ? "" : ", ") + kPipeNames[p] + (op.sync == kWaitFlag ? " waits for flag " + std::to_string(op.b) + " of " + kPipeNames[op.a] : " stands");
    }
  if (pending_ && next_.sync == kCrossWait) text += std::string(text.empty() ? "" : ", ") + "S waits for cross-core flag " + std::to_string(next_.args[0]);
  if (pending_ && next_.sync == kSyncAll) text += std::string(text.empty() ? "" : ", ") + "S waits in SyncAll";
  return text.empty() ? "done" : text;
}

}  // namespace al::davinci
