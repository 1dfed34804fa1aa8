// What row kernels share: a row of any float type staged as its compute type, reductions of such rows, rows of exponentials, and
// rows that are written in blocks, past the caches where these can't hold the result.
#pragma once
#include <cmath>

#include "reduce_ops.h"
#include "stream.h"
#include "vector_math.h"

namespace al {

using reduce::exp_decay, reduce::for_rows, reduce::row_grain;

// The dim of a contiguous tensor as outer x length x inner.
struct Rows {
  int64_t outer = 1, length = 1, inner = 1;
  Rows(const View& x, int64_t dim) {
    for (int d = 0; d < x.ndim; d++) (d < dim ? outer : d == dim ? length : inner) *= x.shape[d];
  }
};

// So many rows of n are worked on together, one step at a time: each step's chain of dependent sums hides behind those of the others.
// They stay in the first cache.
constexpr int64_t kRowsTogether = 8;
inline int64_t rows_together(int64_t n) { return std::clamp<int64_t>(2048 / n, 1, kRowsTogether); }

// The row itself for float and double; a converted copy in buffer for 16-bit floats.
template <class T> const compute_t<T>* stage_row(const T* x, compute_t<T>* buffer, int64_t n) {
  if constexpr (!is_half<T>) return x;
  load_floats(x, buffer, n);
  return buffer;
}
// Where to compute a row that store_row then writes.
template <class T> compute_t<T>* result_row(T* y, compute_t<T>* buffer) {
  if constexpr (is_half<T>) return buffer;
  else return y;
}
template <class T> void store_row(const compute_t<T>* from, T* y, int64_t n) {
  if constexpr (is_half<T>) store_floats(from, y, n);
}
template <class T> int64_t stage_size(int64_t n) { return is_half<T> ? (n + 63) / 64 * 64 : 0; }

// A contiguous row in blocks of reduce::kBlock; the same tree as the reduction driver's.
template <class Op, class A> A reduce_row(const A* x, int64_t n, A c = A(0)) {
  using reduce::kBlock;
  if (n <= kBlock) return reduce::reduce_block<Op, A>(x, n, c);
  reduce::Tree<Op, A> tree;
  for (int64_t b = 0; b < n; b += kBlock)
    tree.add(reduce::reduce_block<Op, A>(x + b, std::min(kBlock, n - b), c));
  return tree.result(Op::template identity<A>());
}

// Sum of a[i] * b[i].
template <class A> A dot_block(const A* a, const A* b, int64_t n) {
  constexpr int W = Lanes<A>::width, U = 4;
  A result = 0;
  int64_t i = 0;
  if (n >= W) {
    Vec<A> acc[U] = {};
    for (; i + U * W <= n; i += U * W)
      for (int k = 0; k < U; k++) acc[k] += load(a + i + k * W) * load(b + i + k * W);
#pragma GCC unroll 4
    for (int k = 0; k < U - 1; k++)
      if (i + W <= n) acc[k] += load(a + i) * load(b + i), i += W;
    result = reduce::combine_lanes<reduce::Sum>((acc[0] + acc[1]) + (acc[2] + acc[3]));
  }
  for (; i < n; i++) result += a[i] * b[i];
  return result;
}
template <class A> A dot_row(const A* a, const A* b, int64_t n) {
  using reduce::kBlock;
  if (n <= kBlock) return dot_block(a, b, n);
  reduce::Tree<reduce::Sum, A> tree;
  for (int64_t k = 0; k < n; k += kBlock) tree.add(dot_block(a + k, b + k, std::min(kBlock, n - k)));
  return tree.result(A(0));
}

// n items of a vector, from none to all; the others are `rest`, and are not written.
template <class A> AL_INLINE Vec<A> load_some(const A* p, int64_t n, A rest) {
#if defined(__AVX512F__)
  const uint32_t mask = _bzhi_u32(~0u, uint32_t(n));
  if constexpr (sizeof(A) == 4) return (Vec<A>)_mm512_mask_loadu_ps((__m512)splat(rest), __mmask16(mask), p);
  else return (Vec<A>)_mm512_mask_loadu_pd((__m512d)splat(rest), __mmask8(mask), p);
#else
  if (n == Lanes<A>::width) return load(p);
  alignas(64) A lanes[Lanes<A>::width];
  std::fill(std::copy(p, p + n, lanes), lanes + Lanes<A>::width, rest);
  return load(lanes);
#endif
}
template <class A> AL_INLINE void store_some(A* p, Vec<A> v, int64_t n) {
#if defined(__AVX512F__)
  const uint32_t mask = _bzhi_u32(~0u, uint32_t(n));
  if constexpr (sizeof(A) == 4) _mm512_mask_storeu_ps(p, __mmask16(mask), (__m512)v);
  else _mm512_mask_storeu_pd(p, __mmask8(mask), (__m512d)v);
#else
  if (n == Lanes<A>::width) return store(p, v);
  alignas(64) A lanes[Lanes<A>::width];
  store(lanes, v);
  std::copy(lanes, lanes + n, p);
#endif
}
// How many of a row's n items are in its vector k.
template <class A> AL_INLINE int64_t lanes_left(int64_t n, int k) {
  constexpr int64_t W = Lanes<A>::width;
  return std::clamp<int64_t>(n - k * W, 0, W);
}

// Sum of exp(x[i] - top), which go to e unless that is null. n <= kBlock. Unless null, `next` is asked for meanwhile, as many bytes as
// x has: the exponentials leave the memory idle.
template <class A> A exp_block(const A* x, A* e, int64_t n, A top, const char* next = nullptr) {
  constexpr int W = Lanes<A>::width, K = 4;
  const Vec<A> shift = splat(top);
  Vec<A> sum[K] = {}, v[K];
  int64_t i = 0;
  for (; i + K * W <= n; i += K * W) {
    if (next) stream::ask(next + i * int64_t(sizeof(A)), K * W * int64_t(sizeof(A)));
    AL_EACH(k) v[k] = load(x + i + k * W) - shift;
    vm::exp_decay<K>(v);
    if (e) AL_EACH(k) store(e + i + k * W, v[k]);
    AL_EACH(k) sum[k] += v[k];
  }
  const auto rest = [&]<int M>(std::integral_constant<int, M>) {  // of M vectors
    constexpr int K = M;
    Vec<A> v[K];
    AL_EACH(k) v[k] = load_some(x + i + k * W, lanes_left<A>(n - i, k), -std::numeric_limits<A>::infinity()) - shift;
    vm::exp_decay<K>(v);
    AL_EACH(k) sum[k] += v[k];
    if (e) AL_EACH(k) store_some(e + i + k * W, v[k], lanes_left<A>(n - i, k));
  };
  if (n - i > W) rest(std::integral_constant<int, K>{});
  else if (n > i) rest(std::integral_constant<int, 1>{});
  return reduce::combine_lanes<reduce::Sum>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}
template <class A> A exp_row(const A* x, A* e, int64_t n, A top, const char* next = nullptr) {
  using reduce::kBlock;
  if (n <= kBlock) return exp_block(x, e, n, top, next);
  reduce::Tree<reduce::Sum, A> tree;
  for (int64_t b = 0; b < n; b += kBlock)
    tree.add(exp_block(x + b, e ? e + b : e, std::min(kBlock, n - b), top, next ? next + b * int64_t(sizeof(A)) : next));
  return tree.result(A(0));
}

struct LargerNumber {
  template <class V> static V combine(V a, V b) { return a > b ? a : b; }
};
// The maximum of the numbers, -infinity if there are none: exponentials tell of NaN.
template <class A> A top_row(const A* x, int64_t n) {
  constexpr int W = Lanes<A>::width, K = 8;
  constexpr A least = -std::numeric_limits<A>::infinity();
  Vec<A> tops[K];
  AL_EACH(k) tops[k] = splat(least);
  int64_t i = 0;
  for (; i + K * W <= n; i += K * W) AL_EACH(k) tops[k] = vm::larger(load(x + i + k * W), tops[k]);
  AL_EACH(k) if (k < K - 1 && i + W <= n) tops[k] = vm::larger(load(x + i), tops[k]), i += W;
  if (i < n) tops[K - 1] = vm::larger(load_some(x + i, n - i, least), tops[K - 1]);
  const Vec<A> low = vm::larger(vm::larger(tops[0], tops[1]), vm::larger(tops[2], tops[3]));
  const Vec<A> high = vm::larger(vm::larger(tops[4], tops[5]), vm::larger(tops[6], tops[7]));
  return reduce::combine_lanes<LargerNumber>(vm::larger(low, high));
}

// The maximum of a row and the sum of exp(x[i] - maximum), in one pass: each block against its own maximum. A maximum that is
// infinite counts as 0.
template <class A> struct TopSum { A top, sum; };
template <class A> TopSum<A> sum_exp_row(const A* x, int64_t n) {
  using reduce::kBlock;
  A top = -std::numeric_limits<A>::infinity(), sum = 0;
  if (n <= kBlock) {
    top = top_row(x, n);
    if (std::isinf(top)) top = 0;
    return {top, exp_block<A>(x, nullptr, n, top)};
  }
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t m = std::min(kBlock, n - b);
    const A best = top_row(x + b, m);
    if (best == std::numeric_limits<A>::infinity()) return {A(0), exp_row<A>(x, nullptr, n, A(0))};
    const bool none = best == -std::numeric_limits<A>::infinity();
    const A part = exp_block<A>(x + b, nullptr, m, none ? A(0) : best, (const char*)(x + b + kBlock));
    if (none) sum += part;  // nothing, or NaN
    else sum = best > top ? sum * std::exp(top - best) + part : sum + part * std::exp(best - top);
    top = std::max(top, best);
  }
  return {std::isinf(top) ? A(0) : top, sum};
}

