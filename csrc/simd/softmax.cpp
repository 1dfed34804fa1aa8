// softmax and log_softmax over one dim, forward and backward, one read and one write each. Along the last dim
// a row is worked on in L1; along another dim a strip of columns is, so that memory is read in order there
// too.
#include <cmath>

#include "rows.h"

namespace al {
namespace {

constexpr int64_t kStrip = 256;  // columns: 1 KiB of floats a row, so that rows stay runs in memory

template <class A> AL_INLINE A finite_or_zero(A x) { return std::isinf(x) ? A(0) : x; }

// `buffer`: a row, unless the exponentials can wait in y.
template <bool is_log, class T> void forward_row(const T* x, T* y, int64_t n, bool streams, compute_t<T>* buffer) {
  using A = compute_t<T>;
  const A* in = stage_row(x, buffer, n);
  const T* next = next_row(x, n);
  if constexpr (is_log) {
    const auto both = sum_exp_row(in, n);
    const A top = both.top, log_sum = A(std::log(both.sum));  // apart: top may dwarf it
    const T* asked = next ? next : x;
    write_vectors(y, n, streams, [=]<class V>(int64_t i, Type<V>) {
      __builtin_prefetch(asked + i, 0, 2);
      return reduce::get<V>(in + i) - top - log_sum;
    });
  } else {
    const A top = finite_or_zero(top_row(in, n));
    A* e = streams ? buffer : result_row(y, buffer);
    const A scale = A(1) / exp_row(in, e, n, top, is_half<T> ? nullptr : (const char*)next);
    write_vectors(y, n, streams, [=]<class V>(int64_t i, Type<V>) { return reduce::get<V>(e + i) * scale; });
  }
}

// Rows of at most M vectors: they stay in registers. The values of forward_row.
template <bool is_log, int M, class A> void rows_of_vectors(const A* x, A* y, int64_t rows, int64_t n) {
  constexpr int W = Lanes<A>::width, K = M;
  constexpr A least = -std::numeric_limits<A>::infinity();
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    Vec<A> v[K], e[K], sum[4] = {}, top = splat(least);
    AL_EACH(k) v[k] = load_some(x + k * W, lanes_left<A>(n, k), least);
    AL_EACH(k) top = vm::larger(v[k], top);
    const A shift = finite_or_zero(reduce::combine_lanes<reduce::Max>(top));
    AL_EACH(k) e[k] = v[k] - splat(shift);
    vm::exp_decay<K>(e);
    AL_EACH(k) sum[k] = e[k];
    const A total = reduce::combine_lanes<reduce::Sum>((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if constexpr (is_log) {
      const A log_sum = A(std::log(total));
      AL_EACH(k) v[k] = v[k] - splat(shift) - splat(log_sum);
    } else {
      const A scale = A(1) / total;
      AL_EACH(k) v[k] = e[k] * splat(scale);
    }
    AL_EACH(k) store_some(y + k * W, v[k], lanes_left<A>(n, k));
  }
}
constexpr int kShort = 4;  // vectors
template <bool is_log, class A> void short_rows(const A* x, A* y, int64_t rows, int64_t n) {
  constexpr int W = Lanes<A>::width;
  constexpr void (*by_vectors[kShort])(const A*, A*, int64_t, int64_t) = {rows_of_vectors<is_log, 1, A>, rows_of_vectors<is_log, 2, A>,
                                                                         rows_of_vectors<is_log, 3, A>, rows_of_vectors<is_log, 4, A>};
  by_vectors[(n - 1) / W](x, y, rows, n);
}
template <bool is_log, class T> void short_rows_of(const T* x, T* y, int64_t rows, int64_t n) {
  if constexpr (!is_half<T>) {
    short_rows<is_log>(x, y, rows, n);
  } else {
    constexpr int64_t kItems = 2048;
    float stage[kItems];
    for (int64_t r = 0, count; r < rows; r += count) {
      count = std::min(rows - r, kItems / n);
      load_floats(x + r * n, stage, count * n);
      short_rows<is_log, float>(stage, stage, count, n);
      store_floats(stage, y + r * n, count * n);
    }
  }
}

template <bool is_log, class T>
void backward_row(const T* g, const T* y, T* d, int64_t n, bool streams, compute_t<T>* buffer) {
  using A = compute_t<T>;
  const A *grad = stage_row(g, buffer, n), *in = stage_row(y, buffer + stage_size<T>(n), n);
  const A sum = is_log ? reduce_row<reduce::Sum, A>(grad, n) : dot_row(grad, in, n);
  if constexpr (is_log) {
    const T *next_g = next_row(g, n), *next_y = next_row(y, n);
    write_row(d, n, streams, [=](int64_t b, int64_t m, A* out) {
      ask_row(next_g, b, m), ask_row(next_y, b, m);
      exp_block(in + b, out, m, A(0));
#pragma GCC ivdep
      for (int64_t i = 0; i < m; i++) out[i] = grad[b + i] - out[i] * sum;
    });
  } else {
    write_vectors(d, n, streams, [=]<class V>(int64_t i, Type<V>) { return (reduce::get<V>(grad + i) - sum) * reduce::get<V>(in + i); });
  }
}

// Strips: every step is a loop over w columns; rows lie `inner` elements apart.
template <bool is_log, class T> void forward_strip(const T* x, T* y, int64_t n, int64_t inner, int64_t w) {
  using A = compute_t<T>;
  A top[kStrip], sum[kStrip], row[kStrip];
  for (int64_t j = 0; j < w; j++) top[j] = -std::numeric_limits<A>::infinity(), sum[j] = 0;
  for (int64_t i = 0; i < n; i++) {
    load_floats(x + i * inner, row, w);
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++) top[j] = reduce::Max::combine(top[j], row[j]);
  }
  for (int64_t j = 0; j < w; j++) top[j] = finite_or_zero(top[j]);
  constexpr bool stores = !is_log && !is_half<T>;  // exponentials wait in the result, at full precision
  for (int64_t i = 0; i < n; i++) {
    load_floats(x + i * inner, row, w);
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++) row[j] = exp_decay(row[j] - top[j]);
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++) sum[j] += row[j];
    if (stores) store_floats(row, y + i * inner, w);
  }
  for (int64_t j = 0; j < w; j++) sum[j] = is_log ? A(std::log(sum[j])) : A(1) / sum[j];
  for (int64_t i = 0; i < n; i++) {
    load_floats((stores ? y : x) + i * inner, row, w);
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++) {
      if constexpr (is_log) row[j] = row[j] - top[j] - sum[j];
      else row[j] = (stores ? row[j] : exp_decay(row[j] - top[j])) * sum[j];
    }
    store_floats(row, y + i * inner, w);
  }
}

