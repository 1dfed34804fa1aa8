// The number formats of a core's memories: those of tensors (abi.h) and, from 32 on, a few that only a core knows.
#pragma once
#include "dtypes.h"

namespace al::davinci {

enum Format : int {
  kU16 = 32, kU32 = 33, kU64 = 34,
  kInt4x2 = 35, kFloat4E1M2x2 = 36,  // two numbers a byte, the first in the low half, as kFloat4E2M1x2
  kNumFormats = 37
};

constexpr int item_size(int format) {
  constexpr int more[] = {2, 4, 8, 1, 1};
  return format < kNumDTypes ? kItemSize[format] : format >= kU16 && format < kNumFormats ? more[format - kU16] : 1;
}
constexpr bool is_float_format(int format) { return (format >= kFloat16 && format < kNumDTypes) || format == kFloat4E1M2x2; }
constexpr bool is_packed(int format) { return format == kFloat4E2M1x2 || format == kInt4x2 || format == kFloat4E1M2x2; }
constexpr bool is_unsigned(int format) { return format == kUInt8 || (format >= kU16 && format <= kU64); }
// The format of the same width that tensors have: what loops are registered by.
constexpr int as_tensor_dtype(int format) {
  return format == kU16 ? int(kInt16) : format == kU32 ? int(kInt32) : format == kU64 ? int(kInt64) : format;
}
constexpr const char* format_name(int format) {
  constexpr const char* more[] = {"uint16", "uint32", "uint64", "int4x2", "float4_e1m2x2"};
  return format < kNumDTypes ? kDTypeNames[format] : format >= kU16 && format < kNumFormats ? more[format - kU16] : "unknown";
}

// Calls f(Type<T>{}) with the integer type of a format; false if it is none.
template <class F> inline bool dispatch_integer_format(int format, F&& f) {
  switch (format) {
    case kBool: case kUInt8: f(Type<uint8_t>{}); return true;
    case kInt8: f(Type<int8_t>{}); return true;
    case kInt16: f(Type<int16_t>{}); return true;
    case kInt32: f(Type<int32_t>{}); return true;
    case kInt64: f(Type<int64_t>{}); return true;
    case kU16: f(Type<uint16_t>{}); return true;
    case kU32: f(Type<uint32_t>{}); return true;
    case kU64: f(Type<uint64_t>{}); return true;
    default: return false;
  }
}

// Writes a number into memory in a format that is not packed, rounded to nearest even (integers: cut to the width).
void store_number(char* at, int format, double real, int64_t integer, bool use_integer);

}  // namespace al::davinci
