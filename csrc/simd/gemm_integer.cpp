// The native back end for integers: sums wrap around as the dtype does; int8 may keep its 32 bits.
#include "simd/gemm_block.h"

namespace al::gemm {

void native_integer(const Problem& p) {
  if (p.dtype == kInt8 && p.out_dtype == kInt32)
    return multiply<MultiplyAdd<uint32_t>, int8_t, int32_t>(p);
  switch (p.dtype) {
    case kInt64:
      return multiply<MultiplyAdd<uint64_t>, int64_t, int64_t>(p);
    case kInt32:
      return multiply<MultiplyAdd<uint32_t>, int32_t, int32_t>(p);
    case kInt16:
      return multiply<MultiplyAdd<uint32_t>, int16_t, int16_t>(p);
    case kInt8:
      return multiply<MultiplyAdd<uint32_t>, int8_t, int8_t>(p);
    default:
      return multiply<MultiplyAdd<uint32_t>, uint8_t, uint8_t>(p);
  }
}

}  // namespace al::gemm
