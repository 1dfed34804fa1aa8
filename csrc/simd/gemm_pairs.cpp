// bfloat16 products by pairs of neighbours of k. Where the machine lacks the instruction the same loops run on an emulation, which
// the tests use.
#include "simd/gemm_pairs.h"

#include "simd/gemm_block.h"

namespace al::gemm {

#if defined(__AVX512F__)
bool pairs_in_hardware() { return __builtin_cpu_supports("avx512bf16"); }
#elif defined(AL_WIDE_BY_HALVES)
bool pairs_in_hardware() { return true; }  // the road of a machine that has it, emulated
#else
bool pairs_in_hardware() { return false; }
#endif

bool by_pairs() {
  static const bool hardware = pairs_in_hardware();
  return hardware || backend() == kPairs;
}

void native_pairs(const Problem& p) {
  with_pairs([&]<PairsBy by>(std::integral_constant<PairsBy, by>) { multiply<Pairs<by>, bfloat16, bfloat16>(p); });
}

}  // namespace al::gemm
