// Products of bfloat16 by pairs: one instruction (vdpbf16ps) adds to each float of a sum the product of two high halves of words, then the
// product of the low ones, rounding to nearest each time, and taking subnormal numbers for zero.
#pragma once
#include "dtypes.h"
#include "simd/lanes.h"

namespace al::gemm {

enum class PairsBy { kInstruction, kEmulation };  // the emulation keeps subnormal numbers

template <PairsBy by>
AL_INLINE Vec<float> add_pair_products(Vec<uint32_t> a, Vec<uint32_t> b, Vec<float> sum) {
#if defined(__AVX512F__)
  if constexpr (by == PairsBy::kInstruction) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));  // by hand: the file is compiled for machines without it too
    return sum;
  }
#endif
  const Vec<uint32_t> high = splat(0xffff0000u);
  sum = fused((Vec<float>)(a & high), (Vec<float>)(b & high), sum);
  return fused((Vec<float>)(a << 16), (Vec<float>)(b << 16), sum);
}

}  // namespace al::gemm
