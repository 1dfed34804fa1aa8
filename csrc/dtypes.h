// The element types of tensors in C++, how low precision is loaded and stored, and how code is chosen by
// dtype. Arithmetic on 16-bit floats is done in float: to_float, compute, from_float (round to nearest even,
// NaN kept).
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "abi.h"
#if defined(__F16C__)
#include <immintrin.h>
#endif

#define AL_INLINE inline __attribute__((always_inline))

namespace al {

struct bfloat16 { uint16_t bits; };
#if defined(__aarch64__) && __GNUC__ < 13
using float16 = __fp16;  // GCC 12 knows _Float16 in C++ on x86 only
#else
using float16 = _Float16;
#endif
struct float8_e4m3fn { uint8_t bits; };
struct float8_e5m2 { uint8_t bits; };
struct float8_e8m0fnu { uint8_t bits; };
struct float4_e2m1fn_x2 { uint8_t bits; };  // two values a byte, the first in the low half
struct hifloat8 { uint8_t bits; };

// The dtype code of a C++ type, and the type that arithmetic on it uses.
template <class T> struct TypeInfo;
template <> struct TypeInfo<bool> { static constexpr DType dtype = kBool; using compute = bool; };
template <> struct TypeInfo<uint8_t> { static constexpr DType dtype = kUInt8; using compute = uint8_t; };
template <> struct TypeInfo<int8_t> { static constexpr DType dtype = kInt8; using compute = int8_t; };
template <> struct TypeInfo<int16_t> { static constexpr DType dtype = kInt16; using compute = int16_t; };
template <> struct TypeInfo<int32_t> { static constexpr DType dtype = kInt32; using compute = int32_t; };
template <> struct TypeInfo<int64_t> { static constexpr DType dtype = kInt64; using compute = int64_t; };
template <> struct TypeInfo<float16> { static constexpr DType dtype = kFloat16; using compute = float; };
template <> struct TypeInfo<bfloat16> { static constexpr DType dtype = kBFloat16; using compute = float; };
template <> struct TypeInfo<float> { static constexpr DType dtype = kFloat32; using compute = float; };
template <> struct TypeInfo<double> { static constexpr DType dtype = kFloat64; using compute = double; };
template <>
struct TypeInfo<float8_e4m3fn> {
  static constexpr DType dtype = kFloat8E4M3;
  using compute = float;
};
template <>
struct TypeInfo<float8_e5m2> {
  static constexpr DType dtype = kFloat8E5M2;
  using compute = float;
};
template <>
struct TypeInfo<float8_e8m0fnu> {
  static constexpr DType dtype = kFloat8E8M0;
  using compute = float;
};
template <> struct TypeInfo<hifloat8> { static constexpr DType dtype = kHiFloat8; using compute = float; };

template <class T> constexpr DType dtype_of = TypeInfo<T>::dtype;
template <class T> using compute_t = typename TypeInfo<T>::compute;
template <class T> constexpr bool is_half = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;
template <class T> constexpr bool is_floating = is_half<T> || std::is_floating_point_v<T>;

constexpr int kItemSize[kNumDTypes] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 1, 1, 1, 1, 1};
constexpr const char* kDTypeNames[kNumDTypes] = {
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn_x2", "hifloat8"};

AL_INLINE uint32_t float_bits(float x) { return __builtin_bit_cast(uint32_t, x); }
AL_INLINE float bits_float(uint32_t x) { return __builtin_bit_cast(float, x); }

// ---- float16 and bfloat16: branch-free, so that loops over them are vectorised ----

AL_INLINE float bf16_bits_to_float(uint16_t h) { return bits_float(uint32_t(h) << 16); }

AL_INLINE uint16_t float_to_bf16_bits(float x) {
  uint32_t u = float_bits(x);
  uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return uint16_t(x != x ? 0x7fc0u : rounded);
}

AL_INLINE float f16_bits_to_float(uint16_t h) {
  uint32_t magnitude = (h & 0x7fffu) << 13;
  uint32_t finite =
      float_bits(bits_float(magnitude) * 0x1p112f);  // moves the exponent's bias; exact for subnormals
  uint32_t value = magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite;
  return bits_float(value | uint32_t(h & 0x8000u) << 16);
}

AL_INLINE uint16_t float_to_f16_bits(float x) {
  uint32_t u = float_bits(x), sign = (u >> 16) & 0x8000u, twice = u + u;
  float scaled = (bits_float(u & 0x7fffffffu) * 0x1p112f) * 0x1p-110f;  // too large becomes infinite
  uint32_t bias = twice & 0xff000000u;
  bias = bias < 0x71000000u ? 0x71000000u : bias;
  uint32_t sum =
      float_bits(bits_float((bias >> 1) + 0x07800000u) + scaled);  // the addition rounds to 10 bits
  uint32_t value = ((sum >> 13) & 0x7c00u) + (sum & 0xfffu);
  return uint16_t(sign | (twice > 0xff000000u ? 0x7e00u : value));
}

AL_INLINE float to_float(bfloat16 x) { return bf16_bits_to_float(x.bits); }
#if defined(__F16C__)
AL_INLINE float to_float(float16 x) { return _cvtsh_ss(__builtin_bit_cast(uint16_t, x)); }
#else
AL_INLINE float to_float(float16 x) { return f16_bits_to_float(__builtin_bit_cast(uint16_t, x)); }
#endif
AL_INLINE float to_float(float x) { return x; }
AL_INLINE double to_float(double x) { return x; }

// The value of any stored type in its compute type.
template <class T> AL_INLINE compute_t<T> to_compute(T x) {
  if constexpr (std::is_same_v<T, compute_t<T>>) return x;
  else return to_float(x);
}

template <class T> AL_INLINE T from_float(compute_t<T> x) {
  if constexpr (std::is_same_v<T, bfloat16>) return bfloat16{float_to_bf16_bits(x)};
#if defined(__F16C__)
  else if constexpr (std::is_same_v<T, float16>)
    return __builtin_bit_cast(float16, uint16_t(_cvtss_sh(x, 0)));
#else
  else if constexpr (std::is_same_v<T, float16>) return __builtin_bit_cast(float16, float_to_f16_bits(x));
#endif
  else return T(x);
}

// Conversions of whole runs; the way to read and write 16-bit floats fast. src and dst do not overlap.
template <class T> inline void load_floats(const T* src, compute_t<T>* dst, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__)
  if constexpr (std::is_same_v<T, float16>)
    for (; i + 8 <= n; i += 8)
      _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(src + i))));
