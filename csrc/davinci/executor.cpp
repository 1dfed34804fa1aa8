#include "davinci/executor.h"

#include <algorithm>
#include <atomic>

#include "kernel.h"

namespace al::davinci {
namespace {

constexpr size_t kKeptWords = 2 << 20;      // 16 MiB of steps a program; larger ones are walked at each launch
constexpr size_t kOverlap = 3;              // where a key says that arguments overlap in part
constexpr int64_t kKeptLaunches = 4;        // (mode, options, blocks, parameters) that a program keeps steps for
constexpr int64_t kThreadBytes = 256 << 10; // touched bytes that are worth a second thread

std::vector<BorrowedMemories> borrow(int n, int64_t scale) {
  std::vector<BorrowedMemories> all;
  for (int i = 0; i < n; ++i) all.emplace_back(scale);
  return all;
}

std::vector<LocalMemories*> handles(std::vector<BorrowedMemories>& all, size_t begin, size_t n) {
  std::vector<LocalMemories*> some;
  for (size_t i = begin; i < begin + n; ++i) some.push_back(&*all[i]);
  return some;
}

bool has_mode_zero(const Program& p) {
  for (const Code* code : {&p.cube, &p.vector})
    for (const Statement& s : code->statements) {
      if (s.kind != kInstr || p.declarations[s.opcode].sync != kCrossSet) continue;
      const Expr& mode = p.exprs[code->arg_nodes[s.first_arg]];
      if (mode.op != kConst || mode.a == 0) return true;
    }
  return false;
}

bool has_sync_all(const Program& p) {
  for (const Code* code : {&p.cube, &p.vector})
    for (const Statement& s : code->statements)
      if (s.kind == kInstr && p.declarations[s.opcode].sync == kSyncAll) return true;
  return false;
}

bool has_atomics(const Program& p) {
  for (const Code* code : {&p.cube, &p.vector})
    for (const OperandTemplate& o : code->operands)
      if (o.memory == kGM && (o.access & kAtomic)) return true;
  return false;
}

[[noreturn]] void deadlock(const Program& p, int64_t block, const Group& group) {
  throw std::runtime_error(p.name + ": deadlock in block " + std::to_string(block) + ":" + group.stuck() +
                           "; check the kernel to see which flag nobody sets");
}

// What every core has reached: the point up to which waiting cores may go.
Released meet(const std::vector<Group>& groups) {
  Released r;
  bool first = true, first_of[2] = {true, true};
  auto least = [](int& into, int value, bool start) { into = start ? value : std::min(into, value); };
  for (const Group& g : groups)
    for (const GroupCore& c : g.cores()) {
      least(r.all, c.arrived.all, first);
      Arrivals& of = r.of[c.kind];
      least(of.kind, c.arrived.kind, first_of[c.kind]);
      for (int f = 0; f < kFlagIds; ++f) least(of.flags[f], c.arrived.flags[f], first_of[c.kind]);
      first = first_of[c.kind] = false;
    }
  return r;
}

// Whether two arguments share bytes but do not begin together.
bool overlap_in_part(const Program& program, const std::vector<int64_t>& pointers, int64_t scale) {
  std::vector<std::pair<int64_t, int64_t>> spans;
  for (size_t t = 0; t < std::min(pointers.size(), program.tensor_bytes.size()); ++t)
    if (program.tensor_bytes[t] > 0) spans.emplace_back(pointers[t], pointers[t] + program.tensor_bytes[t] * scale);
  std::sort(spans.begin(), spans.end());
  int64_t begin = 0, end = 0;
  for (const auto& [low, high] : spans) {
    if (low < end && low != begin) return true;
    begin = low, end = std::max(end, high);
  }
  return false;
}

template <class Body>
void share(int64_t n, bool one_thread, Body&& body) {
  if (one_thread) return body(int64_t{0}, n);
  parallel_for(n, 1, body);
}

std::vector<Core> prepare(const Launch& launch, const std::vector<LocalMemories*>& memories) {
  std::vector<Core> cores(memories.size());
  for (size_t c = 0; c < cores.size(); ++c) {
    cores[c].bases.reserve(kNumMemories + launch.pointers.size());
    for (int m = 0; m < kNumMemories; ++m) cores[c].bases.push_back(memories[c]->at(m));
    for (int64_t p : launch.pointers) cores[c].bases.push_back(reinterpret_cast<char*>(p));
  }
  return cores;
}

bool any_overflow(const std::vector<Core>& cores) {
  for (const Core& c : cores)
    if (c.overflow) return true;
  return false;
}

// Runs the segments from `at` to the next meeting; returns where to go on.
size_t run_segments(const GroupSteps& group, size_t at, std::vector<Core>& cores) {
  for (; at < group.segments.size(); ++at) {
    const Segment& s = group.segments[at];
    if (s.core < 0) return at + 1;
    group.steps.run(cores[s.core], s.begin, s.end);
  }
  return at;
}

}  // namespace

Executor::Executor(std::shared_ptr<const Program> program)
    : program_((check_syncs(*program), std::move(program))), cores_(Group::cores_of(*program_)), meets_(has_sync_all(*program_) || has_mode_zero(*program_)),
      atomics_(has_atomics(*program_)) {}

Executor::Key Executor::key(const Launch& launch) const {
  const bool overlap = overlap_in_part(*program_, launch.pointers, launch.numerics.scale());
  Key key{launch.numerics.mode, launch.numerics.options, launch.blocks, overlap};  // kOverlap says where
  const size_t tensors = std::min(program_->tensor_bytes.size(), launch.pointers.size());
  key.insert(key.end(), launch.pointers.begin() + static_cast<int64_t>(tensors), launch.pointers.end());
  return key;
}

bool Executor::proven(const Launch& launch) {
  if (program_->reads_scalars) return ended_;
  std::lock_guard<std::mutex> hold(mutex_);
  return cached_.count(key(launch)) != 0;
}

bool Executor::run(const Launch& launch) {
  if (program_->reads_scalars) {
    const bool overflow = meets_ ? run_in_phases(launch, nullptr) : run_apart(launch, nullptr);
    ended_ = true;
    return overflow;
  }
  const Key key = this->key(launch);
  std::shared_ptr<const Cached> kept;
  {
    std::lock_guard<std::mutex> hold(mutex_);
    auto found = cached_.find(key);
    if (found != cached_.end()) kept = found->second;
  }
  if (kept && !kept->empty()) return replay(launch, *kept);
  Cached fresh(launch.blocks);
  for (GroupSteps& g : fresh) g.in_place = !key[kOverlap];
  Cached* keep = kept ? nullptr : &fresh;  // an empty list: the program is too large
  const bool overflow = meets_ ? run_in_phases(launch, keep) : run_apart(launch, keep);
  if (keep) keep_if_small(key, std::move(fresh));
  return overflow;
}

void Executor::keep_if_small(const Key& key, Cached&& groups) {
  size_t words = 0;
  for (GroupSteps& g : groups) {
    g.steps.shrink();
    words += g.steps.size();
  }
  if (words > kKeptWords) groups.clear();
  std::lock_guard<std::mutex> hold(mutex_);
  if (cached_.size() >= kKeptLaunches) cached_.erase(cached_.begin());
  cached_[key] = std::make_shared<const Cached>(std::move(groups));
}

bool Executor::replay(const Launch& launch, const Cached& groups) const {
  int64_t bytes = 0;
  for (const GroupSteps& g : groups) bytes += g.bytes;
  const bool one_thread = launch.one_thread || atomics_ || bytes < kThreadBytes;
  std::atomic<bool> overflow{false};
  const int64_t scale = launch.numerics.scale();
  if (!meets_) {
    share(launch.blocks, one_thread, [&](int64_t begin, int64_t end) {
      auto memories = borrow(cores_, scale);
      auto cores = prepare(launch, handles(memories, 0, memories.size()));
      for (int64_t b = begin; b < end; ++b) run_segments(groups[b], 0, cores);
      if (any_overflow(cores)) overflow = true;
    });
    return overflow;
  }
  auto memories = borrow(static_cast<int>(launch.blocks) * cores_, scale);
  std::vector<std::vector<Core>> cores;
  for (int64_t b = 0; b < launch.blocks; ++b) cores.push_back(prepare(launch, handles(memories, b * cores_, cores_)));
  std::vector<size_t> at(launch.blocks);
  for (bool more = true; more;) {
    share(launch.blocks, one_thread, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) at[b] = run_segments(groups[b], at[b], cores[b]);
    });
    more = false;
    for (int64_t b = 0; b < launch.blocks; ++b) more |= at[b] < groups[b].segments.size();
  }
  for (const auto& c : cores) overflow = overflow || any_overflow(c);
  return overflow;
}

