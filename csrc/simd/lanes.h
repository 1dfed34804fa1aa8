// Vectors of the width of the instruction set this file is compiled for, with an explicit fused multiply-add.
#pragma once
#include <cstdint>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace al {

// AL_WIDE_BY_HALVES: the code for AVX-512 made of pairs of AVX2's vectors, so that it can be tested without the hardware
// (tools/test_wide.sh).
#if defined(__AVX512F__) || defined(AL_WIDE_BY_HALVES)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
#if defined(__AVX512F__) || defined(AL_WIDE_BY_HALVES) || defined(__aarch64__)
constexpr int kVectorRegisters = 32;
#else
constexpr int kVectorRegisters = 16;
#endif

template <class T>
struct Lanes {
  static constexpr int width = kVectorBytes / int(sizeof(T));
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
using Vec = typename Lanes<T>::Vector;

template <class T>
inline Vec<T> load(const T* p) { return *reinterpret_cast<const typename Lanes<T>::Unaligned*>(p); }
template <class T>
inline void store(T* p, Vec<T> v) { *reinterpret_cast<typename Lanes<T>::Unaligned*>(p) = v; }
template <class T>
inline Vec<T> splat(T x) { return x - Vec<T>{}; }  // minus: x + 0 is an addition for the compiler, since -0 + 0 is 0

#if defined(__AVX512F__)
inline Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(AL_WIDE_BY_HALVES)
struct Halves {
  __m256 low, high;
};
inline Halves halves(Vec<float> v) { return __builtin_bit_cast(Halves, v); }
inline Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) {
  const Halves x = halves(a), y = halves(b), z = halves(c);
  return __builtin_bit_cast(Vec<float>, Halves{_mm256_fmadd_ps(x.low, y.low, z.low), _mm256_fmadd_ps(x.high, y.high, z.high)});
}
inline Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) {
  Vec<double> sum;
  for (int i = 0; i < Lanes<double>::width; i++) sum[i] = __builtin_fma(a[i], b[i], c[i]);
  return sum;
}
#elif defined(__FMA__)
inline Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__aarch64__)
inline Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) { return vfmaq_f32(c, a, b); }
inline Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) { return vfmaq_f64(c, a, b); }
#else
inline Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
inline Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
#endif

}  // namespace al
