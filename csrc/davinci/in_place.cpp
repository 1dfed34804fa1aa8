#include "davinci/in_place.h"

#include <algorithm>

#include "davinci/steps.h"

namespace al::davinci {
namespace {

constexpr size_t kReach = 512;  // instructions that a copy is followed through

struct Span {
  int64_t low, high;
  bool overlaps(const Span& o) const { return low < o.high && o.low < high; }
  bool within(const Span& o) const { return low >= o.low && high <= o.high; }
  bool operator==(const Span& o) const { return low == o.low && high == o.high; }
};

Span span_of(const Region& r) {
  Span s{r.base, r.base + r.lead + r.bytes};
  for (int d = 0; d < r.ndim; ++d) {
    const int64_t reach = (r.count[d] - 1) * r.stride[d];
    (reach < 0 ? s.low : s.high) += reach;
  }
  return s;
}

class InPlace {
 public:
  InPlace(const Program& program, std::vector<Instr>& instrs, bool ends) : instrs_(instrs), ends_(ends), dropped_(instrs.size()) {
    for (const Declaration& d : program.declarations) {
      movable_.push_back(d.sync == kNoSync && is_movable(d.meaning));
      copies_.push_back(d.sync == kNoSync && d.meaning == "copy");
    }
  }

  void run() {
    for (size_t i = 0; i < instrs_.size(); ++i)
      if (is_copy(i, kGM, kUB) && read_in_place(i)) dropped_[i] = true;
    for (size_t i = 0; i < instrs_.size(); ++i)
      if (is_copy(i, kUB, kGM) && write_in_place(i)) dropped_[i] = true;
    size_t kept = 0;
    for (size_t i = 0; i < instrs_.size(); ++i)
      if (!dropped_[i]) {
        if (kept != i) instrs_[kept] = instrs_[i];
        ++kept;
      }
    instrs_.resize(kept);
  }

 private:
  // One run of bytes to another, neither filled nor added.
  bool is_copy(size_t i, Memory from, Memory to) const {
    const Instr& c = instrs_[i];
    if (!copies_[c.opcode] || c.nregions != 2 || c.nargs != 11) return false;
    const Region &dst = c.regions[0], &src = c.regions[1];
    const int64_t outer = c.args[0], rows = c.args[1], bytes = c.args[2];
    const bool one_run = outer == 1 && bytes > 0 && dst.bytes % bytes == 0 && dst.bytes / bytes == rows && (rows == 1 || (c.args[4] == bytes && c.args[6] == bytes));
    return dst.memory == to && src.memory == from && dst.ndim == 0 && src.ndim == 0 && dst.bytes == src.bytes && one_run && c.args[9] == 0 && c.args[10] == 0;
  }

  // GM that an instruction touches; of all arguments, since two of them may be the same tensor.
  bool touches_gm(const Instr& i, const Span& gm, int access) const {
    for (int k = 0; k < i.nregions; ++k)
      if (i.regions[k].memory == kGM && (i.regions[k].access & access) && span_of(i.regions[k]).overlaps(gm)) return true;
    return false;
  }

  bool read_in_place(size_t at) {
    const Region dst = instrs_[at].regions[0], src = instrs_[at].regions[1];
    const Span ub = span_of(dst), gm = span_of(src);
    std::vector<std::pair<size_t, int>> uses;
    bool over = false, rewritten = false;
    size_t j = at + 1;
    for (; j < instrs_.size() && !over; ++j) {
      if (j - at > kReach) return false;
      if (dropped_[j]) continue;
      const Instr& user = instrs_[j];
      for (int k = 0; k < user.nregions; ++k) {
        const Region& r = user.regions[k];
        if (r.memory != kUB || r.bytes <= 0 || !span_of(r).overlaps(ub)) continue;
        if (r.access & kRead) {
          if (rewritten || !movable_[user.opcode] || (r.access & kWrite) || !span_of(r).within(ub)) return false;
          uses.emplace_back(j, k);
        } else if (r.ndim == 0 && !(r.access & kPartial) && ub.within(span_of(r))) {
          over = true;
        } else {
          return false;
        }
      }
      rewritten = rewritten || touches_gm(user, gm, kWrite);
    }
    if (!over && !ends_) return false;
    for (auto [i, k] : uses) {
      Region& r = instrs_[i].regions[k];
      r.memory = kGM, r.tensor = src.tensor, r.base = src.base + (r.base - dst.base);
    }
    return true;
  }

  // Whether nobody reads a part of UB after instruction `at`.
  bool dead_after(size_t at, const Span& ub) const {
    for (size_t j = at + 1; j < instrs_.size(); ++j) {
      if (j - at > kReach) return false;
      if (dropped_[j]) continue;
      bool over = false;
      for (int k = 0; k < instrs_[j].nregions; ++k) {
        const Region& r = instrs_[j].regions[k];
        if (r.memory != kUB || r.bytes <= 0 || !span_of(r).overlaps(ub)) continue;
        if ((r.access & (kRead | kPartial)) || r.ndim || !ub.within(span_of(r))) return false;
        over = true;
      }
      if (over) return true;
    }
    return ends_;
  }

  bool write_in_place(size_t at) {
    const Region dst = instrs_[at].regions[0], src = instrs_[at].regions[1];
    const Span ub = span_of(src), gm = span_of(dst);
    for (size_t j = at; j-- > 0 && at - j <= kReach;) {
      if (dropped_[j]) continue;
      Instr& maker = instrs_[j];
      bool makes = false, other = false;
      for (int k = 0; k < maker.nregions; ++k) {
        const Region& r = maker.regions[k];
        if (r.memory != kUB || r.bytes <= 0 || !span_of(r).overlaps(ub)) continue;
        if (k == 0 && r.access == kWrite && r.ndim == 0 && span_of(r) == ub) makes = true;
        else other = true;
      }
      if (!makes && !other) {
        if (touches_gm(maker, gm, kRead | kWrite)) return false;
        continue;
      }
      if (!makes || !movable_[maker.opcode] || !same_or_apart(maker, gm) || !dead_after(at, ub)) return false;
      Region& r = maker.regions[0];
      r.memory = kGM, r.tensor = dst.tensor, r.base = dst.base;
      return true;
    }
    return false;
  }

  // An instruction may write what it reads only element for element.
  bool same_or_apart(const Instr& maker, const Span& gm) const {
    for (int k = 1; k < maker.nregions; ++k) {
      const Region& r = maker.regions[k];
      if (r.memory != kGM || !span_of(r).overlaps(gm)) continue;
      if (r.ndim || !(span_of(r) == gm) || r.dtype != maker.regions[0].dtype) return false;
    }
    return true;
  }

  std::vector<Instr>& instrs_;
  bool ends_;
  std::vector<bool> dropped_, movable_, copies_;
};

}  // namespace

void use_in_place(const Program& program, std::vector<Instr>& instrs, bool ends) { InPlace(program, instrs, ends).run(); }

}  // namespace al::davinci
