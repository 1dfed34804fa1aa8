// The native back end for integers: sums wrap around as the dtype does; int8 may keep its 32 bits.
#include "simd/gemm_block.h"

namespace al::gemm {

void native_integer(const Problem& p) {
  if (p.dtype == kInt8 && p.out_dtype == kInt32)
    return Product<MultiplyAdd<uint32_t>, int8_t, int32_t>(p).run();
  switch (p.dtype) {
    case kInt64:
      return Product<MultiplyAdd<uint64_t>, int64_t, int64_t>(p).run();
    case kInt32:
      return Product<MultiplyAdd<uint32_t>, int32_t, int32_t>(p).run();
    case kInt16:
      return Product<MultiplyAdd<uint32_t>, int16_t, int16_t>(p).run();
    case kInt8:
      return Product<MultiplyAdd<uint32_t>, int8_t, int8_t>(p).run();
    default:
      return Product<MultiplyAdd<uint32_t>, uint8_t, uint8_t>(p).run();
  }
}

}  // namespace al::gemm
