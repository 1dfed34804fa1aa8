// What row kernels share: a row of any float type staged as its compute type, and reductions of such rows.
#pragma once
#include "reduce_ops.h"

namespace al {

using reduce::exp_decay;

// The dim of a contiguous tensor as outer x length x inner.
struct Rows {
  int64_t outer = 1, length = 1, inner = 1;
  Rows(const View& x, int64_t dim) {
    for (int d = 0; d < x.ndim; d++) (d < dim ? outer : d == dim ? length : inner) *= x.shape[d];
  }
};

inline int64_t row_grain(int64_t length) {
  return std::max<int64_t>(1, reduce::kGrain / std::max<int64_t>(length, 1));
}

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
    for (int k = 0; i + W <= n; i += W, k++) acc[k] += load(a + i) * load(b + i);
    Vec<A> sum = (acc[0] + acc[1]) + (acc[2] + acc[3]);
    A lanes[W];
    store(lanes, sum);
    for (int half = W / 2; half; half /= 2)
      for (int k = 0; k < half; k++) lanes[k] += lanes[k + half];
    result = lanes[0];
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

}  // namespace al
