// The native back end for float32.
#include "simd/gemm_block.h"

namespace al::gemm {

void native_float(const Problem& p) { multiply<MultiplyAdd<float>, float, float>(p); }

}  // namespace al::gemm
