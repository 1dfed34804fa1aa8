// The native back end for 16-bit floats: converted to float where they are packed, summed in float, rounded
// once.
#include "simd/gemm_block.h"

namespace al::gemm {

void native_half(const Problem& p) {
  if (p.dtype == kFloat16) return multiply<MultiplyAdd<float>, float16, float16>(p);
  if (by_pairs()) return native_pairs(p);
  multiply<MultiplyAdd<float>, bfloat16, bfloat16>(p);
}

}  // namespace al::gemm