bool Executor::run_apart(const Launch& launch, Cached* keep) const {
  std::atomic<bool> overflow{false};
  const Released nothing;
  share(launch.blocks, launch.one_thread || atomics_, [&](int64_t begin, int64_t end) {
    auto memories = borrow(cores_, launch.numerics.scale());
    const auto held = handles(memories, 0, memories.size());
    for (int64_t b = begin; b < end; ++b) {
      Group group(*program_, launch.numerics, b, launch.pointers, held);
      group.advance(nothing, keep ? &(*keep)[b] : nullptr);
      if (!group.done()) deadlock(*program_, b, group);
      if (group.overflow()) overflow = true;
    }
  });
  return overflow;
}

void run_phases(const Program& program, std::vector<Group>& groups, std::vector<GroupSteps>* keep, bool one_thread) {
  const auto blocks = static_cast<int64_t>(groups.size());
  Released released;
  for (bool all_done = false; !all_done;) {
    std::atomic<bool> moved{false};
    share(blocks, one_thread, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        if (!groups[b].done() && groups[b].advance(released, keep ? &(*keep)[b] : nullptr)) moved = true;
    });
    all_done = true;
    for (const Group& g : groups) all_done = all_done && g.done();
    for (int64_t b = 0; b < blocks && !all_done && !moved; ++b)
      if (!groups[b].done()) deadlock(program, b, groups[b]);
    released = meet(groups);
  }
}

bool Executor::run_in_phases(const Launch& launch, Cached* keep) const {
  auto memories = borrow(static_cast<int>(launch.blocks) * cores_, launch.numerics.scale());
  std::vector<Group> groups;
  groups.reserve(launch.blocks);
  for (int64_t b = 0; b < launch.blocks; ++b)
    groups.emplace_back(*program_, launch.numerics, b, launch.pointers, handles(memories, b * cores_, cores_));
  run_phases(*program_, groups, keep, launch.one_thread || atomics_);
  bool overflow = false;
  for (const Group& g : groups) overflow = overflow || g.overflow();
  return overflow;
}

}  // namespace al::davinci
