// Exact codecs of the 8- and 4-bit storage formats: e4m3fn, e5m2, e8m0fnu, e2m1 and HiFloat8.
// Rounding is to nearest even (HiFloat8: ties away from zero, the card's only nearest mode; arXiv
// 2409.16626). Overflow as torch's casts: e4m3fn saturates at 448, e5m2 becomes infinite, e2m1 saturates
// at 6.
#pragma once
#include "dtypes.h"

namespace al {

// A small float with `M` mantissa bits, exponent bias `B`: rounds |x| <= kMax to sign-less bits, subnormals
// included.
template <int M, int B> AL_INLINE uint32_t round_minifloat(uint32_t magnitude) {
  constexpr int shift = 23 - M;
  constexpr uint32_t smallest_normal = uint32_t(127 - B + 1) << 23;
  // Adding 2^(1 - B - M + 23) makes the float adder round to the spacing of the subnormals.
  constexpr uint32_t adder = uint32_t(127 + 1 - B - M + 23) << 23;
  uint32_t subnormal = float_bits(bits_float(magnitude) + bits_float(adder)) - adder;
  uint32_t odd = (magnitude >> shift) & 1u;
  uint32_t normal = (magnitude - (uint32_t(127 - B) << 23) + ((1u << (shift - 1)) - 1u) + odd) >> shift;
  return magnitude < smallest_normal ? subnormal : normal;
}

template <int M, int B> AL_INLINE float minifloat_to_float(uint32_t magnitude) {
  // The bits, moved to float's places, are a float with the wrong bias; a product moves the bias, subnormals
  // too.
  return bits_float(magnitude << (23 - M)) * bits_float(uint32_t(127 + 127 - B) << 23);
}

template <> inline float8_e4m3fn from_float<float8_e4m3fn>(float x) {
  uint32_t u = float_bits(x), magnitude = u & 0x7fffffffu, sign = (u >> 24) & 0x80u;
  uint32_t clipped = magnitude > 0x43e00000u ? 0x43e00000u : magnitude;  // 448
  uint32_t value = magnitude > 0x7f800000u ? 0x7fu : round_minifloat<3, 7>(clipped);
  return {uint8_t(sign | value)};
}
AL_INLINE float to_float(float8_e4m3fn x) {
  uint32_t magnitude = x.bits & 0x7fu;
  float value = minifloat_to_float<3, 7>(magnitude);
  uint32_t bits = magnitude == 0x7fu ? 0x7fc00000u : float_bits(value);
  return bits_float(bits | uint32_t(x.bits & 0x80u) << 24);
}

template <> inline float8_e5m2 from_float<float8_e5m2>(float x) {
  uint32_t u = float_bits(x), magnitude = u & 0x7fffffffu, sign = (u >> 24) & 0x80u;
  uint32_t clipped = magnitude > 0x47800000u ? 0x47800000u : magnitude;  // 65536, which rounds to infinity
  uint32_t value = magnitude > 0x7f800000u ? 0x7fu : round_minifloat<2, 15>(clipped);
  return {uint8_t(sign | value)};
}
AL_INLINE float to_float(float8_e5m2 x) { return f16_bits_to_float(uint16_t(uint32_t(x.bits) << 8)); }

// A power of two, no sign, no zero; 0xff is NaN. Infinity and what rounds to 2^128 become NaN.
template <> inline float8_e8m0fnu from_float<float8_e8m0fnu>(float x) {
  uint32_t magnitude = float_bits(x) & 0x7fffffffu, exponent = magnitude >> 23,
           fraction = magnitude & 0x7fffffu;
  bool up = fraction > 0x400000u || (fraction == 0x400000u && exponent > 0);
  return {uint8_t(exponent == 0xffu ? 0xffu : exponent + (up ? 1u : 0u))};
}
AL_INLINE float to_float(float8_e8m0fnu x) {
  uint32_t bits = x.bits == 0 ? 0x00400000u : uint32_t(x.bits) << 23;
  return bits_float(x.bits == 0xffu ? 0x7fc00000u : bits);
}

// One e2m1 value in the low four bits: 0 0.5 1 1.5 2 3 4 6. It has no NaN: NaN becomes 0, as in ml_dtypes.
AL_INLINE uint8_t float_to_e2m1(float x) {
  uint32_t u = float_bits(x), magnitude = u & 0x7fffffffu;
  uint32_t clipped = magnitude > 0x40c00000u ? 0x40c00000u : magnitude;  // 6
  uint32_t value = ((u >> 28) & 8u) | round_minifloat<1, 1>(clipped);
  return uint8_t(magnitude > 0x7f800000u ? 0u : value);
}
AL_INLINE float e2m1_to_float(uint8_t nibble) {
  float value = minifloat_to_float<1, 1>(nibble & 7u);
  return bits_float(float_bits(value) | uint32_t(nibble & 8u) << 28);
}

// ---- HiFloat8: a sign, a prefix code ("dot") that says how many bits the exponent takes, exponent, mantissa
// ----

// Mantissa bits at an exponent of this magnitude (-22..-16 are the subnormals: a power of two each).
constexpr int hif8_mantissa_bits(int e) {
  int a = e < 0 ? -e : e;
  return e < -15 ? 0 : a < 4 ? 3 : a < 8 ? 2 : 1;
}

// The code of 2^e, e in [-22, 15], without the sign.
constexpr uint8_t hif8_power_code(int e) {
  int a = e < 0 ? -e : e, s = e < 0 ? 1 : 0;
  if (e < -15) return uint8_t(e + 23);
  if (a == 0) return 0x08;                                         // 0001 mmm
  if (a == 1) return uint8_t(0x10 | s << 3);                       // 001 s mmm
  if (a < 4) return uint8_t(0x20 | s << 4 | (a - 2) << 3);         // 01 s e mmm
  if (a < 8) return uint8_t(0x40 | s << 4 | (a - 4) << 2);         // 10 s ee mm
  return uint8_t(0x60 | s << 4 | (a - 8) << 1);                    // 11 s eee m
}

struct HiF8Tables {
  uint8_t power_code[38];
  uint8_t shift[38];  // 23 - mantissa bits
  float value[256];
  constexpr HiF8Tables() : power_code(), shift(), value() {
    for (int i = 0; i < 38; i++) {
      int e = i - 22, bits = hif8_mantissa_bits(e);
      power_code[i] = hif8_power_code(e);
      shift[i] = uint8_t(23 - bits);
      for (int m = 0; m < 1 << bits; m++) {
        float v = 1.0f + float(m) / float(1 << bits);
        for (int k = 0; k < e; k++) v *= 2.0f;
        for (int k = 0; k > e; k--) v *= 0.5f;
        value[power_code[i] + m] = v;
        value[128 + power_code[i] + m] = -v;
      }
    }
    value[0x00] = 0.0f;
    value[0x80] = std::numeric_limits<float>::quiet_NaN();
    value[0x6f] = std::numeric_limits<float>::infinity();
    value[0xef] = -std::numeric_limits<float>::infinity();
  }
};
inline constexpr HiF8Tables kHiF8{};

AL_INLINE float to_float(hifloat8 x) { return kHiF8.value[x.bits]; }
template <> inline hifloat8 from_float<hifloat8>(float x) {
  uint32_t u = float_bits(x), magnitude = u & 0x7fffffffu, sign = (u >> 24) & 0x80u;
  if (magnitude > 0x7f800000u) return {0x80};
  if (magnitude < 0x34000000u) return {0};                                // below 2^-23: zero has no sign
  if (magnitude >= 0x47200000u) return {uint8_t(sign | 0x6f)};            // from 1.25 * 2^15
  if (magnitude < 0x34800000u) return {uint8_t(sign | 0x01)};             // up to 2^-22
  magnitude +=
      1u << (kHiF8.shift[int(magnitude >> 23) - 127 + 22] - 1);  // half a step: ties go away from zero
  int i = int(magnitude >> 23) - 127 + 22;
  return {uint8_t(sign | (kHiF8.power_code[i] + ((magnitude & 0x7fffffu) >> kHiF8.shift[i])))};
}

}  // namespace al
