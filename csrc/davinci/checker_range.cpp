#include "davinci/checker_range.h"

#include <algorithm>

namespace al::davinci {
namespace {

constexpr int64_t kFar = int64_t{1} << 52;  // beyond every address: a bound that overflowed

int64_t clip(__int128 x) { return x > kFar ? kFar : x < -kFar ? -kFar : static_cast<int64_t>(x); }

int64_t floor_div(int64_t a, int64_t b) {
  int64_t q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

Range product(Range a, Range b) {
  const int64_t p[4] = {clip(static_cast<__int128>(a.low) * b.low), clip(static_cast<__int128>(a.low) * b.high),
                        clip(static_cast<__int128>(a.high) * b.low), clip(static_cast<__int128>(a.high) * b.high)};
  return {*std::min_element(p, p + 4), *std::max_element(p, p + 4)};
}

Range modulo(Range a, int64_t m) {
  if (m > 0 && floor_div(a.low, m) == floor_div(a.high, m))
    return {a.low - floor_div(a.low, m) * m, a.high - floor_div(a.high, m) * m};
  return m > 0 ? Range{0, m - 1} : Range{m + 1, 0};
}

// Bits of numbers that are not negative: neither result is larger than the larger power of two.
Range bitwise(int64_t op, Range a, Range b) {
  if (a.low < 0 || b.low < 0) return {-kFar, kFar};
  if (op == kAnd) return {0, std::min(a.high, b.high)};
  int64_t top = 1;
  while (top <= std::max(a.high, b.high) && top < kFar) top *= 2;
  return {0, top - 1};
}

Range shifted(int64_t op, Range a, Range b) {
  if (b.low < 0 || b.high > 50) return {-kFar, kFar};
  if (op == kShl) return product(a, {int64_t{1} << b.low, int64_t{1} << b.high});
  return {std::min(a.low >> b.low, a.low >> b.high), std::max(a.high >> b.low, a.high >> b.high)};
}

Range compared(int64_t op, Range a, Range b) {
  const bool apart = a.high < b.low || b.high < a.low, same = a.single() && b.single() && a.low == b.low;
  switch (op) {
    case kEq:
      return {same, !apart};
    case kNe:
      return {apart, !same};
    case kLt:
      return {a.high < b.low, a.low < b.high};
    default:
      return {a.high <= b.low, a.low <= b.high};
  }
}

}  // namespace

Ranges::Ranges(const Program& program)
    : program_(&program),
      any_(program.reads_scalars),
      varies_(program.exprs.size()),
      slots_(program.scalars),
      known_(program.exprs.size()),
      when_(program.exprs.size()) {
  for (const auto& nodes : program.scalar_nodes)
    for (int32_t n : nodes) varies_[n] = 1;
}

bool Ranges::depends_on_scalar(const Walker& walker) const {
  const Statement& s = walker.last();
  const Code& code = walker.code();
  for (int i = 0; i < s.noperands; ++i) {
    const OperandTemplate& o = code.operands[s.first_operand + i];
    bool varies = varies_[o.base] || varies_[o.bytes];
    for (int d = 0; d < o.ndim; ++d) varies = varies || varies_[o.count[d]] || varies_[o.stride[d]];
    if (varies) return true;
  }
  for (int i = 0; i < s.nargs; ++i)
    if (varies_[code.arg_nodes[s.first_arg + i]]) return true;
  return false;
}

Range Ranges::range(const Walker& walker, int32_t node) const {
  if (!varies_[node]) return {walker.value(node), walker.value(node)};
  if (when_[node] != round_) {
    known_[node] = combine(walker, program_->exprs[node]);
    when_[node] = round_;
  }
  return known_[node];
}

Range Ranges::combine(const Walker& walker, const Expr& e) const {
  if (e.op == kScalar) return slots_[e.a];
  const Range a = range(walker, static_cast<int32_t>(e.a)), b = range(walker, static_cast<int32_t>(e.b));
  switch (e.op) {
    case kAdd:
      return {clip(static_cast<__int128>(a.low) + b.low), clip(static_cast<__int128>(a.high) + b.high)};
    case kSub:
      return {clip(static_cast<__int128>(a.low) - b.high), clip(static_cast<__int128>(a.high) - b.low)};
    case kMul:
      return product(a, b);
    case kFloorDiv:
      return b.low > 0 ? Range{floor_div(a.low, b.low), floor_div(a.high, b.low)}
                       : Range{floor_div(a.high, b.low), floor_div(a.low, b.low)};
    case kMod:
      return modulo(a, b.low);
    case kMin:
      return {std::min(a.low, b.low), std::min(a.high, b.high)};
    case kMax:
      return {std::max(a.low, b.low), std::max(a.high, b.high)};
    case kAnd:
    case kOr:
    case kXor:
      return bitwise(e.op, a, b);
    case kShl:
    case kShr:
      return shifted(e.op, a, b);
    case kEq:
    case kNe:
    case kLt:
    case kLe:
      return compared(e.op, a, b);
    default:
      break;
  }
  const Range c = range(walker, static_cast<int32_t>(e.c));  // kSelect
  if (a.low > 0 || a.high < 0) return b;
  return a.single() ? c : Range{std::min(b.low, c.low), std::max(b.high, c.high)};
}

// The greatest that the sum can be. Nodes use earlier nodes only: the last one of the sum is taken apart first, so that a node is whole
// by then. `budget`: how many choices of min and max are still followed; beyond, their ranges are taken.
__int128 Ranges::highest(const Walker& walker, Sum sum, __int128 number, int& budget) const {
  __int128 known = 0;  // of what can't be taken apart
  while (!sum.empty()) {
    const auto last = std::prev(sum.end());
    const int32_t node = last->first;
    const __int128 times = last->second;
    sum.erase(last);
    if (!times) continue;
    const Range all = range(walker, node);
    if (all.single()) {
      number += times * all.low;
      continue;
    }
    const Expr& e = program_->exprs[node];
    const auto a = static_cast<int32_t>(e.a), b = static_cast<int32_t>(e.b);
    if (e.op == kAdd || e.op == kSub) {
      sum[a] += times, sum[b] += e.op == kAdd ? times : -times;
    } else if (e.op == kMul && (range(walker, a).single() || range(walker, b).single())) {
      const bool first = range(walker, a).single();
      sum[first ? b : a] += times * range(walker, first ? a : b).low;
    } else if ((e.op == kMin || e.op == kMax) && budget > 0) {
      --budget;
      Sum with_a = sum, with_b = sum;
      with_a[a] += times, with_b[b] += times;
      const __int128 x = highest(walker, std::move(with_a), number, budget), y = highest(walker, std::move(with_b), number, budget);
      return known + ((e.op == kMin) == (times > 0) ? std::min(x, y) : std::max(x, y));
    } else {
      known += times * (times > 0 ? all.high : all.low);
    }
  }
  return known + number;
}

// The end of an operand, beyond its runs.
__int128 Ranges::highest_end(const Walker& walker, const OperandTemplate& o) const {
  constexpr int kChoices = 256;
  Sum runs;
  ++runs[o.base], ++runs[o.bytes];
  if (o.lead >= 0) ++runs[o.lead];
  for (int d = 0; d < o.ndim; ++d) {
    const Range count = range(walker, o.count[d]), stride = range(walker, o.stride[d]);
    if (!stride.single() || stride.low < 0 || count.low < 1) return __int128{1} << 64;  // no better than the ranges
    runs[o.count[d]] += stride.low;
  }
  __int128 back = 0;
  for (int d = 0; d < o.ndim; ++d) back += range(walker, o.stride[d]).low;
  int budget = kChoices;
  return highest(walker, std::move(runs), -back, budget);
}

__int128 Ranges::lowest_base(const Walker& walker, const OperandTemplate& o) const {
  int budget = 256;
  return -highest(walker, Sum{{o.base, -1}}, 0, budget) + (o.lead < 0 ? 0 : walker.value(o.lead));
}

uint64_t Ranges::widen(const Walker& walker, Instr& instr, bool& args_vary) const {
  const Statement& s = walker.last();
  const Code& code = walker.code();
  uint64_t widened = 0;
  ++round_;
  for (int i = 0; i < s.noperands; ++i) {
    const OperandTemplate& o = code.operands[s.first_operand + i];
    if (!local_ && o.memory != kGM) continue;
    const Range base = range(walker, o.base), bytes = range(walker, o.bytes);
    bool single = base.single() && bytes.single();
    const int64_t lead = instr.regions[i].lead;
    __int128 low = static_cast<__int128>(base.low) + lead, high = static_cast<__int128>(base.high) + lead + std::max<int64_t>(bytes.high, 0);
    for (int d = 0; d < o.ndim; ++d) {
      const Range count = range(walker, o.count[d]), stride = range(walker, o.stride[d]);
      single = single && count.single() && stride.single();
      const Range reach = product({0, std::max<int64_t>(count.high, 1) - 1}, stride);
      low += std::min<int64_t>(reach.low, 0), high += std::max<int64_t>(reach.high, 0);
    }
    if (single) continue;
    high = std::min(high, highest_end(walker, o));
    if (!o.ndim) low = std::max(low, lowest_base(walker, o));
    widened |= uint64_t{1} << i;
    Region& r = instr.regions[i];
    r.ndim = 0, r.lead = 0, r.base = clip(low), r.bytes = clip(high - low);
  }
  args_vary = false;
  for (int i = 0; i < s.nargs; ++i)
    if (!range(walker, code.arg_nodes[s.first_arg + i]).single()) args_vary = true;
  return widened;
}

int32_t Ranges::flow_depends(const Program& program, const Code& code) {
  const Ranges ranges(program);
  for (size_t i = 0; i < code.statements.size(); ++i) {
    const Statement& s = code.statements[i];
    const bool loop = s.kind == kLoop && (ranges.varies_[s.a] || ranges.varies_[s.b] || ranges.varies_[s.c]);
    if (!loop && !(s.kind == kIf && ranges.varies_[s.a])) continue;
    while (i < code.statements.size() && code.statements[i].kind != kInstr) ++i;
    return i < code.statements.size() ? code.statements[i].site : -1;
  }
  return kSteady;
}

}  // namespace al::davinci
