// Packing: a strip of up to D lines of a matrix (rows of a, columns of b) becomes a panel that holds, step by
// step, one value a line.
#pragma once
#include <algorithm>

#include "simd/gemm_tile.h"

namespace al::gemm {

typedef uint16_t HalfVector __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t HalfLoad __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

// One vector of compute values from memory of any type.
template <class In, class To>
AL_INLINE Vec<To> load_as(const In* p) {
  constexpr int width = Lanes<To>::width;
  if constexpr (std::is_same_v<In, To>) {
    return load(p);
  } else if constexpr (std::is_same_v<In, bfloat16>) {
    const HalfVector half = *reinterpret_cast<const HalfLoad*>(p);
    return (Vec<To>)(__builtin_convertvector(half, Vec<uint32_t>) << 16);
#if defined(__AVX512F__)
  } else if constexpr (std::is_same_v<In, float16>) {
    return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)p));  // GCC 12 warns of its own _mm512_cvtph_ps
#elif defined(__F16C__) && !defined(AL_WIDE_BY_HALVES)
  } else if constexpr (std::is_same_v<In, float16>) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#endif
  } else {
    Vec<To> v;
    for (int i = 0; i < width; i++) v[i] = To(to_compute(p[i]));
    return v;
  }
}

// 0, 1, 2, ... in integers as wide as To.
template <class To>
AL_INLINE auto lane_numbers() {
  using Index = std::conditional_t<sizeof(To) == 2, int16_t, std::conditional_t<sizeof(To) == 4, int32_t, int64_t>>;
  Vec<Index> lane;
  for (int l = 0; l < Lanes<To>::width; l++) lane[l] = Index(l);
  return lane;
}

// Blocks of s lanes of vectors s apart are exchanged: a pass of a transposition.
template <int s, class T>
AL_INLINE void exchange(Vec<T>* rows) {
  constexpr int width = Lanes<T>::width;
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  Vec<Index> low, high;
  for (int l = 0; l < width; l++) {
    low[l] = (l & s) ? width + l - s : l;
    high[l] = (l & s) ? width + l : l + s;
  }
#pragma GCC unroll 16
  for (int i = 0; i < width; i++) {
    if (i & s) continue;
    Vec<T> a = rows[i], b = rows[i + s];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + s] = __builtin_shuffle(a, b, high);
  }
}

// In each 128 bits of four vectors of 32-bit lanes, by the two instructions that lace them: single lanes, then pairs.
template <class T>
AL_INLINE void transpose_quads(Vec<T>* rows) {
  constexpr int width = Lanes<T>::width;
  Vec<int32_t> single, pair;
  for (int l = 0; l < width; l++) {
    single[l] = l / 4 * 4 + l % 4 / 2 + l % 2 * width;
    pair[l] = l / 4 * 4 + l % 2 + l % 4 / 2 * width;
  }
  const Vec<T> low = __builtin_shuffle(rows[0], rows[1], single), high = __builtin_shuffle(rows[0], rows[1], single + 2);
  const Vec<T> low2 = __builtin_shuffle(rows[2], rows[3], single), high2 = __builtin_shuffle(rows[2], rows[3], single + 2);
  rows[0] = __builtin_shuffle(low, low2, pair);
  rows[1] = __builtin_shuffle(low, low2, pair + 2);
  rows[2] = __builtin_shuffle(high, high2, pair);
  rows[3] = __builtin_shuffle(high, high2, pair + 2);
}

