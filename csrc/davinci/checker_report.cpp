// Findings: made as hazards are seen, once per pair of source lines; earlier instructions are looked up at the end.
#include <algorithm>

#include "davinci/checker_group.h"

namespace al::davinci {

Party GroupCheck::party(const CoreState& c, const Instr& i, int region) const {
  Party p;
  p.core = static_cast<int8_t>(c.index);
  p.pipe = i.pipe, p.opcode = i.opcode, p.site = i.site, p.block = block_;
  p.args.assign(i.args, i.args + i.nargs);
  if (region >= 0) {
    const Region& r = i.regions[region];
    Span s;
    normalise(r, s);
    p.memory = r.memory, p.access = r.access, p.tensor = r.tensor;
    p.low = s.base, p.high = s.end();
  }
  return p;
}

void GroupCheck::report(int rule, int reason, CoreState& c, const Instr& i, int region, int other, uint32_t ticket, int64_t low,
                        int64_t high, std::vector<int64_t> numbers) {
  const int memory = region < 0 ? -1 : i.regions[region].memory;
  const int32_t other_site = other < 0 || !ticket ? -1 : core_at(other / 8).sites[other % 8][ticket - 1];
  auto [it, made] = known_.try_emplace({rule, reason, i.site, other_site, memory}, findings.size());
  if (!made) {
    ++findings[it->second].count;
    return;
  }
  if (findings.size() >= kMostFindings) {
    known_.erase(it);
    return;
  }
  Finding f{rule, reason};
  f.parties.push_back(party(c, i, region));
  f.parties[0].ordinal = c.count[i.pipe] + (running_ ? 0 : 1 + static_cast<uint32_t>(c.queue[i.pipe].size()));
  const int64_t shift = memory == kGM && other >= 0 ? offset_[i.regions[region].tensor] : 0;
  f.low = low - shift, f.high = high - shift;
  f.numbers = std::move(numbers);
  f.blocks = {block_};
  if (other >= 0 && ticket) look_up(f, findings.size(), other, ticket);
  findings.push_back(std::move(f));
}

void GroupCheck::look_up(Finding& f, size_t finding, int slot, uint32_t ticket) {
  f.parties.emplace_back();
  f.parties.back().ordinal = ticket;
  earlier_.push_back({finding, f.parties.size() - 1, slot, ticket});
}

// Of something that is found when the group has ended: the instruction that caused it is the party.
void GroupCheck::report_end(int rule, int reason, int slot, uint32_t ticket, std::vector<int64_t> numbers) {
  if (findings.size() >= kMostFindings) return;
  Finding f{rule, reason};
  f.numbers = std::move(numbers);
  f.blocks = {block_};
  if (ticket) look_up(f, findings.size(), slot, ticket);
  findings.push_back(std::move(f));
}

// Walks the cores again to the instructions that findings name by their number only.
void GroupCheck::resolve() {
  for (CoreState& c : cores_) {
    std::map<std::pair<int, uint32_t>, std::vector<Earlier>> wanted;
    for (const Earlier& e : earlier_)
      if (e.slot / 8 == c.index) wanted[{e.slot % 8, e.ticket}].push_back(e);
    if (wanted.empty()) continue;
    Walker walker(program_, c.kind, block_, c.index == 2);
    Ranges ranges(program_);
    uint32_t count[kNumPipes] = {};
    Instr i;
    size_t left = wanted.size();
    while (left && walker.next(i)) {
      auto it = wanted.find({i.pipe, ++count[i.pipe]});
      bool varies;
      if (ranges.concerns(walker)) ranges.widen(walker, i, varies);
      declare(i, walker, ranges);
      if (it == wanted.end()) continue;
      --left;
      for (const Earlier& e : it->second) fill(c, i, e);
    }
  }
}

void GroupCheck::fill(const CoreState& c, const Instr& i, const Earlier& e) {
  Finding& f = findings[e.finding];
  const Party& first = f.parties[0];
  int region = -1;
  if (e.party > 0 && first.high > first.low)
    for (int r = 0; r < i.nregions && region < 0; ++r) {
      Span s;
      if (i.regions[r].memory != first.memory || normalise(i.regions[r], s) != Shape::kFine) continue;
      const int64_t shift = first.memory == kGM ? offset_[first.tensor] - offset_[i.regions[r].tensor] : 0;
      if (meets(s, f.low + shift, f.high + shift)) region = r;
    }
  Party p = party(c, i, region);
  p.ordinal = e.ticket;
  f.parties[e.party] = std::move(p);
}

// What a GetValue promises; the flow of the kernel goes on with one value of the range.
void GroupCheck::declare(const Instr& i, Walker& walker, Ranges& ranges) const {
  if (i.sync != kGetValue || i.nargs < 3 || i.args[0] < 0 || i.args[0] >= program_.scalars) return;
  const int64_t value = taken_value(i, taken_);
  ranges.declare(i, taken_);
  walker.set_scalar(static_cast<int>(i.args[0]), value, static_cast<double>(value));
}

}  // namespace al::davinci