// The row after x, to be asked for while x is worked on, where both fit the near cache.
constexpr int64_t kNearBytes = 512 << 10;
template <class T> const T* next_row(const T* x, int64_t n) { return 2 * n * int64_t(sizeof(T)) <= kNearBytes ? x + n : nullptr; }
template <class T> void ask_row(const T* row, int64_t first, int64_t n) {
  if (row) stream::ask(row + first, n * int64_t(sizeof(T)));
}

// n <= kBlock numbers to their place.
template <class T> void store_block(const compute_t<T>* from, T* to, int64_t n, bool streams) {
  if (!streams) return store_floats(from, to, n);
  if constexpr (is_half<T>) {
    alignas(64) T low[reduce::kBlock];
    store_floats(from, low, n);
    stream::copy((char*)to, (const char*)low, n * int64_t(sizeof(T)));
  } else {
    stream::copy((char*)to, (const char*)from, n * int64_t(sizeof(T)));
  }
}

// Results leave in the ordinary way, or past the caches, to aligned places.
template <bool kStreams, class A> AL_INLINE void put(A* to, Vec<A> v) {
  if constexpr (kStreams) stream::put(reinterpret_cast<float*>(to), (Vec<float>)v);
  else store(to, v);
}
template <bool kStreams, class A> AL_INLINE void put(A* to, A v) { *to = v; }
// Whether rows of n can be streamed vector by vector.
template <class T> bool aligned_rows(const T* to, int64_t n) {
  return !is_half<T> && stream::until_aligned((const char*)to) == 0 && n * int64_t(sizeof(T)) % 64 == 0;
}

