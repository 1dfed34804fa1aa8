// The hazard test itself: an access against those before it, by the clock of its pipe.
#include <algorithm>

#include "davinci/checker_group.h"

namespace al::davinci {
namespace {

constexpr int64_t kFlagBytes = 512;        // of L0C that one unit flag stands for
constexpr int64_t kMostSharedRuns = 4096;  // beyond: the whole extent, as one access that may touch any of it

}  // namespace

void GroupCheck::touch(CoreState& c, const Touch& a, const Span& s) {
  const uint8_t memory = a.region->memory;
  if (memory != kGM) {
    used[memory] = std::max(used[memory], s.end());
    touch_local(c, a, s);
  } else if (tracked_[storage_[a.region->tensor]]) {
    touch_shared(c, a, s);
  }
}

void GroupCheck::touch_local(CoreState& c, const Touch& a, const Span& s) {
  const uint8_t memory = a.region->memory, unit_bit = a.unit ? 1 << a.pipe : 0;
  auto check = [&](LocalSegment& g) {
    if (a.read && !(g.flags & kInitialised)) read_unwritten(c, a, g);
    if (g.write && !ordered(c, a, slot_of(c.index, g.write_pipe), g.write, g.flags))
      hazard(c, a, slot_of(c.index, g.write_pipe), g.write, g.low, g.high);
    if (a.write || a.atomic)
      for (int q = 0; q < 7; ++q) {
        const bool handed_over = a.unit && (g.unit_reads >> q & 1);
        // A pipe reads its operands in order, before its later instructions write.
        if (g.reads[q] && q != a.pipe && !handed_over && !ordered(c, a, slot_of(c.index, q), g.reads[q], 0))
          hazard(c, a, slot_of(c.index, q), g.reads[q], g.low, g.high);
      }
    if (a.write || a.atomic) {
      const uint8_t initialised = a.maybe ? g.flags & kInitialised : static_cast<uint8_t>(kInitialised);
      g.flags = static_cast<uint8_t>(initialised | (a.unit ? kByUnitFlag : 0) | (a.small ? kSmallMmad : 0));
      g.write = a.ticket;
      g.write_pipe = static_cast<uint8_t>(a.pipe);
      g.unit_reads = 0;
      for (uint32_t& r : g.reads) r = 0;
    } else {
      g.reads[a.pipe] = a.ticket;
      g.unit_reads = static_cast<uint8_t>((g.unit_reads & ~(1 << a.pipe)) | unit_bit);
    }
  };
  const bool whole = (a.write || a.atomic) && !a.maybe;
  for_each_run(s, [&](int64_t low, int64_t high) {
    c.shadow[memory].visit(static_cast<int32_t>(low), static_cast<int32_t>(high), whole, check);
  });
}

void GroupCheck::read_unwritten(CoreState& c, const Touch& a, LocalSegment& g) {
  const int region = static_cast<int>(a.region - a.instr->regions);
  if (a.pipe == kV && traits_[a.instr->opcode].unwritten != Passes::kNever) {
    unwritten_.push_back({region, g.low, g.high});
    return;
  }
  const int writer = g.write ? slot_of(c.index, g.write_pipe) : -1;
  if (a.maybe && g.write)  // as much as was written before it, perhaps: both depend on data
    report(kUnsupported, kWidenedOverlap, c, *a.instr, region, writer, g.write, g.low, g.high, {kUnwritten});
  else
    report(kUnwritten, g.write ? kFromUnwritten : kPlain, c, *a.instr, region, writer, g.write, g.low, g.high);
  g.flags |= kInitialised;  // said once
}

void GroupCheck::touch_shared(CoreState& c, Touch a, const Span& s) {
  const int64_t shift = offset_[a.region->tensor];
  SharedShadow& shadow = shared_[storage_[a.region->tensor]];
  const bool clean = a.instr->sync == kCacheClean;
  auto check = [&](int64_t low, SharedSegment& g) {
    if (clean) {
      clean_segment(c, a, g);
    } else {
      shared_hazards(c, a, low, g);
      update_shared(c, a, g);
    }
  };
  if (s.runs() > kMostSharedRuns) {
    a.maybe = true;
    shadow.visit(s.base + shift, s.end() + shift, check);
  } else {
    for_each_run(s, [&](int64_t low, int64_t high) { shadow.visit(low + shift, high + shift, check); });
  }
}

void GroupCheck::shared_hazards(CoreState& c, const Touch& a, int64_t low, const SharedSegment& g) {
  const int mine = slot_of(c.index, a.pipe), region = static_cast<int>(a.region - a.instr->regions);
  auto against = [&](const uint32_t* tickets) {
    for (int q = 0; q < kPipesOfGroup; ++q)
      if (tickets[q] && q != mine && !ordered(c, a, q, tickets[q], 0)) hazard(c, a, q, tickets[q], low, g.high);
  };
  if (g.write && g.dirty && g.write_pipe != mine)
    report(kNotCoherent, kPlain, c, *a.instr, region, g.write_pipe, g.write, low, g.high);
  else if (g.write && !ordered(c, a, g.write_pipe, g.write, 0))
    hazard(c, a, g.write_pipe, g.write, low, g.high);
  if (a.pipe == kS && a.read && (g.stale >> c.index & 1))
    report(kNotCoherent, kStaleCopy, c, *a.instr, region, g.write_pipe, g.write, low, g.high);
  if (g.any_atomics && !a.atomic) against(g.atomics);
  if ((a.write || a.atomic) && g.any_reads) against(g.reads);
}

void GroupCheck::update_shared(const CoreState& c, const Touch& a, SharedSegment& g) {
  const int mine = slot_of(c.index, a.pipe);
  const uint8_t cached = static_cast<uint8_t>(a.pipe == kS ? 1 << c.index : 0);
  if (a.atomic || a.write) g.stale |= g.cached & ~cached;
  g.cached |= cached;
  if (a.atomic) {
    g.atomics[mine] = a.ticket;
    g.any_atomics = true;
  } else if (a.write) {
    SharedSegment next{g.high, a.ticket, static_cast<uint8_t>(mine)};
    next.dirty = a.pipe == kS, next.cached = g.cached, next.stale = g.stale;
    g = next;
  } else {
    g.reads[mine] = a.ticket;
    g.any_reads = true;
  }
}

// What the cache held goes to memory now, as a write of this instruction; copies of what others wrote are dropped.
void GroupCheck::clean_segment(const CoreState& c, const Touch& a, SharedSegment& g) {
  const uint8_t others = static_cast<uint8_t>(~(1 << c.index));
  g.cached &= others, g.stale &= others;
  if (!g.dirty || g.write_pipe != slot_of(c.index, kS)) return;
  g.dirty = false;
  g.write = a.ticket;
}

// Whether the earlier access of slot `other` is over, or its pipe's own order is enough.
bool GroupCheck::ordered(const CoreState& c, const Touch& a, int other, uint32_t ticket, uint8_t flags) const {
  const Clock& now = c.clock[a.pipe];
  if (now.at[other] >= ticket) return true;
  if (other == slot_of(c.index, a.pipe)) {
    if (ticket == a.ticket) return true;  // another operand of the same instruction
    if (a.pipe == kM) return !(flags & kSmallMmad) || !a.read;
    return a.pipe == kS || a.pipe == kMTE1 || a.pipe == kFIX;
  }
  return a.unit && (flags & kByUnitFlag);
}

int GroupCheck::rule_of(const CoreState& c, const Touch& a, int other) const {
  const bool same_core = other / 8 == c.index;
  if (!same_core) return kCoreRace;
  if (other % 8 == a.pipe) return a.pipe == kM ? kAccumulate : kSamePipe;
  if (a.scalar_read) return kScalarRead;
  return kRace;
}

void GroupCheck::hazard(CoreState& c, const Touch& a, int other, uint32_t ticket, int64_t low, int64_t high) {
  const int region = static_cast<int>(a.region - a.instr->regions);
  const bool sure = !a.maybe;
  if (sure)
    report(rule_of(c, a, other), kPlain, c, *a.instr, region, other, ticket, low, high);
  else
    report(kUnsupported, kWidenedOverlap, c, *a.instr, region, other, ticket, low, high, {rule_of(c, a, other)});
}

// Whether the unit flags of the blocks of L0C that an instruction touches let it run. With a ticket it runs now and flips them
// if told so.
bool GroupCheck::unit_ready(CoreState& c, const Pending& p, uint32_t ticket) {
  const Traits& t = traits_[p.instr.opcode];
  const bool full = !t.mmad;  // the cube fills free blocks, Fixpipe takes full ones
  const bool flip = p.instr.args[t.unit_flag] == 3;
  bool ready = true;
  for (int r = 0; r < p.instr.nregions; ++r) {
    if (p.instr.regions[r].memory != kL0C || !p.spans[r].bytes) continue;
    for_each_run(p.spans[r], [&](int64_t low, int64_t high) {
      for (int64_t b = low / kFlagBytes; b * kFlagBytes < high; ++b) {
        uint32_t& filled = c.unit_set[b];
        if (!ticket)
          ready = ready && (filled > 0) == full;
        else if (flip)
          filled = full ? 0 : ticket;
      }
    });
  }
  return ready;
}

}  // namespace al::davinci