#endif
#pragma GCC ivdep
  for (; i < n; i++) dst[i] = to_compute(src[i]);
}

template <class T> inline void store_floats(const compute_t<T>* src, T* dst, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__)
  if constexpr (std::is_same_v<T, float16>)
    for (; i + 8 <= n; i += 8)
      _mm_storeu_si128((__m128i*)(dst + i), _mm256_cvtps_ph(_mm256_loadu_ps(src + i), 0));
#endif
#pragma GCC ivdep
  for (; i < n; i++) dst[i] = from_float<T>(src[i]);
}

// ---- float to integer: truncation, with a result for every input (C leaves NaN and overflow undefined) ----
// Out of range and NaN give the lowest value of the 32- or 64-bit integer; 8 and 16 bits are cut from 32.
template <class I, class F> AL_INLINE I float_to_int(F x) {
  static_assert(std::is_floating_point_v<F>);
  if constexpr (std::is_same_v<I, bool>) {
    return x != F(0);
  } else if constexpr (sizeof(I) == 8) {
    bool fits = x >= F(-0x1p63) && x < F(0x1p63);
    return fits ? I(int64_t(x)) : I(std::numeric_limits<int64_t>::min());
  } else {
    bool fits =
        std::is_same_v<F, float> ? x >= F(-0x1p31) && x < F(0x1p31) : x > F(-0x1p31) - F(1) && x < F(0x1p31);
    return fits ? I(int32_t(x)) : I(std::numeric_limits<int32_t>::min());
  }
}

// ---- dispatch: calls f(Type<T>{}) with the type of the dtype; false if the family does not hold it ----
template <class T> struct Type { using type = T; };

template <class First, class... Rest, class F> AL_INLINE bool dispatch_types(int32_t dtype, F&& f) {
  if (dtype == dtype_of<First>) { f(Type<First>{}); return true; }
  if constexpr (sizeof...(Rest) > 0) return dispatch_types<Rest...>(dtype, f);
  else return false;
}

// dispatch_floats(v.dtype, [&]<class T>(Type<T>) { ... ptr<T>(v) ... });
template <class F> inline bool dispatch_floats(int32_t dtype, F&& f) {
  return dispatch_types<float, double, bfloat16, float16>(dtype, f);
}
template <class F> inline bool dispatch_ints(int32_t dtype, F&& f) {
  return dispatch_types<int64_t, int32_t, int16_t, int8_t, uint8_t>(dtype, f);
}
template <class F> inline bool dispatch_numbers(int32_t dtype, F&& f) {
  return dispatch_types<float, double, bfloat16, float16, int64_t, int32_t, int16_t, int8_t, uint8_t>(dtype,
                                                                                                      f);
}
template <class F> inline bool dispatch_all(int32_t dtype, F&& f) {
  return dispatch_types<float, double, bfloat16, float16, int64_t, int32_t, int16_t, int8_t, uint8_t, bool>(
      dtype, f);
}
// By width only, for code that moves bytes: f(Type<uint8_t/uint16_t/uint32_t/uint64_t>).
template <class F> inline void dispatch_width(int32_t dtype, F&& f) {
  switch (kItemSize[dtype]) {
    case 1: return f(Type<uint8_t>{});
    case 2: return f(Type<uint16_t>{});
    case 4: return f(Type<uint32_t>{});
    default: return f(Type<uint64_t>{});
  }
}

}  // namespace al