template <bool is_log, class T> void backward_strip(const T* g, const T* y, T* d, int64_t n, int64_t inner,
                                                    int64_t w) {
  using A = compute_t<T>;
  A sum[kStrip] = {}, grad[kStrip], in[kStrip];
  for (int64_t i = 0; i < n; i++) {
    load_floats(g + i * inner, grad, w);
    if (!is_log) load_floats(y + i * inner, in, w);
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++) sum[j] += is_log ? grad[j] : grad[j] * in[j];
  }
  for (int64_t i = 0; i < n; i++) {
    load_floats(g + i * inner, grad, w);
    load_floats(y + i * inner, in, w);
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++)
      grad[j] = is_log ? grad[j] - exp_decay(in[j]) * sum[j] : (grad[j] - sum[j]) * in[j];
    store_floats(grad, d + i * inner, w);
  }
}

// Calls strip(offset, width) for all strips of a tensor.
template <class F> void for_strips(const Rows& r, F&& strip) {
  int64_t strips = (r.inner + kStrip - 1) / kStrip;
  parallel_for(r.outer * strips, row_grain(r.length * std::min(kStrip, r.inner)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      int64_t column = t % strips * kStrip;
      strip(t / strips * r.length * r.inner + column, std::min(kStrip, r.inner - column));
    }
  });
}

template <bool is_log> void forward(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  Rows r(x, c.ints[0]);
  int64_t n = r.length;
  if (numel(x) == 0) return;
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    if (r.inner > 1)
      return for_strips(r, [&](int64_t at, int64_t w) {
        forward_strip<is_log>(ptr<T>(x) + at, ptr<T>(y) + at, n, r.inner, w);
      });
    const bool streams = stream::pays(numel(x) * sizeof(T));
    if (!streams && n <= kShort * Lanes<compute_t<T>>::width)
      return for_rows(r.outer, n, [&](int64_t b, int64_t e) { short_rows_of<is_log>(ptr<T>(x) + b * n, ptr<T>(y) + b * n, e - b, n); });
    for_rows(r.outer, n, [&](int64_t b, int64_t e) {
      Scratch<compute_t<T>> buffer(streams && !is_log ? n : stage_size<T>(n));
      for (int64_t i = b; i < e; i++)
        forward_row<is_log>(ptr<T>(x) + i * n, ptr<T>(y) + i * n, n, streams, buffer.data);
      stream::fence();
    });
  });
}

// Inputs: gradient, result of the forward pass.
template <bool is_log> void backward(const Call& c) {
  const View &d = *c.views[0], &g = *c.views[1], &y = *c.views[2];
  Rows r(y, c.ints[0]);
  int64_t n = r.length;
  if (numel(y) == 0) return;
  dispatch_floats(y.dtype, [&]<class T>(Type<T>) {
    const T *grad = ptr<T>(g), *in = ptr<T>(y);
    T* out = ptr<T>(d);
    if (r.inner > 1)
      return for_strips(r, [&](int64_t at, int64_t w) {
        backward_strip<is_log>(grad + at, in + at, out + at, n, r.inner, w);
      });
    const bool streams = stream::pays(numel(y) * sizeof(T));
    for_rows(r.outer, n, [&](int64_t b, int64_t e) {
      Scratch<compute_t<T>> buffer(2 * stage_size<T>(n));
      for (int64_t i = b; i < e; i++)
        backward_row<is_log>(grad + i * n, in + i * n, out + i * n, n, streams, buffer.data);
      stream::fence();
    });
  });
}

AL_KERNEL("softmax", forward<false>);
AL_KERNEL("log_softmax", forward<true>);
AL_KERNEL("softmax_backward", backward<false>);
AL_KERNEL("log_softmax_backward", backward<true>);

}  // namespace
}  // namespace al
