// What one instruction may not do, whatever comes before it: bounds, alignment, fields, overlap with itself.
#include <algorithm>

#include "davinci/checker_group.h"

namespace al::davinci {
namespace {

constexpr int kBlock = 32, kRepeat = 256;
constexpr int kMostRepeats = 255, kMostRepeatStride = 255, kMostBlockStride = 65535;
enum VectorHead { kMode, kCount, kMaskHigh, kRepeatCount, kDstBlock, kDstRepeat = 7 };

// Pipes of a cube core and of a vector core; on 1001 one core has all.
constexpr uint8_t kPipesOf[2] = {1 << kS | 1 << kM | 1 << kMTE1 | 1 << kMTE2 | 1 << kMTE3 | 1 << kFIX,
                                 1 << kS | 1 << kV | 1 << kMTE2 | 1 << kMTE3};
constexpr int kEventIds = 8;

// The repeats of one operand of a vector instruction; the last one of count mode may be shorter.
struct Repeats {
  int64_t base, span, step, count, last;
  int64_t end() const { return base + (count - 1) * step + last; }
  int64_t stop(int64_t r) const { return base + r * step + (r + 1 == count ? last : span); }
};

// `largest`: the itemsize that decides how many elements a repeat has; of count mode only.
Repeats repeats_of(const Region& r, const Instr& i, int operand, int64_t largest) {
  if (i.args[kMode] == 0) {
    const int64_t n = std::max<int64_t>(i.args[kCount], 1), itemsize = r.bytes / n,
                  width = std::max<int64_t>(kRepeat / std::max<int64_t>(largest, 1), 1);  // regions may be anything
    return {r.base + r.lead, std::min(n, width) * itemsize, width * itemsize, (n + width - 1) / width, ((n - 1) % width + 1) * itemsize};
  }
  const int64_t count = std::max<int64_t>(i.args[kRepeatCount], 1), step = i.args[kDstRepeat + operand] * kBlock;
  const bool apart = r.ndim && r.count[0] == count && r.stride[0] == step;
  const int inner = apart ? 1 : 0;
  int64_t span = apart || count == 1 || step == 0 ? r.bytes : r.bytes / count;  // dense repeats are one run
  for (int d = inner; d < r.ndim; ++d) span += (r.count[d] - 1) * r.stride[d];
  return {r.base + r.lead, span, step, count, span};
}

enum class Collision { kNone, kWithin, kLater };

// kWithin: a repeat's operands overlap in part; kLater: a repeat reads what an earlier one wrote. `alike`: from one address on, a repeat of
// either is the same bytes.
Collision collide(const Repeats& dst, const Repeats& src, bool alike) {
  if (dst.end() <= src.base || src.end() <= dst.base) return Collision::kNone;
  Collision found = Collision::kNone;
  for (int64_t r = 0; r < std::min(dst.count, src.count); ++r) {
    const int64_t s = src.base + r * src.step;
    for (int64_t q = 0; q <= r; ++q) {
      const int64_t d = dst.base + q * dst.step;
      if (d >= src.stop(r) || s >= dst.stop(q)) continue;
      if (q < r)
        found = Collision::kLater;
      else if (!(alike && d == s))
        return Collision::kWithin;
    }
  }
  return found;
}

}  // namespace

void GroupCheck::limits(CoreState& c, Pending& p) {
  Instr& i = p.instr;
  if (limits_.split_cores && !(kPipesOf[c.kind] >> i.pipe & 1)) report(kWrongCore, kPlain, c, i, -1);
  if ((i.sync == kSetFlag || i.sync == kWaitFlag) && i.nargs > 1 && (i.args[1] < 0 || i.args[1] >= kEventIds))
    report(kEventId, kPlain, c, i, -1, -1, 0, 0, 0, {i.args[1]});
  for (int r = 0; r < i.nregions; ++r) {
    const Region& g = i.regions[r];
    Span& s = p.spans[r];
    const Shape shape = normalise(g, s);
    if (shape == Shape::kEmpty) {
      s.bytes = 0;
      continue;
    }
    const bool gm = g.memory == kGM;
    const bool no_tensor = gm && (g.tensor < 0 || g.tensor >= static_cast<int>(program_.tensor_bytes.size()));
    const int64_t size = no_tensor ? 0 : gm ? program_.tensor_bytes[g.tensor] : limits_.bytes[g.memory];
    if (shape == Shape::kWild || s.base < 0 || s.end() > size) {
      report(gm ? kOutOfBounds : kCapacity, kPlain, c, i, r, -1, 0, s.base, s.end(), {size});
      s.bytes = 0;  // not followed further
    } else if (!gm && i.pipe != kS && g.base % limits_.align[g.memory] && !(g.memory == kUB && traits_[i.opcode].any_alignment)) {
      report(kAlignment, kPlain, c, i, r, -1, 0, s.base, s.end(), {limits_.align[g.memory]});
    }
  }
  if (traits_[i.opcode].vector && i.nargs > kDstRepeat) vector_limits(c, p, traits_[i.opcode]);
}

void GroupCheck::vector_limits(CoreState& c, const Pending& p, const Traits& t) {
  const Instr& i = p.instr;
  bool fit = i.args[kMode] != 0 || (i.args[kCount] >= 0 && i.args[kCount] <= limits_.bytes[kUB]);
  const auto field = [&](int rule, int64_t value, int64_t most) {
    if (value >= 0 && value <= most) return;
    report(rule, kPlain, c, i, -1, -1, 0, 0, 0, {value, most});
    fit = false;
  };
  field(kRepeats, i.args[kRepeatCount], kMostRepeats);
  for (int k = kDstBlock; k < kDstBlock + 6 && k < i.nargs; ++k)
    field(kStrides, i.args[k], k < kDstRepeat ? kMostBlockStride : kMostRepeatStride);
  if (fit && t.elementwise) partial_overlap(c, p, t);
}

// A destination over a source: in each repeat they are the same or apart, and no repeat reads what an earlier one wrote.
void GroupCheck::partial_overlap(CoreState& c, const Pending& p, const Traits& t) {
  const Instr& i = p.instr;
  const Region& d = i.regions[0];
  if (!i.nregions || !(d.access & kWrite) || d.memory != kUB || !p.spans[0].bytes) return;
  const int64_t n = std::max<int64_t>(i.args[kCount], 1);
  for (int r = 1; r < i.nregions && r < 3; ++r) {
    const Region& s = i.regions[r];
    if (s.memory != kUB || (s.access & kWrite) || !p.spans[r].bytes) continue;
    const int64_t largest = std::max(d.bytes, s.bytes) / n;
    const Repeats a = repeats_of(d, i, 0, largest), b = repeats_of(s, i, r, largest);
    const bool alike = a.span == b.span && i.args[kDstBlock] == i.args[kDstBlock + r];
    if (alike && d.base == s.base && a.step == b.step && (i.args[kMode] == 0 || a.step || a.count == 1)) continue;
    if (a.count > kMostRepeats && a.base + kRepeat <= b.base + b.step) continue;  // count mode: reads run ahead of writes
    const Collision found = collide(a, b, alike);
    if (found == Collision::kNone || (found == Collision::kLater && t.ordered_updates && r == 2 && (!a.step || !b.step))) continue;
    report(kPartialOverlap, kPlain, c, i, r, -1, 0, std::max(d.base, s.base), std::min(a.end(), b.end()), {d.base, s.base});
  }
}

}  // namespace al::davinci
