#include "davinci/random_order.h"

#include <algorithm>

#include "davinci/checker_span.h"

namespace al::davinci {
namespace {

// Pipes whose instructions the card itself keeps in order (the rest need a barrier or a flag between dependent ones).
bool in_order(int pipe) { return pipe == kM || pipe == kFIX || pipe == kMTE1 || pipe == kS; }

// Whether the later instruction writes bytes that the earlier one reads. A pipe reads operands in order, so it must not overtake it then.
bool overwrites_source(const Instr& later, const Instr& earlier) {
  for (int w = 0; w < later.nregions; ++w)
    for (int r = 0; r < earlier.nregions; ++r) {
      const Region &a = later.regions[w], &b = earlier.regions[r];
      if (!(a.access & (kWrite | kPartial)) || !(b.access & kRead) || a.memory != b.memory || (a.memory == kGM && a.tensor != b.tensor)) continue;
      Span to, from;
      int64_t low, high;
      bool sure;
      if (normalise(a, to) == Shape::kFine && normalise(b, from) == Shape::kFine && overlap(to, from, low, high, sure)) return true;
    }
  return false;
}

}  // namespace

RandomOrder::RandomOrder(const Program& program, const Numerics& numerics, int64_t blocks, const std::vector<int64_t>& pointers, uint64_t seed,
                         Policy policy)
    : program_(program), numerics_(numerics), meanings_(meanings_of(program)), random_(seed), policy_(policy) {
  for (int64_t b = 0; b < blocks; ++b) {
    flags_.emplace_back(program.vectors_per_group());
    for (int c = 0; c < Group::cores_of(program); ++c) {
      const bool cube = program.has_cube() && c == 0;
      const int vector = cube ? 0 : c - (program.has_cube() ? 1 : 0);
      memories_.emplace_back(numerics.scale());
      memories_.back()->poison();
      auto core = std::make_unique<RandomCore>(program, cube ? kAIC : kAIV, b, vector, pointers);
      for (int m = 0; m < kNumMemories; ++m) core->state.bases.push_back(memories_.back()->at(m));
      for (int64_t p : pointers) core->state.bases.push_back(reinterpret_cast<char*>(p));
      cores_.push_back(std::move(core));
    }
  }
}

RandomOrder::~RandomOrder() {
  for (BorrowedMemories& m : memories_) m->forget();  // what was poisoned is not worth keeping
}

bool RandomOrder::run() {
  for (;;) {
    const size_t first = pick(cores_.size());
    bool moved = false, over = true;
    for (size_t i = 0; i < cores_.size() && !moved; ++i) {
      RandomCore& core = *cores_[(first + i) % cores_.size()];
      moved = act(core);
      over = over && core.ended && idle(core);
    }
    if (moved) continue;
    if (over) break;
    throw std::runtime_error(program_.name + ": deadlock: no pipe of any core can go on; check the kernel to see which flag nobody sets");
  }
  return std::any_of(cores_.begin(), cores_.end(), [](const auto& c) { return c->state.overflow; });
}

bool RandomOrder::idle(const RandomCore& core) const {
  return !core.pending && std::all_of(std::begin(core.pipes), std::end(core.pipes), [](const PipeState& p) { return p.queue.empty() && p.flying.empty(); });
}

// One step of a core: issuing, or a pipe's start or finish, as the policy prefers.
bool RandomOrder::act(RandomCore& core) {
  std::array<int, 2 * kNumPipes + 1> moves;  // 0: issue; 1 + pipe: start; 1 + kNumPipes + pipe: finish
  for (size_t i = 0; i < moves.size(); ++i) moves[i] = static_cast<int>(i);
  std::shuffle(moves.begin(), moves.end(), random_);
  const auto finishes = [](int m) { return m > kNumPipes; };
  // kLatest: what something of its own pipe waits for comes before what nothing asks for yet.
  const auto asked = [&](int m) { return finishes(m) && !core.pipes[m - 1 - kNumPipes].queue.empty(); };
  if (policy_ == kLatest) std::stable_partition(moves.begin(), moves.end(), [&](int m) { return !finishes(m) || asked(m); });
  if (policy_ == kLatest) std::stable_partition(moves.begin(), moves.end(), [&](int m) { return !finishes(m); });
  if (policy_ == kEarliest) std::stable_partition(moves.begin(), moves.end(), finishes);
  for (int m : moves)
    if (m == 0 ? issue(core) : finishes(m) ? finish(core, m - 1 - kNumPipes) : start(core, m - 1)) return true;
  return false;
}

// The next instruction of the core's code, ready to issue; false at the end.
bool RandomOrder::fetch(RandomCore& core) {
  auto task = std::make_unique<Task>();
  if (core.ended || !core.walker.next(task->instr)) {
    core.ended = true;
    return false;
  }
  const Instr& i = task->instr;
  if (i.sync == kNoSync) {
    check_bounds(program_, i);
    Building b{program_, i, numerics_, core.walker.scalars(), task->steps};
    meanings_[i.opcode](b);
  }
  core.pending = std::move(task);
  core.counted = false;
  return true;
}

bool RandomOrder::issue(RandomCore& core) {
  if (!core.pipes[kS].queue.empty()) return false;  // a flag that the scalar unit waits for
  if (!core.pending && !fetch(core)) return false;
  const Instr& i = core.pending->instr;
  if (i.pipe == kS && i.sync != kSetFlag && i.sync != kWaitFlag && i.sync != kCrossSet) {
    if (!issue_scalar(core, i)) return false;
  } else {
    core.pipes[i.pipe].queue.push_back(std::move(core.pending));
  }
  core.pending.reset();
  return true;
}

// What the scalar unit does itself holds back everything behind it.
bool RandomOrder::issue_scalar(RandomCore& core, const Instr& i) {
  switch (i.sync) {
    case kNoSync:
      core.pending->steps.run(core.state, 0, core.pending->steps.size());
      return true;
    case kGetValue: {
      const Scalar s = read_scalar(program_, core.state, i, numerics_);
      core.walker.set_scalar(static_cast<int>(i.args[0]), s.integer, s.real);
      return true;
    }
    case kBarrier: {
      for (const PipeState& p : core.pipes)
        if (!p.queue.empty() || !p.flying.empty()) return false;
      return true;
    }
    case kCrossWait:
      return flags_[core.block].take(place(core), checked_flag("CrossCoreWaitFlag", i.args[0])) || passes_global(core, i);
    case kSyncAll: return passes_global(core, i);
    default: return true;
  }
}

// SyncAll and mode 0: every core concerned must have arrived. SyncAll also waits for the pipes that write to GM.
bool RandomOrder::passes_global(RandomCore& core, const Instr& i) {
  const bool all = i.sync == kSyncAll;
  const int flag = all ? 0 : static_cast<int>(i.args[0]);
  if (all && !core.counted) {
    for (const PipeState& p : core.pipes)
      if (!p.queue.empty() || !p.flying.empty()) return false;
    ++(i.args[0] ? core.arrived.kind : core.arrived.all);
    core.counted = true;
  }
  if (!all && core.arrived.flags[flag] <= core.waited[flag]) return false;
  for (const auto& other : cores_) {
    if ((!all || i.args[0]) && other->kind != core.kind) continue;
    const int theirs = !all ? other->arrived.flags[flag] : i.args[0] ? other->arrived.kind : other->arrived.all;
    const int needed = !all ? core.waited[flag] + 1 : i.args[0] ? core.arrived.kind : core.arrived.all;
    if (theirs < needed) return false;
  }
  if (!all) ++core.waited[flag];
  return true;
}

bool RandomOrder::start(RandomCore& core, int pipe) {
  PipeState& p = core.pipes[pipe];
  if (p.queue.empty()) return false;
  const Instr& i = p.queue.front()->instr;
  switch (i.sync) {
    case kNoSync: p.flying.push_back(std::move(p.queue.front())); break;
    case kWaitFlag: {
      bool& set = core.flags[i.args[0]][pipe][i.args[1] & 15];
      if (!set) return false;
      set = false;
      break;
    }
    case kSetFlag:
      if (!p.flying.empty()) return false;
      core.flags[pipe][i.args[0]][i.args[1] & 15] = true;
      break;
    case kCrossSet:
      if (!p.flying.empty()) return false;
      if (i.args[0] == 0) ++core.arrived.flags[checked_flag("CrossCoreSetFlag", i.args[1])];
      else flags_[core.block].set(place(core), i.args[0], checked_flag("CrossCoreSetFlag", i.args[1]));
      break;
    default:  // a barrier of this pipe
      if (!p.flying.empty()) return false;
  }
  p.queue.pop_front();
  return true;
}

bool RandomOrder::finish(RandomCore& core, int pipe) {
  PipeState& p = core.pipes[pipe];
  if (p.flying.empty()) return false;
  // kLatest asks last; then what started first goes last, so that as many as can be are out of order.
  const size_t which = in_order(pipe) ? 0 : policy_ == kLatest ? p.flying.size() - 1 : pick(p.flying.size());
  return finish_one(core, pipe, which);
}

bool RandomOrder::finish_one(RandomCore& core, int pipe, size_t which) {
  PipeState& p = core.pipes[pipe];
  // One that may not overtake: the one it would overtake goes instead.
  for (size_t earlier = which; earlier-- > 0;)
    if (overwrites_source(p.flying[which]->instr, p.flying[earlier]->instr)) which = earlier;
  Task& task = *p.flying[which];
  if (!unit_ready(core, task.instr)) return false;
  task.steps.run(core.state, 0, task.steps.size());
  unit_done(core, task.instr);
  p.flying.erase(p.flying.begin() + static_cast<std::ptrdiff_t>(which));
  return true;
}

// unitFlag: the cube waits until its part of L0C was taken (0), Fixpipe until it was made (1); value 3 flips, 2 keeps.
bool RandomOrder::unit_ready(RandomCore& core, const Instr& i) {
  const int at = program_.declarations[i.opcode].unit_argument();
  if (at < 0 || i.args[at] == 0) return true;
  const Region& c = i.regions[at == 4 ? 0 : 1];
  return core.unit[c.base] == (at != 4);
}
void RandomOrder::unit_done(RandomCore& core, const Instr& i) {
  const int at = program_.declarations[i.opcode].unit_argument();
  if (at >= 0 && i.args[at] == 3) core.unit[i.regions[at == 4 ? 0 : 1].base] = at == 4;
}

}  // namespace al::davinci
