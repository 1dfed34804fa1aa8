// Elementary functions on K vectors at once, step for step those of vmath.h, whose values they have; but exp_decay and normal look parts
// of their results up where an instruction picks from a table of 16. A loop that the compiler makes vectors of keeps one chain of
// dependent steps in flight; K chains beside each other hide its latency.
#pragma once
#include "simd/lanes.h"
#include "simd/vmath.h"

namespace al::vm {

using Floats = Vec<float>;
using Ints = Vec<int32_t>;
template <int K> using Many = Floats[K];

#define AL_EACH(k) _Pragma("GCC unroll 8") for (int k = 0; k < K; k++)

// x, but not below or above a bound; NaN stays.
#if defined(__AVX512F__)
AL_INLINE Floats at_least(Floats x, float low) { return _mm512_max_ps(splat(low), x); }
AL_INLINE Floats at_most(Floats x, float high) { return _mm512_min_ps(splat(high), x); }
#elif defined(__AVX2__) && !defined(AL_WIDE_BY_HALVES)
AL_INLINE Floats at_least(Floats x, float low) { return _mm256_max_ps(splat(low), x); }
AL_INLINE Floats at_most(Floats x, float high) { return _mm256_min_ps(splat(high), x); }
#else
AL_INLINE Floats at_least(Floats x, float low) { return x < splat(low) ? splat(low) : x; }
AL_INLINE Floats at_most(Floats x, float high) { return x > splat(high) ? splat(high) : x; }
#endif
// The larger one; x where it is NaN stays out of sight.
AL_INLINE Floats larger(Floats x, Floats least) {
#if defined(__AVX512F__)
  return _mm512_max_ps(x, least);
#elif defined(__AVX2__) && !defined(AL_WIDE_BY_HALVES)
  return _mm256_max_ps(x, least);
#else
  return x > least ? x : least;
#endif
}
AL_INLINE Vec<double> larger(Vec<double> x, Vec<double> least) { return x > least ? x : least; }
AL_INLINE Floats zero_where(Ints mask, Floats x) { return (Floats)((Ints)x & ~mask); }

// The reduction and the polynomial of exp: x becomes e^r, the result the exponent n.
template <int K> AL_INLINE void exp_parts(Many<K>& x, Ints (&n)[K]) {
  Floats r[K], p[K];
  AL_EACH(k) {
    const Floats shifted = fused(x[k], splat(1.44269504f), splat(kRound)), whole = shifted - splat(kRound);
    n[k] = (Ints)shifted;
    r[k] = fused(whole, splat(-1.42860677e-6f), fused(whole, splat(-0.693145752f), x[k]));
  }
  AL_EACH(k) p[k] = fused(splat(kExpTail[5]), r[k], splat(kExpTail[4]));
#pragma GCC unroll 4
  for (int i = 3; i >= 0; i--) AL_EACH(k) p[k] = fused(p[k], r[k], splat(kExpTail[i]));
  AL_EACH(k) {
    x[k] = fused(p[k] * r[k], r[k], r[k]) + splat(1.0f);
    n[k] -= (Ints)splat(kRound);
  }
}
AL_INLINE Floats pow2(Ints n) { return (Floats)((n + 127) << 23); }

template <int K> AL_INLINE void exp_normal(Many<K>& x) {
  Ints n[K];
  exp_parts<K>(x, n);
  AL_EACH(k) x[k] *= pow2(n[k]);
}
template <int K> AL_INLINE void exp(Many<K>& x) {
  Ints n[K];
  AL_EACH(k) x[k] = at_least(at_most(x[k], 89.0f), -104.0f);
  exp_parts<K>(x, n);
#if defined(__AVX512F__)
  AL_EACH(k) x[k] = _mm512_scalef_ps(x[k], _mm512_cvtepi32_ps((__m512i)n[k]));
#else
  AL_EACH(k) x[k] = x[k] * pow2(n[k] >> 1) * pow2(n[k] - (n[k] >> 1));
#endif
}
#if defined(__AVX512F__)
// e^x = 2^floor(k / 16) 2^((k mod 16) / 16) e^r with |r| <= ln2 / 32: the polynomial has half the steps of exp_normal's. The table holds
// the bits of 2^(j / 16) less j << 19, since k << 19 adds j there as well as the exponent. What is below `low` becomes zero.
alignas(64) inline constexpr int32_t kSixteenths[16] = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
                                                        0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
template <int K> AL_INLINE void exp_above(Many<K>& x, float low) {
  Floats r[K], p[K], scale[K];
  AL_EACH(k) {
    const Floats shifted = fused(x[k], splat(23.0831203f), splat(kRound)), whole = shifted - splat(kRound);
    r[k] = fused(whole, splat(1.19040888e-10f), fused(whole, splat(-0.0433216989f), x[k]));
    scale[k] = (Floats)((Ints)_mm512_permutexvar_epi32((__m512i)shifted, _mm512_load_si512(kSixteenths)) + ((Ints)shifted << 19));
  }
  AL_EACH(k) p[k] = fused(splat(0.16667038f), r[k], splat(0.5000165f));
  AL_EACH(k) p[k] = fused(p[k] * r[k], r[k], r[k]);
  AL_EACH(k) x[k] = _mm512_maskz_fmadd_ps(_mm512_cmp_ps_mask(x[k], splat(low), _CMP_NLT_UQ), scale[k], p[k], scale[k]);
}
#endif
// reduce::exp_decay.
template <int K> AL_INLINE void exp_decay(Many<K>& x) {
#if defined(__AVX512F__)
  exp_above<K>(x, -87.0f);
#else
  Floats y[K];
  AL_EACH(k) y[k] = at_least(x[k], -87.0f);
  exp_normal<K>(y);
  AL_EACH(k) x[k] = zero_where(x[k] < splat(-87.0f), y[k]);
#endif
}
template <int K> AL_INLINE void exp_decay(Vec<double> (&x)[K]) {
  AL_EACH(k) for (int l = 0; l < Lanes<double>::width; l++) x[k][l] = std::exp(x[k][l]);
}

template <int K> AL_INLINE void sigmoid(Many<K>& x) {
  AL_EACH(k) x[k] = -x[k];
  exp<K>(x);
  AL_EACH(k) x[k] = splat(1.0f) / (splat(1.0f) + x[k]);
}

#if defined(__AVX512F__)
// The tail of the normal distribution is e^(-a^2 / 2) times a function that is smooth: 16 polynomials in a less the middle of their
// interval, which the leading bits of a + 1 name.
alignas(64) inline constexpr float kMiddles[16] = {1.25, 1.75, 2.25, 2.75, 3.5, 4.5, 5.5, 6.5, 8.0, 10.0, 12.0, 14.0, 0.125, 0.375, 0.625, 0.875};
alignas(64) inline constexpr float kTails[7][16] = {
    {2.3076032e-01f, 1.8523167e-01f, 1.5365194e-01f, 1.3072473e-01f, 1.06345154e-01f, 8.4803395e-02f, 7.03427e-02f, 6.0015675e-02f,
     4.9122546e-02f, 3.9506692e-02f, 3.3018973e-02f, 2.8352661e-02f, 4.5379323e-01f, 3.7960443e-01f, 3.2335618e-01f, 2.7977058e-01f},
    {-1.1049189e-01f, -7.478687e-02f, -5.322542e-02f, -3.9449263e-02f, -2.6734248e-02f, -1.7327016e-02f, -1.2057464e-02f, -8.8403905e-03f,
     -5.961912e-03f, -3.8753396e-03f, -2.7146277e-03f, -2.005033e-03f, -3.4221813e-01f, -2.5659063e-01f, -1.9684468e-01f, -1.5414304e-01f},
    {4.6322737e-02f, 2.7177323e-02f, 1.694737e-02f, 1.1119632e-02f, 6.3876524e-03f, 3.4159103e-03f, 2.0133231e-03f, 1.276568e-03f,
     7.1363046e-04f, 3.7665013e-04f, 2.217207e-04f, 1.4109914e-04f, 2.0550798e-01f, 1.4169148e-01f, 1.0016412e-01f, 7.244771e-02f},
    {-1.7528884e-02f, -9.075308e-03f, -5.031201e-03f, -2.9567254e-03f, -1.459001e-03f, -6.517705e-04f, -3.2805192e-04f, -1.8089618e-04f,
     -8.42765e-05f, -3.6276877e-05f, -1.7992419e-05f, -9.881518e-06f, -1.05509296e-01f, -6.781847e-02f, -4.4747204e-02f, -3.025034e-02f},
    {6.102659e-03f, 2.8237663e-03f, 1.4067369e-03f, 7.471327e-04f, 3.2013218e-04f, 1.2069024e-04f, 5.2243962e-05f, 2.5179794e-05f,
     9.827372e-06f, 3.4637565e-06f, 1.4509219e-06f, 6.8875806e-07f, 4.8079826e-02f, 2.9064853e-02f, 1.8049248e-02f, 1.1494639e-02f},
    {-1.9994525e-03f, -8.3345076e-04f, -3.7573915e-04f, -1.8145164e-04f, -6.89387e-05f, -2.2023965e-05f, -8.224693e-06f, -3.472719e-06f,
     -1.1577285e-06f, -3.3299784e-07f, -1.1757674e-07f, -4.8183168e-08f, -1.9974144e-02f, -1.1422375e-02f, -6.713856e-03f, -4.049782e-03f},
    {6.0875586e-04f, 2.3089298e-04f, 9.500767e-05f, 4.2023683e-05f, 1.4067384e-05f, 3.8592298e-06f, 1.2549284e-06f, 4.6728843e-07f,
     1.3160506e-07f, 3.12459e-08f, 9.362949e-09f, 3.3267784e-09f, 7.614693e-03f, 4.141086e-03f, 2.3155238e-03f, 1.3293064e-03f}};
template <int K> AL_INLINE void normal(const Many<K>& x, Many<K>& cdf, Many<K>& pdf) {
  const auto pick = [](const float* table, Ints index) { return (Floats)_mm512_permutexvar_ps((__m512i)index, _mm512_load_ps(table)); };
  Floats a[K], p[K];
  Ints interval[K];
  AL_EACH(k) {
    a[k] = (Floats)((Ints)x[k] & 0x7fffffff);
    pdf[k] = splat(-0.5f) * (a[k] * a[k]);
    a[k] = at_most(a[k], 13.0f);
  }
  exp_above<K>(pdf, -84.5f);  // that of 13
  AL_EACH(k) {
    interval[k] = (Ints)(a[k] + splat(1.0f)) >> 21;
    a[k] -= pick(kMiddles, interval[k]);
    p[k] = pick(kTails[6], interval[k]);
  }
#pragma GCC unroll 8
  for (int i = 5; i >= 0; i--) AL_EACH(k) p[k] = fused(p[k], a[k], pick(kTails[i], interval[k]));
  AL_EACH(k) {
    const Floats tail = p[k] * pdf[k];
    cdf[k] = x[k] < Floats{} ? tail : splat(1.0f) - tail;
    pdf[k] = splat(0.398942280f) * pdf[k];
  }
}
#else
template <int K> AL_INLINE void normal(const Many<K>& x, Many<K>& cdf, Many<K>& pdf) {
  Floats a[K], e[K], r[K], q[K], p[K];
  AL_EACH(k) {
    a[k] = at_most((Floats)((Ints)x[k] & 0x7fffffff), 13.0f);
    e[k] = splat(-0.5f) * (a[k] * a[k]);
    r[k] = splat(1.0f) / (a[k] + splat(3.0f));
  }
  exp_normal<K>(e);
  AL_EACH(k) {
    e[k] = zero_where((Floats)((Ints)x[k] & 0x7fffffff) > splat(13.0f), e[k]);
    q[k] = (a[k] - splat(3.0f)) * r[k];
    p[k] = splat(kNormalTail[10]);
  }
#pragma GCC unroll 16
  for (int i = 9; i >= 0; i--) AL_EACH(k) p[k] = fused(p[k], q[k], splat(kNormalTail[i]));
  AL_EACH(k) {
    const Floats tail = p[k] * r[k] * e[k];
    cdf[k] = x[k] < Floats{} ? tail : splat(1.0f) - tail;
    pdf[k] = splat(0.398942280f) * e[k];
  }
}
#endif

}  // namespace al::vm
