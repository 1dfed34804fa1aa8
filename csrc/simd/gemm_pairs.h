// The policy of bfloat16 products by pairs (pairs.h): panels hold pairs of neighbours of k.
#pragma once
#include "simd/gemm.h"
#include "simd/gemm_pack.h"
#include "simd/pairs.h"

namespace al::gemm {

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

// The bfloat16 nearest to each, NaN kept.
template <PairsBy by>
AL_INLINE HalfVector nearest(Vec<float> x) {
#if defined(__AVX512F__)
  if constexpr (by == PairsBy::kInstruction) {
    HalfVector y;
    asm("vcvtneps2bf16 %1, %0" : "=v"(y) : "v"(x));
    return y;
  }
#endif
  const Vec<uint32_t> u = (Vec<uint32_t>)x, rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
  return __builtin_convertvector(x != x ? splat(0x7fc0u) : rounded, HalfVector);
}

// Calls body with the way in which this machine multiplies pairs.
template <class Body>
void with_pairs(Body&& body) {
#if defined(__AVX512F__)
  static const bool instruction = pairs_in_hardware();
  if (instruction) return body(std::integral_constant<PairsBy, PairsBy::kInstruction>{});
#endif
  body(std::integral_constant<PairsBy, PairsBy::kEmulation>{});
}

}  // namespace al::gemm
