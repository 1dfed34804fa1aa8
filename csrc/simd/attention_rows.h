// What the forward and the backward pass of attention do to rows of scores: masks, maxima and sums of lanes, exponentials.
#pragma once
#include <limits>

#include "simd/attention.h"
#include "simd/vector_math.h"

namespace al::attention {

template <class C>
constexpr C kNone = -std::numeric_limits<C>::infinity();  // the score of a key that is not seen

// The first n lanes of x, none in the others.
template <class C>
AL_INLINE Vec<C> seen_lanes(Vec<C> x, int64_t n) {
  using Lane = std::conditional_t<sizeof(C) == 4, int32_t, int64_t>;
  Vec<Lane> lane;
  for (int l = 0; l < kWidth<C>; l++) lane[l] = l;
  return lane < splat(Lane(n)) ? x : splat(kNone<C>);
}

// Lane r of the result: op over the lanes of lines[r], from the first on. What lines hold is lost.
template <class C, class Op>
AL_INLINE Vec<C> across_lanes(Vec<C>* lines, int count, Op&& op) {
  if (count == 1) {
    C y = lines[0][0];
    for (int l = 1; l < kWidth<C>; l++) y = op(y, C(lines[0][l]));
    return splat(y);
  }
  gemm::transpose<C>(lines);
  Vec<C> y = lines[0];
#pragma GCC unroll 16
  for (int l = 1; l < kWidth<C>; l++) y = op(y, lines[l]);
  return y;
}
template <class C>
AL_INLINE Vec<C> sums_of_lanes(Vec<C>* lines, int count) {
  return across_lanes<C>(lines, count, [](auto a, auto b) { return a + b; });
}
template <class C>
AL_INLINE Vec<C> maxima_of_lanes(Vec<C>* lines, int count) {
  return across_lanes<C>(lines, count, [](auto a, auto b) { return b > a ? b : a; });
}

// body(j, K) for vectors of a row's first `end` numbers, K of them at a time: what they take part in are chains beside each other.
template <class C, class Body>
AL_INLINE void by_vectors(int64_t end, Body&& body) {
  int64_t j = 0;
  for (; j + 2 * kWidth<C> <= end; j += 2 * kWidth<C>) body(j, std::integral_constant<int, 2>{});
  for (; j < end; j += kWidth<C>) body(j, std::integral_constant<int, 1>{});
}

// Adds the mask of query i to scores of keys [from, from + n); false in a boolean mask is -infinity.
template <class C>
void add_mask(const Problem& p, int64_t b, int64_t h, int64_t i, int64_t from, int64_t n, C* s) {
  const View& m = *p.mask;
  const int64_t col = m.strides[3];
  const char* at = head_of(m, b, h) + (i * m.strides[2] + from * col) * kItemSize[m.dtype];
  if (m.dtype == kBool) {
    for (int64_t j = 0; j < n; j++) s[j] = at[j * col] ? s[j] : kNone<C>;
    return;
  }
  dispatch_floats(m.dtype, [&]<class T>(Type<T>) {
    const T* t = reinterpret_cast<const T*>(at);
    for (int64_t j = 0; j < n; j++) s[j] += C(to_compute(t[j * col]));
  });
}

// The scores of a block of queries for n keys from j0, in rows kKeys apart, and what is still to be done to them.
template <class C>
struct Scores {
  const Problem& p;
  int64_t b, h, i0, j0, n;
  C* data;
  bool edited = p.mask || p.window;  // such rows are scaled when they are masked
  C scale = edited ? C(1) : C(p.scale);

  C* row(int64_t r) const { return data + r * kKeys; }
  // How many scores row r has, those of keys that its query sees: to be scaled by `scale`, -infinity where it sees nothing.
  int64_t masked(int64_t r) const {
    const auto [first, end] = p.keys_seen(i0 + r, 1, j0, n);
    if (!edited) return end;
    C* s = row(r);
    for (int64_t j = 0; j < end; j += kWidth<C>) store(s + j, load(s + j) * splat(C(p.scale)));
    if (p.mask) add_mask(p, b, h, i0 + r, j0, end, s);
    std::fill(s, s + std::min(first, end), kNone<C>);
    return end;
  }
  // K vectors from score j on, scaled, less `shift`; those from `end` on are -infinity.
  template <int K>
  AL_INLINE void shifted(const C* s, int64_t j, int64_t end, Vec<C> shift, Vec<C> (&x)[K]) const {
#pragma GCC unroll 2
    for (int k = 0; k < K; k++) x[k] = load(s + j + k * kWidth<C>) * splat(scale) - shift;
    if constexpr (K == 1) x[0] = seen_lanes<C>(x[0], end - j);
  }
};

// Zeros behind a row's first `end` numbers, up to n: whole vectors.
template <class C>
AL_INLINE void clear_rest(C* row, int64_t end, int64_t n) {
  for (int64_t j = round_up(end, kWidth<C>); j < n; j += kWidth<C>) store(row + j, Vec<C>{});
}

}  // namespace al::attention