// Four floats from each of the lines `pitch` bytes apart, one line behind the other: what transpose_quads makes columns of.
AL_INLINE Vec<float> load_quarters(const char* at, int64_t pitch) {
  typedef float Quarter __attribute__((vector_size(16), aligned(2), may_alias));
  const auto quarter = [&](int l) { return *reinterpret_cast<const Quarter*>(at + l * pitch); };
#if defined(__AVX512F__) || defined(AL_WIDE_BY_HALVES)
  const auto half = [&](int l) { return __builtin_shufflevector(quarter(l), quarter(l + 1), 0, 1, 2, 3, 4, 5, 6, 7); };
  return __builtin_shufflevector(half(0), half(2), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX2__)
  return __builtin_shufflevector(quarter(0), quarter(1), 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return quarter(0);
#endif
}

// Lane l of vector i goes to lane i of vector l.
template <class T>
AL_INLINE void transpose(Vec<T>* rows) {
  constexpr int width = Lanes<T>::width;
  if constexpr (width > 8) exchange<8, T>(rows);
  if constexpr (width > 4) exchange<4, T>(rows);
  if constexpr (sizeof(T) == 4) {
#pragma GCC unroll 4
    for (int i = 0; i < width; i += 4) transpose_quads<T>(rows + i);
  } else {
    if constexpr (width > 2) exchange<2, T>(rows);
    exchange<1, T>(rows);
  }
}

template <class To, class In>
AL_INLINE To convert(const In& x) {
  if constexpr (std::is_same_v<In, To>)
    return x;
  else
    return To(to_compute(x));
}

// Lines with neighbouring values of k: blocks of width x width are transposed in registers. A panel of
// `lines` < D values a step is written from left to right, so what a store puts beyond its step is
// overwritten by the next; the panel needs kSlack elements behind it.
constexpr int kSlack = 64;

template <int D, class In, class To>
void pack_across(const In* src, int64_t line_stride, int lines, int64_t depth, To* dst, int pitch) {
  constexpr int width = Lanes<To>::width, groups = (D + width - 1) / width;
  int64_t k = 0;
  for (; k + width <= depth; k += width, dst += width * pitch) {
    Vec<To> block[groups][width];
#pragma GCC unroll 4
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 16
      for (int i = 0; i < width; i++) {
        const int line = g * width + i;
        block[g][i] = line < lines ? load_as<In, To>(src + line * line_stride + k) : Vec<To>{};
      }
      transpose<To>(block[g]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < width; i++)
#pragma GCC unroll 4
      for (int g = 0; g < groups; g++)
        if (g * width < pitch) store(dst + i * pitch + g * width, block[g][i]);
  }
  for (; k < depth; k++, dst += pitch) {
    for (int i = 0; i < lines; i++) dst[i] = convert<To>(src[i * line_stride + k]);
    for (int i = lines; i < pitch; i++) dst[i] = To(0);
  }
}

// Neighbouring lines lie side by side: runs are copied.
template <int D, class In, class To>
void pack_along(const In* src, int64_t k_stride, int lines, int64_t depth, To* dst, int pitch) {
  constexpr int width = Lanes<To>::width, whole = (D + width - 1) / width * width;
  int64_t k = 0;
  // Whole vectors, as long as what they read beyond the lines belongs to later steps. It becomes zeros, or the panel's next step overwrites it.
  const bool cut = lines < pitch;
  const int64_t last = lines == whole ? 0 : k_stride > 0 ? (whole - lines + k_stride - 1) / k_stride : depth;
  const int64_t wide = cut && pitch != whole ? 0 : depth - std::min(depth, last);
  if (!cut) {
    for (; k < wide; k++, src += k_stride, dst += pitch)
#pragma GCC unroll 4
      for (int i = 0; i < whole; i += width) store(dst + i, load_as<In, To>(src + i));
  } else {
    const auto lane = lane_numbers<To>();
    for (; k < wide; k++, src += k_stride, dst += pitch)
#pragma GCC unroll 4
      for (int i = 0; i < whole; i += width) store(dst + i, lane < lines - i ? load_as<In, To>(src + i) : Vec<To>{});
  }
  for (; k < depth; k++, src += k_stride, dst += pitch) {
    for (int i = 0; i < lines; i++) dst[i] = convert<To>(src[i]);
    for (int i = lines; i < pitch; i++) dst[i] = To(0);
  }
}

// Packs `lines` <= D lines of `depth` steps, of which `valid` values of k exist; pitch elements a step are
// written (zeros beyond `lines`).
template <class Policy, int D, class In>
void pack(const In* src, int64_t line_stride, int64_t k_stride, int lines, int64_t depth,
          typename Policy::Packed* dst, int pitch, int64_t valid) {
  if constexpr (Policy::step == 1) {
    if (k_stride == 1 && lines > 1) return pack_across<D>(src, line_stride, lines, depth, dst, pitch);
    if (line_stride == 1) return pack_along<D>(src, k_stride, lines, depth, dst, pitch);
    for (int64_t k = 0; k < depth; k++, dst += pitch) {
      for (int i = 0; i < lines; i++)
        dst[i] = convert<typename Policy::Packed>(src[i * line_stride + k * k_stride]);
      for (int i = lines; i < pitch; i++) dst[i] = 0;
    }
  } else {
    Policy::pack(src, line_stride, k_stride, lines, depth, dst, pitch, valid);
  }
}

}  // namespace al::gemm
