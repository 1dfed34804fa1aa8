// Philox4x32-10 (Salmon et al., 2011), sixteen blocks at a time.
//
// What is ours: an element's words depend on (seed, offset + its index) only. Elements come in groups of 16
// blocks, word-major: word w of block b of group g serves element 64 g + 16 w + b (half as many with 64-bit
// words). The third counter word tells streams apart, so 32-bit and 64-bit draws at equal offsets share
// nothing.
#pragma once
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernel.h"
#include "simd/lanes.h"

namespace al {

constexpr int kLanes = 16;
enum Stream : uint32_t { kStream32, kStream64 };

struct Words {
  alignas(64) uint32_t w[4 * kLanes];
};

// A lane holds its word in the low half; what is in the high half is ignored by multiply().
typedef uint64_t Wide __attribute__((vector_size(kVectorBytes)));
typedef uint32_t Narrow __attribute__((vector_size(kVectorBytes / 2)));

inline Wide multiply(Wide a, uint32_t by) {
#if defined(__AVX512F__)
  return (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, _mm512_set1_epi64(by));
#elif defined(AL_WIDE_BY_HALVES)
  return (a & 0xffffffffu) * by;
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(by));
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(by));
#else
  return (a & 0xffffffffu) * by;
#endif
}

__attribute__((noinline)) inline void philox(uint64_t seed, uint64_t group, Stream stream, Words& out) {
  constexpr int kEach = kVectorBytes / 8, kVectors = kLanes / kEach;
  const uint64_t first = group * kLanes;  // a multiple of 16: lanes never carry into the high word
  Wide a[kVectors], b[kVectors], c[kVectors], d[kVectors];
  for (int v = 0; v < kVectors; v++) {
    for (int l = 0; l < kEach; l++) a[v][l] = first + uint64_t(v * kEach + l);
    b[v] = Wide{} + (first >> 32), c[v] = Wide{} + uint64_t(stream), d[v] = Wide{};
  }
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (int v = 0; v < kVectors; v++) {
      const Wide p = multiply(a[v], 0xD2511F53u), q = multiply(c[v], 0xCD9E8D57u);
      a[v] = (q >> 32) ^ b[v] ^ k0;
      c[v] = (p >> 32) ^ d[v] ^ k1;
      b[v] = q, d[v] = p;
    }
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  const Wide* words[] = {a, b, c, d};
  for (int w = 0; w < 4; w++)
    for (int v = 0; v < kVectors; v++) {
      const Narrow low = __builtin_convertvector(words[w][v], Narrow);
      std::memcpy(out.w + w * kLanes + v * kEach, &low, sizeof low);
    }
}

// Runs over n elements from `offset` on, a group of `kGroup` at a time: body(group, skip, begin, count)
// treats the elements [begin, begin + count) of the call, which are the group's from `skip` on.
template <int kGroup, class Body>
inline void for_groups(int64_t n, uint64_t offset, Body&& body) {
  if (n == 0) return;
  const uint64_t first = offset / kGroup, last = (offset + uint64_t(n) - 1) / kGroup;
  parallel_for(int64_t(last - first + 1), 128, [&](int64_t from, int64_t to) {
    for (int64_t g = from; g < to; g++) {
      const uint64_t start = (first + uint64_t(g)) * kGroup, stop = start + kGroup,
                     end = offset + uint64_t(n);
      const uint64_t begin = start > offset ? start : offset, until = stop < end ? stop : end;
      body(first + uint64_t(g), int(begin - start), int64_t(begin - offset), int64_t(until - begin));
    }
  });
}

// Uniform in (0, 1], for logarithms: 31 bits and never zero.
inline float open_unit(uint32_t w) { return float(int32_t(w >> 1)) * 0x1p-31f + 0x1p-33f; }
inline double open_unit(uint64_t w) { return double(int64_t(w >> 11) + 1) * 0x1p-53; }
// Uniform in [0, 1).
inline float unit(uint32_t w) { return float(int32_t(w >> 8)) * 0x1p-24f; }
inline double unit(uint64_t w) { return double(int64_t(w >> 11)) * 0x1p-53; }

// Natural logarithm of a normal positive float (the polynomial is Cephes' logf); good to 1 ulp or so.
inline float fast_log(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const int32_t e = int32_t(bits - 0x3f3504f3u) >> 23;  // so that the mantissa is in [sqrt(1/2), sqrt(2))
  bits -= uint32_t(e) << 23;
  float m;
  std::memcpy(&m, &bits, 4);
  m -= 1.0f;
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f, p = p * m + 1.1676998740e-1f, p = p * m - 1.2420140846e-1f,
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f, p = p * m + 2.0000714765e-1f, p = p * m - 2.4999993993e-1f,
  p = p * m + 3.3333331174e-1f;
  p = p * m * z;
  p += -2.12194440e-4f * float(e) - 0.5f * z;
  return m + p + 0.693359375f * float(e);
}

// Sine and cosine of a turn fraction in [-1/2, 1/2], by quarter turns (polynomials: Cephes' sinf and cosf).
inline void sincos_turns(float t, float& sine, float& cosine) {
  const float q = (t * 4.0f + 12582912.0f) - 12582912.0f;
  const float x = (t * 4.0f - q) * 1.5707963267948966f, z = x * x;
  const float s = x + x * z * ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f);
  const float c = 1.0f - 0.5f * z +
                  z * z * ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
  const int32_t k = int32_t(q);
  const float first = k & 1 ? c : s, second = k & 1 ? s : c;
  sine = k & 2 ? -first : first;
  cosine = (k + 1) & 2 ? -second : second;
}

}  // namespace al
