// Flags between the cores of a group: counters by receiving core, flag and mode.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "davinci/program.h"

namespace al::davinci {

constexpr int kFlagIds = 32;  // 0-15, and the second vector core's 16-31 in mode 4

inline int checked_flag(const char* name, int64_t flag) {
  if (flag < 0 || flag >= kFlagIds) throw std::invalid_argument(std::string(name) + ": the flag is " + std::to_string(flag) + "; use 0..15");
  return static_cast<int>(flag);
}

// Cores by their place: 0 the cube core, 1 and 2 the vector cores.
class CrossFlags {
 public:
  explicit CrossFlags(int vectors) : vectors_(vectors) {}

  // A set by core `from`; mode 0, between groups, is not kept here.
  void set(int from, int64_t mode, int flag) {
    if (mode == 1) {
      for (int to : {1, 2}) ++sets_[to][flag][kPeers + from];
    } else if (mode == 2 && from == 0) {
      for (int to : {1, 2}) ++sets_[to][flag][0];
    } else if (mode == 2) {
      ++sets_[0][flag][from];
    } else if (mode == 4 && from == 0) {
      ++sets_[flag < 16 ? 1 : 2][flag % 16][kOneToOne];
    } else if (mode == 4) {
      ++sets_[0][flag + (from == 2 && flag < 16 ? 16 : 0)][kOneToOne];
    } else {
      throw std::invalid_argument("CrossCoreSetFlag: the mode is " + std::to_string(mode) + "; use 0, 1, 2 or 4");
    }
  }

  // Takes one complete set of a flag for core `to`, if it is there.
  bool take(int to, int flag) {
    if (to == 0) return (vectors_ == 2 ? take_all(to, flag, {1, 2}) : take_all(to, flag, {1})) || take_all(to, flag, {kOneToOne});
    return take_all(to, flag, {0}) || take_all(to, flag, {kPeers + 1, kPeers + 2}) || take_all(to, flag, {kOneToOne});
  }

 private:
  static constexpr int kPeers = 3, kOneToOne = 6;  // columns: mode 2 by sender, mode 1 by sender, mode 4
  bool take_all(int to, int flag, std::initializer_list<int> columns) {
    auto& have = sets_[to][flag];
    for (int c : columns)
      if (have[c] == 0) return false;
    for (int c : columns) --have[c];
    return true;
  }
  int vectors_;
  std::array<std::array<std::array<int, 7>, kFlagIds>, 3> sets_{};
};

}  // namespace al::davinci
