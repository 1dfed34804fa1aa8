// Runs a program as the card would and in double beside it, and tells by source line where the two part.
#pragma once
#include <map>

#include "davinci/group.h"

namespace al::davinci {

// What the instructions of one source line did to the error, relative to the values in double.
struct SiteError {
  double into = 0, out = 0;   // largest relative error of what they read and wrote
  double growth = 0;          // largest (out - into) of one instruction
  int64_t elements = 0;       // written
  int opcode = 0;
};

class ShadowRun {
 public:
  // formats: of the arguments, whose values begin equal in both.
  ShadowRun(const Program& program, int options, int64_t blocks, const std::vector<int64_t>& pointers, const std::vector<int>& formats);
  // Runs all blocks one after the other; `pointers` hold what device mode gives.
  std::map<int, SiteError> run();

 private:
  const Program& program_;
  Numerics device_, exact_;
  int64_t blocks_;
  const std::vector<int64_t>& pointers_;
  std::vector<std::vector<char>> wide_;
};

}  // namespace al::davinci
