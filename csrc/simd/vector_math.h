// Elementary functions on K vectors at once, step for step those of vmath.h, whose values they have. A loop that the compiler makes
// vectors of keeps one chain of dependent steps in flight; K chains beside each other hide its latency.
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
  AL_EACH(k) x[k] = x[k] * pow2(n[k] >> 1) * pow2(n[k] - (n[k] >> 1));
}
// reduce::exp_decay.
template <int K> AL_INLINE void exp_decay(Many<K>& x) {
  Floats y[K];
  AL_EACH(k) y[k] = at_least(x[k], -87.0f);
  exp_normal<K>(y);
  AL_EACH(k) x[k] = zero_where(x[k] < splat(-87.0f), y[k]);
}
template <int K> AL_INLINE void exp_decay(Vec<double> (&x)[K]) {
  AL_EACH(k) for (int l = 0; l < Lanes<double>::width; l++) x[k][l] = std::exp(x[k][l]);
}

template <int K> AL_INLINE void sigmoid(Many<K>& x) {
  AL_EACH(k) x[k] = -x[k];
  exp<K>(x);
  AL_EACH(k) x[k] = splat(1.0f) / (splat(1.0f) + x[k]);
}

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

}  // namespace al::vm
