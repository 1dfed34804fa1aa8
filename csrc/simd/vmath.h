// Elementary functions that GCC vectorises: branch-free float versions within about 2 ulp, right at
// infinities, NaN, subnormals and -0. Double goes to libm. Polynomials are minimax fits (Lawson) of the named
// remainders. sin, cos and tan hold for |x| <= kTrigLimit; the loops send larger arguments to libm.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include "dtypes.h"

namespace al::vm {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kTrigLimit = 1048576.0f;  // 2^20: the reduction in double keeps 2^-50

AL_INLINE int32_t to_bits(float x) { return __builtin_bit_cast(int32_t, x); }
AL_INLINE float of_bits(int32_t x) { return __builtin_bit_cast(float, x); }

// One rounding where the machine has it: asked for by name, since contraction is off.
AL_INLINE float fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
AL_INLINE double fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

template <class T> AL_INLINE T poly(T, T last) { return last; }
template <class T, class... C>
AL_INLINE T poly(T x, T first, C... rest) {
  return fma(poly(x, rest...), x, first);
}

AL_INLINE float copysign(float magnitude, float sign) {
  return of_bits((to_bits(magnitude) & 0x7fffffff) | (to_bits(sign) & int32_t(0x80000000u)));
}
AL_INLINE double copysign(double magnitude, double sign) { return std::copysign(magnitude, sign); }
AL_INLINE float abs(float x) { return of_bits(to_bits(x) & 0x7fffffff); }
AL_INLINE double abs(double x) { return std::fabs(x); }
AL_INLINE float sqrt(float x) { return std::sqrt(x); }
AL_INLINE double sqrt(double x) { return std::sqrt(x); }

// ---- exponentials: x = n ln2 + r ----

constexpr float kRound =
    12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which its low bits then hold
AL_INLINE float pow2(int32_t n) { return of_bits((n + 127) << 23); }  // n in [-126, 127]
AL_INLINE float scale_pow2(float x, int32_t n) {  // x * 2^n through two steps: subnormal and infinite results
  int32_t half = n >> 1;
  return x * pow2(half) * pow2(n - half);
}

struct Reduced { int32_t n; float r; };
AL_INLINE Reduced reduce_ln2(float x) {
  float shifted = fma(x, 1.44269504f, kRound), n = shifted - kRound;
  return {to_bits(shifted) - to_bits(kRound), fma(n, -1.42860677e-6f, fma(n, -0.693145752f, x))};
}
constexpr float kExpTail[] = {0.5f, 1.6666667e-1f, 4.166634e-2f, 8.333271e-3f, 1.394206e-3f, 1.9915032e-4f};
AL_INLINE float exp_poly(float r) {  // e^r - 1
  const auto& c = kExpTail;
  return fma(poly(r, c[0], c[1], c[2], c[3], c[4], c[5]) * r, r, r);
}

AL_INLINE float exp(float x) {
  float clipped = x > 89.0f ? 89.0f : x;
  clipped = clipped < -104.0f ? -104.0f : clipped;
  Reduced a = reduce_ln2(clipped);
  return scale_pow2(exp_poly(a.r) + 1.0f, a.n);
}

// For results that are at least 2^-126: half the steps of exp. x in [-87, 88].
AL_INLINE float exp_normal(float x) {
  Reduced a = reduce_ln2(x);
  return (exp_poly(a.r) + 1.0f) * pow2(a.n);
}

AL_INLINE float exp2(float x) {
  float clipped = x > 129.0f ? 129.0f : x;
  clipped = clipped < -151.0f ? -151.0f : clipped;
  float shifted = clipped + kRound, n = shifted - kRound;
  float f = clipped - n;
  return scale_pow2(exp_poly(fma(f, 1.93254e-8f, f * 0.693147182f) - f * 2.1233e-8f) + 1.0f,
                    to_bits(shifted) - to_bits(kRound));
}

AL_INLINE float expm1(float x) {
  float clipped = x > 89.0f ? 89.0f : x;
  clipped = clipped < -20.0f ? -20.0f : clipped;
  Reduced a = reduce_ln2(clipped);
  float half_scale = pow2(a.n - 1);
  float y = fma(half_scale, exp_poly(a.r), half_scale - 0.5f) * 2.0f;
  return x == 0.0f ? x : y;
}

// ---- logarithms: x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2) ----

struct Split { float e, f; };
AL_INLINE Split split_log(float x) {
  bool small = x < 1.17549435e-38f;
  int32_t u = to_bits(small ? x * 8388608.0f : x);
  int32_t shifted = u - 0x3f3504f3;
  float e = float(shifted >> 23) - (small ? 23.0f : 0.0f);
  return {e, of_bits((shifted & 0x007fffff) + 0x3f3504f3) - 1.0f};
}
AL_INLINE float log_tail(float f) {  // log(1 + f) - f
  float z = f * f;
  float p = poly(f, 3.333331e-1f, -2.4999985e-1f, 2.0002273e-1f, -1.6669357e-1f, 1.4217716e-1f,
                 -1.2381806e-1f, 1.18779145e-1f, -1.1807859e-1f, 6.925865e-2f);
  return fma(p * f, z, -0.5f * z);
}
AL_INLINE float log_special(float x, float y) {
  y = x == kInf ? kInf : y;
  y = x == 0.0f ? -kInf : y;
  return x < 0.0f || x != x ? kNaN : y;
}

AL_INLINE float log(float x) {
  Split s = split_log(x);
  float y = s.f + fma(s.e, -2.12194440e-4f, log_tail(s.f));
  return log_special(x, fma(s.e, 0.693359375f, y));
}
AL_INLINE float log_scaled(float x, float factor, float factor_rest, float unit, float unit_rest) {
  Split s = split_log(x);
  float tail = log_tail(s.f);  // (f + tail) * (factor + rest) + e * (unit + rest), the small parts first
  float low = fma(s.f, factor_rest, fma(tail, factor, s.e * unit_rest));
  float high = fma(s.f, factor, low);
  return log_special(x, fma(s.e, unit, high));
}
AL_INLINE float log2(float x) { return log_scaled(x, 1.44269502f, 1.9259629e-8f, 1.0f, 0.0f); }
AL_INLINE float log10(float x) {
  return log_scaled(x, 0.434294492f, -1.0100326e-8f, 0.301025391f, 4.60503906e-6f);
}
AL_INLINE float log1p(float x) {
  float u = 1.0f + x;
  float lost = x > 1.0f ? 1.0f - (u - x) : x - (u - 1.0f);  // what the sum rounded away
  Split s = split_log(u);
  float y = s.f + (fma(s.e, -2.12194440e-4f, log_tail(s.f)) + lost / u);
  y = log_special(u, fma(s.e, 0.693359375f, y));
  return abs(x) < 1e-8f ? x : y;
}

// ---- hyperbolic ----

AL_INLINE float sinh(float x) {
  float a = abs(x), t = expm1(a > 88.0f ? 88.0f : a), w = exp(0.5f * a);
  float y = a > 88.0f ? 0.5f * w * w : 0.5f * (t + t / (t + 1.0f));
  return a < 1e-4f ? x : copysign(y, x);
}
AL_INLINE float cosh(float x) {
  float a = abs(x), w = exp(0.5f * a), e = exp(a > 88.0f ? 88.0f : a);
  return a > 88.0f ? 0.5f * w * w : 0.5f * e + 0.5f / e;
}
AL_INLINE float tanh(float x) {
  float a = abs(x), t = expm1(a > 10.0f ? 20.0f : 2.0f * a), y = copysign(t / (t + 2.0f), x);
  return x != x ? x : y;
}
AL_INLINE float asinh(float x) {
  float a = abs(x);
  bool big = a > 2.5e8f;
  float y = log1p(big ? a : a + a * a / (1.0f + std::sqrt(fma(a, a, 1.0f))));
  return copysign(big ? y + 0.693147182f : y, x);
}
AL_INLINE float acosh(float x) {
  bool big = x > 2.5e8f;
  float t = x - 1.0f;
  float y = log1p(big ? x : t + std::sqrt(fma(t, t, 2.0f * t)));
  y = big ? y + 0.693147182f : y;
  return x < 1.0f ? kNaN : y;
}
AL_INLINE float atanh(float x) {
  float a = abs(x), y = copysign(0.5f * log1p(2.0f * a / (1.0f - a)), x);
  return a > 1.0f ? kNaN : y;
}

// ---- trigonometric: x = n pi/2 + r, in double ----

struct Angle { int32_t n; double r; };
AL_INLINE Angle reduce_pi(float x) {
  constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  double wide = x, shifted = wide * 0.63661977236758134308 + round, n = shifted - round;
  double r = (wide - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
  return {int32_t(n), r};
}
template <class T> AL_INLINE T sin_poly(T r) {
  T z = r * r;
  return fma(poly(z, T(-1.6666667e-1f), T(8.333329e-3f), T(-1.9839256e-4f), T(2.7175647e-6f)) * z, r, r);
}
template <class T> AL_INLINE T cos_poly(T r) {
  T z = r * r;
  T p = poly(z, T(4.1666668e-2f), T(-1.3888883e-3f), T(2.4799436e-5f), T(-2.7203302e-7f));
  return fma(p * z, z, fma(z, T(-0.5f), T(1)));
}
AL_INLINE float sin(float x) {
  Angle a = reduce_pi(x);
  float y = (a.n & 1) ? cos_poly(float(a.r)) : sin_poly(float(a.r));
  y = of_bits(to_bits(y) ^ (a.n & 2) << 30);
  return x == 0.0f ? x : y;
}
AL_INLINE float cos(float x) {
  Angle a = reduce_pi(x);
  float y = (a.n & 1) ? sin_poly(float(a.r)) : cos_poly(float(a.r));
  return of_bits(to_bits(y) ^ ((a.n + 1) & 2) << 30);
}
AL_INLINE float tan(float x) {
  Angle a = reduce_pi(x);
  double s = sin_poly(a.r), c = cos_poly(a.r);  // in double: a quotient would add up three roundings
  float y = float((a.n & 1) ? -c / s : s / c);
  return x == 0.0f ? x : y;
}
AL_INLINE float atan(float x) {
  float a = abs(x);
  bool inverse = a > 1.0f;
  float t = inverse ? 1.0f / a : a, z = t * t;
  float p = poly(z, -3.3333302e-1f, 1.9998638e-1f, -1.4265245e-1f, 1.09575756e-1f, -8.419458e-2f,
                 5.8234517e-2f, -3.1455662e-2f, 1.1064418e-2f, -1.8272073e-3f);
  float y = fma(p * z, t, t);
  return copysign(inverse ? 1.57079637f - (y + 4.37113883e-8f) : y, x);
}
AL_INLINE float atan2(float y, float x) {
  float ax = abs(x), ay = abs(y);
  bool steep = ay > ax;
  float high = steep ? ay : ax, low = steep ? ax : ay;
  float ratio = low / high;
  ratio = high == 0.0f ? 0.0f : (low == kInf ? 1.0f : ratio);
  float a = atan(ratio);
  a = steep ? 1.57079637f - (a + 4.37113883e-8f) : a;
  a = to_bits(x) < 0 ? 3.14159274f - (a + 8.74227766e-8f) : a;
  return x != x || y != y ? kNaN : copysign(a, y);
}
AL_INLINE float asin_poly(float t, float z) {  // asin(t), t = sqrt(z) <= 1/2
  float p = poly(z, 1.666666e-1f, 7.500523e-2f, 4.4513207e-2f, 3.183983e-2f, 1.43141905e-2f, 3.769514e-2f);
  return fma(p * z, t, t);
}
AL_INLINE float asin(float x) {
  float a = abs(x);
  bool high = a > 0.5f;
  float z = high ? 0.5f * (1.0f - a) : a * a, p = asin_poly(high ? std::sqrt(z) : a, z);
  return copysign(high ? 1.57079637f - (2.0f * p + 4.37113883e-8f) : p, x);
}
AL_INLINE float acos(float x) {
  float a = abs(x);
  bool high = a > 0.5f;
  float z = high ? 0.5f * (1.0f - a) : a * a, p = asin_poly(high ? std::sqrt(z) : a, z);
  float right = high ? 2.0f * p : 1.57079637f - (p + 4.37113883e-8f);
  float left = high ? 3.14159274f - (2.0f * p + 8.74227766e-8f) : 1.57079637f + (p - 4.37113883e-8f);
  return x < 0.0f ? left : right;
}

// ---- error functions and the normal distribution ----

AL_INLINE float erf_inner(float x) {  // |x| < 0.93
  float p = poly(x * x, 1.28379166e-1f, -3.76125336e-1f, 1.12819925e-1f, -2.67681349e-2f, 4.99119423e-3f,
                 -5.96761703e-4f);
  return fma(p, x, x);
}
AL_INLINE float erf(float x) {
  float t = abs(x), s = x * x;
  float u = fma(-3.88396438e-3f, t, 2.42546219e-2f);
  float r = fma(fma(-1.72853470e-5f, t, 3.83197126e-4f), s, u);
  r = fma(r, t, -1.06777877e-1f);
  r = fma(r, t, -6.34846687e-1f);
  r = fma(r, t, -1.28717512e-1f);
  r = fma(r, t, -t);
  r = r < -87.0f ? -87.0f : r;
  float outer = copysign(1.0f - exp_normal(r), x);
  return t > 0.927734375f ? outer : erf_inner(x);
}

// e^(-s a^2), with the error of the square made good: the tail stays relatively exact.
AL_INLINE float exp_minus_square(float a, float s) {
  float high = a * a, low = fma(a, a, -high);
  float e = exp(-s * high);
  return fma(e * -s, low, e);
}
AL_INLINE float erfc(float x) {
  float a = abs(x);
  a = a > 10.5f ? 10.5f : a;
  float r = 1.0f / (a + 3.0f), q = (a - 3.0f) * r;
  float p = poly(q, 1.0740069e+00f, -8.833945e-01f, 5.9022826e-01f, -3.104663e-01f, 1.19529836e-01f,
                 -2.6836917e-02f, -1.2297897e-03f, 3.0680662e-03f, -4.8175853e-04f, -3.0695033e-04f,
                 9.9897625e-06f);
  float tail = p * r * exp_minus_square(a, 1.0f);
  float y = x < 0.0f ? 2.0f - tail : tail;
  y = a < 0.9f ? 1.0f - erf_inner(x) : y;
  return x != x ? x : y;
}

// P(X <= x) and the density of the standard normal: one exponential serves both.
template <class T> struct Normal { T cdf, pdf; };
constexpr float kNormalTail[] = {7.290837e-1f, -5.09332e-1f, 2.300177e-1f, -4.7262687e-2f, -1.0462521e-2f, 6.9693024e-3f,
                                 1.0247844e-3f, -1.0325238e-3f, -2.4475504e-4f, 1.3125325e-4f, 5.4454846e-5f};
AL_INLINE Normal<float> normal(float x) {
  float a = abs(x);
  bool gone = a > 13.0f;  // both are below 1e-37
  a = gone ? 13.0f : a;
  float e = exp_normal(-0.5f * (a * a));
  e = gone ? 0.0f : e;
  float r = 1.0f / (a + 3.0f), q = (a - 3.0f) * r;
  const auto& c = kNormalTail;
  float p = poly(q, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10]);
  float tail = p * r * e;
  return {x < 0.0f ? tail : 1.0f - tail, 0.398942280f * e};
}

// ---- double ----

#define AL_LIBM(name) AL_INLINE double name(double x) { return std::name(x); }
AL_LIBM(exp) AL_LIBM(exp2) AL_LIBM(expm1) AL_LIBM(log) AL_LIBM(log2) AL_LIBM(log10) AL_LIBM(log1p)
AL_LIBM(sinh) AL_LIBM(cosh) AL_LIBM(tanh) AL_LIBM(asinh) AL_LIBM(acosh) AL_LIBM(atanh)
AL_LIBM(sin) AL_LIBM(cos) AL_LIBM(tan) AL_LIBM(asin) AL_LIBM(acos) AL_LIBM(atan) AL_LIBM(erf) AL_LIBM(erfc)
#undef AL_LIBM
AL_INLINE double atan2(double y, double x) { return std::atan2(y, x); }
AL_INLINE Normal<double> normal(double x) {
  return {0.5 * std::erfc(-x * 0.70710678118654752440), 0.39894228040143267794 * std::exp(-0.5 * x * x)};
}

// ---- built from the above ----

template <class T> AL_INLINE T sigmoid(T x) { return T(1) / (T(1) + exp(-x)); }
template <class T> AL_INLINE T softplus(T x) { return (x > T(0) ? x : T(0)) + log1p(exp(-abs(x))); }

}  // namespace al::vm
