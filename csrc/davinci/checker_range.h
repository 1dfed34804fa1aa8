// Operands whose place depends on scalars that a kernel reads from memory: their footprint over the whole declared range.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "davinci/program.h"

namespace al::davinci {

struct Range {
  int64_t low, high;
  bool single() const { return low == high; }
};

// Which value of its range a scalar takes where it decides the flow.
enum class Taken : uint8_t { kLowest, kHighest, kTypical };

// That value, of a GetValue.
inline int64_t taken_value(const Instr& i, Taken taken) {
  return taken == Taken::kTypical ? typical_value(i) : taken == Taken::kHighest ? std::max(i.args[1], i.args[2]) : i.args[1];
}

// The declared ranges of a core's scalar slots, and interval arithmetic over the expressions that use them.
class Ranges {
 public:
  explicit Ranges(const Program& program);
  // What a GetValue promises. `taken`: which value the flow goes on with; a typical one stands for itself in local memories.
  void declare(const Instr& i, Taken taken) {
    slots_[i.args[0]] = {i.args[1], std::max(i.args[1], i.args[2])};
    local_ = taken != Taken::kTypical;
  }
  // Whether the last statement of the walker has an operand or argument that depends on a scalar.
  bool concerns(const Walker& walker) const { return any_ && depends_on_scalar(walker); }
  // Widens the regions of the walker's last instruction to all they may be; bit i of the result: region i was widened.
  // `args_vary`: an argument is not one number.
  uint64_t widen(const Walker& walker, Instr& instr, bool& args_vary) const;
  // The site of an instruction that a loop or condition on scalars decides about (-1: of none), or kSteady if there is no such
  // loop.
  static constexpr int32_t kSteady = -2;
  static int32_t flow_depends(const Program& program, const Code& code);

 private:
  bool depends_on_scalar(const Walker& walker) const;
  Range range(const Walker& walker, int32_t node) const;
  Range combine(const Walker& walker, const Expr& e) const;
  // A sum of expressions times numbers: what they share cancels, and min and max are taken apart.
  using Sum = std::map<int32_t, __int128>;
  __int128 highest(const Walker& walker, Sum sum, __int128 number, int& budget) const;
  __int128 highest_end(const Walker& walker, const OperandTemplate& o) const;
  __int128 lowest_base(const Walker& walker, const OperandTemplate& o) const;

  const Program* program_;
  bool any_;
  bool local_ = true;  // whether operands in local memories are widened
  std::vector<char> varies_;  // by node
  std::vector<Range> slots_;
  mutable std::vector<Range> known_;  // ranges of nodes, good in round `round_`
  mutable std::vector<uint32_t> when_;
  mutable uint32_t round_ = 0;
};

}  // namespace al::davinci
