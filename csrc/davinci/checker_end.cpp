// When nothing moves any more: who waits for what, or what was left set.
#include <algorithm>

#include "davinci/checker_group.h"

namespace al::davinci {

// Six numbers of one waiting instruction: what kind of wait, then its particulars.
std::array<int64_t, 6> GroupCheck::waits_for(CoreState& c, const Pending& p) {
  const Instr& i = p.instr;
  if (i.sync == kWaitFlag) {
    int64_t queued = 0;
    if (i.args[0] >= 0 && i.args[0] < 7)
      for (const Pending& q : c.queue[i.args[0]])
        queued += q.instr.sync == kSetFlag && q.instr.args[0] == i.pipe && q.instr.args[1] == i.args[1];
    return {kOnFlag, i.args[0], i.args[1], queued, 0, 0};
  }
  if (i.sync == kCrossWait) {
    std::array<int64_t, 6> row{kOnCross, i.args[0], 0, 0, 0, 0};
    int best = cores_.size() > 1 ? 2 : 0;
    for (int mode = 0; mode < 3; ++mode)
      for (int o = 0; o < kCores; ++o)
        if (!cross(c.index, static_cast<int>(i.args[0]), mode, o).sets.empty()) best = mode;
    for (int o = 0; o < kCores; ++o)
      row[2 + o] = static_cast<int64_t>(cross(c.index, static_cast<int>(i.args[0]), best, o).sets.size());
    for (int o : sources(c, best)) row[5] |= 1 << o;
    return row;
  }
  int64_t busy = 0;
  for (int q = 0; q < 7; ++q) busy |= static_cast<int64_t>(!c.queue[q].empty()) << q;
  if (i.sync == kSyncAll) return {kOnSyncAll, busy, c.arrived, 0, 0, 0};
  if (i.sync == kBarrier) return {kOnDrain, busy, 0, 0, 0, 0};
  const Traits& t = traits_[i.opcode];
  if (t.unit_flag >= 0) return {kOnUnitFlag, t.mmad ? 0 : 1, 0, 0, 0, 0};
  return {kOnQueue, static_cast<int64_t>(c.queue[i.pipe].size()), 0, 0, 0, 0};
}

void GroupCheck::deadlock() {
  Finding f{kDeadlock};
  f.blocks = {block_};
  auto row = [&](CoreState& c, const Pending& p, uint32_t behind) {
    Party waiting = party(c, p.instr, -1);
    waiting.ordinal = c.count[p.instr.pipe] + 1 + behind;
    f.parties.push_back(std::move(waiting));
    const auto numbers = waits_for(c, p);
    if (numbers[0] == kOnUnitFlag) f.rule = kUnitFlag;
    f.numbers.insert(f.numbers.end(), numbers.begin(), numbers.end());
  };
  for (CoreState& c : cores_) {
    for (auto& q : c.queue)
      if (!q.empty()) row(c, q.front(), 0);
    if (c.holding)
      row(c, c.current, c.current.instr.pipe == kS ? 0 : static_cast<uint32_t>(c.queue[c.current.instr.pipe].size()));
  }
  for (CoreState& c : cores_)
    for (int s = 0; s < 7; ++s)
      for (int d = 0; d < 7; ++d)
        for (int e = 0; e < kEvents; ++e)
          if (c.flag(s, d, e).set) f.numbers.insert(f.numbers.end(), {c.index, s, d, e});
  findings.push_back(std::move(f));
}

void GroupCheck::leftovers() {
  for (CoreState& c : cores_) {
    for (int s = 0; s < 7; ++s)
      for (int d = 0; d < 7; ++d)
        for (int e = 0; e < kEvents; ++e)
          if (const Flag& f = c.flag(s, d, e); f.set)
            report_end(kFlagLeft, kFlagAtExit, slot_of(c.index, s), f.set_by, {c.index, s, d, e});
    int64_t full = 0;
    uint32_t last = 0;
    for (uint32_t by : c.unit_set) full += by > 0, last = std::max(last, by);
    if (full) report_end(kUnitFlag, kUnitFlagAtExit, slot_of(c.index, kM), last, {c.index, full});
    for (int id = 0; id < kCrossIds; ++id)
      for (int mode = 0; mode < 3; ++mode)
        for (int o = 0; o < kCores; ++o) {
          const CrossQueue& q = cross(c.index, id, mode, o);
          if (!q.sets.empty())
            report_end(kFlagLeft, kCounterAtExit, q.last_slot, q.last, {c.index, id, o, static_cast<int64_t>(q.sets.size())});
        }
  }
  for (const SharedShadow& shadow : shared_)
    for (const auto& [low, g] : shadow.segments())
      if (g.dirty) {
        report_end(kNotCoherent, kDirtyAtExit, g.write_pipe, g.write, {low, g.high});
        return;  // one is enough: they come from the same habit
      }
}

}  // namespace al::davinci
