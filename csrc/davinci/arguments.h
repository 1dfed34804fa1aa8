// What Python passes for a launch, looked at once before native code uses it. A pointer's target can't be: it must hold the argument's bytes.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "davinci/core.h"
#include "davinci/program.h"

namespace al::davinci {

constexpr int64_t kMostBlocks = 1 << 24;  // a card takes 65535

inline void need(bool good, const std::string& what) {
  if (!good) throw std::invalid_argument(what);
}

inline void check_blocks(int64_t blocks) {
  need(blocks >= 0 && blocks <= kMostBlocks, "launch: " + std::to_string(blocks) + " blocks; it takes 0.." + std::to_string(kMostBlocks));
}

inline void check_launch(const Program& program, int64_t blocks, const std::vector<int64_t>& pointers, const Numerics& numerics) {
  check_blocks(blocks);
  const size_t tensors = program.tensor_bytes.size();
  need(pointers.size() >= tensors, "launch: " + program.name + " has " + std::to_string(tensors) + " arguments, but " + std::to_string(pointers.size()) + " addresses came");
  for (size_t t = 0; t < tensors; ++t)
    need(pointers[t] || !program.tensor_bytes[t], "launch: argument " + std::to_string(t) + " of " + program.name + " has no memory; its address is 0");
  need(numerics.mode >= kDevice && numerics.mode <= kDouble, "launch: numerics mode " + std::to_string(numerics.mode) + "; it must be 0, 1 or 2");
  need(numerics.options >= 0 && numerics.options <= (kSaturate | kLowPrecision | kHf32TowardZero), "launch: options are " + std::to_string(numerics.options) + "; they are 0..7");
}

}  // namespace al::davinci
