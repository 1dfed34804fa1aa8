// bfloat16 products by pairs of neighbours of k (pairs.h), so panels hold pairs. Where the machine lacks the
// instruction the same loops run on an emulation, which the tests use.
#include "simd/gemm_block.h"
#include "simd/pairs.h"

namespace al::gemm {

namespace {

template <PairsBy by>
struct Pairs {
  using Acc = float;
  using Packed = uint32_t;
  static constexpr int step = 2;
  static constexpr bool offset = false;

  static AL_INLINE Vec<float> apply(Vec<uint32_t> a, Vec<uint32_t> b, Vec<float> sum) { return add_pair_products<by>(a, b, sum); }

  // Step s of a line holds k = 2s in its low half and k = 2s + 1 in its high one; what is beyond `valid` is
  // zero.
  static void pack(const bfloat16* src, int64_t line_stride, int64_t k_stride, int lines, int64_t depth,
                   uint32_t* dst, int pitch, int64_t valid) {
    const int64_t whole = std::min(depth, valid / 2);
    const bool words = k_stride == 1 && line_stride % 2 == 0 &&
                       uintptr_t(src) % 4 == 0;  // pairs lie in memory as they are wanted
    const auto* in_words = reinterpret_cast<const uint32_t*>(src);
    if (words && lines > 1 && pitch <= kRows)
      pack_across<kRows>(in_words, line_stride / 2, lines, whole, dst, pitch);
    else if (words && lines > 1)
      pack_across<kCols<Pairs>>(in_words, line_stride / 2, lines, whole, dst, pitch);
    else
      interleave(src, line_stride, k_stride, lines, whole, dst, pitch);
    if (whole < depth) {
      for (int i = 0; i < pitch; i++)
        dst[whole * pitch + i] = i < lines ? src[i * line_stride + 2 * whole * k_stride].bits : 0;
    }
  }

  // Lines side by side are laced by whole vectors, as long as what these read beyond the lines belongs to a later step.
  static void interleave(const bfloat16* src, int64_t line_stride, int64_t k_stride, int lines, int64_t depth, uint32_t* dst, int pitch) {
    constexpr int width = Lanes<uint32_t>::width;
    const int whole = (lines + width - 1) / width * width;
    int64_t s = 0;
    if (line_stride == 1 && lines == pitch && k_stride + lines >= whole)
      for (const int64_t end = whole == lines ? depth : depth - 1; s < end; s++, src += 2 * k_stride, dst += pitch)
        for (int i = 0; i < whole; i += width) store(dst + i, widened(src + i) | widened(src + k_stride + i) << 16);
    for (; s < depth; s++, src += 2 * k_stride, dst += pitch) {
      for (int i = 0; i < lines; i++) dst[i] = src[i * line_stride].bits | uint32_t(src[i * line_stride + k_stride].bits) << 16;
      for (int i = lines; i < pitch; i++) dst[i] = 0;
    }
  }
  static AL_INLINE Vec<uint32_t> widened(const bfloat16* p) {
    return __builtin_convertvector(*reinterpret_cast<const HalfLoad*>(p), Vec<uint32_t>);
  }
};

}  // namespace

#if defined(__AVX512F__)
bool pairs_in_hardware() { return __builtin_cpu_supports("avx512bf16"); }

void native_pairs(const Problem& p) {
  static const bool instruction = pairs_in_hardware();
  if (instruction)
    multiply<Pairs<PairsBy::kInstruction>, bfloat16, bfloat16>(p);
  else
    multiply<Pairs<PairsBy::kEmulation>, bfloat16, bfloat16>(p);
}
#else
#if defined(AL_WIDE_BY_HALVES)
bool pairs_in_hardware() { return true; }  // the road of a machine that has it, emulated
#else
bool pairs_in_hardware() { return false; }
#endif

void native_pairs(const Problem& p) { multiply<Pairs<PairsBy::kEmulation>, bfloat16, bfloat16>(p); }
#endif

}  // namespace al::gemm
