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
  if (traits_[i.opcode].vector && i.nargs > kDstRepeat) vector_limits(c, i, traits_[i.opcode]);
}

void GroupCheck::vector_limits(CoreState& c, const Instr& i, const Traits& t) {
  if (i.args[kRepeatCount] < 0 || i.args[kRepeatCount] > kMostRepeats)
    report(kRepeats, kPlain, c, i, -1, -1, 0, 0, 0, {i.args[kRepeatCount], kMostRepeats});
  for (int k = kDstBlock; k < kDstBlock + 6 && k < i.nargs; ++k) {
    const int64_t most = k < kDstRepeat ? kMostBlockStride : kMostRepeatStride;
    if (i.args[k] < 0 || i.args[k] > most) report(kStrides, kPlain, c, i, -1, -1, 0, 0, 0, {i.args[k], most});
  }
  partial_overlap(c, i, t);
}

// A destination over a source: in each repeat they are the same or apart, and no repeat reads what an earlier one wrote.
void GroupCheck::partial_overlap(CoreState& c, const Instr& i, const Traits& t) {
  const Region& d = i.regions[0];
  if (!i.nregions || !(d.access & kWrite) || d.memory != kUB) return;
  for (int r = 1; r < i.nregions; ++r) {
    const Region& s = i.regions[r];
    if (s.memory != kUB || (s.access & kWrite)) continue;
    Span a, b;
    if (normalise(d, a) != Shape::kFine || normalise(s, b) != Shape::kFine || a == b) continue;
    int64_t low, high;
    bool sure;
    if (!overlap(a, b, low, high, sure)) continue;
    if (d.base == s.base && (t.ordered_updates || i.args[kMode] == 0)) continue;  // widths differ: a cast, a broadcast source
    const bool rows_apart =
        i.args[kMode] != 0 && i.args[kDstRepeat] == i.args[kDstRepeat + r] && std::abs(d.base - s.base) >= kRepeat;
    if (rows_apart && d.ndim && s.ndim && d.stride[0] == s.stride[0]) continue;
    report(kPartialOverlap, kPlain, c, i, r, -1, 0, low, high, {d.base, s.base});
  }
}

}  // namespace al::davinci
