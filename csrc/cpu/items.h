// Sizes and types of elements for kernels that are compiled once: dispatch on the dtype, nothing numeric.
#pragma once
#include <cstring>

#include "kernel.h"

namespace al {

inline int64_t item_size(int32_t dtype) {
  static constexpr int8_t sizes[kNumDTypes] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 1, 1, 1, 1, 1};
  return sizes[dtype];
}

// Calls f(T{}) with the unsigned type that has the dtype's size: for kernels that only move elements.
template <class F>
inline void with_bits(int32_t dtype, F&& f) {
  switch (item_size(dtype)) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

// Calls f(T{}) with a type to calculate in. Sixteen-bit and eight-bit floats are refused: the records above
// cast them.
template <class F>
inline void with_number(const Call& call, const char* op, int32_t dtype, F&& f) {
  switch (dtype) {
    case kBool: return f(bool{});
    case kUInt8: return f(uint8_t{});
    case kInt8: return f(int8_t{});
    case kInt16: return f(int16_t{});
    case kInt32: return f(int32_t{});
    case kInt64: return f(int64_t{});
    case kFloat32: return f(float{});
    case kFloat64: return f(double{});
    default:
      fail(call, kRuntimeError, "%s: not implemented for dtype code %d on cpu; cast to float32 first", op,
           dtype);
  }
}

}  // namespace al
