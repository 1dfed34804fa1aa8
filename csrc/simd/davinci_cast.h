// The card's roundings of one number: to a narrower float, to an integer, to HiFloat8's grid.
#pragma once
#include <cmath>
#include <limits>

#include "float8.h"

namespace al::davinci {

// As in ascendlite/npu/lang/vector_instructions.py. kNone rounds to nearest even where it has to.
enum Rounding : int { kNone, kRint, kFloor, kCeil, kRound, kTrunc, kOdd, kHybrid, kNumRoundings };

// A magnitude between two neighbours of a grid, and what decides between them.
struct Between {
  float low, high;
  bool exact, half_or_more, low_odd;
};

template <class T> Between neighbours(float magnitude);
template <> AL_INLINE Between neighbours<bfloat16>(float magnitude) {
  const uint32_t u = float_bits(magnitude), rest = u & 0xffffu;
  return {bits_float(u - rest), bits_float(u - rest + 0x10000u), rest == 0, rest >= 0x8000u, (u & 0x10000u) != 0};
}
template <> AL_INLINE Between neighbours<float16>(float magnitude) {
  const uint32_t u = float_bits(magnitude), rest = u & 0x1fffu;
  const float scaled = magnitude * 0x1p24f, below = std::floor(scaled);  // subnormals: multiples of 2^-24
  const bool subnormal = magnitude < 0x1p-14f, large = magnitude >= 65536.0f;
  Between b{bits_float(u - rest), bits_float(u - rest + 0x2000u), rest == 0, rest >= 0x1000u, (u & 0x2000u) != 0};
  b.low = subnormal ? below * 0x1p-24f : large ? 65504.0f : b.low;
  b.high = subnormal ? (below + 1.0f) * 0x1p-24f : large ? std::numeric_limits<float>::infinity() : b.high;
  b.exact = subnormal ? below == scaled : large ? false : b.exact;
  b.half_or_more = subnormal ? scaled - below >= 0.5f : large ? true : b.half_or_more;
  b.low_odd = subnormal ? (int32_t(below < 1024.0f ? below : 0.0f) & 1) != 0 : large ? true : b.low_odd;
  return b;
}

// x on the grid of T by one of the directed or odd roundings; nearest even is what storing does.
template <class T, int mode> AL_INLINE float round_to(float x) {
  if constexpr (mode == kNone || mode == kRint) {
    return x;
  } else {
    const float magnitude = bits_float(float_bits(x) & 0x7fffffffu);
    const bool negative = float_bits(x) >> 31;
    const Between b = neighbours<T>(magnitude);
    bool up;
    if constexpr (mode == kFloor) up = negative;
    else if constexpr (mode == kCeil) up = !negative;
    else if constexpr (mode == kRound) up = b.half_or_more;
    else if constexpr (mode == kTrunc) up = false;
    else up = !b.low_odd;
    const float rounded = b.exact || !up ? b.low : b.high;
    const float finite = bits_float(float_bits(rounded) | (float_bits(x) & 0x80000000u));
    return magnitude < std::numeric_limits<float>::infinity() ? finite : x;
  }
}

template <int mode, class F> AL_INLINE F to_integral(F x) {
  if constexpr (mode == kFloor) return std::floor(x);
  else if constexpr (mode == kCeil) return std::ceil(x);
  else if constexpr (mode == kTrunc) return std::trunc(x);
  else if constexpr (mode == kRound) return std::round(x);
  else return std::nearbyint(x);
}

// A float as an integer: rounded, held to the integer's range; NaN gives 0.
template <class I, int mode, class F> AL_INLINE I to_integer(F x) {
  const F whole = to_integral<mode>(x);
  constexpr F low = F(std::numeric_limits<I>::min());
  constexpr double above = double(std::numeric_limits<I>::max() / 2 + 1) * 2.0;  // 2^bits, exact
  if (x != x) return I(0);
  if (whole < low) return std::numeric_limits<I>::min();
  if (double(whole) >= above) return std::numeric_limits<I>::max();
  return I(whole);
}

// An integer as a float, rounded by the mode.
template <int mode, class I> AL_INLINE float integer_to_float(I x) {
  const float nearest = float(x);
  if constexpr (mode == kNone || mode == kRint) {
    return nearest;
  } else {
    const __int128 exact = x, got = static_cast<__int128>(nearest);
    if (got == exact) return nearest;
    const bool negative = exact < 0, away = negative ? got < exact : got > exact;
    const uint32_t low = float_bits(nearest) - (away ? 1u : 0u);  // the neighbour toward zero
    bool up;
    if constexpr (mode == kFloor) up = negative;
    else if constexpr (mode == kCeil) up = !negative;
    else if constexpr (mode == kTrunc) up = false;
    else {
      const __int128 below = static_cast<__int128>(bits_float(low)), above = static_cast<__int128>(bits_float(low + 1));
      up = (negative ? below - exact : exact - below) >= (negative ? exact - above : above - exact);
    }
    return bits_float(low + (up ? 1u : 0u));
  }
}

// HiFloat8 in hybrid mode (arXiv 2409.16626 rounds small exponents to nearest, ties away, and large ones stochastically).
// What is ours: from |exponent| 4 on, the random number is made of the value's own bits, so results repeat.
AL_INLINE hifloat8 hif8_hybrid(float x) {
  const uint32_t u = float_bits(x), magnitude = u & 0x7fffffffu;
  const int e = int(magnitude >> 23) - 127;
  if ((e > -4 && e < 4) || magnitude >= 0x47200000u || e < -22) return from_float<hifloat8>(x);
  const int shift = 23 - hif8_mantissa_bits(e);
  const uint32_t rest = magnitude & ((1u << shift) - 1u);
  const uint32_t random = (u * 0x9E3779B9u ^ (u >> 15)) * 0x85EBCA6Bu >> (32 - shift);
  const uint32_t rounded = magnitude - rest + (random < rest ? 1u << shift : 0u);
  return from_float<hifloat8>(bits_float(rounded | (u & 0x80000000u)));
}

// Infinity becomes the largest finite value, NaN 0 (saturation mode, CTRL[48] = 0). Whether any value was one of them.
template <class T> inline bool saturate_run(T* values, int64_t n) {
  constexpr uint16_t exponent = std::is_same_v<T, float16> ? 0x7c00 : 0x7f80, largest = exponent - 1;
  auto* bits = reinterpret_cast<uint16_t*>(values);
  uint16_t any = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) {
    const uint16_t x = bits[i], magnitude = x & 0x7fff;
    any |= magnitude >= exponent ? 1 : 0;
    const uint16_t special = magnitude > exponent ? uint16_t(0) : uint16_t((x & 0x8000) | largest);
    bits[i] = magnitude >= exponent ? special : x;
  }
  return any != 0;
}

}  // namespace al::davinci