// A row in blocks: make(begin, count, out) gives elements [begin, begin + count). Who streams calls stream::fence() at the end.
template <class T, class F> void write_row(T* y, int64_t n, bool streams, F&& make) {
  using A = compute_t<T>;
  alignas(64) A block[reduce::kBlock];
  const bool direct = !is_half<T> && !streams;
  const int64_t head = streams ? stream::until_aligned((const char*)y) / int64_t(sizeof(T)) : 0;
  for (int64_t b = 0, m = 0; b < n; b += m) {
    m = std::min(n - b, b == 0 && head ? head : reduce::kBlock);
    if constexpr (!is_half<T>)
      if (direct) {
        make(b, m, y + b);
        continue;
      }
    make(b, m, static_cast<A*>(block));
    store_block(block, y + b, m, streams);
  }
}

// A row vector by vector: make(i, Type<V>{}) gives those from i on as V, a vector or a number of the compute type.
template <class T, class F> void write_vectors(T* y, int64_t n, bool streams, F&& make) {
  using A = compute_t<T>;
  if constexpr (!is_half<T>) {
    if (!streams) return reduce::sweep<A>(n, [=]<class V>(int64_t i, Type<V> type) { put<false>(y + i, make(i, type)); });
    if (aligned_rows(y, n)) return reduce::sweep<A>(n, [=]<class V>(int64_t i, Type<V> type) { put<true>(y + i, make(i, type)); });
  }
  write_row(y, n, streams, [=](int64_t b, int64_t m, A* out) {
    reduce::sweep<A>(m, [=]<class V>(int64_t i, Type<V> type) { put<false>(out + i, make(b + i, type)); });
  });
}

}  // namespace al
