// Sums over contiguous runs for the channel norms: in vectors of the compute type within a chunk, in double between chunks.
#pragma once
#include <algorithm>

#include "dtypes.h"
#include "kernel.h"
#include "simd/lanes.h"

namespace al::moments {

constexpr int64_t kChunk = 1024;  // 4 KiB of floats: stays in L1 while a 16-bit run is widened

// The run as the compute type: itself, or widened into `buffer` (kChunk items).
template <class T>
const compute_t<T>* widen(const T* run, int64_t n, compute_t<T>* buffer) {
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    return run;
  } else {
    for (int64_t i = 0; i < n; i++) buffer[i] = to_float(run[i]);
    return buffer;
  }
}

// Sum over i < n of term(vector of items i...) and of term(item i).
template <class C, class Term>
double sum_chunk(int64_t n, Term&& term) {
  constexpr int64_t width = Lanes<C>::width;
  Vec<C> sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width)
    for (int k = 0; k < 4; k++) sums[k] = sums[k] + term(Vec<C>{}, i + k * width);
  for (; i + width <= n; i += width) sums[0] = sums[0] + term(Vec<C>{}, i);
  const Vec<C> all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double sum = 0;
  for (int64_t k = 0; k < width; k++) sum += double(all[k]);
  for (; i < n; i++) sum += double(term(C{}, i));
  return sum;
}

template <class C>
inline Vec<C> at(Vec<C>, const C* p, int64_t i) { return load(p + i); }
template <class C>
inline C at(C, const C* p, int64_t i) { return p[i]; }

template <class T>
double sum(const T* x, int64_t n) {
  using C = compute_t<T>;
  C buffer[kChunk];
  double total = 0;
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t some = std::min(kChunk, n - i);
    const C* p = widen(x + i, some, buffer);
    total += sum_chunk<C>(some, [&](auto kind, int64_t k) { return at(kind, p, k); });
  }
  return total;
}

template <class T>
double sum_squares(const T* x, int64_t n, compute_t<T> mean) {
  using C = compute_t<T>;
  C buffer[kChunk];
  double total = 0;
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t some = std::min(kChunk, n - i);
    const C* p = widen(x + i, some, buffer);
    total += sum_chunk<C>(some, [&](auto kind, int64_t k) {
      const auto d = at(kind, p, k) - mean;
      return d * d;
    });
  }
  return total;
}

struct GradientSums {
  double plain, centred;  // sum of g, and of g * (x - mean)
};

template <class T>
GradientSums gradient_sums(const T* g, const T* x, int64_t n, compute_t<T> mean) {
  using C = compute_t<T>;
  C wide_g[kChunk], wide_x[kChunk];
  GradientSums total{};
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t some = std::min(kChunk, n - i);
    const C *p = widen(g + i, some, wide_g), *q = widen(x + i, some, wide_x);
    total.plain += sum_chunk<C>(some, [&](auto kind, int64_t k) { return at(kind, p, k); });
    total.centred += sum_chunk<C>(some, [&](auto kind, int64_t k) { return at(kind, p, k) * (at(kind, q, k) - mean); });
  }
  return total;
}

// y = (x - mean) * scale + shift
template <class T>
void scale_run(const T* __restrict x, int64_t n, compute_t<T> mean, compute_t<T> scale, compute_t<T> shift, T* __restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = from_float<T>((to_float(x[i]) - mean) * scale + shift);
}

// dx = a * g + b * (x - mean) + c
template <class T>
void gradient_run(const T* __restrict g, const T* __restrict x, int64_t n, compute_t<T> mean, compute_t<T> a, compute_t<T> b,
                  compute_t<T> c, T* __restrict dx) {
  for (int64_t i = 0; i < n; i++) dx[i] = from_float<T>(a * to_float(g[i]) + (b * (to_float(x[i]) - mean) + c));
}

}  // namespace al::moments
