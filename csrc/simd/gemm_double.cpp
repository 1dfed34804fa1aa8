// The native back end for float64.
#include "simd/gemm_block.h"

namespace al::gemm {

void native_double(const Problem& p) { multiply<MultiplyAdd<double>, double, double>(p); }

}  // namespace al::gemm
